"""A Hugging Face text classifier: watch which words it combines. Weights and vocabulary are made on the spot."""

import itertools

import torch
from jsonargparse import auto_cli
from lightning.pytorch import LightningModule, Trainer, seed_everything
from tokenizers import Tokenizer, models, pre_tokenizers
from torch.utils.data import DataLoader, random_split
from transformers import BertConfig, BertForSequenceClassification, DataCollatorWithPadding, PreTrainedTokenizerFast

from lightning_interactions import InteractionMonitor, TokenWords

GOOD, BAD, NOUNS = ("gripping", "warm", "clever"), ("boring", "cold", "silly"), ("film", "plot", "cast", "story")


class Classifier(LightningModule):
    """A tiny BERT; with a pretrained one nothing else changes."""

    def __init__(self, vocabulary_size: int) -> None:
        super().__init__()
        sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
        self.network = BertForSequenceClassification(BertConfig(vocab_size=vocabulary_size, **sizes))

    def forward(self, **inputs):
        return self.network(**inputs)

    def training_step(self, batch, _):
        return self.network(**batch).loss

    def validation_step(self, batch, _):
        self.log("val_loss", self.network(**batch).loss, prog_bar=True)

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


def main(epochs: int = 10) -> None:
    """Train on sentences such as "a warm film with ugly music", and print what three of them mean to the network."""
    seed_everything(0)
    known = ("[PAD]", "[UNK]", "[MASK]", "a", "with", "music", *GOOD, *BAD, *NOUNS)
    words = Tokenizer(models.WordLevel({word: number for number, word in enumerate(known)}, "[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]", mask_token="[MASK]")
    data = [
        {**tokenizer(f"a {one} {noun} with {other} music"), "labels": int(one in GOOD and other in GOOD)}
        for one, noun, other in itertools.product((*GOOD, *BAD), NOUNS, (*GOOD, *BAD))
    ]
    collate = DataCollatorWithPadding(tokenizer)
    loaders = [DataLoader(part, batch_size=50, collate_fn=collate) for part in random_split(data, [0.8, 0.2])]
    monitor = InteractionMonitor(TokenWords(tokenizer, n_variables=4), n_samples=20)
    trainer = Trainer(max_epochs=epochs, callbacks=[monitor], logger=False, enable_checkpointing=False)
    trainer.fit(Classifier(len(known)), *loaders)
    for sample in range(3):
        effect, meant = monitor.interactions.strongest(sample, 1)[0], monitor.interactions.variable_names(sample)
        print(f"{' '.join(meant)}: {effect.effect:+.2f} for {effect.kind} of {[meant[i] for i in effect.variables]}")


if __name__ == "__main__":
    auto_cli(main)
