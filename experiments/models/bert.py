"""BERT and its relatives, pretrained or from random weights."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForSequenceClassification

from experiments.models.pretrained import load_config, load_network

__all__ = ["Bert"]


class Bert(nn.Module):
    """A transformer of the Hugging Face library with a classification head.

    Args:
        pretrained: folder or hub name of a model whose size and weights to take; ``None`` takes BERT's configuration
            and draws the weights at random. On the command line it decides the tokenizers of the data and of the
            monitor as well, and ``config`` is for random weights alone.
        num_classes: number of classes.
        config: entries of the configuration to change, e.g. ``{"num_hidden_layers": 8}``.

    Raises:
        FileNotFoundError: if neither the disk nor the hub has the pretrained model.
        ValueError: if it is incomplete.

    Example:
        >>> small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
        >>> network = Bert(config=small | {"vocab_size": 50})
        >>> import torch
        >>> network(input_ids=torch.tensor([[1, 2, 3]])).shape
        torch.Size([1, 2])
    """

    def __init__(
        self,
        pretrained: str | None = None,
        num_classes: int = 2,
        *,
        config: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        changed = {"num_labels": num_classes} | (config or {})
        if pretrained is None:
            self.transformer = AutoModelForSequenceClassification.from_config(AutoConfig.for_model("bert", **changed))
        else:
            self.transformer = load_network(pretrained, load_config(pretrained, **changed))
        self.transformer.train()  # loaded weights come in evaluation mode, which Lightning would keep

    def forward(self, **tokens: Tensor) -> Tensor:
        """Logits ``(B, num_classes)`` of what the tokenizer returns."""
        return self.transformer(**tokens).logits
