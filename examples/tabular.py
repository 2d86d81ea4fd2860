"""A small network on a table: which columns does it combine to tell benign from malign?"""

import torch
from jsonargparse import auto_cli
from lightning.pytorch import LightningModule, Trainer, seed_everything
from sklearn.datasets import load_breast_cancer
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset, random_split

from lightning_interactions import Columns, InteractionMonitor

N_COLUMNS = 8


class Table(LightningModule):
    """Two hidden layers and one logit."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(
            *(nn.Linear(N_COLUMNS, 32), nn.ReLU()), *(nn.Linear(32, 32), nn.ReLU()), nn.Linear(32, 1)
        )

    def forward(self, rows):
        return self.network(rows)

    def training_step(self, batch, _):
        rows, classes = batch
        return functional.binary_cross_entropy_with_logits(self(rows).squeeze(1), classes.float())

    def validation_step(self, batch, _):
        self.log("val_loss", self.training_step(batch, _), prog_bar=True)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)


def main(epochs: int = 20, samples: int = 20) -> None:
    """Train, and print the strongest combinations of columns over all rows explained."""
    seed_everything(0)
    table = load_breast_cancer()
    rows = torch.tensor(table.data[:, :N_COLUMNS], dtype=torch.float32)
    data = TensorDataset((rows - rows.mean(dim=0)) / rows.std(dim=0), torch.tensor(table.target))
    parts = random_split(data, [400, len(data) - 400])

    columns = Columns(N_COLUMNS, names=table.feature_names[:N_COLUMNS])  # a masked column takes its mean
    monitor = InteractionMonitor(columns, n_samples=samples, every_n_epochs=5)
    trainer = Trainer(max_epochs=epochs, callbacks=[monitor], logger=False, enable_checkpointing=False)
    trainer.fit(Table(), *(DataLoader(part, batch_size=50) for part in parts))
    frame = monitor.interactions.to_frame()
    strength = frame.assign(strength=frame["effect"].abs()).groupby(["kind", "names"])["strength"].sum()
    print((strength / samples).nlargest(8).to_string())


if __name__ == "__main__":
    auto_cli(main)
