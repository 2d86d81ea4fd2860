"""Ways that go over to another way: when memory runs out, or when compiled code turns out to be right or wrong."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from lightning_interactions.masking.compiled import uncompilable
from lightning_interactions.masking.memory import is_out_of_memory
from lightning_interactions.masking.ways import Chunk, Compiled, Resumable, Way

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ComparedFirst", "UntilMemoryRunsOut"]


class UntilMemoryRunsOut(Way):
    """One way until it lacks memory, and another one from then on, for the same chunk first.

    Args:
        way: the one that takes more memory.
        then: the other one.
    """

    def __init__(self, way: Way, then: Way) -> None:
        self._way = way
        self._then = then

    def forget(self) -> None:
        """See :meth:`Way.forget`."""
        self._way.forget()

    def _run(self, chunk: Chunk) -> Tensor:
        try:
            return self._way(chunk)
        except Exception as error:
            if self._way is self._then or not is_out_of_memory(error):
                raise
        # Here the error is gone, and with it what its traceback held; now what the way has kept goes, too.
        self._way = self._then
        return self._way(chunk)


class ComparedFirst(Way):
    """Compiled code, if it gives on the first chunk what the way gives as it is; else that way, with one warning.

    Where memory runs out on that chunk, the next one is the first.

    Args:
        way: the way as it is.
    """

    def __init__(self, way: Resumable) -> None:
        self._plain = way
        self._chosen: Way | None = None

    def forget(self) -> None:
        """See :meth:`Way.forget`."""
        self._plain.forget()

    def _run(self, chunk: Chunk) -> Tensor:
        return self._first(chunk) if self._chosen is None else self._chosen(chunk)

    def _first(self, chunk: Chunk) -> Tensor:
        model, plain = self._plain.network.model, self._plain(chunk)
        if model in uncompilable:  # tried in vain in another way
            self._chosen = self._plain
            return plain
        compiled = Compiled(self._plain)
        problem = self._problem(compiled, chunk, plain)
        if problem is None:
            self._chosen = compiled
        else:
            self._chosen = self._plain
            uncompilable.add(model)
            warnings.warn(f"The network is run as it is, because the compiled one {problem}", stacklevel=2)
        return plain

    def _problem(self, compiled: Compiled, chunk: Chunk, plain: Tensor) -> str | None:
        try:
            same = self._plain.network.same(compiled(chunk), plain)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            return f"failed with {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        return None if same else "gave other numbers"
