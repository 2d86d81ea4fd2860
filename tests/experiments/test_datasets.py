"""The data sets in their owners' layouts: what is read, and what is said when something is not as it should be."""

from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image

from experiments.data.cifar10 import Cifar10
from experiments.data.cub200 import Cub200
from experiments.data.mnist import Mnist
from experiments.data.sst2 import Sst2
from experiments.data.tiny_imagenet import TinyImageNet, equal_intervals


def prepared(data):
    data.setup("fit")
    return data


def images_of(examples):
    return torch.stack([image for image, _ in examples])


def labels_of(examples):
    return [int(label) for _, label in examples]


# -- CIFAR-10 ----------------------------------------------------------------------------------------------------------


def test_cifar10_in_torchvisions_layout(cifar_batches):
    folder, pixels = cifar_batches
    data = prepared(Cifar10(str(folder.parent), seed=0))

    torch.testing.assert_close(images_of(data.train), torch.from_numpy(pixels[:10]) / 255)
    torch.testing.assert_close(images_of(data.test), torch.from_numpy(pixels[10:]) / 255)
    assert labels_of(data.train) == [0, 1, 1, 2, 2, 3, 3, 4, 4, 5]
    assert labels_of(data.test) == [5, 6]


def test_a_changed_batch_of_cifar10_is_named(cifar_batches):
    folder, _ = cifar_batches
    (folder / "data_batch_3").write_bytes((folder / "data_batch_3").read_bytes()[:-5])

    with pytest.raises(ValueError, match=r"data_batch_3' should hold the published file with the MD5"):
        prepared(Cifar10(str(folder.parent)))


def test_a_missing_batch_of_cifar10_is_named(cifar_batches):
    folder, _ = cifar_batches
    (folder / "test_batch").unlink()

    with pytest.raises(FileNotFoundError, match=r"there is no '.*test_batch'.*cs\.toronto\.edu"):
        prepared(Cifar10(str(folder.parent)))


def test_cifar10_as_keras_hands_it_out(tmp_path, write_cifar10):
    arrays = write_cifar10(tmp_path, n_train=30, n_test=20)
    data = prepared(Cifar10(str(tmp_path), seed=0))

    expected = torch.from_numpy(arrays["x_test"]).permute(0, 3, 1, 2) / 255
    torch.testing.assert_close(images_of(data.test), expected)
    assert labels_of(data.train) == arrays["y_train"].ravel().tolist()


def test_a_truncated_archive_of_cifar10_is_named(tmp_path, write_cifar10):
    write_cifar10(tmp_path, 30, 20)
    path = tmp_path / "cifar10.npz"
    path.write_bytes(path.read_bytes()[:-2000])

    with pytest.raises(ValueError, match=r"cifar10\.npz' should hold the arrays x_train"):
        prepared(Cifar10(str(tmp_path)))


def test_arrays_of_another_shape_are_named(tmp_path):
    arrays = {f"{kind}_{part}": np.zeros((4, 32, 32), np.uint8) for kind in "xy" for part in ("train", "test")}
    np.savez(tmp_path / "cifar10.npz", **arrays)

    with pytest.raises(ValueError, match=r"uint8 images \(samples, 32, 32, 3\) and one label for each"):
        prepared(Cifar10(str(tmp_path)))


# -- MNIST -------------------------------------------------------------------------------------------------------------


def test_mnist_is_enlarged(tmp_path, write_mnist):
    folder = write_mnist(tmp_path, n_train=20, n_test=10)
    data = prepared(Mnist(str(tmp_path), seed=0))
    raw = (folder / "t10k-images-idx3-ubyte").read_bytes()[16:]
    small = torch.frombuffer(bytearray(raw), dtype=torch.uint8).reshape(10, 1, 28, 28).float()
    expected = torch.nn.functional.interpolate(small, (32, 32), mode="bilinear", align_corners=False)

    assert images_of(data.train).shape == (20, 1, 32, 32)
    # Pixels are whole numbers from 0 to 255 after resizing.
    assert (images_of(data.test) * 255 - expected).abs().max() <= 1
    assert labels_of(data.test) == list(range(10))


def test_missing_mnist_says_what_to_get(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"train-images-idx3-ubyte'.*yann\.lecun\.com.*download=true"):
        prepared(Mnist(str(tmp_path)))


@pytest.mark.parametrize("cut", [10, 500])
def test_a_truncated_file_of_mnist_is_named(tmp_path, write_mnist, cut):
    folder = write_mnist(tmp_path, n_train=20, n_test=10)
    path = folder / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-cut])

    with pytest.raises(ValueError, match=rf"t10k-images-idx3-ubyte' should hold 7856 bytes.*got {7856 - cut} bytes"):
        prepared(Mnist(str(tmp_path)))


def test_a_file_that_is_no_idx_file_is_named(tmp_path, write_mnist):
    folder = write_mnist(tmp_path, n_train=20, n_test=10)
    (folder / "train-labels-idx1-ubyte").write_text("<html>not found</html>")

    with pytest.raises(ValueError, match="train-labels-idx1-ubyte' should hold an IDX array of bytes with 1 axes"):
        prepared(Mnist(str(tmp_path)))


# -- CUB-200-2011 ------------------------------------------------------------------------------------------------------


def test_cub200_keeps_the_owners_split_and_crops_to_the_box(tmp_path, write_cub200):
    folder = write_cub200(tmp_path, n_classes=3)
    data = prepared(Cub200(str(tmp_path), image_size=24, seed=0))
    first = min((folder / "images" / "001.Bird_1").iterdir())
    with Image.open(first) as file:
        # The box is 4, 3, 30 wide and 20.5 high.
        expected = np.asarray(file.resize((24, 24), Image.Resampling.BILINEAR, box=(4.0, 3.0, 34.0, 23.5)))

    assert labels_of(data.train) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert labels_of(data.test) == [0, 1, 2]
    assert images_of(data.train).shape == (9, 3, 24, 24)
    torch.testing.assert_close(data.train[0][0], torch.from_numpy(expected.copy()).permute(2, 0, 1) / 255)


def test_a_part_of_cub200_will_do(tmp_path, write_cub200):
    folder = write_cub200(tmp_path, n_classes=4)
    for path in (folder / "images" / "002.Bird_2").iterdir():
        path.unlink()
    (folder / "images" / "002.Bird_2").rmdir()

    data = prepared(Cub200(str(tmp_path), image_size=16, seed=0))
    assert labels_of(data.test) == [0, 1, 2]
    assert "003.Bird_3" in str(data.test.inputs.paths[1])
    fewer = prepared(Cub200(str(tmp_path), image_size=16, n_classes=2, seed=0))
    assert Counter(labels_of(fewer.train)) == {0: 3, 1: 3}


def test_a_box_that_ends_outside_the_image_is_cut(tmp_path, write_cub200):
    folder = write_cub200(tmp_path, n_classes=1)
    boxes = (folder / "bounding_boxes.txt").read_text().replace("4.0 3.0 30.0 20.5", "-0.5 0.0 40.9 30.4")
    (folder / "bounding_boxes.txt").write_text(boxes)

    assert prepared(Cub200(str(tmp_path), image_size=16)).train[0][0].shape == (3, 16, 16)


@pytest.mark.parametrize("name", ["images", "image_class_labels", "train_test_split", "bounding_boxes"])
def test_a_missing_table_of_cub200_is_named(tmp_path, write_cub200, name):
    folder = write_cub200(tmp_path, n_classes=1)
    (folder / f"{name}.txt").unlink()

    with pytest.raises(FileNotFoundError, match=rf"{name}\.txt'\. HINT: get CUB_200_2011\.tgz from .*caltech\.edu"):
        prepared(Cub200(str(tmp_path)))


def test_a_truncated_table_of_cub200_is_named(tmp_path, write_cub200):
    path = write_cub200(tmp_path, n_classes=1) / "bounding_boxes.txt"
    whole = path.read_text()
    path.write_text(whole.rsplit("\n", 2)[0] + "\n")
    with pytest.raises(ValueError, match=r"bounding_boxes\.txt' should hold an entry for each of the 4 images"):
        prepared(Cub200(str(tmp_path)))

    path.write_text(whole.rstrip()[:-5])
    with pytest.raises(ValueError, match=r"bounding_boxes\.txt' should hold .* in every line, got '4 .*' in line 4"):
        prepared(Cub200(str(tmp_path)))


@pytest.mark.parametrize("in_memory", [True, False])
def test_missing_and_truncated_images_are_named(tmp_path, write_cub200, in_memory):
    write_cub200(tmp_path, n_classes=1)
    data = prepared(Cub200(str(tmp_path), image_size=16, in_memory=in_memory))
    whole = data.train[0][0]
    first, second = data.train.inputs.paths[1:3]
    first.unlink()
    second.write_bytes(second.read_bytes()[:200])

    with pytest.raises(FileNotFoundError, match=first.name):
        data.train[1]
    with pytest.raises(ValueError, match=rf"{second.name}' should hold an image"):
        data.train[2]
    assert torch.equal(data.train[0][0], whole)


# -- Tiny-ImageNet -----------------------------------------------------------------------------------------------------


def test_fifty_of_200_classes_are_the_fourth_the_eighth_and_so_on():
    names = [f"{number:03d}" for number in range(1, 201)]

    assert equal_intervals(names, 50) == [f"{number:03d}" for number in range(4, 201, 4)]
    assert equal_intervals(names, 200) == names
    with pytest.raises(ValueError, match="`n_classes` must lie in 1 … 200"):
        equal_intervals(names, 201)


def test_tiny_imagenet_takes_classes_at_equal_intervals(tmp_path, write_tiny_imagenet):
    folder = write_tiny_imagenet(tmp_path, n_classes=8)
    data = prepared(TinyImageNet(str(tmp_path), image_size=32, n_classes=4, seed=0))
    names = sorted((folder / "wnids.txt").read_text().split())

    assert labels_of(data.train) == [0, 1, 2, 3]
    assert [path.parent.parent.name for path in data.train.inputs.paths] == names[1::2]
    assert [path.name for path in data.test.inputs.paths] == [f"val_{number}.JPEG" for number in (1, 3, 5, 7)]
    assert labels_of(data.test) == [0, 1, 2, 3]
    assert images_of(data.test).shape == (4, 3, 32, 32)
    assert 0 <= images_of(data.test).min() < images_of(data.test).max() <= 1


@pytest.mark.parametrize("name", ["wnids.txt", "val/val_annotations.txt"])
def test_a_missing_file_of_tiny_imagenet_is_named(tmp_path, write_tiny_imagenet, name):
    folder = write_tiny_imagenet(tmp_path, n_classes=2)
    (folder / name).unlink()

    with pytest.raises(FileNotFoundError, match=rf"{name}'\. HINT: get tiny-imagenet-200\.zip from .*stanford\.edu"):
        prepared(TinyImageNet(str(tmp_path), n_classes=None))


def test_a_class_without_images_is_named(tmp_path, write_tiny_imagenet):
    folder = write_tiny_imagenet(tmp_path, n_classes=2)
    next((folder / "train").glob("*/images/*.JPEG")).unlink()

    with pytest.raises(FileNotFoundError, match=r"train/n\d+/images/\*\.JPEG'"):
        prepared(TinyImageNet(str(tmp_path), n_classes=None))


def test_annotations_of_another_form_are_named(tmp_path, write_tiny_imagenet):
    folder = write_tiny_imagenet(tmp_path, n_classes=2)
    (folder / "val" / "val_annotations.txt").write_text("val_0.JPEG n10000000\n")

    with pytest.raises(ValueError, match=r"val_annotations\.txt' should hold a file and its class in every line"):
        prepared(TinyImageNet(str(tmp_path), n_classes=None))


# -- SST-2 -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def encoder(tmp_path_factory, write_encoder):
    return str(write_encoder(tmp_path_factory.mktemp("encoder")))


def test_sst2_batches_are_padded_sentences(tmp_path, write_sst2, encoder):
    write_sst2(tmp_path, n_train=6, n_dev=4)
    (tmp_path / "dev.tsv").write_text('sentence\tlabel\nthe movie\t1\na "fun story\t0\n')
    data = prepared(Sst2(str(tmp_path), encoder, batch_size=3, seed=0))
    tokens, labels = next(iter(data.val_dataloader()))
    words = [data.tokenizer.convert_ids_to_tokens(row.tolist()) for row in tokens["input_ids"]]

    assert words[0] == ["[CLS]", "the", "movie", "[SEP]", "[PAD]", "[PAD]"]
    assert words[1] == ["[CLS]", "[UNK]", "[UNK]", "fun", "story", "[SEP]"]  # the quotation mark is a word of its own
    assert tokens["attention_mask"].sum(dim=1).tolist() == [4, 6]
    assert labels.tolist() == [1, 0]
    assert [len(batch[1]) for batch in data.train_dataloader()] == [3, 3]


def test_long_sentences_are_cut(tmp_path, write_sst2, encoder):
    write_sst2(tmp_path, n_train=6, n_dev=4)
    data = prepared(Sst2(str(tmp_path), encoder, max_length=5))

    assert {len(tokens["input_ids"]) for tokens, _ in data.train} == {5}


def test_missing_sst2_says_what_to_get(tmp_path, encoder):
    with pytest.raises(FileNotFoundError, match=r"train\.tsv'\. HINT: get SST-2 .* from https://gluebenchmark\.com"):
        prepared(Sst2(str(tmp_path), encoder))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", r"the columns 'sentence' and 'label', got \[\]"),
        ("text\tclass\nfun\t1\n", "the columns 'sentence' and 'label'"),
        ("sentence\tlabel\n", "should hold sentences, got none"),
        ("sentence\tlabel\nfun\t1\nno labe", r"a sentence and 0 or 1 in every line, got \['no labe'\] in line 3"),
        ("sentence\tlabel\nfun\t2\n", r"got \['fun', '2'\] in line 2"),
    ],
)
def test_a_wrong_file_of_sst2_is_named(tmp_path, write_sst2, encoder, content, said):
    write_sst2(tmp_path, n_train=6, n_dev=4)
    (tmp_path / "dev.tsv").write_text(content)

    with pytest.raises(ValueError, match=r"dev\.tsv' should hold .*") as raised:
        prepared(Sst2(str(tmp_path), encoder))
    assert raised.match(said)


# -- what they share ---------------------------------------------------------------------------------------------------


def test_subsets_and_label_noise_are_decided_by_the_seed(tmp_path, write_cifar10):
    arrays = write_cifar10(tmp_path, n_train=200, n_test=50)
    one, again, other = (
        prepared(Cifar10(str(tmp_path), n_train=100, n_test=20, label_noise=0.1, seed=seed)) for seed in (0, 0, 1)
    )

    assert one.train.rows == again.train.rows
    assert one.reset_indices == again.reset_indices
    assert labels_of(one.train) == labels_of(again.train)
    assert one.train.rows != other.train.rows
    assert one.reset_indices != other.reset_indices
    assert len(set(one.train.rows)) == 100
    assert len(set(one.test.rows)) == 20
    assert len(one.reset_indices) == 10
    true = arrays["y_train"].ravel()[one.train.rows].tolist()
    changed = {row for row, (was, now) in enumerate(zip(true, labels_of(one.train), strict=True)) if was != now}
    assert changed <= set(one.reset_indices)
    assert len(changed) >= 5
    assert labels_of(one.test) == arrays["y_test"].ravel()[one.test.rows].tolist()


def test_the_global_seed_decides_where_none_is_given(tmp_path, write_cifar10):
    write_cifar10(tmp_path, n_train=50, n_test=20)
    torch.manual_seed(11)

    assert Cifar10(str(tmp_path)).seed == 11


def test_more_samples_than_there_are_cannot_be_had(tmp_path, write_cifar10):
    write_cifar10(tmp_path, n_train=50, n_test=20)

    with pytest.raises(ValueError, match=r"`n_train` must lie in 1 … 50, which is all there are, got 51"):
        prepared(Cifar10(str(tmp_path), n_train=51))
    with pytest.raises(ValueError, match=r"`n_test` must lie in 1 … 20, which is all there are, got 0"):
        prepared(Cifar10(str(tmp_path), n_test=0))


def test_loaders_need_the_set_up(tmp_path):
    with pytest.raises(RuntimeError, match="Cifar10 holds no data before `setup`"):
        Cifar10(str(tmp_path)).train_dataloader()
