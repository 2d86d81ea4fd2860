"""Run a user's module beside its training so that what it is told, and what it logs, does not mix with the training."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["unlogged", "validating", "watching"]

_LOGGING = ("log", "log_dict")


@contextmanager
def watching(trainer: Any, pl_module: Any) -> Iterator[None]:
    """Run the module only to look at it: the Trainer says that it validates, and nothing that the module logs is kept.

    Args:
        trainer: the Trainer.
        pl_module: its module, which may log in ``forward``.
    """
    with validating(trainer), unlogged(pl_module):
        yield


@contextmanager
def validating(trainer: Any) -> Iterator[None]:
    """Let a Trainer say that it validates, so that the user's code does not augment."""
    stage = trainer.state.stage
    trainer.state.stage = type(stage).VALIDATING
    try:
        yield
    finally:
        trainer.state.stage = stage


@contextmanager
def unlogged(pl_module: Any) -> Iterator[None]:
    """Let what a module logs in the block go nowhere: masked inputs are no part of the user's metrics.

    Example:
        >>> from types import SimpleNamespace
        >>> module = SimpleNamespace(log=print)
        >>> with unlogged(module):
        ...     module.log("accuracy", 0.1)
        >>> module.log("accuracy", 0.9)
        accuracy 0.9
    """
    own = vars(pl_module)
    shadowed = {name: own[name] for name in _LOGGING if name in own}
    own.update(dict.fromkeys(_LOGGING, _nothing))
    try:
        yield
    finally:
        for name in _LOGGING:
            own.pop(name, None)
        own.update(shadowed)


def _nothing(*_: Any, **__: Any) -> None:
    """Stands in for a method that logs."""
