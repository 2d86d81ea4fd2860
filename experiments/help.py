"""A help text of the command line that can be read: whole for what is ours, short for what Lightning documents."""

from __future__ import annotations

import re
from functools import cache, partial
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

from jsonargparse import DefaultHelpFormatter

from experiments import data, models

if TYPE_CHECKING:
    from argparse import Action
    from types import ModuleType

__all__ = ["ShortHelp"]

_OTHERS = ("trainer.", "optimizer", "lr_scheduler", "ckpt_path", "weights_only")
"""Options that other libraries document at length."""

_OURS = ("experiments.", "lightning_interactions.")

_OFFERED = {"model.network": models, "data": data}
"""Options whose classes are those of one folder."""

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
        _import_offered()
        wanted = partial(_only_ours, folder=_OFFERED.get(action.dest))
        text = re.sub(r"(, )?known subclasses: ([^)]*)", wanted, super()._expand_help(action))
        return _first_sentence(text) if action.dest.startswith(_OTHERS) else text


@cache
def _import_offered() -> None:
    """Known are the classes that are imported; those of an experiment are when it begins, which is after its help."""
    for folder in _OFFERED.values():
        for module in iter_modules(folder.__path__, f"{folder.__name__}."):
            import_module(module.name)


def _only_ours(found: re.Match[str], folder: ModuleType | None) -> str:
    names = found[2].split(", ")
    names = [name for name in names if (_is_offered(name, folder) if folder else name.startswith(_OURS))]
    return f"{found[1] or ''}known subclasses: {', '.join(sorted(names))}" if names else ""


def _is_offered(name: str, folder: ModuleType) -> bool:
    """Whether a class of a folder is public, and for use as it is: no other is made from it."""
    module, _, short = name.rpartition(".")
    if not name.startswith(f"{folder.__name__}."):
        return False
    return short in import_module(module).__all__ and not getattr(import_module(module), short).__subclasses__()


def _first_sentence(text: str) -> str:
    """The first sentence of an option's text, and the type and default that jsonargparse puts behind the last."""
    said, bracket, typed = text.rpartition(" (type: ")
    if not bracket:
        said, typed = text, ""
    return re.split(r"(?<=[a-z`)])\. |\.?\n", said, maxsplit=1)[0] + bracket + typed
