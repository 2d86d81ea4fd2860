"""Networks and tokenizers that others have trained: loaded whole, or refused with what to get from where."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import AutoConfig, AutoModelForSequenceClassification

from experiments.data.files import Published
from lightning_interactions.checks import reason_of
from lightning_interactions.masking import tokenizer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

__all__ = ["load_config", "load_network", "load_tokenizer"]


def load_config(name: str, **changed: Any) -> Any:
    """The configuration of a network of the Hugging Face library.

    Args:
        name: folder or hub name.
        **changed: entries to change.

    Raises:
        FileNotFoundError: if neither the disk nor the hub has it.
        ValueError: if the folder does not hold one.
    """
    with _explained(name, "the configuration of a network, config.json"):
        return AutoConfig.from_pretrained(name, **changed)


def load_network(name: str, config: Any) -> nn.Module:
    """A classifier with a new head on a pretrained encoder.

    Args:
        name: folder or hub name.
        config: of the classifier, from :func:`load_config`.

    Raises:
        FileNotFoundError: as for :func:`load_config`.
        ValueError: if weights of the encoder are missing or of another shape; the library would draw them at random.
    """
    weights = "the weights of its config.json, model.safetensors or pytorch_model.bin"
    with _explained(name, weights):
        network, loaded = AutoModelForSequenceClassification.from_pretrained(
            name, config=config, output_loading_info=True, ignore_mismatched_sizes=True
        )
    for key, stored, wanted in sorted(loaded["mismatched_keys"]):
        raise _published(name).wrong(Path(name), weights, f"{key} of shape {tuple(stored)} in place of {tuple(wanted)}")
    # Encoders that were trained to fill in words come without a pooler; it is part of the new head.
    encoder = f"{network.base_model_prefix}."
    absent = sorted(key for key in loaded["missing_keys"] if key.startswith(encoder) and ".pooler." not in key)
    if absent:
        raise _published(name).wrong(
            Path(name), weights, f"none for {len(absent)} tensors, the first being {absent[0]}"
        )
    return network


def load_tokenizer(name: str) -> Any:
    """A tokenizer of the Hugging Face library.

    Args:
        name: folder or hub name.

    Raises:
        FileNotFoundError: as for :func:`load_config`.
        ValueError: if the folder holds no vocabulary; the library would take every word for an unknown one.
    """
    return tokenizer.load_tokenizer(name, _published(name).how_to_get)


@contextmanager
def _explained(name: str, expected: str) -> Iterator[None]:
    """The library's errors, which are of a dozen kinds, in the words that are used for data."""
    try:
        yield
    except ImportError:  # another library is needed, and the message says which
        raise
    except Exception as error:
        reason = reason_of(error)
        if Path(name).is_dir():
            raise _published(name).wrong(Path(name), expected, f"what cannot be loaded ({reason})") from error
        msg = f"'{name}' is no folder here, and the hub did not give it ({reason}). HINT: {_published(name).how_to_get}"
        raise FileNotFoundError(msg) from error


def _published(name: str) -> Published:
    return Published(
        "The pretrained encoder",
        f"get config.json, model.safetensors and the tokenizer's files of an encoder from https://huggingface.co and"
        f" put them into '{name}'; of MiniLM with 6 layers:"
        f" hf download nreimers/MiniLM-L6-H384-uncased --local-dir {name}."
        f" Or name another folder or model of the hub by --model.network.init_args.pretrained; where the weights are"
        f" random, another tokenizer by --data.init_args.tokenizer and --monitor.variables.init_args.tokenizer.",
    )
