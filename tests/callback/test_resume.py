"""A training that was stopped and resumed is measured like one that was not."""

import math
import random
import warnings

import numpy as np
import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader, Dataset, RandomSampler, TensorDataset, WeightedRandomSampler

from lightning_interactions import FeatureMapPatches, Interactions, PhaseDetector


def same(one, two):
    return one == two or (isinstance(one, float) and math.isnan(one) and math.isnan(two))


def assert_same_history(history, other):
    assert history.epochs == other.epochs
    for record, expected in zip(history, other, strict=True):
        assert record.keys() == expected.keys()
        for key in record.keys() - {"seconds"}:
            values, others = record[key], expected[key]
            if not isinstance(values, list):
                values, others = [values], [others]
            assert all(map(same, values, others)), (record["epoch"], key, values, others)


@pytest.fixture
def unshuffled(make_loaders):
    """Lightning restores no random state on a resume, so the order of the batches must not depend on one."""
    return lambda: make_loaders(shuffle=False)


@pytest.fixture
def module(make_module):
    def make():
        made = make_module()
        for layer in made.modules():
            if isinstance(layer, torch.nn.Dropout):
                layer.p = 0.0
        return made

    return make


def eager():
    """A detector that changes phase at the smallest sign, so that its state counts."""
    return PhaseDetector(rise=1e-9, false_alarm_rate=0.9)


@pytest.mark.parametrize("every", [1, 2])
def test_a_resumed_training_has_the_history_of_an_uninterrupted_one(
    every, fit, make_monitor, module, unshuffled, tmp_path
):
    options = {"every_n_epochs": every, "n_samples": 4}
    whole = make_monitor(phase_detector=eager(), **options)
    fit(whole, module=module(), loaders=unshuffled(), max_epochs=4, default_root_dir=str(tmp_path / "whole"))

    first = make_monitor(phase_detector=eager(), **options)
    trainer, _ = fit(first, module=module(), loaders=unshuffled(), max_epochs=2)
    trainer.save_checkpoint(tmp_path / "two.ckpt")
    torch.load(tmp_path / "two.ckpt", weights_only=True)

    second = make_monitor(phase_detector=eager(), **options)
    measured, measure = [], second._measure
    second._measure = lambda *args, epoch, **rest: (measured.append(epoch), measure(*args, epoch=epoch, **rest))[1]
    # Other random numbers than before: the samples must not depend on them.
    fit(second, module=module(), loaders=unshuffled(), max_epochs=4, ckpt_path=tmp_path / "two.ckpt", seed=99)

    assert measured == [epoch for epoch in (3, 4) if epoch % every == 0]
    assert_same_history(second.history, whole.history)
    assert second.phase_detector.state_dict() == whole.phase_detector.state_dict()
    assert second.interactions.provenance["draws"] == whole.interactions.provenance["draws"]
    for epoch in second.history.epochs:
        file = f"epoch={epoch:04d}.npz"
        resumed = Interactions.load(tmp_path / "interactions" / file)
        expected = Interactions.load(tmp_path / "whole" / "interactions" / file)
        assert torch.equal(resumed.values, expected.values)
        assert resumed.provenance == expected.provenance


class Augmented(Dataset):
    def __init__(self, images, labels):
        self.images, self.labels = images, labels

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        noise = torch.rand(()) + np.random.rand() + random.random()  # noqa: NPY002, S311
        return self.images[index] + float(noise), self.labels[index]


def sampled(draw, kind):
    images, labels = draw(30, 2)
    generator = torch.Generator().manual_seed(random.randrange(2**31))  # noqa: S311
    if kind == "augmented":
        return DataLoader(Augmented(images, labels), 8)
    if kind == "drawn with replacement":
        return DataLoader(TensorDataset(images, labels), 8, sampler=WeightedRandomSampler(torch.rand(30), 8))
    if kind == "a part at random":
        sampler = RandomSampler(range(30), num_samples=8)
        return DataLoader(TensorDataset(images, labels), 8, sampler=sampler)
    sampler = RandomSampler(range(30), num_samples=8, generator=generator)
    return DataLoader(TensorDataset(images, labels), 8, sampler=sampler)


@pytest.mark.parametrize("kind", ["augmented", "drawn with replacement", "a part at random", "a part, own generator"])
def test_the_samples_do_not_depend_on_the_random_state_of_the_process(kind, fit, make_monitor, draw, module):
    taken = []
    for seed in (1, 2):
        torch.manual_seed(0)
        random.seed(0 if kind == "a part, own generator" else seed)
        loader = sampled(draw, kind)
        if kind == "a part, own generator":
            loader.sampler.generator.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        monitor = make_monitor()
        fit(monitor, module=module(), loaders=(loader, loader), max_epochs=1, limit_train_batches=1, seed=seed)
        taken.append(monitor)
    one, two = taken
    assert torch.equal(one.held_out.inputs, two.held_out.inputs)
    assert one.history[0]["train_loss"] == two.history[0]["train_loss"]
    assert one.history[0]["l1"] == two.history[0]["l1"]


@pytest.mark.parametrize("at_end_of", ["training epoch", "validation"])
def test_model_checkpoints_load_weights_only_and_do_not_count_an_epoch_twice(
    at_end_of, fit, make_monitor, module, unshuffled, tmp_path
):
    whole = make_monitor(phase_detector=eager())
    fit(whole, module=module(), loaders=unshuffled(), max_epochs=4, default_root_dir=str(tmp_path / "whole"))

    keeping = ModelCheckpoint(
        tmp_path / "kept", filename="{epoch}", save_top_k=-1, save_on_train_epoch_end=at_end_of == "training epoch"
    )
    fit(make_monitor(phase_detector=eager()), keeping, module=module(), loaders=unshuffled(), enable_checkpointing=True)
    path = tmp_path / "kept" / "epoch=1.ckpt"
    state = torch.load(path, weights_only=True)["callbacks"]
    (kept,) = [value for key, value in state.items() if key.startswith("InteractionMonitor")]
    assert [record["epoch"] for record in kept["history"]] == [0, 1, 2][: 3 if at_end_of == "training epoch" else 2]

    second = make_monitor(phase_detector=eager())
    fit(second, module=module(), loaders=unshuffled(), max_epochs=4, ckpt_path=path)
    epochs = second.history.epochs
    assert set(epochs) >= {0, 1, 3, 4}
    assert [record["l1"] for record in second.history] == [whole.history[epoch]["l1"] for epoch in epochs]
    if 2 in epochs:
        assert second.phase_detector.state_dict() == whole.phase_detector.state_dict()


def test_an_epoch_measured_again_is_no_new_evidence_for_the_phase(make_monitor):
    monitor = make_monitor(phase_detector=PhaseDetector())
    for epoch, gap in ((0, 0.0), (1, 1.0), (2, 2.0), (2, 2.0), (2, 2.0)):
        record = monitor._phase(epoch, {"train_loss": 0.0, "held_out_loss": gap})
        monitor.history.add({"epoch": epoch} | record)
    assert monitor.history[2]["phase"] == "normal"
    assert monitor._phase(3, {"train_loss": 0.0, "held_out_loss": 3.0})["onset_epoch"] == 1


def test_a_key_can_be_monitored_from_the_first_epoch_after_a_resume(fit, make_monitor, module, unshuffled, tmp_path):
    trainer, _ = fit(make_monitor(every_n_epochs=2), module=module(), loaders=unshuffled())
    trainer.save_checkpoint(tmp_path / "two.ckpt")
    seen = []

    class Spy(ModelCheckpoint):
        def on_train_epoch_end(self, trainer, pl_module):
            seen.append(trainer.callback_metrics["interactions/l1"].item())
            super().on_train_epoch_end(trainer, pl_module)

    second = make_monitor(every_n_epochs=2)
    spy = Spy(tmp_path / "kept", monitor="interactions/l1")
    options = {"module": module(), "loaders": unshuffled(), "max_epochs": 4, "enable_checkpointing": True}
    fit(second, spy, ckpt_path=tmp_path / "two.ckpt", **options)
    assert seen == pytest.approx([second.history[2]["l1"], second.history[4]["l1"]], rel=1e-6)


def test_the_same_monitor_in_a_second_training_begins_anew(fit, make_monitor, make_module):
    monitor = make_monitor(phase_detector=eager())
    fit(monitor, max_epochs=3)
    fit(monitor, module=make_module(seed=5), max_epochs=1)
    fresh = make_monitor(phase_detector=eager())
    fit(fresh, module=make_module(seed=5), max_epochs=1)
    assert_same_history(monitor.history, fresh.history)
    assert monitor.phase_detector.state_dict() == fresh.phase_detector.state_dict()


def test_a_second_fit_of_the_same_trainer_goes_on(make_monitor, make_trainer, module, unshuffled):
    monitor, network = make_monitor(), module()
    trainer = make_trainer(monitor, max_epochs=2)
    trainer.fit(network, *unshuffled())
    trainer.fit_loop.max_epochs = 3
    trainer.fit(network, *unshuffled())
    assert monitor.history.epochs == [0, 1, 2, 3]


@pytest.fixture
def checkpoint(fit, make_monitor, module, unshuffled, tmp_path):
    trainer, _ = fit(make_monitor(), module=module(), loaders=unshuffled(), max_epochs=1)
    trainer.save_checkpoint(tmp_path / "one.ckpt")
    return tmp_path / "one.ckpt"


@pytest.fixture
def go_on(fit, make_monitor, module, unshuffled):
    def run(path, **options):
        monitor = make_monitor(**options)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            fit(monitor, module=module(), loaders=unshuffled(), max_epochs=3, ckpt_path=path)
        said = [str(warning.message) for warning in caught]
        return monitor, [text for text in said if text.startswith("InteractionMonitor")]

    return run


def test_records_of_another_number_of_variables_are_refused(checkpoint, go_on):
    variables = FeatureMapPatches("features.4", grid=4, border=1, n_variables=4)
    message = r"records are of 3 input variables, `variables` has 4\. HINT: .* `name=`"
    with pytest.raises(MisconfigurationException, match=message):
        go_on(checkpoint, variables=variables)
    monitor, said = go_on(checkpoint, variables=variables, name="four")
    assert monitor.history.epochs == [2, 3]
    assert said == []


def largest(logits, _):
    return logits.amax(dim=1)


@pytest.mark.parametrize(
    ("options", "changes"),
    [
        ({"output": "margin"}, ["output: 'log_odds' before, now 'margin'"]),
        ({"output": largest}, ["output: 'log_odds' before, now 'largest'"]),
        (
            {"noise_ratio": 0.05, "solver": "admm"},
            ["noise_ratio: 0.02 before, now 0.05", "solver: 'auto' before, now 'admm'"],
        ),
        ({"layer": "features.2"}, ["layer: 'features.4' before, now 'features.2'"]),
        ({"precision": "float64"}, ["precision: 'float32' before, now 'float64'"]),
    ],
)
def test_other_settings_are_named_once(options, changes, checkpoint, go_on):
    monitor, (said,) = go_on(checkpoint, **options)
    assert "; ".join(changes) in said
    assert monitor.history.epochs == [0, 1, 2, 3]


def test_the_same_settings_and_those_of_an_earlier_version_say_nothing(checkpoint, go_on):
    assert go_on(checkpoint)[1] == []
    content = torch.load(checkpoint, weights_only=True)
    for state in content["callbacks"].values():
        del state["settings"]
    torch.save(content, checkpoint)
    monitor, said = go_on(checkpoint, output="margin")
    assert said == []
    assert monitor.history.epochs == [0, 1, 2, 3]


def test_a_stage_without_training_takes_any_records(checkpoint, make_monitor, make_trainer, module, unshuffled):
    monitor = make_monitor(variables=FeatureMapPatches("features.4", grid=4, border=1, n_variables=4))
    make_trainer(monitor).validate(module(), unshuffled()[1], ckpt_path=checkpoint, verbose=False)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("stage", ["validate", "test"])
@pytest.mark.parametrize("again", ["the same trainer", "another trainer"])
def test_the_best_checkpoint_tested_after_the_training_costs_no_history(
    again, stage, make_monitor, make_trainer, make_module, conv_module_class, unshuffled, tmp_path
):
    class Module(conv_module_class):
        def test_step(self, batch):
            self.loss(batch)

    monitor, network = make_monitor(phase_detector=eager()), make_module(Module)
    best = ModelCheckpoint(tmp_path / "kept", monitor="epoch", mode="min")
    trainer = make_trainer(monitor, best, max_epochs=3, enable_checkpointing=True)
    trainer.fit(network, *unshuffled())
    first = next((tmp_path / "kept").iterdir())
    kept = torch.load(first, weights_only=True)["callbacks"][monitor.state_key]
    assert [record["epoch"] for record in kept["history"]] == [0, 1]
    known, interactions = str(monitor.state_dict()), monitor.interactions
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}

    if again == "another trainer":
        trainer = make_trainer(monitor)
    path = str(first) if again == "another trainer" else "best"
    getattr(trainer, stage)(network, unshuffled()[1], ckpt_path=path, verbose=False)

    assert str(monitor.state_dict()) == known
    assert monitor.history.epochs == [0, 1, 2, 3]
    assert monitor.interactions is interactions
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == files

    monitor.load_state_dict(kept)
    assert monitor.history.epochs == [0, 1]
    make_trainer(monitor, max_epochs=2).fit(network, *unshuffled(), ckpt_path=first)
    assert monitor.history.epochs[-1] == 2


def test_a_monitor_that_watched_no_training_shows_the_records_of_a_tested_checkpoint(
    checkpoint, make_monitor, make_trainer, module, unshuffled
):
    monitor = make_monitor()
    make_trainer(monitor).validate(module(), unshuffled()[1], ckpt_path=checkpoint, verbose=False)
    assert monitor.history.epochs == [0, 1]
