"""How a monitor explains a network: one object for the training, and for whatever repeats its measurements later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lightning_interactions.callback.probabilities import targets_for
from lightning_interactions.explain import check_noise_ratio, explain
from lightning_interactions.masking.memory import MaskBatchSize, check_mask_batch_size
from lightning_interactions.masking.outputs import Output, resolve_output
from lightning_interactions.masking.precision import Precision, check_precision

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from lightning_interactions.callback.samples import Samples
    from lightning_interactions.interactions import Interactions
    from lightning_interactions.masking.network import Forward
    from lightning_interactions.masking.variables import Variables

__all__ = ["ExplainSettings", "changed_settings", "changes_in_words", "name_of"]


@dataclass(frozen=True)
class ExplainSettings:
    """What an explanation depends on beside the network, the samples and the variables.

    The fields are arguments of :func:`~lightning_interactions.explain`, and of
    :class:`~lightning_interactions.InteractionMonitor` by the same names.

    Attributes:
        output: the network's scalar output.
        noise_ratio: the noise bound relative to the output's scale.
        solver: see :func:`~lightning_interactions.sparsify`.
        mask_batch_size: masked inputs in one forward pass.
        precision: of the forward passes.
        channels_last: run image networks with their channels last in memory.
        compiled: run what lies after the mask by ``torch.compile``.
        forward: ``(module, inputs) -> logits``; ``None`` for modules that are called with their inputs alone.

    Raises:
        TypeError: if ``noise_ratio`` is no number.
        ValueError: for an unknown output or precision, or a number out of its range.

    Example:
        >>> import torch
        >>> from lightning_interactions import Columns
        >>> from lightning_interactions.callback.samples import Samples
        >>> samples = Samples(torch.rand(5, 3), torch.ones(5))
        >>> settings = ExplainSettings(noise_ratio=0.05)
        >>> settings.explain(torch.nn.Linear(3, 1), samples, Columns(n_variables=3), solver="none").and_.shape
        torch.Size([5, 8])
    """

    output: str | Output = "log_odds"
    noise_ratio: float = 0.02
    solver: str = "auto"
    mask_batch_size: MaskBatchSize = "auto"
    precision: Precision = "float32"
    channels_last: bool = False
    compiled: bool = False
    forward: Forward | None = None

    def __post_init__(self) -> None:
        check_noise_ratio(self.noise_ratio)
        check_mask_batch_size(self.mask_batch_size)
        resolve_output(self.output)
        check_precision(self.precision)

    def explain(self, module: nn.Module, samples: Samples, variables: Variables, **overrides: Any) -> Interactions:
        """Interactions of some samples with these settings.

        Args:
            module: the network.
            samples: what is explained.
            variables: what the input variables are.
            **overrides: any argument of :func:`~lightning_interactions.explain`, in the place of a setting or beside
                them.

        Returns:
            the interactions.

        Raises:
            TypeError: see :func:`~lightning_interactions.explain`.
            ValueError: likewise.
            FloatingPointError: likewise.
        """
        arguments = self.arguments() | overrides
        targets = targets_for(arguments["output"], samples.targets)
        return explain(module, samples.inputs, targets, variables, **arguments)

    def arguments(self) -> dict[str, Any]:
        """All settings by name, for another :class:`~lightning_interactions.InteractionMonitor` with the same ones.

        Example:
            >>> ExplainSettings(solver="admm").arguments()["solver"]
            'admm'
        """
        # Not `dataclasses.asdict`, which would copy the user's callables.
        return dict(vars(self))

    def described(self, variables: Variables) -> dict[str, str]:
        """What decides the numbers of a record, as texts: records of a run that differ in one do not belong together.

        Args:
            variables: what the input variables are.

        Example:
            >>> from lightning_interactions import Columns
            >>> described = ExplainSettings(output="margin").described(Columns(3))
            >>> described["output"], described["n_variables"]
            ("'margin'", '3')
        """
        # Texts, because checkpoints load with plain data alone; and the name of a callable, for its address changes.
        own = {
            "output": name_of(self.output),
            "noise_ratio": self.noise_ratio,
            "solver": self.solver,
            "precision": self.precision,
            "forward": name_of(self.forward),
        }
        content = variables.provenance() | {"n_variables": variables.n_variables} | own
        return {key: repr(value) for key, value in content.items()}


def name_of(setting: Any) -> str | None:
    """A text or ``None`` as it is; a function by its name.

    Example:
        >>> name_of("margin"), name_of(repr)
        ('margin', 'repr')
    """
    if setting is None or isinstance(setting, str):
        return setting
    return str(getattr(setting, "__qualname__", type(setting).__qualname__))


def changed_settings(earlier: Mapping[str, str], now: Mapping[str, str]) -> dict[str, tuple[str | None, str | None]]:
    """The settings that are not what they were, each with its text then and now; ``None`` where there was none.

    Example:
        >>> changed_settings({"solver": "'auto'", "seed": "0"}, {"solver": "'admm'", "seed": "0"})
        {'solver': ("'auto'", "'admm'")}
    """
    return {key: (earlier.get(key), now.get(key)) for key in {**earlier, **now} if earlier.get(key) != now.get(key)}


def changes_in_words(changed: Mapping[str, tuple[str | None, str | None]]) -> str:
    """What :func:`changed_settings` found, for people.

    Example:
        >>> changes_in_words({"solver": ("'auto'", "'admm'")})
        "solver: 'auto' before, now 'admm'"
    """
    return "; ".join(f"{key}: {old} before, now {new}" for key, (old, new) in changed.items())
