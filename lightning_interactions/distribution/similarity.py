r"""How much of what a network combines on training samples it combines on test samples too, order by order.

All samples that are compared must have the same input variables: the same patches of every image, the same columns of
every row. Draw them with :class:`~lightning_interactions.masking.fixed.SamePositions`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor
from torchmetrics import Metric

from lightning_interactions.checks import check_whole
from lightning_interactions.distribution.strength import salient_effects
from lightning_interactions.interactions import check_interactions, check_same_n_variables
from lightning_interactions.lattice import check_n_variables, sum_by_order
from lightning_interactions.masking.devices import new_tensors_on_cpu

if TYPE_CHECKING:
    from lightning_interactions.interactions import Interactions

__all__ = ["InteractionSimilarity", "similarity"]

_SPLITS = ("train", "test")


@new_tensors_on_cpu()
def similarity(train: Interactions, test: Interactions, *, threshold: float | None = 0.0) -> Tensor:
    r"""Jaccard similarity of the interactions on training and on test samples of one class (Definition 2.2, Fig. 6).

    .. math:: \mathrm{Sim}^{(m)} = \frac{\sum_{|S| = m} \min(D_{train}, D_{test})}
        {\sum_{|S| = m} \max(D_{train}, D_{test})}, \qquad
        D = E_x \max([I^{AND}, I^{OR}, -I^{AND}, -I^{OR}], 0)

    with element-wise minima and maxima over the four parts, so that an effect of the other sign is another one.

    Args:
        train: interactions on training samples.
        test: interactions on test samples of the same class, of the same variables.
        threshold: effects up to this absolute value are left out; 0 keeps all, as the definition does, ``None`` takes
            the threshold of each of the two.

    Returns:
        float64 ``(n,)``, orders ``1 … n``, between 0 and 1; NaN where neither has an effect.

    Raises:
        TypeError: if one is no :class:`~lightning_interactions.Interactions`.
        ValueError: if the two differ in ``n``, if one has no samples, or if the variables of the samples are known and
            are not the same for all.

    Example:
        >>> import torch
        >>> from lightning_interactions import sparsify
        >>> train = sparsify(torch.tensor([[0.0, 1.0, 2.0, 3.0]]), solver="none")
        >>> test = sparsify(torch.tensor([[0.0, 1.0, 1.0, 2.0]]), solver="none")
        >>> [round(number, 6) for number in similarity(train, test).tolist()]
        [0.666667, nan]
    """
    check_interactions(train=train, test=test)
    check_same_n_variables(train.n_variables, test=test)
    for name, interactions in zip(_SPLITS, (train, test), strict=True):
        if not len(interactions):
            msg = f"`{name}` must hold at least one sample, got none. HINT: were all samples dropped or skipped?"
            raise ValueError(msg)
    _only_positions(_positions(train) | _positions(test))
    return _jaccard(*(_unsigned(found, threshold).mean(dim=0) for found in (train, test)))


class InteractionSimilarity(Metric):
    r""":func:`similarity` per class and order, collected over batches and processes.

    Args:
        n_variables: number ``n`` of input variables.
        n_classes: number of classes.
        threshold: see :func:`similarity`.
        **kwargs: of :class:`torchmetrics.Metric`.

    Example:
        >>> import torch
        >>> from lightning_interactions import sparsify
        >>> metric = InteractionSimilarity(n_variables=2, n_classes=2)
        >>> found = sparsify(torch.tensor([[0.0, 1.0, 2.0, 5.0], [0.0, 1.0, 1.0, 4.0]]), solver="none")
        >>> metric.update(found, split="train", classes=torch.tensor([0, 1]))
        >>> metric.update(found, split="test", classes=torch.tensor([0, 0]))
        >>> metric.compute().isnan().tolist()
        [[False, False], [True, True]]
    """

    higher_is_better = True
    is_differentiable = False
    full_state_update = True  # `forward` must meet what earlier batches said about the variables

    amounts: Tensor
    counts: Tensor

    def __init__(self, n_variables: int, n_classes: int = 1, *, threshold: float | None = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_whole(minimum=1, n_classes=n_classes)
        self.n_variables = check_n_variables(n_variables)
        self.n_classes = n_classes
        self.threshold = threshold
        self._seen_positions: dict[int, set[Any]] = {}
        amounts = torch.zeros(2, n_classes, 4, 1 << self.n_variables, dtype=torch.float64)
        self.add_state("amounts", amounts, dist_reduce_fx="sum")
        self.add_state("counts", torch.zeros(2, n_classes, dtype=torch.int64), dist_reduce_fx="sum")

    def update(
        self, interactions: Interactions, split: Literal["train", "test"], classes: Tensor | None = None
    ) -> None:
        """Take in the interactions of some samples.

        Args:
            interactions: on samples of one of the two sets.
            split: which.
            classes: the class of each sample, ``(samples,)``; ``None`` where there is one class only.

        Raises:
            ValueError: for another ``n``, an unknown ``split``, classes that do not fit, or if the variables of the
                samples are known and are not the same for all samples of a class.
        """
        check_same_n_variables(self.n_variables, interactions=interactions)
        if split not in _SPLITS:
            msg = f"`split` must be 'train' or 'test', got {split!r}."
            raise ValueError(msg)
        classes = self._checked(classes, len(interactions))
        seen = {
            label: self._seen_positions.get(label, set()) | _positions(interactions, classes == label)
            for label in classes.unique().tolist()
        }
        for positions in seen.values():
            _only_positions(positions)
        self._seen_positions |= seen
        side, classes = _SPLITS.index(split), classes.to(self.amounts.device)
        self.amounts[side].index_add_(0, classes, _unsigned(interactions, self.threshold).to(self.amounts))
        self.counts[side] += classes.bincount(minlength=self.n_classes)

    def compute(self) -> Tensor:
        """The similarity: float64 ``(classes, n)``; NaN for a class that is not in both sets."""
        means = self.amounts / self.counts[..., None, None]  # 0 / 0 where a class has no samples
        return _jaccard(means[0], means[1])

    def reset(self) -> None:
        """Forget all samples."""
        super().reset()
        self._seen_positions = {}

    def _checked(self, classes: Tensor | None, n_samples: int) -> Tensor:
        if classes is None and self.n_classes == 1:
            return torch.zeros(n_samples, dtype=torch.int64)
        got = "None" if classes is None else f"{classes.tolist()[:5]} of shape {tuple(classes.shape)}"
        if (
            classes is None
            or classes.shape != (n_samples,)
            or classes.is_floating_point()
            or not ((classes >= 0) & (classes < self.n_classes)).all()
        ):
            msg = (
                f"`classes` must hold one whole number 0 … {self.n_classes - 1} for each of the {n_samples} samples,"
                f" got {got}."
            )
            raise ValueError(msg)
        return classes.to(device="cpu", dtype=torch.int64)


def _unsigned(interactions: Interactions, threshold: float | None) -> Tensor:
    """The non-negative vector of each sample's effects (footnote 6), ``(samples, 4, 2**n)``."""
    and_, or_ = salient_effects(interactions, threshold)
    return torch.stack([and_, or_, -and_, -or_], dim=1).clamp(min=0)


def _jaccard(train: Tensor, test: Tensor) -> Tensor:
    """From ``(..., 4, 2**n)`` to ``(..., n)``."""
    shared, either = torch.minimum(train, test), torch.maximum(train, test)
    return (sum_by_order(shared.sum(dim=-2)) / sum_by_order(either.sum(dim=-2)))[..., 1:]


def _positions(interactions: Interactions, chosen: Tensor | None = None) -> set[Any]:
    """What is known of where the variables of the (chosen) samples are."""
    draws = interactions.provenance.get("draws") or []
    return {
        tuple(map(tuple, draw["positions"])) for row, draw in enumerate(draws) if chosen is None or bool(chosen[row])
    }


def _only_positions(found: set[Any]) -> None:
    if len(found) > 1:
        first, second = sorted(found)[:2]
        msg = (
            f"All samples must have the same input variables, or their interactions cannot be compared, got"
            f" {len(found)} different sets, among them {first} and {second}."
            f" HINT: draw them with `SamePositions` of `lightning_interactions.masking.fixed`."
        )
        raise ValueError(msg)
