r"""The scalar output :math:`v(x)` of a network: log-odds of the true class, its logit, its margin, or any callable."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

__all__ = ["OUTPUTS", "Output", "check_targets", "log_odds", "logits_of", "margin", "resolve_output", "target_logit"]

Output = Callable[[Tensor, Tensor], Tensor]
"""``(logits (B, K) or (B,), targets (B,)) -> (B,)``; one of the user's own may take logits and targets of any shape,
with one row for each masked input."""


def log_odds(logits: Tensor, targets: Tensor) -> Tensor:
    r"""Log-odds of the true class (Eq. 1), from logits so that no digit is lost near :math:`p = 1`.

    .. math:: v(x) = \log \frac{p}{1 - p} = z_y - \log \sum_{k \neq y} e^{z_k}

    A head with one logit (binary cross-entropy) is the two-class head whose missing logit, that of class 0, is 0.

    Args:
        logits: ``(B, K)``, ``(B, 1)`` or ``(B,)``.
        targets: true classes ``(B,)``.

    Returns:
        ``(B,)`` in nats.

    Raises:
        ValueError: if a target is no class of the head.

    Example:
        >>> import torch
        >>> log_odds(torch.tensor([[2.0, 0.5]]), torch.tensor([0])).tolist()
        [1.5]
        >>> log_odds(torch.tensor([1.5, 1.5]), torch.tensor([1, 0])).tolist()
        [1.5, -1.5]
    """
    true, others = _split(logits, targets)
    return true - others.logsumexp(dim=1)


def target_logit(logits: Tensor, targets: Tensor) -> Tensor:
    r"""The logit of the true class, :math:`v(x) = z_y`; a head with one logit is read as by :func:`log_odds`.

    Args:
        logits: ``(B, K)``, ``(B, 1)`` or ``(B,)``.
        targets: true classes ``(B,)``.

    Returns:
        ``(B,)`` in the unit of the logits.

    Raises:
        ValueError: if a target is no class of the head.

    Example:
        >>> import torch
        >>> target_logit(torch.tensor([[2.0, 0.5]]), torch.tensor([1])).tolist()
        [0.5]
    """
    return _split(logits, targets)[0]


def margin(logits: Tensor, targets: Tensor) -> Tensor:
    r"""The margin :math:`v(x) = z_y - \max_{k \neq y} z_k`; a head with one logit is read as by :func:`log_odds`.

    Args:
        logits: ``(B, K)``, ``(B, 1)`` or ``(B,)``.
        targets: true classes ``(B,)``.

    Returns:
        ``(B,)`` in the unit of the logits.

    Raises:
        ValueError: if a target is no class of the head.

    Example:
        >>> import torch
        >>> margin(torch.tensor([[2.0, 0.5, 1.0]]), torch.tensor([0])).tolist()
        [1.0]
    """
    true, others = _split(logits, targets)
    return true - others.amax(dim=1)


OUTPUTS: dict[str, Output] = {"log_odds": log_odds, "target_logit": target_logit, "margin": margin}
"""The outputs that can be asked for by name."""


def resolve_output(output: str | Output) -> Output:
    """The output function of a name; a callable is returned as it is.

    Args:
        output: a name in :data:`OUTPUTS`, or any ``(logits, targets) -> (B,)``.

    Returns:
        the function.

    Raises:
        ValueError: if the name is unknown.

    Example:
        >>> resolve_output("margin") is margin
        True
    """
    if callable(output):
        return output
    if output not in OUTPUTS:
        msg = f"`output` must be one of {sorted(OUTPUTS)} or a callable (logits, targets) -> (B,), got {output!r}."
        raise ValueError(msg)
    return OUTPUTS[output]


def logits_of(result: Any) -> Tensor:
    """The logits in what a network returns: a tensor, ``.logits``, ``["logits"]`` or the first entry of a tuple.

    Raises:
        ValueError: if there are none.

    Example:
        >>> import torch
        >>> logits_of({"logits": torch.zeros(2, 3)}).shape
        torch.Size([2, 3])
    """
    found = result
    if isinstance(getattr(result, "logits", None), Tensor):
        found = result.logits
    elif isinstance(result, Mapping):
        found = result.get("logits")
    elif isinstance(result, (tuple, list)):
        found = next(iter(result), None)
    if isinstance(found, Tensor) and found.ndim > 0:
        return found
    instead = " with a single number in their place" if isinstance(found, Tensor) else ""
    msg = (
        f"The network must return a tensor of logits, an object or mapping with `logits`, or a tuple that starts with"
        f" them, got a {type(result).__name__}{instead}."
        f" HINT: pass `forward=lambda model, inputs: …` that returns logits."
    )
    raise ValueError(msg)


def check_targets(logits: Tensor, targets: Tensor) -> None:
    """Refuse targets that are no classes of a network.

    Args:
        logits: any rows of its logits.
        targets: true classes ``(B,)``.

    Raises:
        ValueError: if a target is no class of the head.

    Example:
        >>> import torch
        >>> check_targets(torch.zeros(1, 3), torch.tensor([0, 2, 1]))
    """
    n_classes = _at_least_two_classes(logits).shape[1]
    targets = targets.reshape(-1)
    classes = targets.to(torch.int64)
    bad = (classes < 0) | (classes >= n_classes) | (classes != targets)
    if bad.any():
        msg = (
            f"`targets` must be class indices 0 … {n_classes - 1}, because the network has {n_classes} classes,"
            f" got {targets[bad][:5].tolist()}. HINT: `output` may be any callable (logits, targets) -> (B,)."
        )
        raise ValueError(msg)


def _split(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The true class's logit ``(B,)`` and all logits ``(B, K)`` with minus infinity in its place."""
    logits = _at_least_two_classes(logits)
    classes = _classes(targets, logits).unsqueeze(1)
    return logits.gather(1, classes).squeeze(1), logits.scatter(1, classes, -math.inf)


def _at_least_two_classes(logits: Tensor) -> Tensor:
    """``(B, K)`` with ``K ≥ 2``: the missing logit of a one-logit head is 0."""
    logits = logits.unsqueeze(1) if logits.ndim == 1 else logits
    if logits.ndim != 2 or logits.shape[1] == 0:  # noqa: PLR2004
        msg = (
            f"The network's logits must have shape (B, classes), (B, 1) or (B,), got {tuple(logits.shape)}."
            f" HINT: pass `output=` a callable (logits, targets) -> (B,) for other heads."
        )
        raise ValueError(msg)
    return torch.cat([torch.zeros_like(logits), logits], dim=1) if logits.shape[1] == 1 else logits


def _classes(targets: Tensor, logits: Tensor) -> Tensor:
    """Class indices as int64 ``(B,)``."""
    if targets.numel() != len(logits):
        msg = f"`targets` must hold one class for each of the {len(logits)} samples, got shape {tuple(targets.shape)}."
        raise ValueError(msg)
    if logits.device.type == "cpu":
        # Elsewhere the host would have to wait for the answer; who calls this in a loop checks before it.
        check_targets(logits, targets)
    return targets.reshape(-1).to(device=logits.device, dtype=torch.int64)
