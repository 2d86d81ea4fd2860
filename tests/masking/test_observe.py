"""The guard: everything is as it was, also after a fault."""

import random
from contextlib import contextmanager, nullcontext

import numpy as np
import pytest
import torch
from torch import nn

from lightning_interactions.masking.observe import is_uninitialised, observing
from lightning_interactions.masking.precision import weights_at


@contextmanager
def observed(model, fault):
    """A guarded block that ends well or with a fault."""
    with pytest.raises(ZeroDivisionError) if fault else nullcontext(), observing(model):
        yield
        if fault:
            raise ZeroDivisionError


fault = pytest.mark.parametrize("fault", [False, True], ids=["ends well", "raises"])


def network():
    return nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout(0.5), nn.Sequential(nn.ReLU(), nn.Dropout(0.5)))


@fault
def test_each_module_has_its_own_flag_back(fault):
    model = network()
    model[1].eval()
    model[3].training = False  # its children stay in train mode
    flags = [module.training for module in model.modules()]
    with observed(model, fault):
        assert not any(module.training for module in model.modules())

    assert [module.training for module in model.modules()] == flags
    assert True in flags
    assert False in flags


class Particular(nn.Dropout):
    """Does something of its own whenever it is told to train or to evaluate."""

    def train(self, mode=True):
        raise AssertionError(mode)


@fault
def test_what_a_module_does_in_train_and_eval_is_not_done(fault):
    model = nn.Sequential(Particular(), nn.Linear(3, 3))
    with observed(model, fault):
        assert torch.equal(model[0](torch.ones(9)), torch.ones(9))
    assert all(module.training for module in model.modules())


@fault
@pytest.mark.parametrize("outer", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_gradients_are_off_inside_and_as_before_outside(outer, fault):
    with outer():
        before = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        with observed(network(), fault):
            assert not torch.is_grad_enabled()
        assert (torch.is_grad_enabled(), torch.is_inference_mode_enabled()) == before


@fault
@pytest.mark.parametrize("model", [nn.Linear(3, 3), nn.Identity()], ids=["with parameters", "without"])
def test_autocast_is_off_inside_and_as_before_outside(model, fault):
    x = torch.rand(2, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with observed(model, fault):
            assert not torch.is_autocast_enabled("cpu")
            assert (x @ x.T).dtype == torch.float32
        assert torch.is_autocast_enabled("cpu")
        assert torch.get_autocast_dtype("cpu") == torch.bfloat16
        assert (x @ x.T).dtype == torch.bfloat16
    assert not torch.is_autocast_enabled("cpu")


def test_a_layer_draws_no_weights_before_its_first_batch():
    model = nn.Sequential(nn.Linear(3, 3), nn.LazyLinear(2))
    with pytest.raises(ValueError, match=r"LazyLinear.* has no weights .*HINT"), observing(model):
        model(torch.rand(2, 3))
    assert is_uninitialised(model)
    assert model(torch.rand(2, 3)).shape == (2, 2)
    with observing(model):
        assert model(torch.rand(2, 3)).shape == (2, 2)


def numbers():
    return torch.rand(3).tolist(), np.random.rand(3).tolist(), [random.random() for _ in range(3)]  # noqa: NPY002, S311


@fault
def test_random_numbers_go_on_as_if_nothing_had_been_drawn(fault):
    model = network()
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    expected = numbers()
    torch.set_rng_state(states[0])
    np.random.set_state(states[1])  # noqa: NPY002
    random.setstate(states[2])
    with observed(model, fault):
        assert numbers() == expected
        torch.manual_seed(5)

    assert numbers() == expected


@fault
def test_batch_norm_learns_nothing(fault):
    model = network()
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    with observed(model, fault):
        model(torch.rand(8, 3))

    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())


class Counting(nn.Module):
    """Changes one buffer in place and replaces another at every call."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("last", torch.tensor([float("nan")]))

    def forward(self, x):
        self.calls += 1
        self.last = x.mean(dim=0)
        return x


@fault
def test_buffers_are_as_they_were_and_the_same_tensors(fault):
    model = Counting()
    before = dict(model.named_buffers())
    with observed(model, fault):
        model(torch.rand(8, 3))
        assert model.calls == 1

    assert all(buffer is before[name] for name, buffer in model.named_buffers())
    assert model.calls == 0
    assert model.last.isnan().all()


SPECIAL = {
    "coordinates": lambda: torch.eye(4).to_sparse(),
    "compressed rows": lambda: torch.eye(4).to_sparse_csr(),
    "compressed columns": lambda: torch.eye(4).to_sparse_csc(),
    "blocks": lambda: torch.eye(4).to_sparse_bsr((2, 2)),
}


@fault
@pytest.mark.parametrize("make", SPECIAL.values(), ids=SPECIAL.keys())
def test_sparse_buffers_are_as_they_were_and_the_same_tensors(make, fault):
    model = nn.Linear(4, 4)
    model.register_buffer("graph", make())
    before = model.graph
    with observed(model, fault), weights_at(model, "float32"):
        assert model.graph is before
        model.graph.copy_(2 * model.graph)
        model.graph = None
    assert model.graph is before
    assert torch.equal(model.graph.to_dense(), torch.eye(4))


BACKENDS = (
    [
        torch.backends.cuda.matmul,
        torch.backends.cudnn.conv,
        torch.backends.cudnn.rnn,
        torch.backends.mkldnn.matmul,
        torch.backends.mkldnn.conv,
    ]
    if hasattr(torch.backends.cuda.matmul, "fp32_precision")
    else []
)
"""What has a precision of its own from torch 2.9 on."""


def old_precision(read):
    """What an old switch says; reading one raises where new ones were set."""
    try:
        return read()
    except RuntimeError:
        return "unreadable"


def precision():
    return [
        old_precision(torch.get_float32_matmul_precision),
        old_precision(lambda: torch.backends.cuda.matmul.allow_tf32),
        old_precision(lambda: torch.backends.cudnn.allow_tf32),
        *(backend.fp32_precision for backend in BACKENDS),
    ]


SETTINGS = {
    "defaults": lambda: None,
    "high": lambda: torch.set_float32_matmul_precision("high"),
    "medium": lambda: torch.set_float32_matmul_precision("medium"),
    "old matmul switch": lambda: setattr(torch.backends.cuda.matmul, "allow_tf32", True),
    "old cudnn switch": lambda: setattr(torch.backends.cudnn, "allow_tf32", False),
    "new matmul switch": lambda: setattr(torch.backends.cuda.matmul, "fp32_precision", "tf32"),
    "new cudnn switch": lambda: setattr(torch.backends.cudnn.conv, "fp32_precision", "ieee"),
    "new switch for all": lambda: setattr(torch.backends, "fp32_precision", "tf32"),
}


@pytest.fixture
def precision_restored():
    """Put the process back by hand, independently of the guard."""
    if not BACKENDS:
        pytest.skip("torch < 2.9 has the old switches alone")
    before, everywhere = precision(), torch.backends.fp32_precision
    yield
    torch.backends.fp32_precision = everywhere
    torch.set_float32_matmul_precision(before[0])
    torch.backends.cudnn.allow_tf32 = before[2]
    for backend, value in zip(BACKENDS, before[3:], strict=True):
        backend.fp32_precision = value
    assert precision() == before


@pytest.mark.usefixtures("precision_restored")
@pytest.mark.parametrize("setting", SETTINGS)
@fault
def test_float32_products_are_full_inside_and_as_before_outside(setting, fault):
    SETTINGS[setting]()
    before = precision()
    with observed(network(), fault):
        assert {backend.fp32_precision for backend in BACKENDS} <= {"ieee", "none"}
    assert precision() == before


@pytest.mark.usefixtures("precision_restored")
@fault
def test_switches_that_follow_another_one_still_do_so_afterwards(fault):
    torch.backends.fp32_precision = "tf32"
    with observed(network(), fault):
        pass
    torch.backends.fp32_precision = "ieee"
    assert {backend.fp32_precision for backend in BACKENDS} == {"ieee"}


@fault
def test_user_code_may_read_the_old_switches_inside(fault):
    with observed(network(), fault), torch.backends.cudnn.flags(enabled=False):
        assert torch.get_float32_matmul_precision() == "highest"
        assert not torch.backends.cuda.matmul.allow_tf32
