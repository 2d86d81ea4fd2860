"""What goes wrong while a network is watched: warned of once and survived, or raised to the user."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, get_args

from lightning.pytorch.utilities import rank_zero_warn

from lightning_interactions.callback.ranks import together

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Faults", "OnError", "text_of"]

OnError = Literal["warn", "raise"]
"""``"warn"``: the training goes on. ``"raise"``: the error reaches the user."""


class Faults:
    """Faults that a training survives, or not.

    Under ``"raise"`` an error is kept where it occurs, so that the work around it ends in good order, and raised where
    all processes of a training come by: :meth:`raise_together`.

    Args:
        on_error: see :data:`OnError`.

    Raises:
        ValueError: for another ``on_error``.

    Example:
        >>> faults = Faults("raise")
        >>> with faults.survived("writing"):
        ...     raise OSError("no space left")
        >>> faults.raise_together()
        Traceback (most recent call last):
        OSError: no space left
    """

    def __init__(self, on_error: OnError = "warn") -> None:
        if on_error not in get_args(OnError):
            msg = f"`on_error` must be one of {list(get_args(OnError))}, got {on_error!r}."
            raise ValueError(msg)
        self._on_error = on_error
        self._warned: set[str] = set()
        self._kept: Exception | None = None

    def forget(self) -> None:
        """Begin anew: a new training warns again."""
        self._warned.clear()
        self._kept = None

    def warn_once(self, message: str, key: str) -> None:
        """Warn on the first process, unless something with the same key was warned of before."""
        if key not in self._warned:
            self._warned.add(key)
            rank_zero_warn(f"InteractionMonitor: {message}")

    @contextmanager
    def survived(self, doing: str) -> Iterator[None]:
        """Go on after any error in the block: a full disk must not cost the training."""
        try:
            yield
        except Exception as error:  # noqa: BLE001
            self.take(error, f"{doing} failed with", key=doing)

    def take(self, error: Exception, what: str, key: str, consequence: str = "") -> None:
        """Warn of an error that was caught, or keep it.

        Args:
            error: what was caught.
            what: the begin of the warning; the error's text follows.
            key: see :meth:`warn_once`.
            consequence: the end of the warning.
        """
        if self._on_error == "raise":
            self._kept = self._kept or error
        else:
            self.warn_once(f"{what} {text_of(error)}.{consequence}", key)

    def raise_together(self) -> None:
        """Raise what was kept. A collective call under ``"raise"``: where one process has failed, all raise."""
        if self._on_error == "raise":
            together(self._raise_kept)

    def _raise_kept(self) -> None:
        error, self._kept = self._kept, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # which knows this frame: else what failed would stay in memory


def text_of(error: Exception) -> str:
    """An error in one line.

    Example:
        >>> text_of(OSError("no space left."))
        'OSError: no space left'
    """
    return f"{type(error).__name__}: {error}".rstrip(".")
