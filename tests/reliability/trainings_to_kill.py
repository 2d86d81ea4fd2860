"""Small watched trainings, each in a process of its own that may be killed: a script that reads orders line by line.

An order is a JSON object with the ``folder`` of the run, its number of ``epochs``, and how it dies: after so many
seconds of computing (``cpu``), at a forward pass of a measurement (``forward``) or at a write, before what is written
gets its name (``write``); and by which ``signal``. The process forks for every order, so that PyTorch is imported once;
it has one thread and trains nothing itself, so a fork copies nothing half-done. The answer is how the child ended.
"""

import json
import logging
import os
import signal
import sys
import time
import warnings
from pathlib import Path

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from lightning_interactions import FeatureMapPatches, InteractionMonitor
from lightning_interactions.callback import loggers
from lightning_interactions.plots import style

PRELOADED = (loggers, style)  # what a measurement imports, so that no child has to


class Net(pl.LightningModule):
    """A convolutional network that learns in which row an image is bright."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.head = nn.Sequential(nn.MaxPool2d(4), nn.Flatten(), nn.Linear(16, 3))

    def forward(self, x):
        return self.head(self.body(x))

    def training_step(self, batch, _):
        return functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch, _):
        self.log("val_loss", functional.cross_entropy(self(batch[0]), batch[1]))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), 1e-2)


def loader(n, seed):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (n,), generator=generator)
    images = torch.randn(n, 1, 8, 8, generator=generator)
    images[torch.arange(n), 0, 2 + labels] += 1.5
    return DataLoader(TensorDataset(images, labels), 8)


class Counter:
    """Count calls, and get a signal at one of them."""

    def __init__(self, name, order):
        self.count, self.last, self.end = 0, order.get(name), order.get("signal", signal.SIGKILL)

    def step(self):
        self.count += 1
        if self.count == self.last:
            os.kill(os.getpid(), self.end)


def last_checkpoint(folder):
    """The newest checkpoint there is, or none."""
    kept = sorted(Path(folder, "checkpoints").glob("epoch=*.ckpt"), key=lambda path: int(path.stem.partition("=")[2]))
    return kept[-1] if kept else None


def train(folder, epochs, forwards):
    """Train, or go on with the training whose checkpoints are there."""

    def forward(module, inputs):
        forwards.step()
        return module(inputs)

    torch.manual_seed(0)
    monitor = InteractionMonitor(
        FeatureMapPatches("body.2", grid=4, border=1, n_variables=3),
        every_n_epochs=2,
        n_samples=3,
        mask_batch_size=8,
        forward=forward,
        verbose=False,
    )
    checkpoints = ModelCheckpoint(Path(folder, "checkpoints"), "{epoch}", save_top_k=-1, save_on_train_epoch_end=True)
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        callbacks=[monitor, checkpoints],
        default_root_dir=folder,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(Net(), loader(24, 1), loader(12, 2), ckpt_path=last_checkpoint(folder))
    return monitor


def child(order):
    """What the forked process does; at the end it says what there was to count."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    forwards, writes, fsync = Counter("forward", order), Counter("write", order), os.fsync
    os.fsync = lambda file: (fsync(file), writes.step())
    monitor = train(order["folder"], order["epochs"], forwards)
    done = {"epochs": monitor.history.epochs, "failures": monitor.failures}
    done |= {"cpu": time.process_time(), "forward": forwards.count, "write": writes.count}
    Path(order["folder"], "done.json").write_text(json.dumps(done))


def run(order):
    """What becomes of the forked process: its body, and its end."""
    # Nothing of the orders is left to read for a child that lives longer than it should.
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    with open(Path(order["folder"], "said.txt"), "a", buffering=1) as said:  # noqa: PTH123
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    status = 1
    try:
        child(order)
        status = 0
    except BaseException as error:  # noqa: BLE001  # the parent's loop must not run twice
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
    finally:
        os._exit(status)


def computed(process):
    """Seconds that a process has computed, however busy the machine is."""
    return int(Path(f"/proc/{process}/schedstat").read_text().split()[0]) / 1e9


def say(line):
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main():
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a process in the background does not get
    say("ready")
    for line in sys.stdin:
        order = json.loads(line)
        process = os.fork()
        if process == 0:
            run(order)
        while "cpu" in order and not os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if computed(process) > order["cpu"]:
                os.kill(process, order.get("signal", signal.SIGKILL))
                break
            time.sleep(0.002)
        _, status = os.waitpid(process, 0)
        say(json.dumps({"ended": os.waitstatus_to_exitcode(status)}))


if __name__ == "__main__":
    main()
