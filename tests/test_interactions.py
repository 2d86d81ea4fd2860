"""The result type against sums over Python sets, and its files: exact, whole or not at all, and harmless."""

import io
import json
import os
import pickle
import sys
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch

from lightning_interactions.interactions import Interactions, strongest_effects

ARRAYS = ("values", "and_", "or_", "l1", "gap", "noise_bound")


def subsets(n):
    """Subset number T as a set: variable i is present when digit i of T, counted from the lowest, is 1."""
    return [frozenset(i for i in range(n) if T // 2**i % 2 == 1) for T in range(2**n)]


def slow_h(n, bias, and_, or_):
    """Eq. 2 for one sample, word by word."""
    numbered = list(enumerate(subsets(n)))
    return [
        bias
        + sum(and_[number] for number, s in numbered if s and s <= t)
        + sum(or_[number] for number, s in numbered if s & t)
        for _, t in numbered
    ]


def make(n=3, samples=2, seed=0, provenance=None):
    """Effects, values and everything else at random: they need not fit together."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    and_, or_ = random(samples, 2**n), random(samples, 2**n)
    and_[:, 0] = or_[:, 0] = 0
    return Interactions(
        values=random(samples, 2**n),
        and_=and_,
        or_=or_,
        l1=random(samples),
        gap=random(samples),
        noise_bound=random(samples),
        threshold=0.1 + 0.2,
        provenance=provenance or {},
    )


def with_effects(and_, or_=None):
    """One sample with the given effects."""
    and_ = torch.tensor([and_], dtype=torch.float64)
    or_ = torch.zeros_like(and_) if or_ is None else torch.tensor([or_], dtype=torch.float64)
    one = torch.zeros(1, dtype=torch.float64)
    return Interactions(torch.zeros_like(and_), and_, or_, l1=one, gap=one, noise_bound=one, threshold=0.0)


def same(one, other):
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in ARRAYS) and (
        (one.threshold, one.provenance) == (other.threshold, other.provenance)
    )


@pytest.mark.parametrize("n", range(1, 7))
def test_reconstruction_is_the_sum_over_sets(n):
    found = make(n, samples=3, seed=n)

    for row in range(3):
        expected = slow_h(n, found.values[row, 0].item(), found.and_[row].tolist(), found.or_[row].tolist())
        assert found.reconstruct()[row].tolist() == pytest.approx(expected, rel=1e-12, abs=1e-12)
        errors = [abs(v - h) for v, h in zip(found.values[row].tolist(), expected, strict=True)]
        assert found.matching_error()[row].item() == pytest.approx(max(errors), rel=1e-12)


def test_effects_of_the_empty_set_are_not_read():
    found = make(2)
    before = found.reconstruct()
    found.and_[:, 0] = found.or_[:, 0] = 100.0

    assert torch.equal(found.reconstruct(), before)


def test_sizes():
    found = make(n=4, samples=3)

    assert (found.n_variables, found.n_samples, len(found)) == (4, 3, 3)


def test_repr_names_sizes_and_the_largest_gap():
    found = make(samples=2)
    found.gap[:] = torch.tensor([1e-8, 2e-3])

    assert repr(found) == "Interactions(samples=2, n_variables=3, largest gap=2.0e-03)"
    assert repr(make(samples=0)) == "Interactions(samples=0, n_variables=3, largest gap=–)"


def test_strongest_come_first_with_kind_and_variables():
    #                      ∅    {0}  {1}  {0,1} {2}  {0,2} {1,2} {0,1,2}
    found = with_effects([0.0, 1.0, 0.0, -4.0, 0.5, 0.0, 0.0, 2.0], [0.0, 0.0, 0.0, 0.0, 0.0, 3.0, -0.25, 0.0])

    assert [tuple(effect) for effect in found.strongest(0)] == [
        ("AND", (0, 1), -4.0),
        ("OR", (0, 2), 3.0),
        ("AND", (0, 1, 2), 2.0),
        ("AND", (0,), 1.0),
        ("AND", (2,), 0.5),
        ("OR", (1, 2), -0.25),
    ]
    assert [effect.order for effect in found.strongest(0)] == [2, 2, 3, 1, 1, 2]
    assert found.strongest(0, count=2) == found.strongest(0)[:2]
    assert found.strongest(0, count=0) == []


def test_strongest_keep_a_fixed_order_where_they_are_equal():
    found = with_effects([0.0, 1.0, -1.0, 0.0], [0.0, 0.0, 0.0, 1.0])

    assert [(effect.kind, effect.variables) for effect in found.strongest(0)] == [
        ("AND", (0,)),
        ("AND", (1,)),
        ("OR", (0, 1)),
    ]


@pytest.mark.parametrize("count", [1, 5, 40])
def test_strongest_against_sorting_everything(count):
    found = make(n=4, samples=3)
    for row in range(3):
        everything = [
            (abs(effects[number].item()), kind, tuple(sorted(s)))
            for kind, effects in (("AND", found.and_[row]), ("OR", found.or_[row]))
            for number, s in enumerate(subsets(4))
            if s
        ]
        expected = [(kind, who) for _, kind, who in sorted(everything, reverse=True)[:count]]

        assert [(effect.kind, effect.variables) for effect in found.strongest(row, count)] == expected


def test_nothing_is_strongest_where_all_effects_are_zero():
    assert with_effects([0.0, 0.0]).strongest(0) == []


def test_variable_names_are_those_drawn_for_the_sample():
    draws = [{"names": ["a", "b", "c"]}, {"names": ["d", "e", "f"]}]
    found = make(provenance={"draws": draws})

    assert found.variable_names(0) == ("a", "b", "c")
    assert found.variable_names(1) == ("d", "e", "f")


def test_variables_without_a_draw_are_numbered():
    assert make(n=3).variable_names(1) == ("x0", "x1", "x2")


DRAWN = {"draws": [{"names": list("abc")}, {"names": list("def")}, {"names": list("ghi")}], "samples": [4, 7, 9]}


@pytest.mark.parametrize("rows", [[2, 0], [1], [-1, -1], []])
def test_rows_keep_all_that_belongs_to_their_samples(rows):
    found = replace(make(samples=3, provenance=DRAWN | {"solver": "admm"}), duals=torch.rand(3, 8))
    some = found.rows(rows)

    for name in (*ARRAYS, "duals"):
        assert torch.equal(getattr(some, name), getattr(found, name)[rows])
    assert some.sample_numbers == [DRAWN["samples"][row] for row in rows]
    assert [some.variable_names(row) for row in range(len(some))] == [found.variable_names(row) for row in rows]
    assert (some.threshold, some.provenance["solver"]) == (found.threshold, "admm")


def test_rows_of_what_has_no_duals_and_no_numbers():
    some = make(samples=3).rows([2, 1])

    assert some.duals is None
    assert some.sample_numbers == [2, 1]
    with pytest.raises(IndexError):
        some.rows([2])


def test_joined_parts_are_the_whole():
    found = replace(make(samples=3, provenance=DRAWN | {"solver": "admm"}), duals=torch.rand(3, 8))
    whole = Interactions.joined([found.rows([0]), found.rows([]), found.rows([1, 2])])

    assert same(whole, found)
    assert torch.equal(whole.duals, found.duals)


def test_joined_parts_of_which_one_knows_less():
    whole = Interactions.joined([make(samples=2, provenance=DRAWN), make(samples=1)])

    assert whole.duals is None
    assert whole.sample_numbers == [0, 1, 2]
    assert whole.variable_names(0) == ("x0", "x1", "x2")


@pytest.mark.parametrize("parts", [[], [make(n=2), make(n=3)], [make(), replace(make(), threshold=1.0)]])
def test_parts_that_do_not_belong_together_are_refused(parts):
    with pytest.raises(ValueError, match=r"`parts` must be .* one number of variables and one threshold, got"):
        Interactions.joined(parts)


def test_samples_are_counted_from_zero_where_nothing_is_known():
    assert make(samples=2).sample_numbers == [0, 1]


def test_the_strongest_effects_of_the_first_samples_as_plain_data():
    found = make(samples=9, provenance={"samples": list(range(10, 19))})
    shown = strongest_effects(found)
    first = found.strongest(0)[0]

    assert [one["sample"] for one in shown] == list(range(10, 18))
    assert {len(one["effects"]) for one in shown} == {6}
    assert shown[0]["effects"][0] == {"kind": first.kind, "variables": list(first.variables), "effect": first.effect}


@pytest.mark.parametrize("name", ["and_", "or_", "l1", "gap", "noise_bound"])
def test_an_array_of_another_shape_is_refused_by_name(name):
    arrays = {key: getattr(make(), key) for key in ARRAYS}
    arrays[name] = arrays[name][:1]

    with pytest.raises(ValueError, match=f"`{name}` must have shape"):
        Interactions(**arrays, threshold=0.0)


@pytest.mark.parametrize("shape", [(8,), (2, 2, 8), (2, 7), (2, 1), (2, 0), ()])
def test_values_that_are_no_table_over_subsets_are_refused(shape):
    zeros = torch.zeros(shape)

    with pytest.raises(ValueError, match=r"2\*\*n"):
        Interactions(zeros, zeros, zeros, l1=zeros, gap=zeros, noise_bound=zeros, threshold=0.0)


PROVENANCE = {
    "variables": {"kind": "Columns", "baseline": [0.0, 0.1 + 0.2, -1e-300], "layer": None},
    "draws": [{"names": ["Größe", "日本 🙂", "a|b\n"]}, {"names": ["", "\\", '"']}],
    "seed": 2**62,
    "deep": {"list": [[1, 2.5], [True, None]]},
}


@pytest.mark.parametrize(("n", "samples"), [(1, 1), (3, 2), (6, 5), (4, 0)])
def test_a_file_gives_back_every_bit(n, samples, tmp_path):
    found = make(n, samples, provenance=PROVENANCE)
    loaded = Interactions.load(found.save(tmp_path / "new" / "folder" / "found.npz"))

    assert same(loaded, found)
    assert {getattr(loaded, name).dtype for name in ARRAYS} == {torch.float64}


def test_not_a_number_and_extremes_survive_a_file(tmp_path):
    found = make(provenance={"loss": float("inf")})
    found.values[0, :3] = torch.tensor([float("nan"), float("inf"), 5e-324])
    loaded = Interactions.load(found.save(tmp_path / "found.npz"))

    assert found.values.numpy().tobytes() == loaded.values.numpy().tobytes()
    assert loaded.provenance == found.provenance


def test_save_says_where_and_keeps_the_name_as_it_was_given(tmp_path):
    path = make().save(str(tmp_path / "no suffix"))

    assert path == tmp_path / "no suffix"
    assert [file.name for file in tmp_path.iterdir()] == ["no suffix"]


def test_saving_again_replaces_the_file(tmp_path):
    path = tmp_path / "found.npz"
    make(seed=0).save(path)
    make(seed=1).save(path)

    assert same(Interactions.load(path), make(seed=1))
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_can_be_read_by_numpy_alone(tmp_path):
    found = make(provenance=PROVENANCE)
    with np.load(found.save(tmp_path / "found.npz"), allow_pickle=False) as archive:
        assert archive["and_"].tolist() == found.and_.tolist()
        assert json.loads(archive["provenance"].item()) == PROVENANCE


def test_numbers_of_numpy_become_plain_in_a_file(tmp_path):
    numbers = {"seed": np.int64(3), "ratio": np.float32(0.5), "samples": [np.int32(0), np.int32(1)]}
    found = Interactions.load(make(provenance=numbers).save(tmp_path / "found.npz"))

    assert found.provenance == {"seed": 3, "ratio": 0.5, "samples": [0, 1]}


def test_what_cannot_be_written_leaves_the_old_file(tmp_path):
    path = make(seed=0).save(tmp_path / "found.npz")

    with pytest.raises(TypeError, match="plain data, got a value of type object"):
        make(seed=1, provenance={"model": object()}).save(path)

    assert same(Interactions.load(path), make(seed=0))
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_in_the_middle_of_writing_leaves_the_old_file(tmp_path, monkeypatch):
    path = make(seed=0).save(tmp_path / "found.npz")

    def fill_the_disk(file, **_):
        file.write(b"PK\x03\x04half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", fill_the_disk)
    with pytest.raises(OSError, match="No space left"):
        make(seed=1).save(path)

    assert same(Interactions.load(path), make(seed=0))
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_file_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        Interactions.load(tmp_path / "nothing.npz")


@pytest.fixture
def refuses(tmp_path):
    """Loading these bytes is a ValueError that names the file."""

    def check(content, match=None):
        path = tmp_path / "strange file.npz"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=match) as caught:
            Interactions.load(path)
        assert str(path) in str(caught.value)

    return check


@pytest.fixture
def file_bytes(tmp_path):
    return make(n=2, provenance={"seed": 3}).save(tmp_path / "found.npz").read_bytes()


def archive_of(**replaced):
    """The bytes of a file in which some entries are replaced, or left out where None."""
    found = make()
    entries = {name: getattr(found, name).numpy() for name in ARRAYS}
    entries |= {"threshold": np.array(0.1), "schema": np.array(1), "provenance": np.array("{}")} | replaced
    buffer = io.BytesIO()
    np.savez(buffer, **{name: entry for name, entry in entries.items() if entry is not None})
    return buffer.getvalue()


def test_the_archive_that_is_spoiled_below_is_good_when_whole(tmp_path):
    (tmp_path / "found.npz").write_bytes(archive_of())

    assert len(Interactions.load(tmp_path / "found.npz")) == 2


def test_a_file_cut_off_anywhere_is_refused(file_bytes, refuses):
    for length in [*range(0, len(file_bytes), 37), len(file_bytes) - 1]:
        refuses(file_bytes[:length])


def test_a_flipped_bit_is_refused_or_changes_nothing(file_bytes, tmp_path):
    path = tmp_path / "flipped.npz"
    refused = 0
    for position in range(0, len(file_bytes), 5):
        spoiled = bytearray(file_bytes)
        spoiled[position] ^= 1 << position % 8
        path.write_bytes(spoiled)
        try:
            loaded = Interactions.load(path)
        except ValueError as error:
            refused += 1
            assert str(path) in str(error)  # noqa: PT017  # a flip in a time stamp rightly raises nothing
        else:
            assert same(loaded, make(n=2, provenance={"seed": 3}))

    assert refused > len(file_bytes) / 10


def npy_bytes(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def zip_bytes(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"epoch,loss\n0,2.3\n",
        b"\x00" * 1000,
        npy_bytes(np.zeros(8)),
        zip_bytes(),
        zip_bytes(readme=b"hello"),
        zip_bytes(**{"schema.npy": b"no array"}),
    ],
    ids=["empty", "text", "zeros", "npy", "empty zip", "other zip", "zip of no arrays"],
)
def test_a_foreign_file_is_refused(content, refuses):
    refuses(content)


def test_a_checkpoint_is_refused(tmp_path, refuses):
    torch.save({"values": torch.zeros(2, 8)}, tmp_path / "checkpoint.pt")

    refuses((tmp_path / "checkpoint.pt").read_bytes())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, None) for name in (*ARRAYS, "threshold", "schema", "provenance")),
        ("values", np.zeros((2, 7))),
        ("values", np.zeros(8)),
        ("and_", np.zeros((3, 8))),
        ("gap", np.zeros(3)),
        ("or_", np.full((2, 8), "x")),
        ("threshold", np.zeros(2)),
        ("threshold", np.array("high")),
        ("schema", np.array("one")),
        ("provenance", np.array("{")),
        ("provenance", np.array(3.0)),
        ("provenance", np.array(["{}", "{}"])),
    ],
)
def test_a_file_with_a_missing_or_wrong_entry_is_refused(name, value, refuses):
    refuses(archive_of(**{name: value}))


def test_a_newer_schema_is_refused_and_named(refuses):
    refuses(archive_of(schema=np.array(2)), match="it has schema 2, this version reads up to 1")


class Hostile:
    """Creates a folder when unpickled."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("name", ["values", "threshold", "schema", "provenance"])
def test_a_pickle_inside_is_refused_and_never_run(name, tmp_path, refuses):
    trace = tmp_path / "trace"

    refuses(archive_of(**{name: np.array(Hostile(trace), dtype=object)}))

    assert not trace.exists()


@pytest.mark.parametrize("pack", [pickle.dumps, lambda hostile: npy_bytes(np.array(hostile, dtype=object))])
def test_a_pickle_instead_is_refused_and_never_run(pack, tmp_path, refuses):
    trace = tmp_path / "trace"
    content = pack(Hostile(trace))

    refuses(content)

    assert not trace.exists()


def test_the_hostile_pickle_would_have_left_its_trace(tmp_path):
    pickle.loads(pickle.dumps(Hostile(tmp_path / "trace")))  # noqa: S301  # that is the point

    assert (tmp_path / "trace").exists()


def test_no_samples_at_all():
    found = make(samples=0)

    assert found.reconstruct().shape == (0, 8)
    assert found.matching_error().shape == (0,)


def test_a_frame_has_a_row_for_each_effect_that_is_not_zero():
    found = make(n=3, samples=2, provenance={"samples": [4, 7]})
    found.and_[0, 3:] = 0
    found.or_[1] = 0

    frame = found.to_frame()
    assert list(frame.columns) == ["sample", "kind", "order", "variables", "names", "effect"]
    expected = {
        (sample, kind, tuple(sorted(s))): part[row, number].item()
        for row, sample in enumerate((4, 7))
        for kind, part in (("AND", found.and_), ("OR", found.or_))
        for number, s in enumerate(subsets(3))
        if part[row, number]
    }
    assert len(expected) == 2 + 7 + 7
    assert {(row.sample, row.kind, row.variables): row.effect for row in frame.itertuples()} == expected
    assert all(row.order == len(row.variables) for row in frame.itertuples())
    assert all(row.names == tuple(f"x{i}" for i in row.variables) for row in frame.itertuples())
    for _, part in frame.groupby("sample"):
        assert part["effect"].abs().is_monotonic_decreasing


def test_a_frame_names_the_variables():
    draw = {"names": ["good", "film"], "positions": [[1], [2]]}
    found = make(n=2, samples=1, provenance={"draws": [draw]})

    assert set(found.to_frame()["names"]) == {("good",), ("film",), ("good", "film")}


def test_a_frame_without_effects_has_its_columns():
    frame = with_effects([0.0, 0.0]).to_frame()

    assert len(frame) == 0
    assert "effect" in frame.columns


@pytest.mark.parametrize("n", [1, 2, 4])
@pytest.mark.parametrize("part", ["both", "AND", "OR"])
def test_shapiq_adds_up_to_the_reconstruction(n, part):
    """A sum over subsets of shapiq's own entries gives the logical model's output on every masked sample."""
    found = make(n, samples=2, seed=n)
    bias = 0.0 if part == "OR" else None

    for row, explained in enumerate(found.to_shapiq(part)):
        assert (explained.index, explained.n_players, explained.max_order) == ("Moebius", n, n)
        and_ = [0.0] * 2**n if part == "OR" else found.and_[row].tolist()
        or_ = [0.0] * 2**n if part == "AND" else found.or_[row].tolist()
        expected = slow_h(n, found.values[row, 0].item() if bias is None else bias, and_, or_)
        for number, t in enumerate(subsets(n)):
            total = sum(effect for s, effect in explained.dict_values.items() if set(s) <= t)
            assert total == pytest.approx(expected[number], rel=1e-9, abs=1e-9)
        assert explained.baseline_value == pytest.approx(expected[0])


def test_shapiq_keeps_and_interactions_sparse():
    found = with_effects([0.0, 0.0, 0.0, 2.5], [0.0, 1.0, 0.0, 0.0])

    assert found.to_shapiq("AND")[0].dict_values == {(): 0.0, (0, 1): 2.5}
    assert found.to_shapiq("OR")[0].dict_values == {(): 0.0, (0,): 1.0}


def test_shapiq_turns_it_into_shapley_values():
    """Each effect is shared equally by its variables: the definition of the Shapley value on AND interactions."""
    found = make(n=3, samples=1, seed=5)
    (both,) = found.to_shapiq()
    converter = pytest.importorskip("shapiq.game_theory.moebius_converter").MoebiusConverter(both)

    shapley = converter("SV", order=1)
    for player in range(3):
        share = sum(effect / len(s) for s, effect in both.dict_values.items() if player in s)
        assert shapley[(player,)] == pytest.approx(share)


def test_an_unknown_part_is_refused():
    with pytest.raises(ValueError, match="`part` must be 'both', 'AND' or 'OR', got 'and'"):
        make().to_shapiq("and")


@pytest.mark.parametrize(
    ("name", "extra", "method"), [("pandas", "frames", "to_frame"), ("shapiq",) * 2 + ("to_shapiq",)]
)
def test_what_is_not_installed_is_named(name, extra, method, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)

    with pytest.raises(ImportError, match=rf"needs `{name}`.*HINT: pip install .*\[{extra}\]"):
        getattr(make(), method)()
