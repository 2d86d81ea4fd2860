"""Whatever a configuration says, it is parsed or refused with a message; parsing runs nothing that it names."""

import contextlib
import copy
import io
import sys
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning.pytorch import LightningDataModule
from lightning.pytorch.demos.boring_classes import BoringModel

from experiments.classifier import Classifier
from experiments.cli import ExperimentCLI
from lightning_interactions.cli.main import main

ROOT = Path(__file__).parents[2]
CONFIG = yaml.safe_load((ROOT / "configs" / "quickstart.yaml").read_text())
EXPLAINED = {
    "seed_everything": 0,
    "n": 3,
    "model": {"class_path": "lightning.pytorch.demos.boring_classes.BoringModel"},
    "data": {"class_path": "lightning.pytorch.demos.boring_classes.BoringDataModule"},
    "trainer": {
        "callbacks": [
            {
                "class_path": "lightning_interactions.InteractionMonitor",
                "init_args": {"variables": {"class_path": "lightning_interactions.Columns"}, "n_samples": 2},
            }
        ]
    },
}

TRACE = "trace of a command"
HOSTILE = ["os.system", "subprocess.Popen", "builtins.eval", "os.mkdir", "pathlib.Path.mkdir"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=4) | st.sampled_from(HOSTILE),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["class_path", "init_args", "a"]), inner, max_size=2)
    ),
    max_leaves=4,
)


def paths_in(config, above=()):
    """Where something stands in a configuration."""
    for key, value in config.items() if isinstance(config, dict) else enumerate(config):
        yield (*above, key)
        if isinstance(value, (dict, list)):
            yield from paths_in(value, (*above, key))


def changed(config, path, value):
    """A copy with another value in one place."""
    config = copy.deepcopy(config)
    part = config
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    return config


class ParserOnly(ExperimentCLI):
    """The experiments' command line up to where it would read its arguments."""

    def parse_arguments(self, parser, args):
        del args
        raise StopIteration(parser)


@pytest.fixture(scope="module")
def parser():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["experiments"])
        with pytest.raises(StopIteration) as caught:
            ParserOnly(Classifier, LightningDataModule, subclass_mode_data=True, args=["fit"])
    return caught.value.value


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A checkpoint, and the place for a configuration."""
    made = tmp_path_factory.mktemp("configs")
    torch.save({"state_dict": BoringModel().state_dict()}, made / "last.ckpt")
    return made


def outcome(run):
    """The exit status and what was said; any other end than these two is a fault."""
    with contextlib.redirect_stderr(io.StringIO()) as said, contextlib.redirect_stdout(io.StringIO()):
        try:
            status = run()
        except SystemExit as stop:
            status = stop.code
    return status, said.getvalue()


def parsed(parser, folder, config):
    path = folder / "config.yaml"
    path.write_text(config if isinstance(config, str) else yaml.safe_dump(config))
    return outcome(lambda: (parser.parse_args(["fit", f"--config={path}"]), 0)[1])


def explained(folder, config):
    path = folder / "config.yaml"
    path.write_text(config if isinstance(config, str) else yaml.safe_dump(config))
    words = ["explain", "--checkpoint", str(folder / "last.ckpt"), "--config", str(path), "-o", str(folder / "out")]
    return outcome(lambda: main(words))


def some_changes(config, examples):
    places = st.sampled_from(sorted(paths_in(config), key=str))

    def decorate(test):
        return settings(deadline=None, max_examples=examples)(given(place=places, value=VALUES)(test))

    return decorate


def check_parsed(parser, folder, place, value):
    status, said = parsed(parser, folder, changed(CONFIG, place, value))
    assert status == 0 or (status == 2 and "error:" in said), said


def check_refused(folder, place, value):
    """No such change makes the boring network's inputs a table, so there is always something to refuse."""
    status, said = explained(folder, changed(EXPLAINED, place, value))
    assert status == 1, said
    assert said.startswith(("lightning-interactions explain: ", "last.ckpt: "))


@some_changes(CONFIG, examples=8)
def test_a_changed_configuration_is_parsed_or_refused(place, value, parser, folder):
    check_parsed(parser, folder, place, value)


@pytest.mark.long
@some_changes(CONFIG, examples=300)
def test_many_changed_configurations_are_parsed_or_refused(place, value, parser, folder):
    check_parsed(parser, folder, place, value)


@some_changes(EXPLAINED, examples=10)
def test_a_changed_configuration_is_refused_when_explaining(place, value, folder):
    check_refused(folder, place, value)


@pytest.mark.long
@some_changes(EXPLAINED, examples=300)
def test_many_changed_configurations_are_refused_when_explaining(place, value, folder):
    check_refused(folder, place, value)


CLASSES = [("model", "network"), ("data",), ("trainer", "callbacks"), ("trainer", "logger"), ("monitor", "variables")]
FUNCTIONS = [("model", "optimizer"), ("monitor", "loss"), ("monitor", "forward"), ("monitor", "split_batch")]


@pytest.mark.parametrize("place", CLASSES + FUNCTIONS, ids=str)
def test_what_is_named_in_the_place_of_a_class_is_not_called(place, parser, folder, tmp_path):
    """Where a function is expected, any function is accepted: it is then called by the training, not by the reading."""
    trace = tmp_path / TRACE
    for value in (
        {"class_path": "subprocess.Popen", "init_args": {"args": ["touch", str(trace)]}},
        {"class_path": "os.mkdir", "init_args": {"path": str(trace)}},
        "os.mkdir",
    ):
        status, said = parsed(parser, folder, changed(CONFIG, place, value))
        assert status == 2 or place in FUNCTIONS, said
    assert not trace.exists()


@pytest.mark.parametrize("place", [("model",), ("data",), ("monitor",), ("trainer", "callbacks")], ids=str)
def test_so_it_is_when_explaining(place, folder, tmp_path):
    trace = tmp_path / TRACE
    for value in (
        {"class_path": "subprocess.Popen", "init_args": {"args": ["touch", str(trace)]}},
        {"class_path": "os.mkdir", "init_args": {"path": str(trace)}},
    ):
        value = [value] if place[-1] == "callbacks" else value  # noqa: PLW2901
        status, said = explained(folder, changed(EXPLAINED, place, value))
        assert status == 1, said
    assert not trace.exists()


@pytest.mark.parametrize("read", ["parsed", "explained"])
def test_yaml_builds_no_objects(read, parser, folder, tmp_path):
    trace = tmp_path / TRACE
    text = f'model: !!python/object/apply:os.mkdir ["{trace}"]\n'
    status, said = parsed(parser, folder, text) if read == "parsed" else explained(folder, text)

    assert status != 0
    assert "tag:yaml.org,2002:python/object/apply:os.mkdir" in said
    assert not trace.exists()
