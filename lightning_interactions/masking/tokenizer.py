"""Tokenizers of the Hugging Face library, by name: loaded whole, or refused with the file that is at fault."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lightning_interactions.checks import reason_of

__all__ = ["load_tokenizer"]

_WANTED = "a tokenizer with its vocabulary, tokenizer.json or vocab.txt"
_HOW_TO_GET = (
    "get the tokenizer's files again, from the model's page on https://huggingface.co or by `save_pretrained`, or give"
    " another folder or name."
)


def load_tokenizer(name: str, how_to_get: str = _HOW_TO_GET) -> Any:
    """A tokenizer of the Hugging Face library.

    Args:
        name: folder or hub name.
        how_to_get: what the hint of an error says: what to get, from where.

    Raises:
        ImportError: if ``transformers``, or what it needs for this tokenizer, is not installed.
        FileNotFoundError: if neither the disk nor the hub has it.
        ValueError: if the folder's files are damaged or hold no vocabulary; the library would then take every word for
            an unknown one.
    """
    try:
        from transformers import AutoTokenizer  # noqa: PLC0415  # transformers is an optional extra
    except ImportError as error:
        msg = "A tokenizer given by name needs `transformers`. HINT: pip install 'lightning-interactions[experiments]'."
        raise ImportError(msg) from error
    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
    except ImportError:  # another library is needed, and the message says which
        raise
    except Exception as error:  # the library names damaged files in a dozen ways
        reason = reason_of(error)
        if Path(name).is_dir():
            raise _wrong(name, f"what cannot be loaded ({_at_fault(Path(name))}{reason})", how_to_get) from error
        msg = f"'{name}' is no folder here, and the hub did not give it ({reason}). HINT: {how_to_get}"
        raise FileNotFoundError(msg) from error
    if set(tokenizer.get_vocab()) <= set(tokenizer.all_special_tokens):
        raise _wrong(name, f"one of {len(tokenizer)} special tokens and no words", how_to_get)
    return tokenizer


def _wrong(name: str, got: str, how_to_get: str) -> ValueError:
    return ValueError(
        f"'{name}' should hold {_WANTED}, got {got}. HINT: it is incomplete or another one: remove it and {how_to_get}"
    )


def _at_fault(folder: Path) -> str:
    """The first of a folder's files that is no JSON though its name says so, to be put before the library's words."""
    damaged = [path.name for path in sorted(folder.glob("*.json")) if not _is_json(path)]
    return f"{damaged[0]} is no whole JSON file: " if damaged else ""


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except ValueError:
        return False
    return True
