"""A help text of the command line that can be read: whole for what is ours, short for what Lightning documents."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from jsonargparse import DefaultHelpFormatter

if TYPE_CHECKING:
    from argparse import Action

__all__ = ["ShortHelp"]

_OTHERS = ("trainer.", "optimizer", "lr_scheduler", "ckpt_path", "weights_only")
"""Options that other libraries document at length."""

_OURS = ("experiments.", "lightning_interactions.")

_USAGE = """python -m experiments fit --config FILE [--config FILE] [options]

the paper's size    python -m experiments fit --config configs/lenet_mnist.yaml
the small size      the same with --config configs/small/lenet_mnist.yaml behind it
after a kill        the same with --ckpt_path last
another encoder     of text: the same with --model.network.init_args.pretrained=FOLDER_OR_HUB_NAME
all that is set     the same with --print_config
options of a class  python -m experiments fit --data.help experiments.data.mnist.Mnist"""


class ShortHelp(DefaultHelpFormatter):
    """Formats the help of ``fit``: examples in the place of all options in a row, and no lists of others' classes.

    Of the options that Lightning and PyTorch document, the first sentence is left, with type and default.
    """

    def add_usage(self, usage: str | None, *args: Any, **kwargs: Any) -> None:
        """The most used commands of ``fit``."""
        super().add_usage(_USAGE if self._prog.endswith(" fit") else usage, *args, **kwargs)

    def _expand_help(self, action: Action) -> str:
        text = re.sub(r"(, )?known subclasses: ([^)]*)", _only_ours, super()._expand_help(action))
        return _first_sentence(text) if action.dest.startswith(_OTHERS) else text


def _only_ours(found: re.Match[str]) -> str:
    names = [name for name in found[2].split(", ") if name.startswith(_OURS)]
    return f"{found[1] or ''}known subclasses: {', '.join(names)}" if names else ""


def _first_sentence(text: str) -> str:
    """The first sentence of an option's text, and the type and default that jsonargparse puts behind the last."""
    said, bracket, typed = text.rpartition(" (type: ")
    if not bracket:
        said, typed = text, ""
    return re.split(r"(?<=[a-z`)])\. |\.?\n", said, maxsplit=1)[0] + bracket + typed
