"""Label noise that can be repeated and traced."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["reset_labels"]


def reset_labels(labels: Tensor, label_noise: float, n_classes: int, seed: int) -> tuple[Tensor, Tensor]:
    """Reset a share of the labels at random (Appendix I.1); a reset label may by chance be the true one.

    Args:
        labels: true classes ``(samples,)``.
        label_noise: share of the samples whose label is drawn anew, 0 … 1.
        n_classes: labels are drawn from ``0 … n_classes - 1``.
        seed: decides which and how.

    Returns:
        the new labels, and the indices of the samples whose label was reset, ascending.

    Raises:
        ValueError: if ``label_noise`` is no share.

    Example:
        >>> noisy, changed = reset_labels(torch.zeros(100, dtype=torch.int64), label_noise=0.05, n_classes=10, seed=0)
        >>> len(changed)
        5
    """
    if not 0 <= label_noise <= 1:
        msg = f"`label_noise` must be a share, 0 … 1, of the labels, got {label_noise!r}."
        raise ValueError(msg)
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(labels), generator=generator)[: round(label_noise * len(labels))].sort().values
    noisy = labels.clone()
    noisy[chosen] = torch.randint(n_classes, (len(chosen),), generator=generator, dtype=labels.dtype)
    return noisy, chosen
