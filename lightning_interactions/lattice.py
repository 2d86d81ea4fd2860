r"""The :math:`2^n` subsets of ``n`` input variables: masks, orders and transforms.

A subset :math:`T \subseteq N = \{0, …, n-1\}` is the integer whose **bit** ``i`` **is set when variable** ``i``
**is present** (unmasked). Index ``0`` is the input with every variable masked, index ``2**n - 1`` the input with none
masked. This is the only place where the convention is defined; everything else in the package follows it.

Every transform here is a Kronecker power of one 2×2 matrix. It is applied to the last axis of a batched tensor on any
device, never as a :math:`2^n \times 2^n` matrix. Two equal algorithms do the work: a butterfly over the ``n`` bits,
:math:`O(n 2^n)`, and a few dense products, each with the factor of up to five bits, which make more operations but far
fewer passes over memory. Which one does goes by ``n`` alone, so that the last digits of a sample do not depend on those
beside it.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from lightning_interactions.checks import check_whole

__all__ = [
    "MAX_VARIABLES",
    "and_interactions",
    "check_n_variables",
    "dense_power",
    "kronecker_power",
    "moebius",
    "or_interactions",
    "reconstruct",
    "subset_masks",
    "subset_order",
    "sum_by_order",
    "values_from_and",
    "values_from_or",
    "variable_count",
    "zeta",
]

MAX_VARIABLES = 20
"""Largest supported ``n``: one float64 array over the subsets is then 8 MiB."""

_LARGEST_DENSE_FACTOR = 5
"""Bits of a dense factor: 32×32 is as fast as 16×16 or 64×64 or faster, in float32 and float64."""

_IN_CACHE = 1 << 17
"""A CPU takes so many numbers at a time: dense factors are faster than the butterfly, by a factor of up to 6, only
while the data fit into its cache. A single sample with more, n > 17, is left to the butterfly."""

Base = tuple[tuple[float, float], tuple[float, float]]
"""A 2×2 matrix, row by row."""

_MOEBIUS = ((1, 0), (-1, 1))
_ZETA = ((1, 0), (1, 1))


def check_n_variables(n_variables: int) -> int:
    """Return ``n_variables`` when it is a usable number of input variables.

    Args:
        n_variables: number ``n`` of input variables.

    Returns:
        the same, as an ``int``.

    Raises:
        TypeError: if it is no whole number.
        ValueError: if it is below 1 or above :data:`MAX_VARIABLES`.

    Example:
        >>> check_n_variables(10)
        10
    """
    check_whole(n_variables=n_variables)
    if not 1 <= n_variables <= MAX_VARIABLES:
        msg = (
            f"`n_variables` must lie in 1 … {MAX_VARIABLES}, got {n_variables}."
            f" HINT: a sample costs 2**n_variables forward passes; 8 to 10 is usual."
        )
        raise ValueError(msg)
    return int(n_variables)


def variable_count(x: Tensor) -> int:
    """The number of variables ``n`` of a tensor whose last axis runs over the ``2**n`` subsets.

    Raises:
        ValueError: if the last axis is not a power of two between 2 and ``2**MAX_VARIABLES``.

    Example:
        >>> import torch
        >>> variable_count(torch.zeros(5, 1024))
        10
    """
    size = x.shape[-1] if x.ndim else 0
    n_variables = size.bit_length() - 1
    if size < 2 or size != 1 << n_variables or n_variables > MAX_VARIABLES:  # noqa: PLR2004
        msg = (
            f"The last axis must run over all subsets of n variables: its length must be 2**n with 1 ≤ n ≤"
            f" {MAX_VARIABLES}, got shape {tuple(x.shape)}."
        )
        raise ValueError(msg)
    return n_variables


def subset_masks(n_variables: int, device: torch.device | str | None = None) -> Tensor:
    """All subsets as coalition masks.

    Returns:
        bool tensor ``(2**n, n)``; entry ``[T, i]`` says whether variable ``i`` is present in subset ``T``.

    Raises:
        TypeError: if ``n_variables`` is no whole number.
        ValueError: if it is below 1 or above :data:`MAX_VARIABLES`.

    Example:
        >>> subset_masks(2).int().tolist()
        [[0, 0], [1, 0], [0, 1], [1, 1]]
    """
    n_variables = check_n_variables(n_variables)
    subsets = torch.arange(1 << n_variables, device=device)
    bits = torch.arange(n_variables, device=device)
    return (subsets[:, None] >> bits) & 1 == 1


def subset_order(n_variables: int, device: torch.device | str | None = None) -> Tensor:
    """The order (number of variables) of every subset.

    Returns:
        int64 tensor ``(2**n,)``.

    Raises:
        TypeError: if ``n_variables`` is no whole number.
        ValueError: if it is below 1 or above :data:`MAX_VARIABLES`.

    Example:
        >>> subset_order(3).tolist()
        [0, 1, 1, 2, 1, 2, 2, 3]
    """
    return subset_masks(n_variables, device).sum(dim=1)


def sum_by_order(x: Tensor) -> Tensor:
    r"""The sum over the subsets of each order, :math:`\sum_{|S| = m} x_S` for :math:`m = 0 … n`.

    On a CUDA device the terms are added in no fixed order, which rounds differently each time, except after
    ``torch.use_deterministic_algorithms(True)``.

    Args:
        x: tensor ``(..., 2**n)``.

    Returns:
        tensor ``(..., n + 1)`` of the same type; entry 0 belongs to the empty set.

    Raises:
        ValueError: if the last axis is not a power of two.

    Example:
        >>> import torch
        >>> sum_by_order(torch.tensor([1.0, 2.0, 3.0, 4.0])).tolist()
        [1.0, 5.0, 4.0]
    """
    n_variables = variable_count(x)
    sums = x.new_zeros(*x.shape[:-1], n_variables + 1)
    return sums.index_add_(-1, subset_order(n_variables, x.device), x)


def moebius(x: Tensor, *, dtype: torch.dtype | None = torch.float64) -> Tensor:
    r"""Möbius transform :math:`\hat x_S = \sum_{T \subseteq S} (-1)^{|S|-|T|} x_T`; the inverse of :func:`zeta`.

    Args:
        x: tensor ``(..., 2**n)``.
        dtype: the precision to compute and return in; ``None`` keeps the precision of ``x``. Alternating sums over
            ``2**n`` terms lose digits quickly, hence the default.

    Raises:
        ValueError: if the last axis is not a power of two.

    Example:
        >>> import torch
        >>> moebius(torch.tensor([1.0, 3.0, 4.0, 10.0])).tolist()
        [1.0, 2.0, 3.0, 4.0]
    """
    return kronecker_power(_MOEBIUS, x, dtype)


def zeta(x: Tensor, *, dtype: torch.dtype | None = torch.float64) -> Tensor:
    r"""Zeta transform :math:`\hat x_T = \sum_{S \subseteq T} x_S`; the inverse of :func:`moebius`.

    Args:
        x: tensor ``(..., 2**n)``.
        dtype: the precision to compute and return in; ``None`` keeps the precision of ``x``.

    Raises:
        ValueError: if the last axis is not a power of two.

    Example:
        >>> import torch
        >>> zeta(torch.tensor([1.0, 2.0, 3.0, 4.0])).tolist()
        [1.0, 3.0, 4.0, 10.0]
    """
    return kronecker_power(_ZETA, x, dtype)


def and_interactions(values: Tensor) -> Tensor:
    r"""AND interactions that alone explain ``values`` (Theorem 2.1 with :math:`\gamma = v/2`).

    .. math:: I^{AND}_S = \sum_{T \subseteq S} (-1)^{|S|-|T|} v(x_T), \qquad S \neq \varnothing

    The bias :math:`v(x_\varnothing)` is kept apart, so entry 0 of the result is 0.

    Args:
        values: network outputs ``(..., 2**n)`` on all masked samples.

    Returns:
        float64 tensor of the same shape, in the unit of ``values``.

    Raises:
        ValueError: if the last axis is not a power of two.

    Example:
        >>> import torch
        >>> and_interactions(torch.tensor([1.0, 3.0, 4.0, 10.0])).tolist()
        [0.0, 2.0, 3.0, 4.0]
    """
    return _without_bias(moebius(values))


def or_interactions(values: Tensor) -> Tensor:
    r"""OR interactions that alone explain ``values`` (Theorem 2.1 with :math:`\gamma = -v/2`).

    .. math:: I^{OR}_S = -\sum_{T \subseteq S} (-1)^{|S|-|T|} v(x_{N \setminus T}), \qquad S \neq \varnothing

    An OR interaction is an AND interaction with *present* and *absent* exchanged, which reverses the last axis.

    Args:
        values: network outputs ``(..., 2**n)`` on all masked samples.

    Returns:
        float64 tensor of the same shape, in the unit of ``values``; entry 0 is 0.

    Raises:
        ValueError: if the last axis is not a power of two.

    Example:
        >>> import torch
        >>> or_interactions(torch.tensor([0.0, 1.0, 1.0, 1.0])).tolist()
        [0.0, 0.0, 0.0, 1.0]
    """
    return _without_bias(0.0 - moebius(values.flip(-1)))  # an effect of zero is 0.0, not -0.0


def values_from_and(and_: Tensor, *, dtype: torch.dtype | None = torch.float64) -> Tensor:
    r"""What AND interactions contribute to each masked sample, :math:`\sum_{\varnothing \neq S \subseteq T} I^{AND}_S`.

    Args:
        and_: effects ``(..., 2**n)``; entry 0 is not read.
        dtype: the precision to compute and return in; ``None`` keeps that of ``and_``.

    Example:
        >>> import torch
        >>> values_from_and(torch.tensor([0.0, 2.0, 3.0, 4.0])).tolist()
        [0.0, 2.0, 3.0, 9.0]
    """
    variable_count(and_)
    return zeta(_without_bias(and_.clone()), dtype=dtype)


def values_from_or(or_: Tensor, *, dtype: torch.dtype | None = torch.float64) -> Tensor:
    r"""What OR interactions contribute to each masked sample, :math:`\sum_{S \cap T \neq \varnothing} I^{OR}_S`.

    Args:
        or_: effects ``(..., 2**n)``; entry 0 is not read.
        dtype: the precision to compute and return in; ``None`` keeps that of ``or_``.

    Example:
        >>> import torch
        >>> values_from_or(torch.tensor([0.0, 0.0, 0.0, 1.0])).tolist()
        [0.0, 1.0, 1.0, 1.0]
    """
    # S meets T unless S lies inside the complement of T, and complements reverse the axis.
    below = values_from_and(or_, dtype=dtype)
    return below[..., -1:] - below.flip(-1)


def reconstruct(and_: Tensor, or_: Tensor, bias: Tensor | float = 0.0) -> Tensor:
    r"""The AND–OR logical model :math:`h(x_T)` on all masked samples (Eq. 2).

    Args:
        and_: AND effects ``(..., 2**n)``.
        or_: OR effects of the same shape.
        bias: :math:`v(x_\varnothing)`, broadcast against ``and_``; give per-sample biases the shape ``(..., 1)``.

    Returns:
        float64 tensor ``(..., 2**n)``.

    Example:
        >>> import torch
        >>> reconstruct(torch.tensor([0.0, 2.0, 3.0, 4.0]), torch.zeros(4), bias=1.0).tolist()
        [1.0, 3.0, 4.0, 10.0]
    """
    return bias + values_from_and(and_) + values_from_or(or_)


def kronecker_power(base: Base, x: Tensor, dtype: torch.dtype | None = torch.float64) -> Tensor:
    r"""Apply :math:`B \otimes B \otimes \dots \otimes B` with ``n`` factors to the last axis of ``x``.

    Args:
        base: the 2×2 matrix :math:`B`, row by row; row and column 0 stand for *absent*, 1 for *present*.
        x: tensor ``(..., 2**n)``.
        dtype: the precision to compute and return in; ``None`` keeps the precision of ``x``.

    Raises:
        ValueError: if the last axis is not a power of two.

    Example:
        >>> import torch
        >>> kronecker_power(((1, 1), (1, 2)), torch.tensor([1.0, 0.0, 0.0, 1.0])).tolist()
        [2.0, 3.0, 3.0, 5.0]
    """
    n_variables = variable_count(x)
    x = x.to(dtype or x.dtype)
    if 1 << n_variables > _IN_CACHE:
        return _butterfly(base, x, n_variables)
    if not x.is_cpu or x.numel() <= _IN_CACHE:
        return _dense(base, x, n_variables)
    result = torch.empty_like(x, memory_format=torch.contiguous_format)
    together = _IN_CACHE >> n_variables
    for part, rows in zip(x.flatten(0, -2).split(together), result.flatten(0, -2).split(together), strict=True):
        rows.copy_(_dense(base, part, n_variables))
    return result


def _dense(base: Base, x: Tensor, n_variables: int) -> Tensor:
    """Products with the factors of a few bits each."""
    # Two factors at least: a single sample would otherwise be a matrix times a vector, which rounds differently from
    # the same sample in a batch.
    n_factors = max(min(2, n_variables), -(-n_variables // _LARGEST_DENSE_FACTOR))
    result, done = x, 0
    for factor in range(n_factors):
        n_bits = (n_variables + factor) // n_factors
        power = dense_power(base, n_bits, x.dtype, str(x.device))
        if done == 0:
            result = result.reshape(x.numel() >> n_bits, 1 << n_bits) @ power.T
        else:
            result = power @ result.reshape(x.numel() >> (n_bits + done), 1 << n_bits, 1 << done)
        done += n_bits
    return result.reshape(x.shape)


def _without_bias(x: Tensor) -> Tensor:
    x[..., 0] = 0
    return x


def _butterfly(base: Base, x: Tensor, n_variables: int) -> Tensor:
    """One pass over the data for each bit."""
    (absent_absent, absent_present), (present_absent, present_present) = base
    result = x.clone(memory_format=torch.contiguous_format)
    for bit in range(n_variables):
        pairs = result.view(*x.shape[:-1], 1 << (n_variables - bit - 1), 2, 1 << bit)
        absent, present = pairs[..., 0, :], pairs[..., 1, :]
        if base in {_MOEBIUS, _ZETA}:
            present += present_absent * absent
            continue
        old_absent = absent.clone()
        absent.mul_(absent_absent).add_(present, alpha=absent_present)
        present.mul_(present_present).add_(old_absent, alpha=present_absent)
    return result


@lru_cache(maxsize=64)
def dense_power(base: Base, n_bits: int, dtype: torch.dtype = torch.float64, device: str = "cpu") -> Tensor:
    r"""The matrix :math:`B \otimes \dots \otimes B` itself, ``(2**n_bits, 2**n_bits)``; shared, so not to be changed.

    Args:
        base: the 2×2 matrix :math:`B`.
        n_bits: number of factors, 0 or more; small, because the matrix has ``4**n_bits`` entries.
        dtype: of the result.
        device: of the result.

    Example:
        >>> dense_power(((1, 0), (1, 1)), 2).int().tolist()
        [[1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 1, 1]]
    """
    # A tensor born in inference mode could not be used in a later backward pass, and the cache outlives the mode.
    with torch.inference_mode(mode=False), torch.no_grad():
        factor = torch.tensor(base, dtype=dtype, device=device)
        power = torch.ones(1, 1, dtype=dtype, device=device)
        for _ in range(n_bits):
            power = torch.kron(factor, power)
    return power
