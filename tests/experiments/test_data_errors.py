"""Every file of every data set, made wrong in every way we could think of: each time one error that names it."""

import gzip
import io
import re
import zipfile

import numpy as np
import pytest

from experiments.data.cifar10 import Cifar10
from experiments.data.cub200 import Cub200
from experiments.data.mnist import Mnist
from experiments.data.sst2 import Sst2
from experiments.data.tiny_imagenet import TinyImageNet

SITES = {
    Cifar10: r"get cifar-10-python\.tar\.gz from https://www\.cs\.toronto\.edu.* unpack it in '{root}'",
    Mnist: r"get the four files from http://yann\.lecun\.com.* unpack them in '{root}/MNIST/raw'",
    Cub200: r"get CUB_200_2011\.tgz from https://www\.vision\.caltech\.edu.* unpack it in '{root}'",
    TinyImageNet: r"get tiny-imagenet-200\.zip from http://cs231n\.stanford\.edu.* unpack it in '{root}'",
    Sst2: r"get SST-2.* from https://gluebenchmark\.com.* put its train\.tsv and dev\.tsv into '{root}'",
}
HTML = b"<!DOCTYPE html>\n<html><body>404 Not Found</body></html>\n"
LATIN = "caf\u00e9 1\n".encode("latin-1")
"""Bytes that are no UTF-8."""


def cases(named):
    """Cases under their names."""
    return [pytest.param(*values, id=name) for name, values in named.items()]


def refused(data, error, path, said):
    """The message of the one error that names the file, what it should hold, what it holds, and where to get it."""
    with pytest.raises(error) as raised:
        data.setup("fit")
    message = str(raised.value)
    assert f"'{path}'" in message
    assert re.search(said, message), message
    assert re.search("HINT: .*" + SITES[type(data)].format(root=re.escape(str(data.root))), message), message
    return message


# -- CIFAR-10 ----------------------------------------------------------------------------------------------------------


def arrays_of(images=10, labels=10, **changed):
    pixels, classes = np.zeros((images, 32, 32, 3), np.uint8), (np.arange(labels) % 10).reshape(-1, 1)
    return {"x_train": pixels, "y_train": classes, "x_test": pixels, "y_test": classes} | changed


def column(*labels, dtype=np.int64):
    return np.array(labels, dtype).reshape(-1, 1)


def npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def compressed_and_damaged():
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 9, (10, 32, 32, 3), dtype=np.uint8)
    np.savez_compressed(file, **arrays_of(x_train=pixels))
    content = bytearray(file.getvalue())
    content[2000:2100] = bytes(100)
    return bytes(content)


def damaged_head():
    """An array whose head opens a bracket too many, under a checksum that fits."""
    file = io.BytesIO()
    head = b"{'descr': (((".ljust(118)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x_train.npy", b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head)
    return file.getvalue()


def one_array():
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    cases(
        {
            "empty": (b"", "should hold the arrays x_train, y_train, x_test and y_test, got .*EOFError"),
            "html": (HTML, "should hold the arrays x_train, y_train, x_test and y_test, got"),
            "one array": (one_array(), "should hold the arrays x_train, y_train, x_test and y_test, got"),
            "damaged": (compressed_and_damaged(), "should hold the arrays x_train, y_train, x_test and y_test, got"),
            "damaged head": (damaged_head(), "should hold the arrays x_train, y_train, x_test and y_test, got"),
            "no labels": (npz(x_train=np.zeros(3)), "should hold the arrays .*, got .*y_train"),
            "label 10": (npz(**arrays_of(y_test=column(*range(9), 10))), "y_test .*labels 0 … 9, got 10 at position 9"),
            "label −1": (
                npz(**arrays_of(y_train=column(3, -1, *[0] * 8))),
                "y_train .*labels 0 … 9, got -1 at position 1",
            ),
            "fraction": (npz(**arrays_of(y_train=column(*[0.5] * 10, dtype=float))), r"y_train float64 \(10, 1\)"),
            "one-hot": (npz(**arrays_of(y_train=np.eye(10, dtype=np.int64))), r"y_train int64 \(10, 10\)"),
            "fewer labels": (npz(**arrays_of(labels=9)), r"one label for each.* \(10, 32, 32, 3\) .* \(9, 1\)"),
            "no images": (npz(**arrays_of(images=0, labels=0)), r"\(0, 32, 32, 3\)"),
            "scaled images": (npz(**arrays_of(x_test=np.zeros((10, 32, 32, 3)))), r"x_test float64 \(10, 32, 32, 3\)"),
            "channels first": (
                npz(**arrays_of(x_test=np.zeros((10, 3, 32, 32), np.uint8))),
                r"x_test uint8 \(10, 3, 32",
            ),
            "a number": (npz(**arrays_of(y_test=np.array(3))), r"y_test int64 \(\)"),
        }
    ),
)
def test_a_wrong_archive_of_cifar10_is_named(tmp_path, content, said):
    (tmp_path / "cifar10.npz").write_bytes(content)
    refused(Cifar10(str(tmp_path)), ValueError, tmp_path / "cifar10.npz", said)


def test_missing_cifar10_says_what_to_get(tmp_path):
    batches = tmp_path / "cifar-10-batches-py"
    message = refused(Cifar10(str(tmp_path)), FileNotFoundError, batches, "CIFAR-10 was not found")
    assert "--data.init_args.download=true" in message
    batches.mkdir()
    refused(Cifar10(str(tmp_path)), FileNotFoundError, batches / "data_batch_1", "CIFAR-10 was not found")
    (batches / "data_batch_1").write_bytes(HTML)
    said = f"the published file with the MD5 c99cafc152244af753f735de768cd75f, got one of {len(HTML)} bytes with"
    refused(Cifar10(str(tmp_path)), ValueError, batches / "data_batch_1", said)


# -- MNIST -------------------------------------------------------------------------------------------------------------


def idx(array):
    head = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    return head + array.astype(np.uint8).tobytes()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    cases(
        {
            "empty": ("train-images-idx3-ubyte", b"", "an IDX array of bytes with 3 axes, got an empty file"),
            "html": ("train-labels-idx1-ubyte", HTML, "an IDX array of bytes with 1 axes, got a file that starts with"),
            "packed": ("train-images-idx3-ubyte", gzip.compress(b"x"), "got a file that starts with 1f8b08.*unpack"),
            "cut": ("t10k-labels-idx1-ubyte", idx(np.arange(10))[:-3], "18 bytes, as its head says, got 15 bytes"),
            "label 10": ("t10k-labels-idx1-ubyte", idx(np.arange(1, 11)), "labels 0 … 9, got 10 at position 9"),
            "more labels": (
                "train-labels-idx1-ubyte",
                idx(np.arange(21) % 10),
                "20 labels, one for each image, got 21",
            ),
            "no images": (
                "t10k-images-idx3-ubyte",
                idx(np.zeros((0, 28, 28))),
                r"\(samples, 28, 28\), got \(0, 28, 28\)",
            ),
            "size": ("t10k-images-idx3-ubyte", idx(np.zeros((10, 32, 32))), r"\(samples, 28, 28\), got \(10, 32, 32\)"),
            "the others": (
                "t10k-labels-idx1-ubyte",
                idx(np.zeros((10, 28, 28))),
                "with 1 axes, got a file that starts",
            ),
        }
    ),
)
def test_a_wrong_file_of_mnist_is_named(tmp_path, write_mnist, name, content, said):
    folder = write_mnist(tmp_path, n_train=20, n_test=10)
    (folder / name).write_bytes(content)
    refused(Mnist(str(tmp_path)), ValueError, folder / name, said)


def test_every_missing_file_of_mnist_is_named(tmp_path, write_mnist):
    folder = write_mnist(tmp_path, n_train=20, n_test=10)
    for path in folder.iterdir():
        content = path.read_bytes()
        path.unlink()
        message = refused(Mnist(str(tmp_path)), FileNotFoundError, path, "MNIST was not found")
        assert "--data.init_args.download=true" in message
        path.write_bytes(content)


# -- CUB-200-2011 ------------------------------------------------------------------------------------------------------


def replaced(before, after):
    return lambda text: text.replace(before, after)


@pytest.mark.parametrize("in_use", ["images", "image_class_labels", "train_test_split", "bounding_boxes"])
@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "got none"), (HTML, "got '<!DOCTYPE html>' in line 1"), (LATIN, "UTF-8 text")],
)
def test_a_table_of_cub200_that_is_none_is_named(tmp_path, write_cub200, in_use, content, said):
    path = write_cub200(tmp_path, n_classes=1) / f"{in_use}.txt"
    path.write_bytes(content)
    refused(Cub200(str(tmp_path)), ValueError, path, said)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    cases(
        {
            "class 0": ("image_class_labels", replaced("1 1\n", "1 0\n"), "labels 1 … 200, got 0 at position 0"),
            "class 201": ("image_class_labels", replaced("8 2\n", "8 201\n"), "labels 1 … 200, got 201 at position 7"),
            "of another folder": (
                "image_class_labels",
                replaced("2 1\n", "2 2\n"),
                "class 1 for image 2, which lies in 001.Bird_1/, got 2",
            ),
            "a word": ("image_class_labels", replaced("2 1\n", "2 one\n"), "got '2 one' in line 2"),
            "split 2": ("train_test_split", replaced("2 1\n", "2 2\n"), "0 or 1 .*got '2 2' in line 2"),
            "no training": (
                "train_test_split",
                lambda text: re.sub(r" 1\n", " 0\n", text),
                "training images .*got none",
            ),
            "no test": ("train_test_split", lambda text: re.sub(r" 0\n", " 1\n", text), "test images .*got none"),
            "twice": ("train_test_split", replaced("2 1\n", "1 1\n"), "image 1 once, got '1 1' again in line 2"),
            "other images": (
                "train_test_split",
                replaced("\n2 1\n", "\n99 1\n"),
                "8 images of images.txt.*got none for 2",
            ),
            "more images": ("train_test_split", lambda text: text + "9 1\n", "8 images of images.txt.*got one for 9"),
            "three numbers": (
                "bounding_boxes",
                replaced("2 4.0 3.0 30.0 20.5", "2 4.0 3.0 30.0"),
                "got '2 4.*' in line 2",
            ),
            "no width": (
                "bounding_boxes",
                replaced("2 4.0 3.0 30.0 20.5", "2 4.0 3.0 0.0 20.5"),
                "got '2 4.*' in line 2",
            ),
            "not finite": (
                "bounding_boxes",
                replaced("2 4.0 3.0 30.0", "2 4.0 nan 30.0"),
                "got '2 4.0 nan.*' in line 2",
            ),
            "a path": (
                "images",
                replaced("001.Bird_1/Bird_1_0001_2.jpg", "Bird_1_0001_2.jpg"),
                "<class>/<file>.*in line 2",
            ),
        }
    ),
)
def test_tables_of_cub200_that_disagree_are_named(tmp_path, write_cub200, name, change, said):
    path = write_cub200(tmp_path, n_classes=2) / f"{name}.txt"
    before = path.read_text()
    path.write_text(change(before))
    assert path.read_text() != before
    refused(Cub200(str(tmp_path)), ValueError, path, said)


def test_an_image_that_the_tables_list_and_the_folder_lacks_is_named_before_the_training(tmp_path, write_cub200):
    folder = write_cub200(tmp_path, n_classes=2)
    image = next((folder / "images" / "002.Bird_2").iterdir())
    image.unlink()
    refused(Cub200(str(tmp_path)), FileNotFoundError, image, "CUB-200-2011 was not found")


@pytest.mark.parametrize("content", [b"", HTML, b"\xff\xd8\xff\xe0 and no more", "cut"])
def test_an_image_that_cannot_be_decoded_is_named(tmp_path, write_cub200, content):
    write_cub200(tmp_path, n_classes=1)
    data = Cub200(str(tmp_path), image_size=16)
    data.setup("fit")
    path = data.train.inputs.paths[1]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] if content == "cut" else content)
    with pytest.raises(ValueError, match=rf"{path.name}' should hold an image, got .*get CUB_200_2011\.tgz from"):
        data.train[1]


def test_an_image_that_has_gone_during_the_training_is_named(tmp_path, write_cub200):
    write_cub200(tmp_path, n_classes=1)
    data = Cub200(str(tmp_path), image_size=16)
    data.setup("fit")
    data.train.inputs.paths[1].unlink()
    with pytest.raises(FileNotFoundError, match=r"there is no '.*_2\.jpg'. HINT: get CUB_200_2011\.tgz from"):
        data.train[1]


def test_a_box_beside_the_image_is_named(tmp_path, write_cub200):
    path = write_cub200(tmp_path, n_classes=1) / "bounding_boxes.txt"
    path.write_text(path.read_text().replace("2 4.0", "2 400.0"))
    data = Cub200(str(tmp_path), image_size=16)
    data.setup("fit")
    with pytest.raises(ValueError, match=r"_2\.jpg' should hold the box 400, 3, 430, 23\.5 .*got .* 40 × 30 pixels"):
        data.train[1]


@pytest.mark.parametrize("n_classes", [0, -1, 3])
def test_more_classes_of_cub200_than_there_are_cannot_be_had(tmp_path, write_cub200, n_classes):
    write_cub200(tmp_path, n_classes=2)
    with pytest.raises(ValueError, match=rf"`n_classes` must lie in 1 … 2, .* got {n_classes}"):
        Cub200(str(tmp_path), n_classes=n_classes).setup("fit")


# -- Tiny-ImageNet -----------------------------------------------------------------------------------------------------

FIRST = "val_0.JPEG\tn10000000\t"


@pytest.mark.parametrize(
    ("name", "change", "said"),
    cases(
        {
            "no classes": ("wnids.txt", lambda _: b"", "the name of a class in every line, got none"),
            "html": ("wnids.txt", lambda _: HTML, "got '<!DOCTYPE html>' in line 1"),
            "other bytes": ("wnids.txt", lambda _: LATIN, "UTF-8 text"),
            "cut": ("wnids.txt", lambda text: text[:-4], "got 'n10000' in line 2"),
            "twice": ("wnids.txt", lambda text: text + b"n10000007\n", "n10000007 once, got it again in line 3"),
            "no images": (
                "val/val_annotations.txt",
                lambda _: b"",
                "a line for each image of val/images, got none for val_0.JPEG",
            ),
            "other text": ("val/val_annotations.txt", lambda _: HTML, "got '<!DOCTYPE html>' in line 1"),
            "latin": ("val/val_annotations.txt", lambda _: LATIN, "UTF-8 text"),
            "a line less": ("val/val_annotations.txt", lambda text: text.split(b"\n")[0], "none for val_1.JPEG"),
            "a class": (
                "val/val_annotations.txt",
                replaced(FIRST.encode(), b"val_0.JPEG\tn99999999\t"),
                "a class of wnids.txt, got 'n99999999' in line 1",
            ),
            "same image": (
                "val/val_annotations.txt",
                replaced(b"val_1.JPEG", b"val_0.JPEG"),
                "val_0.JPEG once, got it again in line 2",
            ),
            "no image of a class": (
                "val/val_annotations.txt",
                replaced(FIRST.encode(), b"val_0.JPEG\tn10000007\t"),
                "images of every class, got none of n10000000",
            ),
        }
    ),
)
def test_a_wrong_file_of_tiny_imagenet_is_named(tmp_path, write_tiny_imagenet, name, change, said):
    path = write_tiny_imagenet(tmp_path, n_classes=2) / name
    before = path.read_bytes()
    path.write_bytes(change(before))
    assert path.read_bytes() != before
    refused(TinyImageNet(str(tmp_path), n_classes=None), ValueError, path, said)


def test_every_missing_part_of_tiny_imagenet_is_named(tmp_path, write_tiny_imagenet):
    data, folder = TinyImageNet(str(tmp_path), n_classes=None), tmp_path / "tiny-imagenet-200"
    refused(data, FileNotFoundError, folder, "Tiny-ImageNet was not found")
    write_tiny_imagenet(tmp_path, n_classes=2)
    for path in (folder / "wnids.txt", folder / "val" / "val_annotations.txt", folder / "val/images/val_1.JPEG"):
        path.rename(path.with_suffix(".moved"))
        refused(data, FileNotFoundError, path, "Tiny-ImageNet was not found")
        path.with_suffix(".moved").rename(path)
    images = folder / "train" / "n10000007" / "images"
    images.rename(images.with_name("moved"))
    refused(data, FileNotFoundError, images / "*.JPEG", "Tiny-ImageNet was not found")


# -- SST-2 -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def encoder(tmp_path_factory, write_encoder):
    return str(write_encoder(tmp_path_factory.mktemp("encoder")))


@pytest.mark.parametrize("name", ["train.tsv", "dev.tsv"])
@pytest.mark.parametrize(
    ("content", "said"),
    cases(
        {
            "empty": (b"", r"the columns 'sentence' and 'label', got \[\]"),
            "html": (HTML, r"the columns 'sentence' and 'label', got \['<!DOCTYPE html>'\]"),
            "GLUE's test.tsv": (
                b"index\tsentence\n0\tfun\n",
                r"the columns 'sentence' and 'label', got \['index', 'sentence'\]",
            ),
            "no head": (b"a fine film\t1\n", r"the columns 'sentence' and 'label', got \['a fine film', '1'\]"),
            "no sentences": (b"sentence\tlabel\n", "should hold sentences, got none"),
            "label 2": (b"sentence\tlabel\nfun\t1\nfun\t2\n", r"a sentence and 0 or 1 .*got \['fun', '2'\] in line 3"),
            "no label": (b"sentence\tlabel\nfun\t\n", r"a sentence and 0 or 1 .*got \['fun', ''\] in line 2"),
            "no sentence": (b"sentence\tlabel\n \t1\n", r"a sentence and 0 or 1 .*got \[' ', '1'\] in line 2"),
            "an empty line": (b"sentence\tlabel\n\nfun\t1\n", r"a sentence and 0 or 1 .*got \[''\] in line 2"),
            "other bytes": (b"sentence\tlabel\n" + LATIN, "UTF-8 text"),
            "one long line": (b"sentence\tlabel\n" + b"x" * 200_000, "should hold .*in line 2"),
        }
    ),
)
def test_a_wrong_file_of_sst2_is_named(tmp_path, write_sst2, encoder, name, content, said):
    write_sst2(tmp_path, n_train=6, n_dev=4)
    (tmp_path / name).write_bytes(content)
    message = refused(Sst2(str(tmp_path), encoder), ValueError, tmp_path / name, said)
    assert len(message) < 1000


def test_every_missing_file_of_sst2_is_named(tmp_path, write_sst2, encoder):
    for name in ("train.tsv", "dev.tsv"):
        write_sst2(tmp_path, n_train=6, n_dev=4)
        (tmp_path / name).unlink()
        refused(Sst2(str(tmp_path), encoder), FileNotFoundError, tmp_path / name, "SST-2 was not found")
