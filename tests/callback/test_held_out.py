"""Which samples are measured: not before a training, and for the loss not those whose labels were reset."""

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

N_TRAIN = 1000
N_RESET = 100


@pytest.mark.parametrize("seed", [0, 1, 42])
def test_labels_reset_by_a_permutation_of_the_same_seed_are_no_more_often_among_them(
    seed, fit, make_monitor, make_loaders, draw
):
    reset = torch.randperm(N_TRAIN, generator=torch.Generator().manual_seed(seed))[:N_RESET]
    images, labels = draw(N_TRAIN, seed=1)
    images[reset] = 100.0  # to know them again
    train = DataLoader(TensorDataset(images, labels), batch_size=500, shuffle=True)
    monitor = make_monitor(n_loss_samples=N_RESET, seed=seed)
    fit(monitor, loaders=(train, make_loaders()[1]), max_epochs=1)
    drawn = torch.cat([batch.inputs for batch in monitor._samples.train_batches])
    among = (drawn == 100.0).all(dim=(1, 2, 3)).sum().item()
    # Hypergeometric: 10 ± 2.9 of the hundred; all of them if both permutations are one.
    assert among <= 10 + 4 * 2.9


def test_there_are_none_before_the_training(fit, make_monitor):
    monitor = make_monitor(n_samples=4)
    with pytest.raises(RuntimeError, match="no samples before the training starts"):
        _ = monitor.held_out
    fit(monitor, max_epochs=1)
    assert len(monitor.held_out) == 4
