"""The networks that the benchmarks run: how they are made, what they take, and what is masked in them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torchvision.models import alexnet, vgg16

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the experiments are not installed

from experiments.models.lenet import LeNet
from experiments.models.vgg import VGG11
from lightning_interactions.masking.batches import repeat_rows, to_device
from lightning_interactions.masking.feature_map import FeatureMapPatches
from lightning_interactions.masking.network import call_network
from lightning_interactions.masking.variables import Draw, Variables, mask_regions

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["NETWORKS", "Network", "Tokens", "bare_suffix", "random_inputs", "set_up"]

MINILM = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
SENTENCE = 24
"""Tokens; what a sentence of SST-2 has on average, with its two special ones."""


class Tokens(Variables):
    """Tokens at fixed positions, so that no tokenizer is needed."""

    def draw(self, inputs: Any, seed: int | None = None) -> list[Draw | None]:  # noqa: ARG002  # the protocol's
        """The first tokens after the special one."""
        positions = tuple((position,) for position in range(1, self.n_variables + 1))
        return [Draw(positions, tuple(map(str, positions)), (103.0,)) for _ in inputs["input_ids"]]

    def mask(self, target: Any, draws: list[Draw], masks: Tensor) -> Any:
        """As :class:`~lightning_interactions.TokenWords` does."""
        ids = target["input_ids"]
        regions = torch.full(ids.shape, self.n_variables)
        for row, draw in enumerate(draws):
            for variable, (position,) in enumerate(draw.positions):
                regions[row, position] = variable
        masked = mask_regions(ids, to_device(regions, ids.device), masks, torch.tensor(103))
        return {"input_ids": masked, "attention_mask": repeat_rows(target["attention_mask"], len(masks))}

    def lengths(self, inputs: Any) -> list[int] | None:
        """As :class:`~lightning_interactions.TokenWords` does."""
        lengths: list[int] = inputs["attention_mask"].sum(dim=1).tolist()
        return lengths if min(lengths) < inputs["attention_mask"].shape[1] else None

    def cut(self, inputs: Any, length: int) -> Any:
        """As :class:`~lightning_interactions.TokenWords` does."""
        return {key: value[:, :length] for key, value in inputs.items()}


@dataclass(frozen=True)
class Network:
    """A network, how its inputs look, and which layer of ``features`` is masked."""

    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    layer: int | None
    n: int
    """Variables on a CPU."""
    samples: int
    batch_sizes: tuple[int, ...]
    """Of the bare network on a CPU."""

    def batch_sizes_on(self, device: str) -> tuple[int, ...]:
        """Those among which the bare network may choose; a GPU is busy only with more inputs at once."""
        largest = self.batch_sizes[-1]
        return (*self.batch_sizes, 4 * largest, 32 * largest) if device == "cuda" else self.batch_sizes


def _minilm() -> nn.Module:
    from transformers import BertConfig, BertForSequenceClassification  # noqa: PLC0415  # takes seconds to import

    return BertForSequenceClassification(BertConfig(**MINILM))


NETWORKS = {
    "LeNet": Network(LeNet, (1, 32, 32), 1, 10, 2, (16, 64, 256, 1024)),
    "VGG-11 at 32": Network(VGG11, (3, 32, 32), 4, 8, 1, (16, 64, 256)),
    "AlexNet at 224": Network(lambda: alexnet(weights=None), (3, 224, 224), 1, 6, 1, (8, 16, 64)),
    "MiniLM, 24 tokens": Network(_minilm, (SENTENCE,), None, 7, 1, (16, 64, 256)),
    "VGG-16 at 224": Network(lambda: vgg16(weights=None), (3, 224, 224), 3, 3, 1, (1, 4)),
}


def set_up(case: Network, device: str, samples: int, n: int) -> tuple[nn.Module, Any, Variables]:
    """The network in evaluation mode, inputs and variables."""
    torch.manual_seed(0)
    model = case.make().eval().to(device)
    variables: Variables = Tokens(n)
    if case.layer is not None:
        variables = FeatureMapPatches(f"features.{case.layer}", grid=8, border=1, n_variables=n)
    return model, random_inputs(case, samples, device), variables


def random_inputs(case: Network, samples: int, device: str) -> Any:
    """Images, or what a tokenizer returns."""
    if case.layer is not None:
        return torch.randn(samples, *case.shape, device=device)
    ids = torch.randint(1000, 20000, (samples, *case.shape), device=device)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def bare_suffix(model: nn.Module, case: Network, device: str) -> tuple[Callable[[Any], Any], Any]:
    """What lies after the mask as a function, and one random input of it."""
    inputs = random_inputs(case, 1, device)
    if case.layer is None:
        return partial(call_network, model), inputs
    network: Any = model
    after = network.features[case.layer + 1 :]
    if isinstance(model, VGG11):
        tail = lambda x: network.head(after(x).mean(dim=(2, 3)))  # noqa: E731
    elif isinstance(model, LeNet):
        tail = lambda x: network.classifier(after(x))  # noqa: E731
    else:
        tail = lambda x: network.classifier(network.avgpool(after(x)).flatten(1))  # noqa: E731
    with torch.no_grad():
        return tail, network.features[: case.layer + 1](inputs)
