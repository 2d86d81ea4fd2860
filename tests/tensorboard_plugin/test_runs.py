import json
import math
import zlib

import pytest
from tensorboard.compat.proto.types_pb2 import DT_FLOAT
from tensorboard.context import RequestContext

from lightning_interactions.tensorboard_plugin.documents import encode
from lightning_interactions.tensorboard_plugin.runs import list_runs, read_effects, read_run


def read(provider, run="a", prefix="interactions/"):
    return read_run(provider, RequestContext(), "", run, prefix)


def effects_at(provider, epoch, run="a", prefix="interactions/"):
    return read_effects(provider, RequestContext(), "", run, prefix, epoch)


def listed(provider):
    return [(entry["run"], entry["prefix"], entry["epochs"]) for entry in list_runs(provider, RequestContext(), "")]


def test_every_run_and_monitor_is_listed(tmp_path, write_run, read_folder):
    write_run(tmp_path / "b")
    write_run(tmp_path / "a", epochs=(0, 5))
    write_run(tmp_path / "a", epochs=(3,), prefix="interactions/deep/")

    assert listed(read_folder(tmp_path)) == [
        ("a", "interactions/", 2),
        ("a", "interactions/deep/", 1),
        ("b", "interactions/", 4),
    ]


def test_a_new_measurement_changes_the_version(tmp_path, write_run, read_folder):
    write_run(tmp_path / "a", epochs=(0,))
    (before,) = list_runs(read_folder(tmp_path), RequestContext(), "")
    write_run(tmp_path / "a", epochs=(5,), samples=False)
    (after,) = list_runs(read_folder(tmp_path), RequestContext(), "")

    assert after["version"] != before["version"]
    assert after["changed"] >= before["changed"]


def test_a_record_comes_back_as_it_was_logged(tmp_path, write_run, read_folder, record_of):
    write_run(tmp_path / "a", epochs=(10, 0, 5))
    content = read(read_folder(tmp_path))

    assert [record["epoch"] for record in content["records"]] == [0, 5, 10]
    for record in content["records"]:
        for key, value in record_of(record["epoch"]).items():
            if key.startswith(("residual", "normalized", "cancellation")):
                assert key not in record
            elif isinstance(value, float) and math.isnan(value):
                assert record[key] is None
            else:
                assert record[key] == (value if isinstance(value, str) else pytest.approx(value, rel=1e-4))
    assert content["unreadable"] == 0


def test_the_strongest_effects_of_an_epoch_come_back(tmp_path, write_run, read_folder, interactions_of):
    write_run(tmp_path / "a")
    provider = read_folder(tmp_path)
    found = effects_at(provider, 5)

    assert [sample["sample"] for sample in found] == [0, 1, 2]
    for row, sample in enumerate(found):
        expected = interactions_of(5).strongest(row, 6)
        assert [(e["kind"], tuple(e["variables"])) for e in sample["effects"]] == [
            (e.kind, e.variables) for e in expected
        ]
        assert [e["effect"] for e in sample["effects"]] == pytest.approx([e.effect for e in expected], rel=1e-3)
    assert effects_at(provider, 6) is None


def test_hundreds_of_epochs_survive_tensorboards_sampling(tmp_path, write_run, read_folder):
    write_run(tmp_path / "a", epochs=range(0, 240, 2))

    assert [record["epoch"] for record in read(read_folder(tmp_path))["records"]] == list(range(0, 240, 2))


def test_the_last_refit_overrides_earlier_fits(tmp_path, write_run, read_folder, record_of):
    refit = [record_of(epoch) | {"spindle_share": 0.77, "mean_order": 99.0} for epoch in (0, 5)]
    write_run(tmp_path / "a", epochs=(0, 5, 10), refit=refit)
    records = read(read_folder(tmp_path))["records"]

    assert [record["spindle_share"] for record in records] == pytest.approx([0.77, 0.77, 0.3])
    assert [record["mean_order"] for record in records] == pytest.approx([1.5, 1.55, 1.6])  # no key of the fit


def test_a_resumed_run_shows_what_it_has_from_its_checkpoint(tmp_path, write_run, read_folder, record_of, open_logger):
    from lightning_interactions.callback.tab import log_refit  # noqa: PLC0415

    write_run(tmp_path / "a", epochs=(10,))
    logger = open_logger(tmp_path / "a")
    log_refit(logger, [record_of(0), record_of(5)], 100, whole=True)
    log_refit(logger, [record_of(10) | {"spindle_share": 0.66}], 200)
    logger.experiment.close()
    provider = read_folder(tmp_path)

    records = read(provider)["records"]
    assert [record["epoch"] for record in records] == [0, 5, 10]
    assert [record["spindle_share"] for record in records] == pytest.approx([0.1, 0.2, 0.66])
    assert [effects_at(provider, epoch) is None for epoch in (0, 5, 10)] == [True, True, False]


def test_an_epoch_measured_again_counts_once(tmp_path, write_run, read_folder):
    write_run(tmp_path / "a", epochs=(0, 5))
    write_run(tmp_path / "a", epochs=(5, 10), samples=False)

    assert [record["epoch"] for record in read(read_folder(tmp_path))["records"]] == [0, 5, 10]


def test_an_unknown_run_is_nothing(tmp_path, write_run, read_folder):
    write_run(tmp_path / "a")
    provider = read_folder(tmp_path)

    assert read(provider, "b") is None
    assert read(provider, "a", "other/") is None
    assert read(provider, "../a") is None


FOREIGN = {
    "no compression": b"\x00\x01",
    "no JSON": zlib.compress(b"<html>"),
    "newer": zlib.compress(b'{"schema": 999, "record": {}}'),
    "a list": zlib.compress(b"[]"),
    "no record": encode({"other": 1}),
    "a record that is a text": encode({"record": "text"}),
    "a record that is nothing": encode({"record": None}),
    "a number that is too large": encode(
        {"record": {"l1": 10**400}, "records": [{"l1": 10**400}], "samples": [{"sample": 1}]}
    ),
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize("kind", ["record/000005", "refit", "history", "samples"])
def test_foreign_documents_are_counted_and_hurt_nothing(tmp_path, write_run, write_bytes, read_folder, kind, content):
    write_run(tmp_path / "a", epochs=(0,), samples=False)
    write_bytes(tmp_path / "a", f"interactions/{kind}", content)
    found = read(read_folder(tmp_path))

    assert [record["epoch"] for record in found["records"]] == [0]
    assert found["unreadable"] == 1
    json.dumps(found, allow_nan=False)


FOREIGN_EFFECTS = {
    "nothing": b"",
    "no effects": encode({"record": {}}),
    "numbers": encode({"strongest": [1, 2]}),
    "a text": encode({"strongest": "text"}),
    "no variables": encode({"strongest": [{"sample": 0, "effects": [["AND"]]}]}),
    "no number": encode({"strongest": [{"sample": 0, "effects": [["AND", [1], "<b>"]]}]}),
    "infinite": zlib.compress(b'{"schema": 1, "strongest": [{"sample": 0, "effects": [["AND", [1], 1e999]]}]}'),
    "an infinite sample": zlib.compress(b'{"schema": 1, "strongest": [{"sample": 1e999, "effects": []}]}'),
}


@pytest.mark.parametrize("content", FOREIGN_EFFECTS.values(), ids=FOREIGN_EFFECTS)
def test_foreign_effects_are_nothing(tmp_path, write_bytes, read_folder, content):
    write_bytes(tmp_path / "a", "interactions/record/000005", encode({"record": {"mean_order": 2.0}}), content)
    provider = read_folder(tmp_path)

    assert read(provider)["records"] == [{"epoch": 5, "mean_order": 2.0}]
    assert effects_at(provider, 5) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"string_val": []},
        {"string_val": [b"a", b"b", b"c"]},  # which contradicts the shape, so that TensorBoard cannot unpack it
        {"dtype": DT_FLOAT, "string_val": [], "float_val": [1.0]},
    ],
)
def test_a_tensor_of_another_form_hurts_nothing(tmp_path, write_run, write_bytes, read_folder, fields):
    write_run(tmp_path / "a", epochs=(0,))
    write_bytes(tmp_path / "a", "interactions/record/000005", **fields)
    provider = read_folder(tmp_path)
    found = read(provider)

    assert [record["epoch"] for record in found["records"]] == [0]
    assert found["unreadable"] == 1
    assert effects_at(provider, 5) is None
    assert len(effects_at(provider, 0)) == 3


def test_strange_entries_of_a_record_are_left_out(tmp_path, write_bytes, read_folder):
    record = {
        "epoch": 7,
        "mean_order": 2.0,
        "phase": "normal",
        "long": "x" * 100_000,
        "nested": {"a": 1},
        "positive": [1.0, None],
        "negative": ["<script>"],
        "many": [0.0] * 10_000,
    }
    write_bytes(tmp_path / "a", "interactions/record/000005", encode({"record": record}))
    (found,) = read(read_folder(tmp_path))["records"]

    # The tag says which epoch it is.
    assert found == {"epoch": 5, "mean_order": 2.0, "phase": "normal", "positive": [1.0, None]}


def test_infinite_numbers_are_left_out(tmp_path, write_bytes, read_folder):
    content = zlib.compress(b'{"schema": 1, "record": {"mean_order": 1e999, "positive": [1e999], "l1": 2}}')
    write_bytes(tmp_path / "a", "interactions/record/000005", content)

    assert read(read_folder(tmp_path))["records"] == [{"epoch": 5, "l1": 2}]


def test_samples_come_back_with_their_pictures(tmp_path, write_run, read_folder):
    write_run(tmp_path / "a")
    samples = read(read_folder(tmp_path))["samples"]

    assert [sample["title"] for sample in samples] == ["sample 0, class 0", "sample 1, class 1", "sample 2, class 2"]
    assert all(len(sample["cells"]) == len(sample["names"]) == 4 for sample in samples)
    assert samples[0]["image"]["width"] == 16
    assert samples[0]["words"] == []
