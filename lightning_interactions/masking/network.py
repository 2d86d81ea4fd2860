"""A network seen through masks: the logits of masked samples, by the cheapest way that is right."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from lightning_interactions.masking.batches import leaves, repeat_rows, take_rows
from lightning_interactions.masking.compiled import run_compiled, uncompilable
from lightning_interactions.masking.layers import find_layer, run_with_output
from lightning_interactions.masking.local import LocalMaps, chain_after, local_maps
from lightning_interactions.masking.memory import is_out_of_memory
from lightning_interactions.masking.outputs import logits_of
from lightning_interactions.masking.patches import GridPatches
from lightning_interactions.masking.precision import coarsest_rounding

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lightning_interactions.masking.variables import Draw, Variables

__all__ = ["Forward", "MaskedNetwork", "Way", "call_network", "device_of"]

Forward = Callable[[nn.Module, Any], Any]
"""``(model, inputs) -> logits`` or an object that holds them, for networks that take their inputs in their own way."""

Way = Literal["local", "split", "repeat", "alone"]
"""``"split"``: what lies before the layer runs once a sample, its map is expanded to all masks. ``"local"``: so it is,
but some layers later, up to where each local value is computed once (:mod:`~.local`). ``"repeat"``: the whole network
runs on every masked input. ``"alone"``: so it does, one masked input at a time."""

_PROBES = ((2, 3), (1, 2), (1, 1))
"""Samples and masks that are compared. Two samples, or a network that mixes them up would not show; their number must
not divide that of the masks. Less where memory is short; one masked input is the same in every way."""

_CUDA_SAVED = 1e12
"""Multiply-adds that tables must save on each sample on a GPU: making them takes some hundred small kernels, about as
long as a GPU takes for this many. Estimated, not measured."""


class MaskedNetwork:
    """A network whose variables are masked where ``variables`` says: at its inputs or at a layer's output.

    Args:
        model: the network.
        variables: what the input variables are.
        forward: how to call the network.
        rounding: relative rounding error of a forward pass; by default that of the weights' and logits' types.
        compiled: run what lies after the mask by ``torch.compile``, where that works and gives the same.

    Attributes:
        way: how masked inputs are run; :meth:`choose_way` finds out.
        bytes_each: what the busiest layer reads and writes for one masked input, likewise.
        compiled: whether compiled code is used; ``None`` until it has been compared with the plain way.

    Raises:
        ValueError: for an unknown layer.
    """

    def __init__(
        self,
        model: nn.Module,
        variables: Variables,
        forward: Forward,
        rounding: float = 0.0,
        *,
        compiled: bool = False,
    ) -> None:
        self.rounding = rounding
        self.compiled: bool | None = False
        self._shall_compile = compiled and model not in uncompilable
        self.model = model
        self.variables = variables
        self.forward = forward
        self.layer = None if variables.layer is None else find_layer(model, variables.layer)
        self.way: Way = "repeat"
        self.bytes_each = 1
        self._is_masked = False
        self._chain: list[nn.Module] = []
        self._kept: tuple[int, Any] | None = None
        self._lengths: list[int] | None = None

    def __call__(self, inputs: Any, draws: Sequence[Draw], masks: Tensor, sample: int | None = None) -> Tensor:
        """Logits ``(b · m, K)`` of ``b`` samples under ``m`` masks.

        Args:
            inputs: the samples.
            draws: their draws.
            masks: bool ``(m, n)``.
            sample: the number of the one sample in ``inputs``; what is known of it is kept until another one comes.
        """
        if self.way == "local":
            try:
                return self._once(inputs, draws, masks, sample)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
            self.way, self._kept = "split", None  # the tables are too large; go on without them
        return self._once(inputs, draws, masks, sample)

    def _once(self, inputs: Any, draws: Sequence[Draw], masks: Tensor, sample: int | None) -> Tensor:
        if self.compiled is None:
            return self._try_compiled(inputs, draws, masks, sample)
        if self.compiled:
            result = self._compiled(inputs, draws, masks, sample)
        elif self.way == "local":
            result = self._local(inputs, draws, masks, sample)
        else:
            result = (self._split if self.way == "split" else self._repeat)(inputs, draws, masks)
        return self._checked(result, len(draws) * len(masks))

    def rows(self, inputs: Any, rows: slice) -> Any:
        """Some of the samples given to :meth:`choose_way`, without the padding that none of them needs."""
        chosen = take_rows(inputs, rows)
        return chosen if self._lengths is None else self.variables.cut(chosen, max(self._lengths[rows]))

    def choose_way(self, inputs: Any, draws: Sequence[Draw], masks: Tensor) -> Tensor:
        """Find the cheapest way that gives what the plain one gives, by comparing them on a few masked inputs.

        A shortcut around the layer, or a network that remembers how many rows it was given, does not fit a map that is
        expanded half-way. A network whose rows depend on one another must see one input at a time. Both warn.

        Returns:
            logits of the first sample under some masks.
        """
        for n_samples, n_masks in _PROBES:
            # One sample twice where there are no two.
            rows = [0, min(1, len(draws) - 1)][:n_samples]
            some = masks[torch.linspace(0, len(masks) - 1, n_masks).long().unique().to(masks.device)]
            try:
                logits = self._compare(inputs, draws, rows, some)
            except Exception as error:
                if not is_out_of_memory(error) or (n_samples, n_masks) == _PROBES[-1]:
                    raise
            else:
                # Rows that depend on one another, or on the batch size, are no matter for compiled code.
                if self._shall_compile and (
                    self.way in ("split", "local") or (self.way, self.layer) == ("repeat", None)
                ):
                    self.compiled = None
                return logits
        raise AssertionError  # the last probe returns or raises

    def _compare(self, inputs: Any, draws: Sequence[Draw], rows: list[int], masks: Tensor) -> Tensor:
        chosen = [draws[row] for row in rows]
        self.way = "repeat"
        # The plain way comes first: a fault of the network itself shows here, once.
        with self._sizes_measured(len(rows) * len(masks)):
            plain = self(take_rows(inputs, rows), chosen, masks)
        if len(plain) == 1:
            return plain
        alone = self._alone(take_rows(inputs, rows[:1]), chosen[:1], masks[1:2])
        if alone is not None and not self._same(alone, plain[1:2]):
            self._doubt(plain, self(take_rows(inputs, rows), chosen, masks))
            return plain
        if self.layer is not None and self._try_split(take_rows(inputs, rows), chosen, masks, plain):
            self._try_local(take_rows(inputs, rows[:1]), chosen[:1], masks, plain[: len(masks)])
        self._try_cut(inputs, draws, masks)
        return plain

    def _doubt(self, plain: Tensor, again: Tensor) -> None:
        """An input alone gave something else than among others: say why, and run it alone if that helps."""
        if self._same(again, plain):
            self.way = "alone"
            warnings.warn(
                "The network's output on an input depends on the other inputs of the batch, also in evaluation"
                " mode. So it is run on one masked input at a time, which is slow.",
                stacklevel=2,
            )
        else:
            warnings.warn(
                "The network's output is random, also in evaluation mode: the same inputs gave two results. What it"
                " adds by chance will look like interactions of many variables.",
                stacklevel=2,
            )

    def _try_cut(self, inputs: Any, draws: Sequence[Draw], masks: Tensor) -> None:
        """Leave out padding from now on, if the output on the sample with the most of it does not depend on it."""
        self._lengths = None
        lengths = self.variables.lengths(inputs)
        if lengths is None or self._shall_compile:  # code would have to be compiled for every length
            return
        shortest = min(range(len(lengths)), key=lengths.__getitem__)
        padded, draw = take_rows(inputs, [shortest]), draws[shortest : shortest + 1]
        plain = self(padded, draw, masks)
        try:
            cut: Tensor | None = self(self.variables.cut(padded, lengths[shortest]), draw, masks)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            cut = None  # something else is as long as the padded samples
        if cut is not None and cut.shape == plain.shape and self._same(cut, plain):
            self._lengths = lengths
            return
        warnings.warn(
            "The network's output depends on the padding of its inputs, so they are run with it, which is slower. A"
            " sample may get other interactions in another batch. HINT: does the network use the attention mask?",
            stacklevel=2,
        )

    def _try_split(self, inputs: Any, draws: Sequence[Draw], masks: Tensor, plain: Tensor) -> bool:
        try:
            split: Tensor | None = logits_of(self._split(inputs, draws, masks))
        except Exception as error:
            if is_out_of_memory(error):
                raise
            split = None  # rows that do not fit one another
        if split is not None and split.shape == plain.shape and self._same(split, plain):
            self.way = "split"
            return True
        warnings.warn(
            f"Something in the network bypasses layer '{self.variables.layer}' or remembers the batch size; what lies"
            f" before the layer runs for every masked input, which is slower. HINT: name a layer that everything flows"
            f" through, such as a whole residual block.",
            stacklevel=2,
        )
        return False

    def _try_local(self, inputs: Any, draws: Sequence[Draw], masks: Tensor, plain: Tensor) -> None:
        """Go over to tables of local values, for a sample at a time, if that gives the same."""
        if not isinstance(self.variables, GridPatches) or self.layer is None:
            return
        chain = chain_after(self.model, self.layer)
        if not chain:
            return

        def make(output: Any) -> Any:
            maps, length = local_maps(self.variables, draws[0], output, chain)
            worth_it = maps.saved >= (_CUDA_SAVED if maps.table.is_cuda else 0)
            self._kept, self._chain = (0, maps), chain[:length] if worth_it else []
            return output

        bytes_each = self.bytes_each
        try:
            run_with_output(self.layer, make, lambda: self.forward(self.model, inputs))
            with self._sizes_measured(len(masks), after_mask=True):
                local = logits_of(self._local(inputs, draws, masks, sample=0))
        except Exception:  # noqa: BLE001  # a module that is not what it seems; there is another way
            self._chain = []
        if self._chain and local.shape == plain.shape and self._same(local, plain):
            self.way = "local"
        else:
            self._kept, self.bytes_each = None, bytes_each

    def _alone(self, inputs: Any, draws: Sequence[Draw], masks: Tensor) -> Tensor | None:
        """One masked input on its own; ``None`` for networks that cannot take a single one (``squeeze``, …)."""
        try:
            return self(inputs, draws, masks)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            return None

    def _same(self, logits: Tensor, plain: Tensor) -> bool:
        """Equal but for rounding, which a wrong row exceeds by orders of magnitude."""
        rounding = max(self.rounding, coarsest_rounding(logits, *self.model.parameters()))
        finite = plain[plain.isfinite()]
        scale = finite.abs().max().item() if len(finite) else 0.0
        return torch.allclose(logits.double(), plain.double(), rtol=0.0, atol=rounding**0.6 * scale, equal_nan=True)

    def _split(self, inputs: Any, draws: Sequence[Draw], masks: Tensor) -> Any:
        if self.layer is None:
            return self._repeat(inputs, draws, masks)
        return run_with_output(
            self.layer,
            lambda output: self._masked(output, draws, masks),
            lambda: self.forward(self.model, inputs),
        )

    def _masked(self, output: Any, draws: Sequence[Draw], masks: Tensor) -> Any:
        self._is_masked = True
        return self.variables.mask(output, draws, masks)

    def _local(self, inputs: Any, draws: Sequence[Draw], masks: Tensor, sample: int | None) -> Any:
        """The samples themselves run through the network; masked maps take their place at the end of the chain."""
        if self.layer is None or not self._chain:
            msg = "There is no chain of modules after the layer."
            raise RuntimeError(msg)
        layer, made = self.layer, self._of(sample)

        def make(output: Any) -> Any:
            if not made:
                made.extend(self._tables(output, draws))
            return output

        def put(_output: Any) -> Any:
            self._is_masked = True
            return torch.cat([maps.maps(masks) for maps in made])

        def run() -> Any:
            return run_with_output(layer, make, lambda: self.forward(self.model, inputs))

        logits = run_with_output(self._chain[-1], put, run)
        if sample is not None:
            self._kept = sample, made[0]
        return logits

    def _tables(self, output: Any, draws: Sequence[Draw]) -> list[LocalMaps]:
        """The maps of every sample, from what the layer puts out for it."""
        self._kept = None
        length = len(self._chain)
        return [
            local_maps(self.variables, draw, output[row : row + 1], self._chain, length)[0]
            for row, draw in enumerate(draws)
        ]

    def _of(self, sample: int | None) -> list[Any]:
        """What was kept of a sample: its tables or its features; nothing for another sample."""
        return [self._kept[1]] if self._kept is not None and self._kept[0] == sample else []

    # -- compiled ------------------------------------------------------------------------------------------------------

    def _try_compiled(self, inputs: Any, draws: Sequence[Draw], masks: Tensor, sample: int | None) -> Tensor:
        """The first chunk, both ways; the compiled one is taken from then on if it gives the same."""
        self.compiled = False
        plain = self._once(inputs, draws, masks, sample)
        try:
            found = logits_of(self._compiled(inputs, draws, masks, sample))
            self.compiled = found.shape == plain.shape and self._same(found, plain)
            problem = "gave other numbers"
        except Exception as error:
            if is_out_of_memory(error):
                self.compiled = None  # to be tried again with a smaller chunk
                raise
            problem = f"failed with {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        if not self.compiled:
            uncompilable.add(self.model)
            warnings.warn(f"The network is run as it is, because the compiled one {problem}", stacklevel=2)
        return plain

    def _compiled(self, inputs: Any, draws: Sequence[Draw], masks: Tensor, sample: int | None) -> Any:
        """What lies before the mask as it is, once a sample; what lies after it by compiled code."""
        if self.layer is None:
            return run_compiled(self.model, self.forward, self.variables.mask(inputs, draws, masks))
        kept = self._of(sample)
        if not kept:
            run_with_output(
                self.layer, lambda output: self._keep(kept, output, draws), lambda: self.forward(self.model, inputs)
            )
            self._kept = None if sample is None else (sample, kept[0])
        if self.way == "local":
            layer, value = self._chain[-1], torch.cat([maps.maps(masks) for maps in kept])
        else:
            layer, value = self.layer, self.variables.mask(kept[0], draws, masks)
        return run_compiled(self.model, self.forward, inputs, layer, value)

    def _keep(self, kept: list[Any], output: Any, draws: Sequence[Draw]) -> Any:
        # A copy of the features: what comes after the layer may work in place.
        kept.extend(self._tables(output, draws) if self.way == "local" else [take_rows(output, slice(None))])
        return output

    def _repeat(self, inputs: Any, draws: Sequence[Draw], masks: Tensor) -> Any:
        """Every row of the whole network stands for one masked input."""
        n_masks = len(masks)
        if self.layer is None:
            return self.forward(self.model, self.variables.mask(inputs, draws, masks))
        repeated = repeat_rows(inputs, n_masks)
        return run_with_output(
            self.layer,
            lambda output: self._masked(take_rows(output, slice(None, None, n_masks)), draws, masks),
            lambda: self.forward(self.model, repeated),
        )

    @contextmanager
    def _sizes_measured(self, n_rows: int, *, after_mask: bool = False) -> Iterator[None]:
        """Set :attr:`bytes_each` from a forward pass of ``n_rows`` rows, of which some run after the mask alone."""
        largest = 1
        self._is_masked = False

        def measure(_module: nn.Module, arguments: Any, keywords: Any, output: Any) -> None:
            nonlocal largest
            if after_mask and not self._is_masked:
                return
            passed = (*leaves(arguments), *leaves(keywords), *leaves(output))
            largest = max(largest, sum(_size(tensor) for tensor in passed))

        handles = [
            module.register_forward_hook(measure, with_kwargs=True)
            for module in self.model.modules()
            if not any(True for _ in module.children())
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
        self.bytes_each = max(1, largest // n_rows)

    def _checked(self, result: Any, expected: int) -> Tensor:
        logits = logits_of(result)
        if logits.shape[:1] != (expected,):
            msg = (
                f"The network must return one row for each of the {expected} masked inputs, got shape"
                f" {tuple(logits.shape)}."
            )
            raise ValueError(msg)
        return logits


def call_network(model: nn.Module, inputs: Any) -> Any:
    """``model(**inputs)`` for a mapping, ``model(*inputs)`` for a sequence, else ``model(inputs)``."""
    if isinstance(inputs, Mapping):
        return model(**inputs)
    if isinstance(inputs, (list, tuple)):
        return model(*inputs)
    return model(inputs)


def device_of(model: nn.Module) -> torch.device:
    """Where the network's first parameter or buffer is; the CPU when it has none."""
    return next((tensor.device for tensor in (*model.parameters(), *model.buffers())), torch.device("cpu"))


def _size(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
