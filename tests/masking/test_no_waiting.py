"""On a GPU the host hands over chunk after chunk: nothing in one may ask the device for a number.

Fake tensors say that they are on a GPU, hold no numbers, and refuse to be asked for one.
"""

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from lightning_interactions.masking.batches import to_device
from lightning_interactions.masking.feature_map import FeatureMapPatches
from lightning_interactions.masking.inputs import Columns, InputPatches
from lightning_interactions.masking.local import chain_after, local_maps
from lightning_interactions.masking.network import MaskedNetwork, call_network
from lightning_interactions.masking.outputs import OUTPUTS
from lightning_interactions.masking.tokens import TokenWords
from lightning_interactions.masking.ways import Chunk, Inputs, Local, Repeat, Split


class Words:
    """As much of a tokenizer as words need: token ``i`` is the word ``w<i>``."""

    all_special_ids, pad_token_id, mask_token_id = (), 0, 1

    def get_vocab(self):
        return {f"w{i}": i for i in range(99)}

    def convert_ids_to_tokens(self, ids):
        return [f"w{i}" for i in ids]

    def convert_tokens_to_string(self, pieces):
        return " ".join(pieces)


class Sentences(nn.Module):
    """A bag of words."""

    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(99, 8), nn.Linear(8, 5)

    def forward(self, input_ids, attention_mask):
        return self.head((self.embed(input_ids) * attention_mask[..., None]).mean(dim=1))


def convolutions():
    layers = [nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64, 5))


IMAGES = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
IDS = torch.arange(2, 14).reshape(2, 6)
CASES = {
    "split": (convolutions, FeatureMapPatches("0", grid=4, border=0, n_variables=4), IMAGES),
    "repeat": (convolutions, FeatureMapPatches("0", grid=4, border=0, n_variables=4), IMAGES),
    "local": (convolutions, FeatureMapPatches("0", grid=4, border=0, n_variables=4), IMAGES),
    "pixels": (convolutions, InputPatches(grid=4, border=0, n_variables=4), IMAGES),
    "columns": (lambda: nn.Linear(6, 5), Columns(4), IMAGES[:, 0, 0, :6]),
    "words": (Sentences, TokenWords(Words(), 4), {"input_ids": IDS, "attention_mask": torch.ones_like(IDS)}),
}


def on_gpu(value, mode):
    """The same as a fake tensor on a GPU."""
    if isinstance(value, dict):
        return {key: on_gpu(part, mode) for key, part in value.items()}
    with mode:
        return torch.empty(value.shape, dtype=value.dtype, device="cuda")


@pytest.fixture
def fake(monkeypatch):
    """A GPU without one; pinned memory is not part of it."""
    try:
        with FakeTensorMode():
            torch.empty(1, device="cuda").uniform_()
    except RuntimeError as error:
        pytest.skip(f"fake tensors of torch {torch.__version__} need a driver: {error}")
    pinned = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: pinned.append(tensor) or tensor)
    return FakeTensorMode(), pinned


@pytest.mark.parametrize("output", OUTPUTS.values())
@pytest.mark.parametrize("case", CASES)
def test_a_chunk_asks_the_device_for_no_number(case, output, fake):
    mode, pinned = fake
    make, variables, inputs = CASES[case]
    draws = variables.draw(inputs)
    with mode, torch.device("cuda"):
        model = make()
    network = MaskedNetwork(model, variables, call_network)
    gpu = on_gpu(inputs, mode)
    if case == "local":
        # The tables ask, once a sample; so they are made of real numbers and put in their place.
        real = convolutions().eval()
        with torch.no_grad():
            maps, length = local_maps(variables, draws[0], real[0](inputs[:1]), chain_after(real, real[0]))
        chain = chain_after(model, model[0])
        assert length == len(chain) == 3
        way = Local(network, model[0], chain)
        tensors = {name: on_gpu(getattr(maps, name), mode) for name in ("table", "first", "weights")}
        way.keep(7, type(maps)(**tensors, height=maps.height, width=maps.width))
        gpu, draws = on_gpu(inputs[:1], mode), draws[:1]
    elif case in ("split", "repeat"):
        way = {"split": Split, "repeat": Repeat}[case](network, model[0])
    else:
        way = Inputs(network)
    masks = on_gpu(torch.zeros(16, 4, dtype=torch.bool), mode)
    with mode, torch.no_grad():
        logits = way(Chunk(gpu, draws, masks, sample=7))
        targets = torch.zeros(len(draws), dtype=torch.int64, device="cuda").repeat_interleave(16, dim=0)
        scalar = output(logits.double(), targets)

    assert scalar.shape == (16 * len(draws),)
    assert scalar.device.type == "cuda"
    # What the host does send goes by pinned memory, or the copy would wait.
    assert all(tensor.device.type == "cpu" for tensor in pinned)
    assert pinned or case == "local"


def test_a_number_that_is_asked_for_shows(fake):
    mode, _ = fake
    with mode, pytest.raises(DataDependentOutputException):
        bool(torch.zeros(2, device="cuda").any())


def test_what_is_sent_is_pinned_and_not_waited_for(fake, monkeypatch):
    mode, pinned = fake
    copies, to = [], torch.Tensor.to
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, *a, **k: copies.append(k) or to(tensor, *a, **k))
    with mode:
        moved = to_device({"x": torch.zeros(3), "there": torch.zeros(3, device="cuda")}, "cuda")

    assert all(tensor.device.type == "cuda" for tensor in moved.values())
    assert len(pinned) == 1
    assert copies == [{"non_blocking": True}, {}]
