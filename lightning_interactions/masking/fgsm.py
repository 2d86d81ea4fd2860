"""A gradient step on a network's inputs, one way to inject what does not generalise into it (Section 2.2.2)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor, nn

from lightning_interactions.masking.batches import batch_size, leaves, to_device
from lightning_interactions.masking.devices import device_of, in_float64
from lightning_interactions.masking.layers import find_layer, run_with_output
from lightning_interactions.masking.network import Forward, call_network
from lightning_interactions.masking.observe import observing
from lightning_interactions.masking.outputs import check_targets, log_odds, logits_of
from lightning_interactions.masking.wrapped import unwrapped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["SAMPLE_ROW", "SampleLoss", "fgsm", "fgsm_embeddings"]

SampleLoss = Callable[[Tensor, Tensor], Tensor]
"""``(logits (B, K) or (B,), targets (B,)) -> (B,)`` or a sum of these."""

SAMPLE_ROW = "_sample_row"
"""Key under which the inputs that :func:`fgsm_embeddings` yields say which sample each row is a version of."""


def fgsm(
    model: nn.Module,
    inputs: Any,
    targets: Tensor,
    epsilon: float | Tensor,
    *,
    forward: Forward | None = None,
    loss: SampleLoss | None = None,
    bounds: tuple[float | Tensor, float | Tensor] | None = None,
) -> Any:
    r"""Move every input by one step against the network: the fast gradient sign method (Section 2.2.2).

    .. math:: \hat x = x + \epsilon \, \mathrm{sign}(\nabla_x L(x))

    The default loss is :math:`-v(x)`, the negative log-odds of the true class (Eq. 1). Its gradient has the direction
    of the cross-entropy's, whose length it does not share: that one vanishes in floating point where the network is
    sure. The network runs in evaluation mode, on all samples at once, and is left as it was found, the ``.grad`` of its
    parameters included.

    A sample's content decides which variables are drawn for it, and the moved sample has another content:
    :class:`~.fixed.AsDrawn` keeps the variables of the samples as they were.

    Args:
        model: the network, not wrapped for distributed training.
        inputs: samples: a tensor, or a mapping or sequence of tensors. Those of floating point are moved.
        targets: true classes ``(b,)``, or what ``loss`` needs.
        epsilon: :math:`\epsilon \ge 0` in the unit of the inputs; a tensor is broadcast against them, for instance
            ``(channels, 1, 1)`` for images whose channels were scaled each in its own way.
        forward: how to call the network; by default with its inputs alone.
        loss: what the step increases: ``(logits, targets) -> (b,)``.
        bounds: the smallest and largest value of an input, numbers or tensors like ``epsilon``; ``None`` for none.

    Returns:
        the moved inputs in the structure, the types and on the device of ``inputs``.

    Raises:
        ValueError: for a negative ``epsilon``, reversed ``bounds``, inputs that hold no floating-point numbers, or a
            loss that does not depend on them.
        FloatingPointError: where the gradient is NaN.

    Example:
        >>> network = nn.Linear(2, 2)
        >>> images, labels = torch.zeros(4, 2), torch.tensor([0, 1, 1, 0])
        >>> moved = fgsm(network, images, labels, epsilon=0.1, bounds=(-1.0, 1.0))
        >>> bool((log_odds(network(moved), labels) < log_odds(network(images), labels)).all())
        True
    """
    _check_epsilon(epsilon)
    low, high = _checked_bounds(bounds)
    model = unwrapped(model)
    with torch.inference_mode(mode=False):
        moved = _copied(inputs, requires_grad=True)
        movable = [tensor for tensor in leaves(moved) if tensor.requires_grad]
        if not movable:
            msg = (
                f"`inputs` must hold floating-point numbers to be moved, got"
                f" {sorted({str(tensor.dtype) for tensor in leaves(inputs)})}."
                f" HINT: for token ids use `fgsm_embeddings`."
            )
            raise ValueError(msg)

        def run() -> Any:
            # A network whose first layer works in place may not be given a leaf of the graph.
            passed = apply_to_collection(moved, Tensor, lambda tensor: tensor.clone())
            return (forward or call_network)(model, to_device(passed, device_of(model)))

        gradients = iter(_loss_gradients(model, run, targets, lambda: movable, loss))

        def step(tensor: Tensor) -> Tensor:
            x = tensor.detach()
            if not tensor.requires_grad:
                return x
            x = x + torch.as_tensor(epsilon, dtype=x.dtype, device=x.device) * next(gradients).sign()
            return x if bounds is None else x.clamp(low.to(x), high.to(x))

        return apply_to_collection(moved, Tensor, step)


@contextmanager
def fgsm_embeddings(
    model: nn.Module,
    inputs: Mapping[str, Any],
    targets: Tensor,
    epsilon: float,
    *,
    forward: Forward | None = None,
    loss: SampleLoss | None = None,
    layer: str | None = None,
) -> Iterator[dict[str, Any]]:
    r"""Move the token embeddings of every sample by one step of :func:`fgsm` for the block.

    .. math:: \hat e = e + \epsilon \, \mathrm{sign}(\nabla_e L(e))

    for the embedding :math:`e` of each token of each sample. A token that is replaced by another one, as
    :class:`~lightning_interactions.TokenWords` does with an absent word, gets the other's embedding as it is, like a
    masked pixel that does not keep its perturbation either.

    The network must be given the inputs that the block yields: they are those it was called with, and one more entry
    that says which sample each row belongs to, however often masking repeats it. The network itself does not see it.

    Args:
        model: the network, a Hugging Face model or a module that holds one.
        inputs: what the tokenizer returned for ``b`` samples.
        targets: true classes ``(b,)``, or what ``loss`` needs.
        epsilon: :math:`\epsilon \ge 0` in the unit of the embeddings.
        forward: how to call the network; it must pass all entries of its inputs on to the network.
        loss: what the step increases; see :func:`fgsm`.
        layer: name of the module that turns token ids into embeddings; ``None`` asks the network's
            ``get_input_embeddings()``.

    Yields:
        the inputs to give the network in the block.

    Raises:
        ValueError: for a negative ``epsilon``, inputs that are no mapping, a network without input embeddings, and in
            the block when the network is run on other inputs than those that were yielded.
        FloatingPointError: where the gradient is NaN.

    Example:
        >>> model = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(8, 2))
        >>> batch, labels = {"input": torch.tensor([[1, 2], [3, 4], [5, 6]])}, torch.tensor([0, 1, 1])
        >>> with fgsm_embeddings(model, batch, labels, epsilon=0.1, layer="0") as moved:
        ...     logits = model(**moved)
        >>> bool((log_odds(logits, labels) < log_odds(model(**batch), labels)).all())
        True
    """
    _check_epsilon(epsilon)
    if not isinstance(inputs, Mapping):
        msg = f"`inputs` must be a mapping as tokenizers return it, got a {type(inputs).__name__}."
        raise ValueError(msg)  # noqa: TRY004  # wrong inputs are a ValueError everywhere in this package
    model = unwrapped(model)
    embeddings = _input_embeddings(model) if layer is None else find_layer(model, layer)
    ids, gradient = _embedding_gradient(model, embeddings, inputs, targets, forward, loss)
    step = _EmbeddingStep(ids, epsilon * gradient.sign())
    handles = [
        model.register_forward_pre_hook(step.take_rows, with_kwargs=True),
        embeddings.register_forward_hook(step.add, with_kwargs=True),
    ]
    try:
        yield {**inputs, SAMPLE_ROW: torch.arange(batch_size(inputs), device="cpu")}
    finally:
        for handle in handles:
            handle.remove()


def _check_epsilon(epsilon: float | Tensor) -> None:
    numbers = torch.as_tensor(epsilon, device="cpu")
    if not ((numbers >= 0) & numbers.isfinite()).all():
        msg = f"`epsilon` must be finite and ≥ 0, got {epsilon!r}."
        raise ValueError(msg)


def _checked_bounds(bounds: tuple[float | Tensor, float | Tensor] | None) -> tuple[Tensor, Tensor]:
    low, high = (_on_cpu(bound) for bound in bounds or (-math.inf, math.inf))
    if not (low < high).all():
        msg = f"`bounds` must be a lower and a larger upper bound, got {bounds!r}."
        raise ValueError(msg)
    return low, high


def _on_cpu(bound: float | Tensor) -> Tensor:
    return (
        in_float64(bound).cpu() if isinstance(bound, Tensor) else torch.tensor(bound, dtype=torch.float64, device="cpu")
    )


def _copied(inputs: Any, *, requires_grad: bool) -> Any:
    """A copy without history; tensors made in inference mode could not be part of a graph."""
    return apply_to_collection(
        inputs,
        Tensor,
        lambda tensor: tensor.detach().clone().requires_grad_(requires_grad and tensor.is_floating_point()),
    )


def _loss_gradients(
    model: nn.Module,
    run: Callable[[], Any],
    targets: Tensor,
    points: Callable[[], Sequence[Tensor]],
    loss: SampleLoss | None,
) -> list[Tensor]:
    """Gradients of the summed loss at ``points()``, which are known once the network has run."""
    with observing(model), torch.enable_grad(), _recurrent_gradients(model):
        logits = logits_of(run())
        targets = to_device(torch.as_tensor(targets).clone(), logits.device)
        if loss is None:
            check_targets(logits, targets)
        total = (-log_odds(logits, targets) if loss is None else loss(logits, targets)).sum()
        if not total.requires_grad:
            msg = (
                "The loss does not depend on the inputs by anything that has a gradient."
                " HINT: does the network's forward run under `torch.no_grad()`?"
            )
            raise ValueError(msg)
        # Not `.backward()`: the parameters' own gradients are the training's.
        found = torch.autograd.grad(total, list(points()), allow_unused=True, materialize_grads=True)
    if any(gradient.isnan().any() for gradient in found):
        msg = "The gradient of the loss in the inputs is NaN."
        raise FloatingPointError(msg)
    return list(found)


def _recurrent_gradients(model: nn.Module) -> AbstractContextManager[Any]:
    """Recurrent layers by torch's own code: cuDNN gives them no gradients in evaluation mode."""
    recurrent = any(isinstance(module, nn.RNNBase) for module in model.modules())
    return torch.backends.cudnn.flags(enabled=False) if recurrent else nullcontext()


def _embedding_gradient(
    model: nn.Module,
    embeddings: nn.Module,
    inputs: Mapping[str, Any],
    targets: Tensor,
    forward: Forward | None,
    loss: SampleLoss | None,
) -> tuple[Tensor, Tensor]:
    """Token ids ``(b, L)`` and the gradient of the loss in their embeddings, ``(b, L, d)``."""
    points: list[Tensor] = []
    ids: list[Tensor] = []

    def note_ids(_module: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        ids.append(_only_ids(arguments, keywords))

    def make_leaf(output: Tensor) -> Tensor:
        points.append(output.detach().requires_grad_())
        return points[-1].clone()

    with torch.inference_mode(mode=False):
        passed = to_device(_copied(dict(inputs), requires_grad=False), device_of(model))
        handle = embeddings.register_forward_pre_hook(note_ids, with_kwargs=True)
        try:
            (gradient,) = _loss_gradients(
                model,
                lambda: run_with_output(embeddings, make_leaf, lambda: (forward or call_network)(model, passed)),
                targets,
                lambda: points,
                loss,
            )
        finally:
            handle.remove()
    return ids[0], gradient


def _input_embeddings(model: nn.Module) -> nn.Module:
    for module in model.modules():
        ask = getattr(module, "get_input_embeddings", None)
        if callable(ask):
            try:
                found = ask()
            except NotImplementedError:  # a base class promises the method, its children need not have it
                continue
            if isinstance(found, nn.Module):
                return found
    msg = (
        f"No module of {type(model).__name__} has a `get_input_embeddings()` that names its token embeddings."
        f" HINT: pass `layer=` the name of the module that turns token ids into embeddings."
    )
    raise ValueError(msg)


def _only_ids(arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Tensor:
    return next(argument for argument in (*arguments, *keywords.values()) if isinstance(argument, Tensor))


class _EmbeddingStep:
    """The hooks of :func:`fgsm_embeddings`: which samples run now, and what is added to their embeddings."""

    def __init__(self, ids: Tensor, step: Tensor) -> None:
        self.ids = ids
        self.step = step
        self.rows: Tensor | None = None

    def take_rows(
        self, _module: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Before the network: keep the entry that says which samples these are, and hide it from the network."""
        self.rows = None
        return tuple(self._stripped(argument) for argument in arguments), self._stripped(keywords)

    def add(self, _module: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any], output: Tensor) -> Tensor:
        """After the embeddings: add the step of each row's sample wherever the token is still the sample's own."""
        ids, rows, self.rows = _only_ids(arguments, keywords), self.rows, None
        if rows is None or ids.shape != (len(rows), self.ids.shape[1]):
            msg = (
                f"The network must be run on the inputs that the block yields while its embeddings are moved, got token"
                f" ids of shape {tuple(ids.shape)}"
                f" {'without an entry' if rows is None else f'with {len(rows)} entries'} that says which samples they"
                f" are. HINT: `with fgsm_embeddings(model, inputs, …) as moved: explain(model, moved, …)`."
            )
            raise ValueError(msg)
        own = (ids == self.ids[rows]).unsqueeze(-1)
        return output + torch.where(own, self.step[rows], 0.0).to(output.dtype)

    def _stripped(self, argument: Any) -> Any:
        if not isinstance(argument, Mapping) or SAMPLE_ROW not in argument:
            return argument
        self.rows = argument[SAMPLE_ROW].to(self.ids.device)
        return {key: value for key, value in argument.items() if key != SAMPLE_ROW}
