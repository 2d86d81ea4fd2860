"""The digits and the label noise: nothing lost, nothing twice, and traceable."""

from collections import Counter

import pytest
import torch
from sklearn.datasets import load_digits

from experiments.data.digits import Digits
from experiments.data.labels import reset_labels


def prepared(**options):
    data = Digits(**options)
    data.setup("fit")
    return data


@pytest.fixture(scope="module")
def data():
    return prepared()


def contents(images):
    """Images as something that can be counted."""
    return [tuple(image.flatten().tolist()) for image in images]


def enlarged_originals():
    """The 1,797 images bilinearly enlarged, ``(1797, 32 · 32)``, in the order of scikit-learn."""
    small = torch.from_numpy(load_digits().data).float().reshape(-1, 1, 8, 8) / 16
    return torch.nn.functional.interpolate(small, size=(32, 32), mode="bilinear", align_corners=False).flatten(1)


def distances(images, others):
    return torch.cdist(images[:, 0].flatten(1), others, compute_mode="donot_use_mm_for_euclid_dist")


def rows_of(dataset):
    rows = [dataset[row] for row in range(len(dataset))]
    return tuple(map(torch.stack, zip(*rows, strict=True)))


def test_images_have_the_form_that_cifar_networks_take(data):
    for dataset, count in ((data.train, 500), (data.test, 1297)):
        images, labels = rows_of(dataset)

        assert images.shape == (count, 3, 32, 32)
        assert (images.dtype, labels.dtype) == (torch.float32, torch.int64)
        assert images.min() >= 0
        assert images.max() <= 1
        assert images.max() > 0.9
        assert torch.equal(images[:, 0], images[:, 1])
        assert torch.equal(images[:, 0], images[:, 2])
        assert set(labels.tolist()) == set(range(10))


def test_an_image_is_its_original_enlarged(data):
    images = torch.cat([rows_of(data.train)[0], rows_of(data.test)[0]])

    assert distances(images[::50], enlarged_originals()).amin(dim=1).max() < 1e-5


def test_every_image_is_in_exactly_one_part(data):
    """By content: some of the 1,797 images are equal, so count them."""
    whole = prepared(n_train=1797, label_noise=0.0)
    train, held_out = (Counter(contents(rows_of(part)[0][:, 0])) for part in (data.train, data.test))
    everything = Counter(contents(rows_of(whole.train)[0][:, 0]))

    assert sum(everything.values()) == 1797
    assert train + held_out == everything
    assert len(whole.test) == 0


def test_held_out_labels_are_true_and_training_labels_are_up_to_those_recorded(data):
    targets, originals = load_digits().target, enlarged_originals()
    for part, stride in ((data.train, 1), (data.test, 5)):
        images, labels = (tensor[::stride] for tensor in rows_of(part))
        nearest = distances(images, originals).argmin(dim=1).tolist()
        wrong = {row for row in range(len(labels)) if labels[row] != targets[nearest[row]]}
        if part is data.test:
            assert wrong == set()
        else:
            assert wrong <= set(data.reset_indices)
            assert len(wrong) >= 15  # a reset label is the true one once in ten times


def test_five_per_cent_of_the_labels_are_reset_and_recorded(data):
    assert len(data.reset_indices) == 25
    assert data.reset_indices == sorted(set(data.reset_indices))
    clean = prepared(label_noise=0.0)
    assert clean.reset_indices == []
    assert torch.equal(rows_of(clean.train)[0], rows_of(data.train)[0])
    changed = (rows_of(clean.train)[1] != rows_of(data.train)[1]).nonzero().flatten().tolist()
    assert set(changed) <= set(data.reset_indices)


def test_the_same_seed_gives_the_same_data_whatever_the_global_state(data):
    torch.manual_seed(12345)
    again = prepared()

    for one, other in ((data.train, again.train), (data.test, again.test)):
        assert all(torch.equal(a, b) for a, b in zip(rows_of(one), rows_of(other), strict=True))
    assert again.reset_indices == data.reset_indices


def test_setup_may_be_called_for_every_stage(data):
    before = rows_of(data.train)
    data.setup("validate")

    assert all(torch.equal(a, b) for a, b in zip(before, rows_of(data.train), strict=True))


def test_another_seed_gives_another_split_and_other_noise(data):
    other = prepared(seed=1)

    assert not torch.equal(rows_of(other.train)[0], rows_of(data.train)[0])
    assert other.reset_indices != data.reset_indices


def test_the_global_random_state_is_left_alone():
    before = torch.get_rng_state()
    prepared()

    assert torch.equal(torch.get_rng_state(), before)


def test_loaders_give_every_image_once_and_shuffle_only_training(data):
    torch.manual_seed(0)
    train = [images for images, _ in data.train_dataloader()]
    held_out = torch.cat([images for images, _ in data.val_dataloader()])

    assert [len(batch) for batch in train] == [50] * 10
    assert not torch.equal(torch.cat(train), rows_of(data.train)[0])
    assert Counter(contents(torch.cat(train)[:, 0])) == Counter(contents(rows_of(data.train)[0][:, 0]))
    assert torch.equal(held_out, rows_of(data.test)[0])


def test_size_and_batch_may_be_chosen():
    small = prepared(n_train=30, image_size=16, batch_size=7)

    assert [len(images) for images, _ in small.train_dataloader()] == [7, 7, 7, 7, 2]
    assert rows_of(small.train)[0].shape == (30, 3, 16, 16)
    assert len(small.test) == 1767


@pytest.mark.parametrize(("ratio", "count"), [(0.0, 0), (0.05, 50), (0.5, 500), (1.0, 1000)])
def test_a_share_of_the_labels_is_reset(ratio, count):
    labels = torch.arange(1000) % 10
    kept = labels.clone()
    noisy, changed = reset_labels(labels, ratio, n_classes=10, seed=0)

    assert len(changed) == len(set(changed.tolist())) == count
    assert changed.tolist() == sorted(changed.tolist())
    others = [row for row in range(1000) if row not in set(changed.tolist())]
    assert noisy[others].tolist() == labels[others].tolist()
    assert torch.equal(labels, kept)
    assert noisy.dtype == labels.dtype


def test_reset_labels_are_uniform_over_the_classes():
    noisy, _ = reset_labels(torch.zeros(10_000, dtype=torch.int64), 1.0, n_classes=4, seed=0)
    counts = Counter(noisy.tolist())

    assert set(counts) == {0, 1, 2, 3}
    # Each count is binomial with mean 2,500 and a standard deviation of 43.
    assert all(abs(count - 2500) < 5 * 43.3 for count in counts.values())


def test_resetting_is_decided_by_the_seed_alone():
    labels = torch.arange(100) % 10
    first = reset_labels(labels, 0.3, 10, seed=1)
    torch.manual_seed(99)
    again = reset_labels(labels, 0.3, 10, seed=1)
    other = reset_labels(labels, 0.3, 10, seed=2)

    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[1], other[1])


@pytest.mark.parametrize("ratio", [-0.1, 1.1, float("nan")])
def test_a_ratio_that_is_no_share_is_refused(ratio):
    with pytest.raises(ValueError, match="`label_noise` must be a share, 0 … 1, of the labels, got "):
        reset_labels(torch.zeros(3, dtype=torch.int64), ratio, 10, seed=0)
