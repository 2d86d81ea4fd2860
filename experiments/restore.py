"""A finished run's network, data and samples, rebuilt from its folder for measurements that come after the training."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from experiments.checkpoints import checkpoint_path
from experiments.cli import main
from lightning_interactions.callback.held_out import explained_samples
from lightning_interactions.callback.samples import Samples, flatten_loaders, split_batch
from lightning_interactions.masking.batches import to_device
from lightning_interactions.masking.devices import device_of
from lightning_interactions.masking.network import call_network
from lightning_interactions.masking.observe import observing
from lightning_interactions.masking.outputs import logits_of, resolve_output

if TYPE_CHECKING:
    from lightning.pytorch import LightningDataModule, LightningModule
    from torch import Tensor

    from experiments.figures.run_folder import RunFolder
    from lightning_interactions import InteractionMonitor, Interactions, Variables

__all__ = ["Restored", "load_weights", "restore"]

# Of Lightning's `fit`, not of the objects to be rebuilt.
_OF_FIT = ("ckpt_path", "weights_only")

# Values computed again may differ from the stored ones by the rounding of another batch size, not by more.
_REPEATS = 1e-2


@dataclass
class Restored:
    """A run's network at one epoch, with what is needed to measure it again.

    Attributes:
        module: the Lightning module with the checkpoint's weights, in evaluation mode; on a GPU where the run was
            trained on one and there is one.
        data: the data module, set up.
        monitor: the run's monitor: its settings, not its state.
        samples: the samples that the monitor explained, on the CPU.
        epoch: completed epochs of the checkpoint.
    """

    module: LightningModule
    data: LightningDataModule
    monitor: InteractionMonitor
    samples: Samples
    epoch: int

    def explain(self, samples: Samples, variables: Variables) -> Interactions:
        """Interactions with the monitor's settings."""
        return self.monitor.settings.explain(self.module, samples, variables)

    def split(self, batch: Any) -> tuple[Any, Tensor]:
        """Inputs and targets of a batch."""
        return (self.monitor.split_batch or split_batch)(batch)  # type: ignore[return-value]  # none is passed over


def restore(run: RunFolder, epoch: int) -> Restored:
    """Rebuild a run's network with the weights it had after ``epoch`` completed epochs.

    Args:
        run: the run.
        epoch: one that was measured and of which there is a checkpoint.

    Raises:
        FileNotFoundError: if there is no such checkpoint.
        RuntimeError: if the network rebuilt does not give the outputs that the run has stored for this epoch.
    """
    weights = _weights(run, epoch)
    config = {key: value for key, value in run.config.items() if key not in _OF_FIT} | {"size": None}
    accelerator = config["trainer"]["accelerator"] if torch.cuda.is_available() else "cpu"
    trainer = {"logger": False, "accelerator": accelerator, "devices": 1, "enable_progress_bar": False}
    config["trainer"] = config["trainer"] | trainer
    with warnings.catch_warnings():
        # The process's own arguments are those of another command.
        warnings.filterwarnings("ignore", message="LightningCLI's args parameter")
        cli = main(config, run=False)
    cli.datamodule.prepare_data()
    cli.datamodule.setup("fit")
    cli.model.load_state_dict(weights)
    # No fit begins that would move it.
    cli.model.to(cli.trainer.strategy.root_device).eval()
    monitor = cli.config_init.monitor
    restored = Restored(cli.model, cli.datamodule, monitor, Samples(None, torch.empty(0)), epoch)
    restored.samples = explained_samples(
        dict(enumerate(flatten_loaders(cli.datamodule.val_dataloader()))),
        monitor.variables,
        monitor.n_samples,
        seed=monitor.seed,
        prepare=lambda batch, _: Samples(*restored.split(batch)),
    )
    _check_repeats(restored, run.interactions(epoch))
    return restored


def load_weights(module: LightningModule, run: RunFolder, epoch: int) -> None:
    """Give a restored network the weights of another epoch of its run.

    Args:
        module: the network.
        run: its run.
        epoch: one of which there is a checkpoint.

    Raises:
        FileNotFoundError: if there is no such checkpoint.
    """
    module.load_state_dict(_weights(run, epoch))


def _weights(run: RunFolder, epoch: int) -> dict[str, Any]:
    path = checkpoint_path(run.path, epoch)
    if not path.exists():
        kept = sorted(file.stem for file in path.parent.glob("epoch=*.ckpt"))
        msg = f"The run '{run.path}' has no checkpoint of epoch {epoch}, only {kept}. HINT: choose another `--epoch`."
        raise FileNotFoundError(msg)
    return torch.load(path, map_location="cpu", weights_only=True)["state_dict"]


def _check_repeats(restored: Restored, stored: Interactions) -> None:
    """The network on the first unmasked samples must say what it said during the training."""
    with observing(restored.module):
        forward = restored.monitor.settings.forward or call_network
        inputs = to_device(restored.samples.inputs, device_of(restored.module))
        logits = logits_of(forward(restored.module, inputs)).float().cpu()
        now = resolve_output(restored.monitor.settings.output)(logits, restored.samples.targets).double()
    rows = stored.provenance["samples"]
    before = stored.values[:, -1]
    scale = (stored.values[:, -1] - stored.values[:, 0]).abs().mean().clamp(min=1e-6)
    difference = ((now[rows] - before).abs().max() / scale).item()
    if not difference <= _REPEATS:
        msg = (
            f"The network rebuilt from epoch {restored.epoch} does not repeat the outputs stored during the training:"
            f" they differ by {difference:.3g} of their scale. HINT: the data or the code have changed since."
        )
        raise RuntimeError(msg)
