"""Strategies of Lightning's own that were not tested are refused by name, before they touch the network."""

import warnings
from types import SimpleNamespace

import lightning.pytorch as pl
import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.accelerators import CUDAAccelerator
from lightning.pytorch.strategies import (
    DDPStrategy,
    FSDPStrategy,
    ModelParallelStrategy,
    SingleDeviceStrategy,
    StrategyRegistry,
)
from torch import distributed

TESTED = {SingleDeviceStrategy, DDPStrategy}


@pytest.fixture(autouse=True)
def _alone_again(monkeypatch):
    """A strategy for many processes joins them as the only one, and leaves nothing of that behind."""
    for name in ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "LOCAL_RANK", "WORLD_SIZE", "RANK"):
        monkeypatch.delenv(name, raising=False)
    yield
    if distributed.is_initialized():
        distributed.destroy_process_group()


class CpuAsGpu(CUDAAccelerator):
    """Lightning gives some strategies to GPUs alone; this one is a CPU."""

    def setup_device(self, device):
        pass

    def setup(self, trainer):
        pass

    def teardown(self):
        pass

    @staticmethod
    def parse_devices(devices):
        return list(range(devices))

    @staticmethod
    def get_parallel_devices(devices):
        return [torch.device("cpu") for _ in devices]

    @staticmethod
    def auto_device_count():
        return 1

    @staticmethod
    def is_available():
        return True


class Reached(pl.Callback):
    """Counts how often a training came past the monitor's set-up, and how often to the end."""

    def __init__(self):
        self.setups = self.ends = 0

    def setup(self, *_, **__):
        self.setups += 1

    def on_train_end(self, *_):
        self.ends += 1


class FurtherError(Exception):
    pass


class Stop(pl.Callback):
    """Ends a training once every callback before it was set up: what comes then would need a GPU."""

    def setup(self, *_, **__):
        raise FurtherError


@pytest.fixture
def make_parallel(conv_module_class, make_module):
    """A module that a strategy for parallel models accepts; it shards nothing."""

    class Parallel(conv_module_class):
        def configure_model(self):
            pass

    return lambda: make_module(Parallel)


def test_a_parallel_model_is_refused_and_the_way_out_measures_it(fit, make_monitor, make_parallel):
    reached = Reached()
    with pytest.raises(MisconfigurationException, match=r"under ModelParallelStrategy, only .*`allow_untested=True`"):
        fit(make_monitor(), reached, strategy=ModelParallelStrategy(), module=make_parallel())
    assert reached.setups == 0

    monitor = make_monitor(allow_untested=True)
    trainer, _ = fit(monitor, reached, strategy=ModelParallelStrategy(), module=make_parallel())
    assert type(trainer.strategy) is ModelParallelStrategy
    assert distributed.is_initialized()
    assert reached.ends == 1
    assert monitor.history.epochs == [0, 1, 2]
    assert monitor.failures == 0


def test_a_group_of_one_process_is_not_told_how_to_log(fit, make_monitor):
    monitor = make_monitor()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer, _ = fit(monitor, strategy="ddp")
    assert type(trainer.strategy) is DDPStrategy
    assert distributed.is_initialized()
    assert monitor.history.epochs == [0, 1, 2]
    assert [text for warning in caught if "'interactions/" in (text := str(warning.message))] == []


@pytest.mark.parametrize("strategy", ["by name", "as an object", "with its parameters on the CPU"])
def test_a_sharded_model_is_refused_before_it_is_sharded(strategy, fit, make_monitor):
    def new():
        offload = strategy == "with its parameters on the CPU"
        return "fsdp" if strategy == "by name" else FSDPStrategy(cpu_offload=offload)

    with pytest.raises(MisconfigurationException, match=r"under FSDPStrategy, only .*`allow_untested=True`"):
        fit(make_monitor(), Stop(), strategy=new(), accelerator=CpuAsGpu())

    with pytest.raises(FurtherError):
        fit(make_monitor(allow_untested=True), Stop(), strategy=new(), accelerator=CpuAsGpu())


@pytest.mark.parametrize("name", StrategyRegistry.available_strategies())
def test_every_strategy_that_lightning_knows_by_name_is_refused_but_for_those_tested(name, make_monitor):
    cls = StrategyRegistry[name]["strategy"]
    trainer = SimpleNamespace(  # some of them cannot be made without a library or a device of their own
        strategy=object.__new__(cls),
        callbacks=[],
        fit_loop=SimpleNamespace(epoch_loop=SimpleNamespace(total_batch_idx=0)),
    )
    if cls in TESTED:
        make_monitor().setup(trainer, None, "fit")
        return
    with pytest.raises(MisconfigurationException, match=f"was not tested under {cls.__name__}, only"):
        make_monitor().setup(trainer, None, "fit")
    make_monitor(allow_untested=True).setup(trainer, None, "fit")


def test_those_that_shard_a_network_are_among_them():
    known = {StrategyRegistry[name]["strategy"].__name__ for name in StrategyRegistry.available_strategies()}
    assert {"FSDPStrategy", "DeepSpeedStrategy", "DDPStrategy"} <= known
