"""A training loop of plain PyTorch, without Lightning: explain the network every few epochs and keep what was found."""

from pathlib import Path

import torch
from jsonargparse import auto_cli
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

from lightning_interactions import InputPatches, PhaseDetector, explain, order_strength
from lightning_interactions.distribution.strength import mean_order
from lightning_interactions.plots import strength_by_order


def main(epochs: int = 20, every: int = 5, samples: int = 20, n: int = 8, folder: str = "runs/plain_pytorch") -> None:
    """Train, print a line for each measurement, and leave one file and one picture for each in a folder."""
    torch.manual_seed(0)
    pixels, labels = load_digits(return_X_y=True)
    images, classes = torch.tensor(pixels, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16, torch.tensor(labels)
    (train, held_out), (train_classes, held_out_classes) = images.split([1000, 797]), classes.split([1000, 797])
    network = nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(16 * 64, 10)),
    )
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    patches, phase = InputPatches(grid=4, border=0, n_variables=n), PhaseDetector()

    for epoch in range(epochs + 1):
        if epoch % every == 0:  # epoch 0 is the untrained network
            found = explain(network, held_out[:samples], held_out_classes[:samples], patches)
            with torch.no_grad():
                gap = functional.cross_entropy(network(held_out), held_out_classes)
                gap -= functional.cross_entropy(network(train), train_classes)
            phase.update(epoch=epoch, gap=gap.item())
            positive, negative = order_strength(found)
            print(f"epoch {epoch:2d}: mean order {mean_order(positive, negative):.2f}, {phase.phase_message}")
            found.save(Path(folder) / f"epoch={epoch:04d}.npz")
            strength_by_order(positive, negative)[0].savefig(Path(folder) / f"epoch={epoch:04d}.png")
        for rows in torch.randperm(len(train)).split(50):
            loss = functional.cross_entropy(network(train[rows]), train_classes[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


if __name__ == "__main__":
    auto_cli(main)
