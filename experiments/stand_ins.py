"""Where the data or the network of a run are less than the paper's, as its configuration and its data say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["smaller_data_sets", "stand_in"]


class _Amounts(NamedTuple):
    """Samples to train on and to hold out, and their classes where they are known."""

    train: int
    test: int
    classes: int | None

    def __str__(self) -> str:
        of_classes = "" if self.classes is None else f" of {self.classes} classes"
        return f"{self.train} training and {self.test} held-out samples{of_classes}"


_PUBLISHED = {
    "Mnist": ("MNIST", _Amounts(60_000, 10_000, 10)),
    "Cifar10": ("CIFAR-10", _Amounts(50_000, 10_000, 10)),
    "Cub200": ("CUB-200-2011", _Amounts(5_994, 5_794, 200)),
    "TinyImageNet": ("Tiny-ImageNet", _Amounts(100_000, 10_000, 200)),
    "Sst2": ("SST-2", _Amounts(67_349, 872, 2)),
}
"""The data sets as their owners publish them, by their data module; those held out are the ones with public
labels. Compared with the data sets' own pages and cards."""


def stand_in(result: dict[str, Any]) -> str:
    """What is less than the paper's in one run; empty where nothing is.

    Args:
        result: what the run has left, as :func:`~experiments.results.load_results` returns it.
    """
    config = result["config"]
    return _photographs(config["data"]["init_args"]) or _transformer(config["model"]["network"]["init_args"])


def smaller_data_sets(results: Iterable[dict[str, Any]]) -> list[str]:
    """Each data set of which less was at hand than its owners publish; the runs draw their samples from that.

    Args:
        results: as :func:`~experiments.results.load_results` returns them; one of each run will do.

    Returns:
        a sentence for each data set, with both amounts.

    Example:
        >>> config = {"data": {"class_path": "experiments.data.sst2.Sst2", "init_args": {"n_train": 500}}}
        >>> data = {"trained_on": 500, "held_out": 20, "at_hand": {"train": 900, "test": 20, "classes": 2}}
        >>> smaller_data_sets([{"config": config, "data": data}])
        ['SST-2: the runs draw from 900 training and 20 held-out samples of 2 classes. Its owners publish 67349 ...']
    """
    most: dict[str, _Amounts] = {}
    for result in results:
        module = str(result["config"]["data"].get("class_path")).rpartition(".")[2]
        found = _at_hand(result)
        if module in _PUBLISHED and found is not None:
            most[module] = max(found, most.get(module, found), key=lambda amounts: amounts.train)
    return [
        f"{name}: the runs draw from {most[module]}. Its owners publish {published}."
        for module, (name, published) in _PUBLISHED.items()
        if module in most and most[module].train < published.train
    ]


def _at_hand(result: dict[str, Any]) -> _Amounts | None:
    """What a run drew its samples from; of one that has not noted it, what it took if it took all there was."""
    data, options = result.get("data") or {}, result["config"]["data"]["init_args"]
    if data.get("at_hand"):
        return _Amounts(**data["at_hand"])
    took_all = options.get("n_train") is None and options.get("n_test") is None
    if not took_all or "trained_on" not in data:
        return None
    return _Amounts(data["trained_on"], data["held_out"], options.get("n_classes"))


def _photographs(data: dict[str, Any]) -> str:
    if data.get("n_classes") is None:
        return ""
    images = "all their training images at hand" if data["n_train"] is None else f"{data['n_train']} training images"
    return f"{data['n_classes']} classes at {data['image_size']} × {data['image_size']} pixels, {images}"


def _transformer(network: dict[str, Any]) -> str:
    if "pretrained" not in network:
        return ""
    if network["pretrained"]:
        # Results from before there was one option say only that it is, and have the name beside it.
        name = network["checkpoint"] if network["pretrained"] is True else network["pretrained"]
        return f"the pretrained `{Path(name).name}` in the place of the pretrained BERT-Medium"
    shape = network["config"]
    return f"random weights, {shape['num_hidden_layers']} layers of {shape['hidden_size']} units"
