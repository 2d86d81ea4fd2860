"""A file is either read or refused with one kind of error, whatever is in it, and before memory is spent on it."""

import io
import json
import math
import resource
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_interactions import Interactions, sparsify
from lightning_interactions.files import unpack_arrays
from lightning_interactions.history import History
from lightning_interactions.refit import refit

FEW = settings(deadline=None, max_examples=25)
GB = 2**30


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    """The arrays of a file that was saved as it should be."""
    path = sparsify(torch.rand(3, 8, dtype=torch.float64)).save(tmp_path_factory.mktemp("honest") / "epoch=0000.npz")
    return unpack_arrays(path.read_bytes())


@pytest.fixture
def refused(tmp_path):
    """The message with which a content is refused."""

    def load(content):
        path = tmp_path / "epoch=0000.npz"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"epoch=0000\.npz' is no readable file of Interactions.*HINT") as caught:
            Interactions.load(path)
        return str(caught.value)

    return load


@contextmanager
def no_more_memory_than(extra):
    """Let the process's address space grow by so many bytes and no further."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + extra, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def packed(arrays):
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    return content.getvalue()


def header(shape, dtype="<f8"):
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(content, {"descr": dtype, "fortran_order": False, "shape": shape})
    return content.getvalue()


def archive(arrays, **members):
    """An archive in which some members are bytes that nobody would have written."""
    content = io.BytesIO(packed({name: array for name, array in arrays.items() if name not in members}))
    with zipfile.ZipFile(content, "a", zipfile.ZIP_DEFLATED) as file:
        for name, raw in members.items():
            file.writestr(f"{name}.npy", raw)
    return content.getvalue()


def bomb(*shapes):
    """An archive that really unpacks to so many zeros, made without their memory."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        for number, shape in enumerate(shapes):
            with file.open(f"array{number}.npy", "w", force_zip64=True) as member:
                member.write(header(shape))
                left = 8 * math.prod(shape)
                while left:
                    left -= member.write(bytes(min(left, 2**24)))
    return content.getvalue()


# -- archives ----------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the memory is read from /proc")
@pytest.mark.parametrize("members", [1, 2])
def test_a_zip_bomb_is_refused_before_it_is_unpacked(members, refused):
    content = bomb(*[(2**16 // members, 2**9 + 1)] * members)
    assert len(content) < 2e6

    with no_more_memory_than(GB // 16):
        assert "it must unpack to at most 268435456 bytes, got 268959744" in refused(content)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the memory is read from /proc")
@pytest.mark.parametrize(
    "shape", [(3, 2**60), (2**40, 8), (10**18, 10**18), (-1, 8), (2**31, 2**31, 2**2), (0, 2**62)], ids=str
)
def test_a_claim_to_be_huge_is_refused(shape, honest, refused):
    with no_more_memory_than(GB // 2):
        refused(archive(honest, values=header(shape) + bytes(192)))


@pytest.mark.parametrize("n", [0, 21, 60])
def test_absurd_numbers_of_variables(n, honest, refused):
    columns = 2**n
    arrays = honest | {name: np.zeros((0, columns if n < 30 else 8)) for name in ("values", "and_", "or_")}
    arrays |= {name: np.zeros(0) for name in ("l1", "gap", "noise_bound")}
    if n < 30:
        assert "2**n" in refused(archive(arrays))
    else:
        refused(archive(arrays, values=header((0, columns))))


@pytest.mark.parametrize("name", ["values", "and_", "or_", "l1", "gap", "noise_bound"])
@pytest.mark.parametrize("shape", [(), (4,), (2, 8), (3, 16), (3, 8, 1)], ids=str)
def test_shapes_that_do_not_fit_each_other(name, shape, honest, refused):
    assert "shape" in refused(packed(honest | {name: np.zeros(shape)}))


@pytest.mark.parametrize("dtype", ["<U4", "<i8", "<f4", "|b1", "<c16", "<M8[s]", "|V8", ">f8"])
def test_numbers_of_another_kind(dtype, honest, refused):
    assert "float64" in refused(packed(honest | {"values": np.zeros((3, 8), dtype=dtype)}))


@pytest.mark.parametrize("name", ["values", "threshold", "provenance", "schema"])
def test_a_missing_member(name, honest, refused):
    assert name in refused(packed({key: value for key, value in honest.items() if key != name}))


@pytest.mark.parametrize("provenance", ["[1]", "3", '"text"', "{", "[" * 100_000, ""], ids=lambda text: text[:5])
def test_a_provenance_that_is_none(provenance, honest, refused):
    refused(packed(honest | {"provenance": np.array(provenance)}))


@given(junk=st.binary(max_size=200), name=st.sampled_from(["values", "threshold", "provenance", "schema"]))
@FEW
def test_a_member_of_any_bytes(junk, name, honest, tmp_path_factory):
    path = tmp_path_factory.mktemp("junk") / "epoch=0000.npz"
    path.write_bytes(archive(honest, **{name: junk}))

    with pytest.raises(ValueError, match="no readable file"):
        Interactions.load(path)


def test_a_damaged_stream_behind_an_honest_header(honest, refused):
    content = bytearray(archive(honest, values=header((3, 8)) + np.random.default_rng(0).bytes(192)))
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        start = file.getinfo("values.npy").header_offset
    content[start + 150 : start + 160] = bytes(10)

    refused(bytes(content))


def test_what_is_honest_is_read_however_well_it_packs(tmp_path):
    """Constant outputs pack a hundredfold; up to 256 MB nothing else is asked of them."""
    found = sparsify(torch.ones(50, 2**10, dtype=torch.float64), solver="none")
    path = found.save(tmp_path / "epoch=0000.npz")

    assert 3 * 8 * found.values.numel() > 100 * path.stat().st_size
    assert torch.equal(Interactions.load(path).values, found.values)


def test_real_outputs_unpack_to_less_than_ten_times_their_file(tmp_path):
    values = torch.rand(4, 2**8, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).cumsum(dim=1)
    path = sparsify(values.float().double(), noise_bound=5.0).save(tmp_path / "epoch=0000.npz")

    assert 3 * 8 * values.numel() < 10 * path.stat().st_size


# -- histories ---------------------------------------------------------------------------------------------------------

PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
ANY = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner))
RECORDS = st.lists(
    st.dictionaries(st.sampled_from(["epoch", "l1", "positive", "phase"]), ANY)
    | st.fixed_dictionaries({"epoch": st.integers(0, 9)}, optional={"l1": ANY, "positive": ANY}),
    max_size=4,
)


@pytest.fixture(scope="module")
def history_file(tmp_path_factory):
    return tmp_path_factory.mktemp("histories") / "history.json"


def read_or_refused(path, content):
    path.write_bytes(content)
    try:
        history = History.load(path)
    except ValueError as error:
        assert str(error).startswith(f"'{path}' is no readable history")  # noqa: PT017  # there may be none
        return None
    assert history.epochs == sorted({int(epoch) for epoch in history.epochs})
    assert all(isinstance(record, dict) for record in history)
    for key in ("l1", "positive", "phase"):
        assert len(history.column(key)) == len(history)
    return history


@given(content=st.binary(max_size=100) | st.text(max_size=100).map(str.encode) | ANY.map(json.dumps).map(str.encode))
@FEW
def test_any_bytes_and_any_json(content, history_file):
    read_or_refused(history_file, content)


@given(schema=st.just(1) | ANY, records=RECORDS | ANY)
@settings(FEW, max_examples=50)
def test_any_records(schema, records, history_file):
    read_or_refused(history_file, json.dumps({"schema": schema, "records": records}).encode())


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b'{"schema": 1, "records": [{"epoch": ' + b"9" * 10_000 + b"}]}",
        b'{"schema": 1, "records": [{"epoch": 1e999}]}',
        b'{"schema": 1, "records": [{"epoch": NaN}]}',
        b'{"schema": 1, "records": [{"epoch": true}]}',
        b'{"schema": 1, "records": [{"epoch": -1}]}',
        b'{"schema": 1, "records": {"epoch": 1}}',
        b'{"schema": 1, "records": [{"epoch": 1, "positive": [[1]]}]}',
        b'{"schema": true, "records": []}',
        b'\xff\xfe{"schema": 1, "records": []}',
    ],
    ids=lambda content: repr(content[:60]),
)
def test_what_no_version_has_written_is_refused(content, history_file):
    assert read_or_refused(history_file, content) is None


def test_of_what_is_there_twice_the_last_counts(history_file):
    records = '[{"epoch": 1, "l1": 1.0, "l1": 2.0}, {"epoch": 1, "l1": 3.0}]'
    history = read_or_refused(history_file, f'{{"schema": 9, "schema": 1, "records": {records}}}'.encode())

    assert list(history) == [{"epoch": 1, "l1": 3.0}]


def test_infinite_and_huge_numbers_are_numbers(history_file):
    content = b'{"schema": 1, "records": [{"epoch": 0, "l1": 1e999, "positive": [NaN, -Infinity, null, 1e308]}]}'
    (record,) = read_or_refused(history_file, content)

    assert record["l1"] == math.inf
    assert [math.isnan(value) for value in record["positive"]] == [True, False, True, False]


NUMBERS = st.fixed_dictionaries({"epoch": st.just(0)}, optional={"held_out_loss": PLAIN, "onset_epoch": ANY})


@pytest.fixture(scope="module")
def measured_run(honest, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    (folder / "epoch=0000.npz").write_bytes(packed(honest))
    (folder / "epoch=0001.npz").write_bytes(packed(honest))
    return folder


@given(records=st.lists(NUMBERS, max_size=1), more=RECORDS)
@FEW
def test_a_run_with_any_history_is_fitted_or_refused(records, more, measured_run):
    (measured_run / "history.json").write_text(json.dumps({"schema": 1, "records": more + records}))
    try:
        assert len(refit(measured_run, bootstraps=0)) <= len(records + more)
    except ValueError as error:
        assert "history.json" in str(error)  # noqa: PT017  # there may be none
