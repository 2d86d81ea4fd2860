"""A configuration of a LightningCLI: what is read, changed and found in it."""

import importlib
import sys

import pytest

from lightning_interactions import InteractionMonitor
from lightning_interactions.cli import configuration
from lightning_interactions.cli.configuration import monitor_settings, override, read

MONITOR = "lightning_interactions.InteractionMonitor"


@pytest.mark.parametrize(
    ("text", "message"),
    [("model: [", "must be readable YAML"), ("fit: {data: 1}", "has no `model`"), ("- model", "has no `model`")],
)
def test_a_file_that_is_no_configuration_is_refused(text, message, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(text)

    with pytest.raises(ValueError, match=message):
        read(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"`--config` must be a YAML file, got '.*missing.yaml'"):
        read(tmp_path / "missing.yaml")


def test_a_setting_makes_the_levels_above_it():
    config = {"model": 1}
    override(config, "trainer.limits.batches=[1, 2]")

    assert config == {"model": 1, "trainer": {"limits": {"batches": [1, 2]}}}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("nothing", "must be KEY=VALUE, got 'nothing'"),
        ("=1", "must be KEY=VALUE"),
        ("model.width=1", "'model' holds no settings"),
        ("model=[", "must be readable YAML"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        override({"model": 1}, setting)


@pytest.mark.parametrize(
    "config",
    [
        {"monitor": {"n_samples": 3}},
        {"monitor": {"class_path": MONITOR, "init_args": {"n_samples": 3}}},
        {"trainer": {"callbacks": {"class_path": MONITOR, "init_args": {"n_samples": 3}}}},
        {"trainer": {"callbacks": [MONITOR.replace("InteractionMonitor", "Columns"), MONITOR]}},
    ],
    ids=["arguments", "class", "the only callback", "by name"],
)
def test_the_monitor_is_found(config):
    cls, arguments = monitor_settings(config)

    assert cls is InteractionMonitor
    assert arguments in ({"n_samples": 3}, {})


def test_one_option_sets_the_number_of_variables_and_leaves_the_configuration_as_it_is():
    variables = {"class_path": "lightning_interactions.Columns"}
    config = {"n": 4, "monitor": {"variables": variables}}

    assert monitor_settings(config)[1] == {"variables": variables | {"init_args": {"n_variables": 4}}}
    assert config == {"n": 4, "monitor": {"variables": variables}}


def test_what_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "jsonargparse", None)
    monkeypatch.delitem(sys.modules, configuration.__name__)
    with pytest.raises(ImportError, match=r"jsonargparse.*HINT: pip install 'lightning-interactions\[experiments\]'"):
        importlib.import_module(configuration.__name__)
