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
        checkpoint: folder or hub name of a pretrained model, or of its configuration alone if ``pretrained`` is false;
            ``None`` takes BERT's own configuration.
        num_classes: number of classes.
        pretrained: load the weights; otherwise draw them at random.
        config: entries of the configuration to change, e.g. ``{"num_hidden_layers": 8}``.

    Raises:
        FileNotFoundError: if neither the disk nor the hub has the checkpoint.
        ValueError: if pretrained weights are wanted and no checkpoint is given, or one that is incomplete.

    Example:
        >>> small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
        >>> network = Bert(pretrained=False, config=small | {"vocab_size": 50})
        >>> import torch
        >>> network(input_ids=torch.tensor([[1, 2, 3]])).shape
        torch.Size([1, 2])
    """

    def __init__(
        self,
        checkpoint: str | None = None,
        num_classes: int = 2,
        *,
        pretrained: bool = True,
        config: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        changed = {"num_labels": num_classes} | (config or {})
        settings = AutoConfig.for_model("bert", **changed) if checkpoint is None else load_config(checkpoint, **changed)
        if not pretrained:
            self.transformer = AutoModelForSequenceClassification.from_config(settings)
        elif checkpoint is None:
            msg = "`checkpoint` must name a folder or hub model to load weights from. HINT: or set `pretrained=False`."
            raise ValueError(msg)
        else:
            self.transformer = load_network(checkpoint, settings)
        self.transformer.train()  # loaded weights come in evaluation mode, which Lightning would keep

    def forward(self, **tokens: Tensor) -> Tensor:
        """Logits ``(B, num_classes)`` of what the tokenizer returns."""
        return self.transformer(**tokens).logits
