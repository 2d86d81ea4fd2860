"""Each run has a folder of its own, beside its checkpoints, whatever its logger."""

import warnings
from pathlib import Path

import pytest
import pytorch_lightning
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger

from lightning_interactions.run_files import monitor_folders

pytestmark = pytest.mark.usefixtures("quick")


def service(base):
    """A logger as services have it: a folder for all runs, and a run that it starts when it is first needed."""

    class Service(base):
        def __init__(self, save_dir, version=None, name="project"):
            super().__init__()
            self._save_dir, self._given, self._name = save_dir, version, name
            self.started = 0
            self.asked = []

        @property
        def experiment(self):
            self.started += 1

        @property
        def save_dir(self):
            return self._save_dir

        @property
        def name(self):
            self.asked.append("name")
            return self._name

        @property
        def version(self):
            self.asked.append("version")
            return self._given

        def log_metrics(self, metrics, step=None):
            pass

        def log_hyperparams(self, params, *_, **__):
            pass

    return Service


Service = service(Logger)


@pytest.mark.parametrize("version", ["3kd9a1", 3, None])
@pytest.mark.parametrize("package", ["lightning", "pytorch_lightning"])
def test_runs_of_a_service_lie_beside_their_checkpoints(package, version, fit, make_monitor, tmp_path):
    base = {"lightning": Logger, "pytorch_lightning": pytorch_lightning.loggers.Logger}[package]
    logger = service(base)(str(tmp_path / "service"), version)
    monitor, keeping = make_monitor(), ModelCheckpoint(save_last=True)
    fit(monitor, keeping, max_epochs=1, logger=logger, enable_checkpointing=True)
    assert Path(keeping.last_model_path).parent.name == "checkpoints"
    assert monitor.folder == Path(keeping.last_model_path).parent.parent / "interactions"
    assert (monitor.folder / "history.json").is_file()
    assert version != "3kd9a1" or monitor.folder == tmp_path / "service" / "project" / "3kd9a1" / "interactions"


def test_two_runs_of_a_service_do_not_meet(fit, make_monitor, tmp_path):
    folders = []
    for version in ("one", "two"):
        monitor = make_monitor(name="deep")
        fit(monitor, max_epochs=1, logger=Service(str(tmp_path), version))
        ((folder, run, name),) = monitor_folders(tmp_path / "project" / version)
        assert (folder, run, name) == (monitor.folder, tmp_path / "project" / version, "deep")
        folders.append(folder)
    assert folders[0] != folders[1]
    assert sorted(path.name for path in folders[0].iterdir()) == sorted(path.name for path in folders[1].iterdir())


def test_without_a_folder_of_the_service_it_is_that_of_the_trainer(fit, make_monitor, tmp_path):
    monitor, keeping = make_monitor(), ModelCheckpoint(save_last=True)
    fit(monitor, keeping, max_epochs=1, logger=Service(None, "run"), enable_checkpointing=True)
    assert monitor.folder == Path(keeping.last_model_path).parent.parent / "interactions"
    assert monitor.folder == tmp_path / "project" / "run" / "interactions"


@pytest.mark.parametrize("logger", [TensorBoardLogger, CSVLogger, pytorch_lightning.loggers.CSVLogger])
def test_a_logger_with_a_folder_for_each_run_is_asked_for_it(logger, fit, make_monitor, tmp_path):
    made = logger(tmp_path / "logs", name="run", version="first")
    monitor = make_monitor()
    fit(monitor, max_epochs=1, logger=[made, Service(str(tmp_path), "other")])
    assert monitor.folder == tmp_path / "logs" / "run" / "first" / "interactions"


def test_a_folder_of_a_logger_that_all_its_runs_share_is_not_enough(fit, make_monitor, tmp_path):
    class Shared(Service):
        log_dir = Service.save_dir

    monitor = make_monitor()
    fit(monitor, max_epochs=1, logger=Shared(str(tmp_path), "run"))
    assert monitor.folder == tmp_path / "project" / "run" / "interactions"


def test_a_service_is_started_and_asked_by_the_trainer_alone(make_monitor, make_trainer, make_module, make_loaders):
    """As often as without the monitor, and asked for nothing before its run is there."""
    counts = []
    for callbacks in ([], [make_monitor()]):
        logger = Service("unused", "run")
        trainer = make_trainer(*callbacks, logger=logger, max_epochs=1)
        trainer.validate(make_module(), make_loaders()[1], verbose=False)
        counts.append((logger.started, sorted(logger.asked)))
    assert counts[0] == counts[1]


@pytest.mark.parametrize("url", ["s3://bucket/run", "gs://bucket/run"])
def test_a_remote_folder_is_said_and_replaced(url, fit, make_monitor, in_folder, monitor_warnings):
    monitor = make_monitor()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(monitor, default_root_dir=url)
    protocol = url.partition(":")[0]
    folder = Path(f"interactions-{protocol}", "bucket", "run", "interactions")
    assert monitor.folder == folder
    assert (in_folder / folder / "history.json").is_file()
    assert [path.name for path in in_folder.iterdir()] == [f"interactions-{protocol}"]
    (said,) = monitor_warnings(caught)
    assert f"'{url}'" in said
    assert f"'{folder}'" in said


def test_a_url_of_this_machine_is_no_remote_folder(fit, make_monitor, tmp_path, monitor_warnings):
    monitor = make_monitor()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(monitor, max_epochs=1, logger=Service(f"file://{tmp_path}", "run"))
    assert monitor.folder == tmp_path / "project" / "run" / "interactions"
    assert monitor_warnings(caught) == []
