"""What the tests of the experiments share: a clean state after each, records, and data sets in miniature."""

import json
import math
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import CIFAR10
from torchvision.datasets.utils import calculate_md5
from transformers import BertConfig, BertModel, BertTokenizerFast

from experiments.cli import main
from experiments.figures.run_folder import RunFolder
from experiments.sizes import CONFIGS
from lightning_interactions import lattice, sparsify
from lightning_interactions.callback.record import summarize
from lightning_interactions.history import History
from lightning_interactions.sparsify import output_scale


@pytest.fixture(autouse=True)
def _nothing_left_behind(monkeypatch):
    for name in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS"):
        monkeypatch.setenv(name, "0")  # so that it is put back even when the run sets it
        monkeypatch.delenv(name)
    with torch.random.fork_rng():
        yield


@pytest.fixture
def in_use():
    """Let another process work in a folder until the end of the test: ``in_use(folder)`` is the process."""
    script = "import sys; from experiments.in_use import FolderLock; lock = FolderLock(sys.argv[1]); lock.hold()"
    script += "; print('held', flush=True); sys.stdin.read()"
    holders = []

    def hold(folder):
        command = [sys.executable, "-c", script, str(folder)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        holders.append(subprocess.Popen(command, cwd=Path(__file__).parents[2], **pipes))  # noqa: S603
        assert holders[-1].stdout.readline() == b"held\n"
        return holders[-1]

    yield hold
    for holder in holders:
        holder.kill()
        holder.communicate()


@pytest.fixture(scope="session")
def make_record():
    """One measurement's record, as far as the summary reads it."""

    def make(epoch, held_out_loss=1.0, onset=math.nan, **more):
        return {
            "epoch": epoch,
            "n_variables": 3,
            "train_loss": 0.5,
            "held_out_loss": held_out_loss,
            "loss_gap": held_out_loss - 0.5,
            "phase": "normal" if math.isnan(onset) else "overfitting",
            "onset_epoch": onset,
            "mean_order": 1.75,
            "positive": [2.0, 1.0, 0.0],
            "negative": [2.0, 0.0, 0.5],
            "normalized_positive": [0.5, 0.25, 0.0],
            "normalized_negative": [0.5, 0.0, 0.125],
        } | more

    return make


# -- miniature data in the owners' layouts -----------------------------------------------------------------------------

WORDS = [
    "acting",
    "award",
    "camera",
    "charm",
    "comedy",
    "director",
    "drama",
    "fun",
    "hero",
    "humor",
    "joke",
    "laugh",
    "magic",
    "master",
    "movie",
    "music",
    "plot",
    "poet",
    "scene",
    "script",
    "song",
    "star",
    "story",
    "style",
    "tale",
    "talent",
    "theme",
    "thrill",
    "voice",
    "wit",
]


@pytest.fixture(scope="session")
def write_image():
    """Write an image of noise."""

    def write(path, width, height, seed=0):
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path, format="JPEG")

    return write


@pytest.fixture(scope="session")
def write_cifar10():
    """CIFAR-10 as Keras hands it out: labels in a column."""

    def write(root, n_train=2000, n_test=1000):
        root.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(0)
        arrays = {}
        for part, count in (("train", n_train), ("test", n_test)):
            arrays[f"x_{part}"] = rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
            arrays[f"y_{part}"] = (np.arange(count) % 10).reshape(-1, 1)
        np.savez(root / "cifar10.npz", **arrays)
        return arrays

    return write


@pytest.fixture
def cifar_batches(tmp_path, monkeypatch):
    """torchvision's layout with five batches of two images, and torchvision's own check of the files."""
    folder = tmp_path / CIFAR10.base_folder
    folder.mkdir()
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (12, 3, 32, 32), dtype=np.uint8)
    names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
    for position, name in enumerate(names):
        rows = slice(2 * position, 2 * position + 2)
        batch = {"data": pixels[rows].reshape(2, -1), "labels": [position, position + 1]}
        (folder / name).write_bytes(pickle.dumps(batch))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
    listed = [[name, calculate_md5(folder / name)] for name in names]
    monkeypatch.setattr(CIFAR10, "train_list", listed[:5])
    monkeypatch.setattr(CIFAR10, "test_list", listed[5:])
    meta = {"filename": "batches.meta", "key": "label_names", "md5": calculate_md5(folder / "batches.meta")}
    monkeypatch.setattr(CIFAR10, "meta", meta)
    return folder, pixels


@pytest.fixture(scope="session")
def write_mnist():
    """MNIST's four IDX files."""

    def write(root, n_train=1000, n_test=2000):
        folder = root / "MNIST" / "raw"
        folder.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(0)
        for name, count in (("train", n_train), ("t10k", n_test)):
            images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
            labels = (np.arange(count) % 10).astype(np.uint8)
            for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
                head = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
                (folder / f"{name}-{kind}-ubyte").write_bytes(head + array.tobytes())
        return folder

    return write


@pytest.fixture(scope="session")
def write_cub200(write_image):
    """CUB-200-2011: three training images and one test image of every class, 40 × 30 pixels, boxes inside."""

    def write(root, n_classes=10):
        folder = root / "CUB_200_2011"
        lines = {name: [] for name in ("images", "image_class_labels", "train_test_split", "bounding_boxes", "classes")}
        number = 0
        for label in range(1, n_classes + 1):
            name = f"{label:03d}.Bird_{label}"
            lines["classes"].append(f"{label} {name}")
            for copy in range(4):
                number += 1
                path = f"{name}/Bird_{label}_{copy:04d}_{number}.jpg"
                write_image(folder / "images" / path, 40, 30, seed=number)
                lines["images"].append(f"{number} {path}")
                lines["image_class_labels"].append(f"{number} {label}")
                lines["train_test_split"].append(f"{number} {int(copy < 3)}")
                lines["bounding_boxes"].append(f"{number} 4.0 3.0 30.0 20.5")
        for name, content in lines.items():
            (folder / f"{name}.txt").write_text("\n".join(content) + "\n")
        return folder

    return write


@pytest.fixture(scope="session")
def write_tiny_imagenet(write_image):
    """Tiny-ImageNet: one training and one validation image of every class; `wnids.txt` is not sorted, as published."""

    def write(root, n_classes=50):
        folder = root / "tiny-imagenet-200"
        names = [f"n{10_000_000 + 7 * number}" for number in range(n_classes)]
        annotations = []
        for number, name in enumerate(names):
            write_image(folder / "train" / name / "images" / f"{name}_0.JPEG", 64, 64, seed=number)
            write_image(folder / "val" / "images" / f"val_{number}.JPEG", 64, 64, seed=1000 + number)
            annotations.append(f"val_{number}.JPEG\t{name}\t0\t3\t63\t57")
        (folder / "wnids.txt").write_text("\n".join(reversed(names)) + "\n")
        (folder / "val" / "val_annotations.txt").write_text("\n".join(annotations) + "\n")
        return folder

    return write


@pytest.fixture(scope="session")
def write_sst2():
    """SST-2 as GLUE hands it out: sentences of twelve meaningful words."""

    def write(root, n_train=1000, n_dev=20):
        root.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(0)
        for name, count in (("train", n_train), ("dev", n_dev)):
            lines = [f"the {' '.join(rng.choice(WORDS, 12, replace=False))} .\t{row % 2}" for row in range(count)]
            (root / f"{name}.tsv").write_text("\n".join(["sentence\tlabel", *lines]) + "\n")
        return root

    return write


@pytest.fixture(scope="session")
def write_encoder():
    """A BERT of one narrow layer with random weights, and its tokenizer, as the Hugging Face library saves them."""

    def write(folder, hidden_size=16, first=()):
        folder.mkdir(parents=True, exist_ok=True)
        vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *first, "the", ".", *WORDS]
        (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
        BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            config = BertConfig(
                vocab_size=len(vocabulary),
                hidden_size=hidden_size,
                num_hidden_layers=1,
                num_attention_heads=2,
                intermediate_size=32,
            )
            BertModel(config).save_pretrained(folder)
        return folder

    return write


@pytest.fixture(scope="session")
def miniature(
    tmp_path_factory, write_cifar10, write_mnist, write_cub200, write_tiny_imagenet, write_sst2, write_encoder
):
    """A working directory whose `data/` holds every data set and encoder that the configurations name, in miniature."""
    home = tmp_path_factory.mktemp("miniature")
    for write in (write_cifar10, write_mnist, write_cub200, write_tiny_imagenet):
        write(home / "data")
    write_sst2(home / "data" / "sst2")
    write_encoder(home / "data" / "models" / "minilm-l6")
    return home


# -- a run ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def fit_lenet():
    """Train a LeNet on images of noise: three variables, four images; ``fit_lenet(home, *options)`` is the CLI."""

    def fit(home, *options, command="fit"):
        with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng():
            patch.chdir(home)
            patch.setattr(sys, "argv", ["experiments"])
            for name in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS"):
                patch.setenv(name, "0")
            return main(
                [
                    command,
                    f"--config={CONFIGS / 'lenet_mnist.yaml'}",
                    f"--config={CONFIGS / 'small' / 'lenet_mnist.yaml'}",
                    "--n=3",
                    "--data.init_args.n_train=100",
                    "--data.init_args.n_test=60",
                    "--monitor.at_epochs=[0, 1, 3]",
                    "--monitor.n_samples=4",
                    "--monitor.n_loss_samples=20",
                    "--similarity.at_epochs=[3]",
                    "--similarity.n_classes=2",
                    "--similarity.samples_per_class=3",
                    "--trainer.enable_progress_bar=false",
                    "--trainer.enable_model_summary=false",
                    "--trainer.max_epochs=3",
                    *options,
                ]
            )

    return fit


@pytest.fixture(scope="session")
def lenet_home(tmp_path_factory, write_mnist):
    """A working directory with the data that a LeNet takes."""
    home = tmp_path_factory.mktemp("lenet")
    write_mnist(home / "data", n_train=300, n_test=100)
    return home


@pytest.fixture(scope="session")
def lenet_run(lenet_home, fit_lenet):
    """A finished run of three epochs, measured at 0, 1 and 3, not to be changed: the CLI and the folder."""
    cli = fit_lenet(lenet_home)
    return cli, lenet_home / "runs" / "lenet_mnist" / "small-seed0"


@pytest.fixture
def synthetic_run(tmp_path, write_synthetic_run):
    """A run's folder of the test's own; see :func:`write_synthetic_run`."""
    return write_synthetic_run(tmp_path)


@pytest.fixture(scope="session")
def write_synthetic_run(tmp_path_factory, make_record):
    """Write a run's folder with all that the figures read, made of random games in the place of a network.

    The games have four variables and are additive with noise: much at first, little at epoch 2, then more and more.
    """
    written = _synthetic_run(tmp_path_factory.mktemp("written"), make_record)  # slow, so once for all

    def write(home):
        folder = home / "runs" / "lenet_mnist" / "small-seed0"
        shutil.copytree(written.path, folder)
        return RunFolder(folder)

    return write


def _synthetic_run(home, make_record):
    folder = home / "runs" / "lenet_mnist" / "small-seed0"
    generator = torch.Generator().manual_seed(0)
    present = lattice.subset_masks(4).double()

    def game(noise, samples=6):
        weights = torch.rand(samples, 4, generator=generator, dtype=torch.float64)
        values = weights @ present.T + noise * torch.randn(samples, 16, generator=generator, dtype=torch.float64)
        return sparsify(values, 0.02 * output_scale(values), provenance={"samples": list(range(samples))})

    interactions = folder / "interactions"
    history = History()
    for epoch, noise, held_out, onset in (
        (0, 3.0, 2.3, math.nan),
        (2, 0.05, 0.6, math.nan),
        (4, 0.3, 0.8, math.nan),
        (6, 0.6, 0.9, 4),
        (8, 1.0, 1.2, 4),
    ):
        found = game(noise)
        found.save(interactions / f"epoch={epoch:04d}.npz")
        history.add(make_record(epoch, held_out, onset, global_step=epoch, seconds=1.0) | summarize(found))
    history.save(interactions / "history.json")
    for part in ("train", "test"):
        game(0.3).save(interactions / part / "epoch=0008.npz")
    injected = folder / "injected"
    game(0.05).save(injected / "clean.npz")
    steps = []
    for kind in ("weight_noise", "fgsm"):
        for sigma in (0.1, 0.2, 0.4):
            game(3 * sigma).save(injected / f"{kind}_{sigma}.npz")
            steps.append({"kind": kind, "sigma": sigma, "file": f"{kind}_{sigma}.npz"})
    logger = {"class_path": "TensorBoardLogger", "init_args": {"name": "lenet_mnist", "save_dir": "/somewhere/runs"}}
    units = {"weight_noise": "root mean square of each parameter tensor", "fgsm": "pixel value, 0 … 1"}
    kinds = {"data": {"init_args": {}}, "model": {"network": {"init_args": {}}}}
    config = {"seed_everything": 0, "size": "small", "n": 4, "trainer": {"logger": logger}} | kinds
    files = {
        "config.yaml": config,
        "data.json": {"similarity": {part: [0, 0, 0, 1, 1, 1] for part in ("train", "test")}}
        | {"train_rows": list(range(7)), "test_rows": list(range(5))},
        "run.json": {"finished": True, "seconds": 60.0, "metrics": {"val/accuracy": 0.9}, "machine": "a machine"}
        | {"date": "2026-01-01T00:00:00", "commit": "abc", "versions": {}, "python": "3", "epochs": 8},
        "injected/index.json": {"epoch": 2, "sigma_unit": units, "steps": steps, "seconds": 6.0},
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))  # JSON is YAML as well
    return RunFolder(folder)
