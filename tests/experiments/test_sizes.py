"""What the page says another size changes, and which sizes there are."""

import pytest

from experiments.sizes import CONFIGS, SIZES, changes, config_files

PAPER = """
size: paper
data: {init_args: {label_noise: 0.01, num_workers: 4, batch_size: 128}}
monitor: {at_epochs: [0, 1, 2]}
"""
SMALL = """
size: small
data: {init_args: {label_noise: 0.05, num_workers: 0, batch_size: 128, n_train: 500}}
monitor: {at_epochs: [0, 1]}
trainer: {accelerator: cpu}
"""


def test_what_differs_is_named_with_both_values(tmp_path):
    (tmp_path / "small").mkdir()
    (tmp_path / "net.yaml").write_text(PAPER)
    (tmp_path / "small" / "net.yaml").write_text(SMALL)

    assert changes("net", "paper", tmp_path) == []
    assert changes("net", "small", tmp_path) == [
        "label_noise 0.01 → 0.05",
        "n_train – → 500",
        "at_epochs 3 values → 2 values",
    ]


@pytest.mark.parametrize("run", sorted(path.stem for path in (CONFIGS / "small").glob("*.yaml")))
def test_every_small_size_is_smaller(run):
    assert any(change.startswith(("max_epochs", "n_train", "n_classes")) for change in changes(run, "small"))


@pytest.mark.parametrize("run", sorted(path.stem for path in (CONFIGS / "cut").glob("*.yaml")))
def test_a_cut_run_is_the_papers_until_it_ends(run):
    changed = {change.split()[0] for change in changes(run, "cut")}

    assert "max_epochs" in changed
    assert changed <= {"max_epochs", "at_epochs", "precision"}


def test_every_configuration_belongs_to_a_size():
    assert {path.name for path in CONFIGS.iterdir() if path.is_dir()} == set(SIZES) - {"paper"}
    assert config_files("net", "paper") == []
