"""A vision transformer of timm: it has no feature map, so patches of the image itself are masked."""

import timm
import torch
from jsonargparse import auto_cli
from lightning.pytorch import LightningModule, Trainer, seed_everything
from sklearn.datasets import load_digits
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset, random_split

from lightning_interactions import InputPatches, InteractionMonitor


class Digits(LightningModule):
    """timm's smallest vision transformer from random weights."""

    def __init__(self) -> None:
        super().__init__()
        self.network = timm.create_model("test_vit", num_classes=10, in_chans=1, img_size=32, patch_size=4)

    def forward(self, images):
        return self.network(images)

    def training_step(self, batch, _):
        images, labels = batch
        return functional.cross_entropy(self(images), labels)

    def validation_step(self, batch, _):
        self.log("val_loss", self.training_step(batch, _), prog_bar=True)

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


def main(epochs: int = 10, images: int = 1500, samples: int = 20, n: int = 8) -> None:
    """Train, and print the strongest combinations of patches before and after."""
    seed_everything(0)
    pixels, labels = load_digits(return_X_y=True)
    small = torch.tensor(pixels, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
    large = functional.interpolate(small, size=32)
    data = TensorDataset(large[:images], torch.tensor(labels)[:images])
    parts = random_split(data, [0.7, 0.3])

    # The grid follows the transformer's own patches of 4 × 4 pixels. A masked patch is black, as a digit's edge is.
    monitor = InteractionMonitor(InputPatches(grid=8, border=1, n_variables=n), n_samples=samples)
    trainer = Trainer(max_epochs=epochs, callbacks=[monitor], logger=False, enable_checkpointing=False)
    trainer.fit(Digits(), *(DataLoader(part, batch_size=50) for part in parts))
    print("The strongest combinations of patches in the first image explained:")
    names = monitor.interactions.variable_names(0)
    for effect in monitor.interactions.strongest(0, 5):
        print(f"{effect.effect:+.3f}  {effect.kind:3}  {', '.join(names[i] for i in effect.variables)}")


if __name__ == "__main__":
    auto_cli(main)
