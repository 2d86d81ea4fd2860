"""Samples are taken once, at random, always the same, and without a trace."""

import math
import random
from collections import UserDict

import numpy as np
import pytest
import torch
from lightning.fabric.utilities.distributed import DistributedSamplerWrapper
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    get_worker_info,
)

from lightning_interactions.callback.samples import (
    Samples,
    fixed_random_state,
    flatten_loaders,
    split_batch,
    take_samples,
)
from lightning_interactions.masking.batches import leaves

N = 40


class Numbers(Dataset):
    """Sample i is ``(i, i // 10)``: sorted by class. Remembers what was read, and refuses to be read by a worker."""

    def __init__(self, n=N):
        self.n = n
        self.read = []

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        assert get_worker_info() is None
        self.read.append(index)
        return torch.tensor(float(index)), index // 10


class Stream(IterableDataset):
    def __iter__(self):
        for index in range(N):
            yield torch.tensor(float(index)), index // 10


def numbers_in(batches):
    return [int(number) for batch in batches for number in batch[0]]


def take(loaders, count, seed=0, **options):
    loaders = loaders if isinstance(loaders, list) else [loaders]

    def prepare(batch, _):
        """The whole batch, for it shows what the loader made."""
        return Samples(batch, leaves(batch)[0])

    samples, refused = take_samples(dict(enumerate(loaders)), count, seed=seed, prepare=prepare, **options)
    return [some.inputs for some in samples], refused


# -- splitting a batch -------------------------------------------------------------------------------------------------

X, Y = torch.arange(6.0).reshape(3, 2), torch.tensor([0, 1, 2])


@pytest.mark.parametrize("batch", [(X, Y), [X, Y], (X, Y, ["a", "b", "c"])])
def test_a_sequence_is_inputs_and_targets(batch):
    inputs, targets = split_batch(batch)
    assert inputs is X
    assert targets is Y


def test_inputs_may_have_any_structure():
    inputs = {"image": X, "size": Y}
    assert split_batch((inputs, Y))[0] is inputs


@pytest.mark.parametrize("key", ["labels", "label", "targets", "target", "y"])
@pytest.mark.parametrize("kind", [dict, UserDict])
def test_a_mapping_with_one_input(key, kind):
    inputs, targets = split_batch(kind({"image": X, key: Y, "path": ["a", "b", "c"]}))
    assert inputs is X
    assert targets is Y


def test_a_mapping_as_hugging_face_makes_it_keeps_its_names():
    batch = UserDict(input_ids=Y, attention_mask=Y + 1, labels=Y + 2)
    inputs, targets = split_batch(batch)
    assert inputs.keys() == {"input_ids", "attention_mask"}
    assert torch.equal(targets, Y + 2)
    assert split_batch({"input_ids": X, "labels": Y})[0].keys() == {"input_ids"}


def test_the_target_key_of_hugging_face_goes_first():
    inputs, targets = split_batch({"y": X, "labels": Y})
    assert inputs is X
    assert targets is Y


@pytest.mark.parametrize(
    "batch", [(X,), (X, None), [], (X, [0, 1, 2]), {"image": X}, {"labels": Y}, {"x": X, "labels": [0]}]
)
def test_a_batch_without_inputs_or_targets(batch):
    with pytest.raises(ValueError, match="HINT: pass `split_batch="):
        split_batch(batch)


@pytest.mark.parametrize("batch", [X, None, "text", 3])
def test_a_batch_of_another_kind(batch):
    with pytest.raises(TypeError, match=f"got a {type(batch).__name__}.*HINT: pass `split_batch="):
        split_batch(batch)


def test_a_message_names_the_keys_found():
    with pytest.raises(ValueError, match=r"\{'path': 'list', 'image': 'Tensor'\}"):
        split_batch({"path": ["a"], "image": X})


# -- finding the loaders -----------------------------------------------------------------------------------------------


def test_loaders_in_any_structure():
    one, two, three = (DataLoader(Numbers()) for _ in range(3))
    assert flatten_loaders(None) == []
    assert flatten_loaders(one) == [one]
    assert flatten_loaders([one, (two, three)]) == [one, two, three]
    assert flatten_loaders({"a": one, "b": [two, {"c": three}]}) == [one, two, three]
    assert flatten_loaders([]) == []


# -- which samples -----------------------------------------------------------------------------------------------------


def test_the_same_samples_each_time_and_others_for_another_seed():
    loader = DataLoader(Numbers(), 8, shuffle=True)
    first = numbers_in(take(loader, 12)[0])
    torch.rand(7)
    assert numbers_in(take(DataLoader(Numbers(), 8), 12)[0]) == first
    assert set(numbers_in(take(loader, 12, seed=1)[0])) != set(first)
    assert len(set(first)) == 12


def test_samples_of_a_data_set_sorted_by_class_come_from_all_classes():
    # Every class is missed by a draw of 12 of 40 with probability C(30, 12) / C(40, 12) = 1.5 %.
    seen = [{n // 10 for n in numbers_in(take(DataLoader(Numbers(), 8), 12, seed=seed)[0])} for seed in range(20)]
    assert sum(classes == {0, 1, 2, 3} for classes in seen) >= 17


def test_every_sample_is_as_likely_as_any_other():
    counts = np.zeros(N)
    for seed in range(400):
        for number in numbers_in(take(DataLoader(Numbers(), 40), 10, seed=seed)[0]):
            counts[number] += 1
    # 400 draws with p = 1/4: mean 100, standard deviation 8.7; 4.5 of them for the largest of 40.
    assert np.abs(counts - 100).max() < 39


def test_batches_have_the_size_of_the_loader_or_are_one():
    loader = DataLoader(Numbers(), 8)
    batches, refused = take(loader, 20)
    assert [len(batch[0]) for batch in batches] == [8, 8, 4]
    assert refused == 0
    (batch,), _ = take(loader, 20, together=True)
    assert numbers_in([batch]) == numbers_in(batches)
    assert torch.equal(batch[1], batch[0].long() // 10)


def test_as_many_as_there_are():
    batches, refused = take(DataLoader(Numbers(5), 2), 100)
    assert sorted(numbers_in(batches)) == [0, 1, 2, 3, 4]
    assert refused == 0
    assert take(DataLoader(Numbers(0), 2), 3) == ([], 0)
    assert take([], 3) == ([], 0)


def test_only_what_the_sampler_visits():
    for sampler in (
        SubsetRandomSampler(range(10, 20)),
        WeightedRandomSampler([float(10 <= i < 20) for i in range(N)], 200),
        range(10, 20),
    ):
        assert set(numbers_in(take(DataLoader(Numbers(), 4, sampler=sampler), 30)[0])) == set(range(10, 20))


def test_a_subset():
    loader = DataLoader(Subset(Numbers(), [3, 5, 7, 9]), 2, shuffle=True)
    assert set(numbers_in(take(loader, 30)[0])) == {3, 5, 7, 9}
    assert set(numbers_in(take(loader, 2)[0])) < {3, 5, 7, 9}


def test_a_batch_sampler():
    batch_sampler = BatchSampler(SequentialSampler(range(12)), 5, drop_last=True)
    batches, _ = take(DataLoader(Numbers(), batch_sampler=batch_sampler), 30)
    assert sorted(numbers_in(batches)) == list(range(10))


IN_ORDER = {
    "in order": lambda: DataLoader(Numbers(), 4),
    "a batch sampler in order": lambda: DataLoader(
        Numbers(), batch_sampler=BatchSampler(SequentialSampler(range(N)), 4, drop_last=True)
    ),
    "a stream": lambda: DataLoader(Stream(), 4),
    "one rank of two": lambda: DataLoader(
        Numbers(), 2, sampler=DistributedSampler(Numbers(), num_replicas=2, rank=0, shuffle=False)
    ),
}


@pytest.mark.parametrize("make", IN_ORDER.values(), ids=IN_ORDER.keys())
def test_only_the_batches_that_every_epoch_begins_with(make):
    loader = make()
    if isinstance(loader.sampler, DistributedSampler):
        loader.sampler.dataset = loader.dataset
    assert sorted(numbers_in(take(loader, 99, n_batches=3)[0])) == list(range(12))
    assert set(numbers_in(take(loader, 5, n_batches=3)[0])) <= set(range(12))
    for n_batches in (10, 99, math.inf):
        assert sorted(numbers_in(take(loader, 99, n_batches=n_batches)[0])) == list(range(N))


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 4, "shuffle": True},
        {"batch_sampler": BatchSampler(RandomSampler(range(N)), 4, drop_last=False)},
        {"batch_size": 4, "sampler": SubsetRandomSampler(range(N))},
    ],
    ids=["shuffled", "a batch sampler at random", "a sampler at random"],
)
def test_all_batches_where_each_epoch_has_others(options):
    loader = DataLoader(Numbers(), **options)
    assert sorted(numbers_in(take(loader, 99, n_batches=3)[0])) == list(range(N))


def test_a_limit_holds_for_each_of_several_loaders():
    loaders = [DataLoader(Numbers(20), 4), DataLoader(Subset(Numbers(), range(20, 40)), 3, shuffle=True)]
    assert sorted(numbers_in(take(loaders, 99, n_batches=2)[0])) == [*range(8), *range(20, 40)]


def test_a_loader_that_does_not_batch():
    stored = [(torch.tensor([1.0, 2.0]), torch.tensor([0, 0])), (torch.tensor([3.0]), torch.tensor([1]))]
    batches, _ = take(DataLoader(stored, batch_size=None), 2)
    assert numbers_in(batches) == [1, 2]


def test_several_loaders_share_the_samples():
    loaders = [DataLoader(Numbers(10), 4), DataLoader(Subset(Numbers(), range(20, 30)), 4)]
    found = numbers_in(take(loaders, 10)[0])
    assert len(found) == len(set(found)) == 10
    assert {number < 10 for number in found} == {True, False}
    assert sorted(numbers_in(take(loaders, 99)[0])) == [*range(10), *range(20, 30)]


def test_several_loaders_keep_their_own_collation():
    def labelled(rows):
        return {"kind": "labelled", "x": torch.stack([x for x, _ in rows])}

    def unlabelled(rows):
        return {"kind": "unlabelled", "x": torch.stack([x for (x,) in rows]) * 10}

    loaders = [
        DataLoader(Numbers(6), 4, collate_fn=labelled),
        DataLoader(TensorDataset(torch.arange(5.0)), 4, collate_fn=unlabelled),
    ]
    batches, _ = take(loaders, 99)
    assert [batch["kind"] for batch in batches] == ["labelled"] * 2 + ["unlabelled"] * 2
    assert sorted(torch.cat([batch["x"] for batch in batches[:2]]).tolist()) == [0, 1, 2, 3, 4, 5]
    assert sorted(torch.cat([batch["x"] for batch in batches[2:]]).tolist()) == [0, 10, 20, 30, 40]


def test_a_collation_of_its_own_and_dictionaries():
    def collate(rows):
        return {"x": torch.stack([x for x, _ in rows]) * 2, "labels": torch.tensor([y for _, y in rows])}

    (batch,), _ = take(DataLoader(Numbers(), 8, collate_fn=collate), 6, together=True)
    assert torch.equal(batch["labels"], (batch["x"] / 2).long() // 10)
    data = [{"x": torch.tensor(float(i)), "labels": i} for i in range(6)]
    (batch,), _ = take(DataLoader(data, 3), 4, together=True)
    assert batch["x"].tolist() == batch["labels"].tolist()


def test_an_iterable_data_set_gives_its_first_samples():
    batches, refused = take(DataLoader(Stream(), 8), 12)
    assert [len(batch[0]) for batch in batches] == [8, 4]
    assert numbers_in(batches) == list(range(12))
    assert refused == 0
    assert numbers_in(take(DataLoader(Stream(), 8), 100)[0]) == list(range(N))


def test_any_iterable_of_batches_will_do():
    batches = [(torch.tensor([1.0, 2.0]), torch.tensor([0, 0])), (torch.tensor([3.0, 4.0]), torch.tensor([0, 0]))]
    assert numbers_in(take([iter(batches)], 3)[0]) == [1, 2, 3]


def test_iterable_and_indexable_loaders_together():
    found = numbers_in(take([DataLoader(Numbers(4), 2), DataLoader(Stream(), 3)], 6)[0])
    assert found == [0, 1, 2, 3, 0, 1]


@pytest.mark.parametrize("data", [Numbers, Stream])
def test_only_accepted_samples_and_the_refused_are_counted(data):
    def even(batch):
        return [number % 2 == 0 for number in batch[0].tolist()]

    batches, refused = take(DataLoader(data(), 8), 999, accept=even)
    assert sorted(numbers_in(batches)) == list(range(0, N, 2))
    assert refused == N // 2

    batches, refused = take(DataLoader(data(), 8), 5, accept=even)
    found = numbers_in(batches)
    assert len(found) == 5
    assert all(number % 2 == 0 for number in found)
    assert refused < N // 2

    assert take(DataLoader(data(), 8), 5, accept=lambda batch: [False] * len(batch[0])) == ([], N)


def test_no_more_samples_are_read_than_needed():
    data = Numbers()
    take(DataLoader(data, 8), 5)
    assert len(data.read) == 5


# -- without a trace ---------------------------------------------------------------------------------------------------


class Noisy(Numbers):
    def __getitem__(self, index):
        number, label = super().__getitem__(index)
        return number + torch.rand(()) + np.random.rand() + random.random(), label  # noqa: NPY002, S311


def state_of(generators):
    return (
        torch.get_rng_state().tolist(),
        str(np.random.get_state()),  # noqa: NPY002
        random.getstate(),
        [generator.get_state().tolist() for generator in generators],
    )


def noisy_loaders():
    generators = [torch.Generator().manual_seed(seed) for seed in range(5)]
    yield "shuffled", DataLoader(Noisy(), 8, shuffle=True), []
    yield "own generator", DataLoader(Noisy(), 8, shuffle=True, generator=generators[0]), generators[:1]
    sampler = SubsetRandomSampler(range(N), generator=generators[1])
    yield "sampler's generator", DataLoader(Noisy(), 8, sampler=sampler), generators[1:2]
    sampler = RandomSampler(range(N), num_samples=10, generator=generators[2])
    batch_sampler = BatchSampler(sampler, 4, drop_last=False)
    yield "inside a batch sampler", DataLoader(Noisy(), batch_sampler=batch_sampler), generators[2:3]
    sampler = SubsetRandomSampler(range(N), generator=generators[3])
    sampler = DistributedSamplerWrapper(sampler, num_replicas=2, rank=0)
    yield "inside Lightning's wrapper", DataLoader(Noisy(), 8, sampler=sampler), generators[3:4]
    yield "iterable", DataLoader(Stream(), 8, generator=generators[4]), generators[4:]


@pytest.mark.parametrize("case", list(noisy_loaders()), ids=lambda case: case[0])
def test_no_random_state_is_moved_and_augmentation_is_the_same_each_time(case):
    _, loader, generators = case
    before = state_of(generators)
    first, _ = take(loader, 9)
    assert state_of(generators) == before
    torch.rand(3)
    np.random.rand(3)  # noqa: NPY002
    random.random()  # noqa: S311
    for generator in generators:
        torch.rand(3, generator=generator)
    before = state_of(generators)
    second, _ = take(loader, 9)
    assert state_of(generators) == before
    assert [batch[0].tolist() for batch in first] == [batch[0].tolist() for batch in second]


def test_no_random_state_is_moved_when_the_data_cannot_be_read():
    class Torn(Noisy):
        def __getitem__(self, index):
            super().__getitem__(index)
            raise OSError(index)

    generator = torch.Generator()
    loader = DataLoader(Torn(), 8, shuffle=True, generator=generator)
    before = state_of([generator])
    with pytest.raises(OSError, match=r"\d+"):
        take(loader, 3)
    assert state_of([generator]) == before


def test_a_fixed_random_state_is_the_same_each_time_and_left_as_it_was():
    def draw():
        return torch.rand(2).tolist(), np.random.rand(2).tolist(), random.random()  # noqa: NPY002, S311

    before = state_of([])
    with fixed_random_state(-5):
        first = draw()
    assert state_of([]) == before
    draw()
    with fixed_random_state(-5):
        assert draw() == first
    with fixed_random_state(6):
        assert draw() != first


def test_no_worker_is_started_for_an_indexable_data_set():
    loader = DataLoader(Numbers(), 8, num_workers=2, persistent_workers=True)
    assert len(numbers_in(take(loader, 12)[0])) == 12  # `Numbers` refuses to be read by a worker
    assert loader._iterator is None
    assert len(loader.dataset.read) == 12


def test_the_iterator_of_persistent_workers_goes_on_where_it_was():
    loader = DataLoader(Stream(), 8, num_workers=1, persistent_workers=True)
    training = iter(loader)
    first = next(training)
    assert numbers_in(take(loader, 12)[0]) == list(range(12))
    assert numbers_in([first, *training]) == list(range(N))


# -- distributed -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shuffle", [False, True])
def test_every_rank_takes_the_same_samples_from_the_whole_set(shuffle):
    taken = []
    for rank in range(3):
        sampler = DistributedSampler(Numbers(), num_replicas=3, rank=rank, shuffle=shuffle)
        loader = DataLoader(sampler.dataset, 8, sampler=sampler)
        taken.append(numbers_in(take(loader, 12)[0]))
        assert sorted(numbers_in(take(loader, 99)[0])) == list(range(N))
    assert taken[0] == taken[1] == taken[2]


def test_so_it_is_with_the_sampler_that_lightning_wraps():
    taken = []
    for rank in range(2):
        torch.manual_seed(rank)
        sampler = DistributedSamplerWrapper(SubsetRandomSampler(range(5, 25)), num_replicas=2, rank=rank)
        loader = DataLoader(Numbers(), 4, sampler=sampler)
        taken.append(numbers_in(take(loader, 12)[0]))
        assert sorted(numbers_in(take(loader, 99)[0])) == list(range(5, 25))
    assert taken[0] == taken[1]


# -- Samples -----------------------------------------------------------------------------------------------------------


def test_samples_of_different_shape_are_shown():
    with pytest.raises(ValueError, match=r"got \[\(3, 2\), \(3, 1\)\].*HINT: .*samples=\(inputs, targets\)"):
        Samples.joined([Samples(X, Y), Samples(X[:, :1], Y)])


def test_pieces_are_the_samples_in_order():
    pieces = Samples({"x": X, "flag": True}, Y).pieces(2)
    assert [len(piece) for piece in pieces] == [2, 1]
    assert torch.equal(Samples.joined(pieces).inputs["x"], X)
    assert torch.equal(torch.cat([piece.targets for piece in pieces]), Y)
    assert Samples(X[:0], Y[:0]).pieces(2) == []


def test_joined_samples():
    one = Samples({"x": X}, Y)
    joined = Samples.joined([one, one])
    assert len(joined) == 6
    assert torch.equal(joined.inputs["x"], torch.cat([X, X]))
    assert joined.targets.tolist() == [0, 1, 2, 0, 1, 2]
