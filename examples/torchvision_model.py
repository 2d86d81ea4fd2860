"""A torchvision network on digits: watch which image patches it combines while it trains."""

import torch
from jsonargparse import auto_cli
from lightning.pytorch import LightningModule, Trainer, seed_everything
from sklearn.datasets import load_digits
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset, random_split
from torchvision.models import resnet18

from lightning_interactions import FeatureMapPatches, InteractionMonitor


class Digits(LightningModule):
    """ResNet-18 from random weights."""

    def __init__(self) -> None:
        super().__init__()
        self.network = resnet18(num_classes=10)

    def forward(self, images):
        return self.network(images)

    def training_step(self, batch, _):
        images, labels = batch
        return functional.cross_entropy(self(images), labels)

    def validation_step(self, batch, _):
        self.log("val_loss", self.training_step(batch, _), prog_bar=True)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01, momentum=0.9)


def main(epochs: int = 10, images: int = 1500, samples: int = 20, n: int = 8) -> None:
    """Train, and print a line for each measurement."""
    seed_everything(0)
    pixels, labels = load_digits(return_X_y=True)
    small = torch.tensor(pixels, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
    large = functional.interpolate(small, size=32).expand(-1, 3, -1, -1)
    data = TensorDataset(large[:images], torch.tensor(labels)[:images])
    parts = random_split(data, [0.7, 0.3])

    # On images of 32 × 32 pixels, `layer1` puts out maps of 8 × 8: one cell of the grid for each place of the map.
    monitor = InteractionMonitor(FeatureMapPatches("layer1", grid=8, n_variables=n), n_samples=samples)
    trainer = Trainer(max_epochs=epochs, callbacks=[monitor], logger=False, enable_checkpointing=False)
    trainer.fit(Digits(), *(DataLoader(part, batch_size=50) for part in parts))
    for record in monitor.history:
        print(f"epoch {record['epoch']:2d}: mean order {record['mean_order']:.2f}, loss gap {record['loss_gap']:+.3f}")
    print(monitor.phase_detector.phase_message)


if __name__ == "__main__":
    auto_cli(main)
