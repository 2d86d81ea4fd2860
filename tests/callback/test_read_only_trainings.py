"""The monitor only watches trainings of other kinds, too: sentences, averaged weights, several optimisers."""

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch import callbacks
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import STORE_EVERYTHING_SIZE_GUIDANCE, EventAccumulator
from torch.nn import functional
from torch.optim.swa_utils import get_ema_avg_fn
from torch.utils.data import DataLoader

from lightning_interactions import InteractionMonitor, TokenWords

pytestmark = pytest.mark.usefixtures("quick")

AVERAGING = {
    "exponential average": lambda: callbacks.EMAWeightAveraging(decay=0.9, update_starting_at_step=1),
    "average of the parameters alone": lambda: callbacks.WeightAveraging(use_buffers=False, avg_fn=get_ema_avg_fn(0.5)),
    "stochastic weight averaging": lambda: callbacks.StochasticWeightAveraging(
        0.1, swa_epoch_start=1, annealing_epochs=1
    ),
}


@pytest.fixture
def _averages():
    if not hasattr(callbacks, "EMAWeightAveraging"):
        pytest.skip(f"lightning {pl.__version__} has no weight averaging")


@pytest.mark.usefixtures("_averages")
@pytest.mark.parametrize("averaging", AVERAGING.values(), ids=AVERAGING.keys())
def test_averaged_weights(averaging, fit, make_monitor, assert_same_training):
    monitor = make_monitor()
    watched = fit(averaging(), monitor)
    plain = fit(averaging())

    assert monitor.failures == 0
    assert set(monitor.history.epochs) >= {0, 1, 2}
    assert_same_training(watched, plain)
    averaged = plain[1].state_dict()["head.3.weight"]
    assert not torch.equal(averaged, fit()[1].state_dict()["head.3.weight"])


@pytest.mark.usefixtures("_averages")
def test_what_is_measured_is_the_network_that_is_trained_and_not_its_average(fit, make_monitor):
    averaged, alone = make_monitor(), make_monitor()
    fit(callbacks.EMAWeightAveraging(decay=0.9), averaged, max_epochs=1)
    fit(alone, max_epochs=1)
    assert averaged.history.column("l1") == alone.history.column("l1")


def test_several_optimizers_and_manual_optimization(
    fit, make_module, make_monitor, conv_module_class, assert_same_training
):
    class Manual(conv_module_class):
        def __init__(self):
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch, index):
            body, head = self.optimizers()
            self.toggle_optimizer(head)
            self.manual_backward(self.loss(batch))
            head.step()
            head.zero_grad()
            self.untoggle_optimizer(head)
            if index % 2 == 0:
                loss = self.loss(batch)
                self.log("train_loss", loss)
                self.train_metrics.append(loss.item())
                self.manual_backward(loss)
                body.step()
                body.zero_grad()

        def configure_optimizers(self):
            return torch.optim.Adam(self.features.parameters(), 1e-2), torch.optim.SGD(self.head.parameters(), 0.1)

    monitor = make_monitor()
    watched = fit(monitor, module=make_module(Manual))
    assert monitor.failures == 0
    assert monitor.history.epochs == [0, 1, 2]
    assert len(watched[0].optimizers) == 2
    assert_same_training(watched, fit(module=make_module(Manual)))


@pytest.fixture
def raw_module(make_module, conv_module_class):
    """Steps an optimizer of its own, of which Lightning counts no step: its ``global_step`` stays 0."""

    class Raw(conv_module_class):
        def __init__(self, kind):
            super().__init__()
            self.automatic_optimization = False
            self.own = torch.optim.Adam(self.parameters(), 1e-2) if kind == "its own" else None

        def training_step(self, batch, index):  # noqa: ARG002
            optimizer = self.own or self.optimizers(use_pl_optimizer=False)
            loss = self.loss(batch)
            self.train_metrics.append(loss.item())
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()

        def configure_optimizers(self):
            return None if self.own else super().configure_optimizers()

    return lambda kind: make_module(Raw, kind=kind)


@pytest.mark.parametrize("kind", ["Lightning's", "its own"])
def test_a_module_that_steps_a_raw_optimizer(
    kind, fit, raw_module, make_monitor, make_trainer, make_loaders, assert_same_training, tmp_path
):
    monitor = make_monitor()
    logger = TensorBoardLogger(tmp_path, name="run", version="0")
    watched = fit(monitor, module=raw_module(kind), logger=logger)
    trainer, module = watched
    assert trainer.global_step == 0
    assert monitor.failures == 0
    assert monitor.history.epochs == [0, 1, 2]
    assert len(set(monitor.history.column("l1"))) == 3
    events = EventAccumulator(str(tmp_path / "run" / "0"), STORE_EVERYTHING_SIZE_GUIDANCE).Reload()
    assert [event.step for event in events.Scalars("interactions/l1")] == [0, 2, 5]  # three batches an epoch
    assert_same_training(watched, fit(module=raw_module(kind)))

    trainer.save_checkpoint(tmp_path / "two.ckpt")
    trainer.fit_loop.max_epochs = 3
    trainer.fit(module, *make_loaders())
    assert monitor.history.epochs == [0, 1, 2, 3]

    resumed = make_monitor()
    make_trainer(resumed, max_epochs=3).fit(raw_module(kind), *make_loaders(), ckpt_path=tmp_path / "two.ckpt")
    assert resumed.history.epochs == [0, 1, 2, 3]
    assert resumed.history.column("l1")[:3] == monitor.history.column("l1")[:3]


def test_a_trained_network_is_not_measured_as_untrained(fit, raw_module, make_monitor, tmp_path):
    trainer, _ = fit(module=raw_module("its own"))
    trainer.save_checkpoint(tmp_path / "two.ckpt")
    monitor = make_monitor()
    fit(monitor, module=raw_module("its own"), ckpt_path=tmp_path / "two.ckpt", max_epochs=3)
    assert monitor.history.epochs == [3]


WORDS = [
    "[PAD]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "the",
    "a",
    "film",
    "plot",
    "gripping",
    "dull",
    "great",
    "music",
    "boring",
]


def word_tokenizer():
    tokenizers = pytest.importorskip("tokenizers")
    vocabulary = {word: number for number, word in enumerate(WORDS)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="[PAD]"))  # noqa: S106
    tokenizer.decoder = tokenizers.decoders.WordPiece()
    special = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    return pytest.importorskip("transformers").PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


class Sentences(pl.LightningModule):
    """A small BERT with its dropout, whose ``forward`` returns a ``ModelOutput``."""

    def __init__(self):
        super().__init__()
        transformers = pytest.importorskip("transformers")
        sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
        config = transformers.BertConfig(vocab_size=len(WORDS), max_position_embeddings=16, **sizes)
        self.network = transformers.BertForSequenceClassification(config)
        self.train_metrics = []

    def forward(self, **batch):
        return self.network(**batch)

    def training_step(self, batch, _):
        loss = self(**batch).loss
        self.log("train_loss", loss)
        self.train_metrics.append(loss.item())
        return loss

    def validation_step(self, batch, _):
        self.log("val_loss", functional.cross_entropy(self(**batch).logits, batch["labels"]))

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), 1e-2)


def sentence_loader(n, seed):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(6, len(WORDS), (n, 7), generator=generator)
    ids[:, 0], ids[:, 3], ids[:, -1] = 1, 4, 2
    ids[::2, -1], ids[::2, -2] = 0, 2  # every second sentence is one word shorter
    labels = (ids == WORDS.index("great")).any(1).long()
    mask = (ids != 0).long()
    rows = [{"input_ids": ids[row], "attention_mask": mask[row], "labels": labels[row]} for row in range(n)]
    return DataLoader(rows, 4, shuffle=seed == 1)


def test_sentences(fit, make_module, make_monitor, assert_same_training):
    words = TokenWords(word_tokenizer(), n_variables=3)
    loaders = sentence_loader(12, 1), sentence_loader(8, 2)
    monitor = make_monitor(variables=words)
    watched = fit(monitor, module=make_module(Sentences), loaders=loaders)

    assert monitor.failures == 0
    assert monitor.history.column("n_samples") == [4, 4, 4]
    assert monitor.history[2]["l1"] > 0
    assert_same_training(watched, fit(module=make_module(Sentences), loaders=loaders))


def test_a_tokenizer_that_fails_later_costs_one_measurement(fit, make_module, make_monitor, assert_same_training):
    class Flaky(InteractionMonitor):
        def on_train_epoch_end(self, trainer, pl_module):
            tokenizer, self.variables.tokenizer = self.variables.tokenizer, None
            if trainer.current_epoch != 0:
                self.variables.tokenizer = tokenizer
            super().on_train_epoch_end(trainer, pl_module)
            self.variables.tokenizer = tokenizer

    loaders = sentence_loader(12, 1), sentence_loader(8, 2)
    monitor = make_monitor(cls=Flaky, variables=TokenWords(word_tokenizer(), n_variables=3))
    with pytest.warns(UserWarning, match="the measurement at epoch 1 failed with AttributeError"):
        watched = fit(monitor, module=make_module(Sentences), loaders=loaders)
    assert monitor.history.column("failures") == [0, 1, 1]
    assert_same_training(watched, fit(module=make_module(Sentences), loaders=loaders))


def test_a_tokenizer_that_is_not_there_is_an_error_at_once(tmp_path):
    pytest.importorskip("transformers")
    with pytest.raises((OSError, ValueError), match="no tokenizer here"):
        TokenWords(str(tmp_path / "no tokenizer here"))
