"""The one result type: what a network combines on a set of samples, how sure that is, and where it came from."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lightning_interactions import lattice
from lightning_interactions.files import unpack_arrays, write_whole

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    import pandas as pd
    import shapiq

__all__ = [
    "SHOWN_SAMPLES",
    "Effect",
    "Interactions",
    "check_interactions",
    "check_same_n_variables",
    "common_rows",
    "strongest_effects",
]

SHOWN_SAMPLES = 8
"""Samples of a measurement whose interactions the tab and the report show."""

_SHOWN_EFFECTS = 6
_SCHEMA = 1
_PER_SAMPLE = ("values", "and_", "or_", "l1", "gap", "noise_bound")
_IN_FILES = (*_PER_SAMPLE, "threshold")
_PROVENANCE_PER_SAMPLE = ("draws", "samples")


class Effect(NamedTuple):
    """One interaction of one sample.

    Attributes:
        kind: ``"AND"``: the effect is there when all variables are present; ``"OR"``: when at least one is.
        variables: numbers of the variables that interact.
        effect: in the output's unit.

    Example:
        >>> Effect("AND", (0, 3), 1.5).order
        2
    """

    kind: Literal["AND", "OR"]
    variables: tuple[int, ...]
    effect: float

    @property
    def order(self) -> int:
        """The number of variables that interact."""
        return len(self.variables)


@dataclass(frozen=True, eq=False)
class Interactions:
    r"""Sparse AND–OR interactions of a set of samples.

    They explain the network's output on all masked samples (Theorem 2.1):

    .. math:: v(x_T) \approx v(x_\varnothing) + \sum_{\varnothing \neq S \subseteq T} I^{AND}_S
        + \sum_{S \cap T \neq \varnothing} I^{OR}_S

    up to :attr:`noise_bound`. The last axis of the arrays runs over the subsets as
    :mod:`~lightning_interactions.lattice` numbers them; effects and values are in the unit of the network's scalar
    output (nats for log-odds).

    Attributes:
        values: network outputs :math:`v(x_T)`, float64 ``(samples, 2**n)``.
        and_: AND effects, float64 ``(samples, 2**n)``; entry 0 is 0.
        or_: OR effects, likewise. Order-1 effects, for which AND and OR are the same function, are merged into
            :attr:`and_` unless asked otherwise.
        l1: sum of the absolute effects of each sample, ``(samples,)``.
        gap: relative distance of :attr:`l1` to a proven lower bound of the smallest possible one, ``(samples,)``.
        noise_bound: :math:`\zeta`, the largest error allowed on each masked sample, ``(samples,)``.
        threshold: :math:`\tau`; an effect is salient when its absolute value is larger.
        provenance: how the result was made, as plain data: variables, positions, seed, output, solver, versions.
        duals: dual values that prove :attr:`gap`, ``(samples, 2**n)``, from which a later solution of the same samples
            can start; not kept in files.

    Raises:
        ValueError: if the arrays do not have these shapes.

    Example:
        >>> from lightning_interactions import sparsify
        >>> sparsify(torch.tensor([[0.0, 1.0, 1.0, 4.0], [0.0, 1.0, 2.0, 3.0]]), solver="none")
        Interactions(samples=2, n_variables=2, largest gap=...)
    """

    values: Tensor
    and_: Tensor
    or_: Tensor
    l1: Tensor
    gap: Tensor
    noise_bound: Tensor
    threshold: float
    provenance: dict[str, Any] = field(default_factory=dict)
    duals: Tensor | None = None

    def __post_init__(self) -> None:
        lattice.variable_count(self.values)
        if self.values.ndim != 2:  # noqa: PLR2004
            msg = f"`values` must have shape (samples, 2**n), got {tuple(self.values.shape)}."
            raise ValueError(msg)
        n_samples, n_subsets = self.values.shape
        for name, shape in {
            "and_": (n_samples, n_subsets),
            "or_": (n_samples, n_subsets),
            "l1": (n_samples,),
            "gap": (n_samples,),
            "noise_bound": (n_samples,),
        }.items():
            if tuple(getattr(self, name).shape) != shape:
                msg = f"`{name}` must have shape {shape} like `values`, got {tuple(getattr(self, name).shape)}."
                raise ValueError(msg)

    @property
    def n_variables(self) -> int:
        """The number ``n`` of input variables of each sample."""
        return lattice.variable_count(self.values)

    @property
    def n_samples(self) -> int:
        """The number of samples explained."""
        return len(self.values)

    @property
    def sample_numbers(self) -> list[int]:
        """Which rows of the explained inputs the samples are; counted from 0 where the provenance does not tell."""
        return list(self.provenance.get("samples", range(len(self))))

    def __len__(self) -> int:
        return self.n_samples

    def __repr__(self) -> str:
        worst = f"{self.gap.max():.1e}" if len(self) else "–"
        return f"Interactions(samples={len(self)}, n_variables={self.n_variables}, largest gap={worst})"

    def rows(self, rows: Sequence[int]) -> Interactions:
        """The interactions of some of the samples, which keep their draws and their :attr:`sample_numbers`.

        Args:
            rows: of the samples, in the order wanted.

        Returns:
            interactions of as many samples as ``rows``.

        Raises:
            IndexError: if there is no such row.

        Example:
            >>> from lightning_interactions import sparsify
            >>> found = sparsify(torch.tensor([[0.0, 1.0], [0.0, 2.0], [0.0, 3.0]])).rows([2, 0])
            >>> found.l1.round(decimals=6).tolist(), found.sample_numbers
            ([3.0, 1.0], [2, 0])
        """
        numbered = self.provenance | {"samples": self.sample_numbers}
        per_sample = {key: [numbered[key][row] for row in rows] for key in _PROVENANCE_PER_SAMPLE if numbered.get(key)}
        arrays: dict[str, Any] = {name: getattr(self, name)[list(rows)] for name in _PER_SAMPLE}
        duals = None if self.duals is None else self.duals[list(rows)]
        return replace(self, **arrays, duals=duals, provenance=self.provenance | per_sample)

    @classmethod
    def joined(cls, parts: Sequence[Interactions]) -> Interactions:
        """The samples of several parts, one part after the other.

        Args:
            parts: at least one; what the provenance says of all samples is taken from the first.

        Returns:
            interactions of all their samples. Draws, numbers and dual values are kept where every part has them.

        Raises:
            ValueError: if there is no part, or the parts differ in their number of variables or their threshold.

        Example:
            >>> from lightning_interactions import sparsify
            >>> found = sparsify(torch.tensor([[0.0, 1.0], [0.0, 2.0], [0.0, 3.0]]))
            >>> Interactions.joined([found.rows([2]), found.rows([0, 1])]).sample_numbers
            [2, 0, 1]
        """
        kinds = {(part.n_variables, part.threshold) for part in parts}
        if len(kinds) != 1:
            got = ", ".join(f"n = {n} and τ = {threshold:g}" for n, threshold in sorted(kinds)) or "none"
            msg = f"`parts` must be interactions of one number of variables and one threshold, got {got}."
            raise ValueError(msg)
        arrays: dict[str, Any] = {name: torch.cat([getattr(part, name) for part in parts]) for name in _PER_SAMPLE}
        duals = [part.duals for part in parts if part.duals is not None]
        common = {key: value for key, value in parts[0].provenance.items() if key not in _PROVENANCE_PER_SAMPLE}
        per_sample = {
            key: [one for part in parts for one in part.provenance[key]]
            for key in _PROVENANCE_PER_SAMPLE
            if all(key in part.provenance for part in parts)
        }
        return replace(
            parts[0],
            **arrays,
            duals=torch.cat(duals) if len(duals) == len(parts) else None,
            provenance=common | per_sample,
        )

    def reconstruct(self) -> Tensor:
        r"""The logical model's output :math:`h(x_T)` on all masked samples (Eq. 2).

        .. math:: h(x_T) = v(x_\varnothing) + \sum_{\varnothing \neq S \subseteq T} I^{AND}_S
            + \sum_{S \cap T \neq \varnothing} I^{OR}_S

        Returns:
            float64 ``(samples, 2**n)``, in the output's unit.

        Example:
            >>> from lightning_interactions import sparsify
            >>> sparsify(torch.tensor([[0.0, 1.0, 2.0, 5.0]]), solver="none").reconstruct().tolist()
            [[0.0, 1.0, 2.0, 5.0]]
        """
        return lattice.reconstruct(self.and_, self.or_, bias=self.values[:, :1])

    def matching_error(self) -> Tensor:
        r"""The largest :math:`|v(x_T) - h(x_T)|` of each sample; at most :attr:`noise_bound`.

        Returns:
            float64 ``(samples,)``, in the output's unit.

        Example:
            >>> from lightning_interactions import sparsify
            >>> found = sparsify(torch.tensor([[0.0, 1.0, 2.0, 5.0]]), noise_bound=0.5)
            >>> found.matching_error().round(decimals=6).tolist()
            [0.5]
        """
        return (self.values - self.reconstruct()).abs().amax(dim=1)

    def strongest(self, sample: int, count: int = 10) -> list[Effect]:
        """The interactions of one sample with the largest absolute effects, strongest first; zeros are left out.

        Args:
            sample: row of the sample.
            count: how many at most.

        Returns:
            the effects, each with its kind and its variables.

        Raises:
            IndexError: if there is no such sample.

        Example:
            >>> from lightning_interactions import sparsify
            >>> sparsify(torch.tensor([[0.0, 0.0, 2.0, 2.0]]), solver="none").strongest(0)
            [Effect(kind='AND', variables=(1,), effect=2.0)]
        """
        self._check_sample(sample)
        effects = torch.stack([self.and_[sample], self.or_[sample]])
        kinds: tuple[Literal["AND", "OR"], ...] = ("AND", "OR")
        order = effects.abs().flatten().argsort(descending=True, stable=True)[:count].tolist()
        masks = lattice.subset_masks(self.n_variables, self.and_.device)
        found = []
        for position in order:
            kind, subset = divmod(position, effects.shape[1])
            value = effects[kind, subset].item()
            if value:
                found.append(Effect(kinds[kind], tuple(masks[subset].nonzero().flatten().tolist()), value))
        return found

    def variable_names(self, sample: int) -> tuple[str, ...]:
        """What the variables of one sample are, for people: the drawn cells, words or columns.

        Args:
            sample: row of the sample.

        Returns:
            one text for each variable; ``x0``, ``x1`` … where no draw is known.

        Raises:
            IndexError: if there is no such sample.

        Example:
            >>> from lightning_interactions import sparsify
            >>> sparsify(torch.tensor([[0.0, 1.0, 2.0, 5.0]]), solver="none").variable_names(0)
            ('x0', 'x1')
        """
        self._check_sample(sample)
        draws = self.provenance.get("draws")
        if draws:
            return tuple(draws[sample]["names"])
        return tuple(f"x{variable}" for variable in range(self.n_variables))

    def _check_sample(self, sample: int) -> None:
        if not -len(self) <= sample < len(self):
            msg = f"`sample` must be a row of the {len(self)} samples, got {sample!r}. HINT: rows count from 0."
            raise IndexError(msg)

    def to_frame(self) -> pd.DataFrame:
        """All effects that are not 0 as a table of pandas, each sample's strongest first.

        Returns:
            a data frame with one row for each effect and the columns ``sample`` (the row of the inputs that were
            explained), ``kind`` (``"AND"`` or ``"OR"``), ``order``, ``variables`` (a tuple of their numbers), ``names``
            (a tuple of texts) and ``effect`` (in the output's unit).

        Raises:
            ImportError: if pandas is not installed.

        Example:
            >>> from lightning_interactions import sparsify
            >>> frame = sparsify(torch.tensor([[0.0, 1.0, 2.0, 5.0]]), solver="none").to_frame()
            >>> frame.groupby("order").size().to_dict()
            {1: 2, 2: 2}
        """
        pandas = _optional("pandas", extra="frames")
        rows = []
        for row, sample in enumerate(self.sample_numbers):
            names = self.variable_names(row)
            for kind, variables, effect in self.strongest(row, count=2 * self.values.shape[1]):
                who = tuple(names[variable] for variable in variables)
                rows.append((sample, kind, len(variables), variables, who, effect))
        return pandas.DataFrame(rows, columns=["sample", "kind", "order", "variables", "names", "effect"])

    def to_shapiq(self, part: Literal["both", "AND", "OR"] = "both") -> list[shapiq.InteractionValues]:
        r"""Each sample's explanation as shapiq knows it, for its plots and its conversion to other indices.

        shapiq has no OR interactions, so everything is expressed by AND interactions, its index ``"Moebius"``: an OR
        effect is the sum :math:`\sum_{\varnothing \neq L \subseteq S} (-1)^{|L|+1} I^{OR}_S` of AND effects of
        :math:`L`. The sums over subsets give :meth:`reconstruct`; ``"AND"`` and ``"OR"`` add up to ``"both"``.

        Args:
            part: which interactions. :math:`v(x_\varnothing)` counts among the AND interactions.

        Returns:
            one object for each sample. AND interactions alone are as sparse as here, OR interactions are not.

        Raises:
            ImportError: if shapiq is not installed.
            ValueError: for an unknown part.

        Example:
            >>> from lightning_interactions import sparsify
            >>> explained = sparsify(torch.tensor([[0.5, 1.0, 2.0, 5.0]]), solver="none").to_shapiq()
            >>> explained[0].dict_values[(0, 1)]
            2.5
        """
        if part not in {"both", "AND", "OR"}:
            msg = f"`part` must be 'both', 'AND' or 'OR', got {part!r}."
            raise ValueError(msg)
        shapiq = _optional("shapiq", extra="shapiq")
        effects = torch.zeros_like(self.and_) if part == "OR" else self.and_.clone()
        effects[:, 0] = 0
        if part != "AND":
            effects += _as_and(self.or_)
        bias = self.values.new_zeros(len(self)) if part == "OR" else self.values[:, 0]
        sets = [
            tuple(mask.nonzero().flatten().tolist())
            for mask in lattice.subset_masks(self.n_variables, self.and_.device)
        ]
        return [
            shapiq.InteractionValues(
                {(): empty} | {sets[subset]: row[subset].item() for subset in row.nonzero().flatten().tolist()},
                index="Moebius",
                min_order=0,
                max_order=self.n_variables,
                n_players=self.n_variables,
                estimated=False,
                baseline_value=empty,
            )
            for row, empty in zip(effects, bias.tolist(), strict=True)
        ]

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write everything to one file, whole or not at all: a NumPy ``.npz`` archive without pickled objects.

        Args:
            path: where to; missing folders are created.

        Returns:
            the path.

        Raises:
            OSError: if the file cannot be written; an older one is then left as it was.

        Example:
            >>> import tempfile
            >>> from lightning_interactions import sparsify
            >>> path = Path(tempfile.mkdtemp()) / "epoch=0010.npz"
            >>> saved = sparsify(torch.tensor([[0.0, 1.0, 2.0, 4.0]])).save(path)
            >>> Interactions.load(saved).l1.tolist()
            [4.0]
        """
        arrays: dict[str, Any] = {name: np.asarray(getattr(self, name)) for name in _IN_FILES}
        arrays |= {"schema": np.array(_SCHEMA), "provenance": np.array(json.dumps(self.provenance, default=_plain))}
        with write_whole(path) as file:
            np.savez_compressed(file, **arrays)
        return Path(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Interactions:
        """Read a file that :meth:`save` wrote. Nothing in it is ever executed.

        Args:
            path: of the file.

        Returns:
            the same interactions, bit for bit, without :attr:`duals`.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if the file is damaged, foreign, or written by a newer version.

        Example:
            >>> import tempfile
            >>> from lightning_interactions import sparsify
            >>> path = sparsify(torch.tensor([[0.0, 1.0, 2.0, 5.0]])).save(Path(tempfile.mkdtemp()) / "found.npz")
            >>> Interactions.load(path).values.tolist()
            [[0.0, 1.0, 2.0, 5.0]]
        """
        content = Path(path).read_bytes()
        try:
            return cls._parse(content)
        except Exception as error:  # damage shows as whatever the ZIP, NumPy and JSON readers stumble over
            msg = f"'{path}' is no readable file of Interactions: {error}. HINT: write it again with `.save(path)`."
            raise ValueError(msg) from error

    @classmethod
    def _parse(cls, content: bytes) -> Interactions:
        archive = unpack_arrays(content)
        schema = int(archive["schema"])
        if schema > _SCHEMA:
            msg = f"it has schema {schema}, this version reads up to {_SCHEMA}"
            raise ValueError(msg)
        missing = [name for name in (*_IN_FILES, "provenance") if name not in archive]
        if missing:
            msg = f"it must hold {missing}"
            raise ValueError(msg)
        for name in _IN_FILES:
            if archive[name].dtype != np.float64:
                msg = f"'{name}' must be of type float64, got {archive[name].dtype}"
                raise ValueError(msg)
        provenance = json.loads(archive["provenance"].item())
        if not isinstance(provenance, dict):
            msg = f"'provenance' must be an object, got a {type(provenance).__name__}"
            raise ValueError(msg)  # noqa: TRY004  # what a file holds, not a programmer
        return cls(
            **{name: torch.from_numpy(archive[name]) for name in _PER_SAMPLE},
            threshold=float(archive["threshold"]),
            provenance=provenance,
        )


def strongest_effects(interactions: Interactions) -> list[dict[str, Any]]:
    """The strongest effects of the first :data:`SHOWN_SAMPLES` samples as plain data, for the tab and the report.

    Args:
        interactions: of one measurement.

    Returns:
        one entry for each sample: its number, and up to six effects, each with its kind, variables and effect.

    Example:
        >>> from lightning_interactions import sparsify
        >>> strongest_effects(sparsify(torch.tensor([[0.0, 1.0, 0.0, 1.0]]), solver="none"))[0]["effects"]
        [{'kind': 'AND', 'variables': [0], 'effect': 1.0}]
    """
    return [
        {
            "sample": int(sample),
            "effects": [
                {"kind": kind, "variables": list(variables), "effect": effect}
                for kind, variables, effect in interactions.strongest(row, _SHOWN_EFFECTS)
            ],
        }
        for row, sample in enumerate(interactions.sample_numbers[:SHOWN_SAMPLES])
    ]


def common_rows(own: Sequence[int], others: Sequence[int]) -> tuple[list[int], list[int]]:
    """Where two measurements of a set of samples hold the same ones, as either may have dropped some.

    Args:
        own: numbers of the samples of one, as in :attr:`Interactions.sample_numbers`.
        others: of the other.

    Returns:
        rows of the first and of the second, in the order of the first.

    Example:
        >>> common_rows([0, 4, 7], [7, 0])
        ([0, 2], [1, 0])
    """
    row_of = {sample: row for row, sample in enumerate(others)}
    pairs = [(row, row_of[sample]) for row, sample in enumerate(own) if sample in row_of]
    return [row for row, _ in pairs], [other for _, other in pairs]


def check_interactions(**named: Any) -> None:
    """Refuse what is not :class:`Interactions`.

    Args:
        **named: what was given, under the name of its argument.

    Raises:
        TypeError: if one of them is something else.

    Example:
        >>> check_interactions(reference=torch.zeros(2, 8))
        Traceback (most recent call last):
        ...
        TypeError: `reference` must be Interactions, got a Tensor. HINT: `explain` and `sparsify` return them.
    """
    for name, value in named.items():
        if not isinstance(value, Interactions):
            msg = (
                f"`{name}` must be Interactions, got a {type(value).__name__}."
                f" HINT: `explain` and `sparsify` return them."
            )
            raise TypeError(msg)


def check_same_n_variables(n_variables: int, **named: Interactions) -> None:
    """Refuse interactions of another number of input variables.

    Args:
        n_variables: the number of the rest.
        **named: the interactions, each under the name of its argument.

    Raises:
        ValueError: if one of them has another number.

    Example:
        >>> from lightning_interactions import sparsify
        >>> check_same_n_variables(4, reference=sparsify(torch.zeros(2, 8)))
        Traceback (most recent call last):
        ...
        ValueError: `reference` must have 4 input variables like the rest, got 3.
    """
    for name, interactions in named.items():
        if interactions.n_variables != n_variables:
            msg = f"`{name}` must have {n_variables} input variables like the rest, got {interactions.n_variables}."
            raise ValueError(msg)


def _as_and(or_: Tensor) -> Tensor:
    """The AND effects of the function that these OR effects are; what is only rounding becomes 0."""
    effects = lattice.and_interactions(lattice.reconstruct(torch.zeros_like(or_), or_, bias=or_.new_zeros(1)))
    rounding = 1e-12 * or_.abs().sum(dim=1, keepdim=True)
    return torch.where(effects.abs() > rounding, effects, 0.0)


def _plain(number: Any) -> Any:
    """A number of NumPy as one of Python's own; JSON knows no others."""
    if isinstance(number, np.generic):
        return number.item()
    msg = f"The provenance must be plain data, got a value of type {type(number).__name__}."
    raise TypeError(msg)


def _optional(name: str, extra: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        msg = f"This needs `{name}`, which is not installed. HINT: pip install 'lightning-interactions[{extra}]'."
        raise ImportError(msg) from error
