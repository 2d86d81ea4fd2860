"""Callbacks that follow a value of a monitor, and act before the epoch has one: on the value of an earlier network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import lightning.pytorch.callbacks as unified
import pytorch_lightning.callbacks as standalone

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
__all__ = ["early_followers"]

_STOPPING = (unified.EarlyStopping, standalone.EarlyStopping)
_KEEPING = (unified.ModelCheckpoint, standalone.ModelCheckpoint)


def early_followers(trainer: Any, keys: Collection[str]) -> Iterator[str]:
    """What to say of each ``EarlyStopping`` and ``ModelCheckpoint`` that acts before the value that it follows exists.

    A monitor measures at the end of a training epoch. Both callbacks act at the end of a validation, which is before
    that, where they are told so or not each epoch ends with a validation. Else Lightning calls them after all others.

    Args:
        trainer: the Trainer, once it has set up its callbacks.
        keys: what the monitor logs.

    Yields:
        a sentence with the callback, the value, and what to change.
    """
    for callback in trainer.callbacks:
        # Where a user has not decided, both do by the Trainer's settings.
        if isinstance(callback, _STOPPING):
            setting, is_late = "check_on_train_epoch_end", callback._check_on_train_epoch_end  # noqa: SLF001
        elif isinstance(callback, _KEEPING) and callback._every_n_epochs >= 1:  # noqa: SLF001
            setting, is_late = "save_on_train_epoch_end", callback._should_save_on_train_epoch_end(trainer)  # noqa: SLF001
        else:
            continue
        if callback.monitor in keys and not is_late:
            yield (
                f"{type(callback).__name__}(monitor='{callback.monitor}') acts before the epoch is measured, on the"
                f" value of an earlier one. HINT: pass it `{setting}=True`."
            )
