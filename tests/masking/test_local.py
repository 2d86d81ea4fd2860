"""Tables of local values: the same numbers as the layers themselves on every masked map, and much less work."""

import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lightning_interactions.lattice import subset_masks
from lightning_interactions.masking.choose import choose_way
from lightning_interactions.masking.fallback import UntilMemoryRunsOut
from lightning_interactions.masking.feature_map import FeatureMapPatches
from lightning_interactions.masking.forward import values
from lightning_interactions.masking.local import _whole_product, chain_after, local_maps
from lightning_interactions.masking.network import MaskedNetwork, call_network
from lightning_interactions.masking.outputs import target_logit
from lightning_interactions.masking.ways import Split

LAYERS = {
    "conv": lambda: nn.Conv2d(4, 5, 3, padding=1),
    "conv without bias": lambda: nn.Conv2d(4, 3, 3, bias=False),
    "strided": lambda: nn.Conv2d(4, 3, (5, 3), stride=(2, 1), padding=(2, 1)),
    "dilated": lambda: nn.Conv2d(4, 3, 3, padding=2, dilation=2),
    "1 × 1": lambda: nn.Conv2d(4, 3, 1),
    "max pool": lambda: nn.MaxPool2d(2),
    "overlapping max pool": lambda: nn.MaxPool2d(3, stride=2),
    "average pool": lambda: nn.AvgPool2d(2),
    "relu": lambda: nn.ReLU(inplace=True),
    "sigmoid, then conv": lambda: nn.Sequential(nn.Sigmoid(), nn.Conv2d(4, 3, 3, padding=1)),
    "batch norm, then conv": lambda: nn.Sequential(seen(nn.BatchNorm2d(4)), nn.Conv2d(4, 3, 3, padding=1)),
    "dropout": lambda: nn.Dropout(0.5),
}


def seen(norm):
    nn.init.normal_(norm.running_mean)
    nn.init.uniform_(norm.running_var, 0.5, 2.0)
    nn.init.normal_(norm.bias)
    return norm


def modules_of(layer):
    return list(layer) if isinstance(layer, nn.Sequential) else [layer]


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16, None], ids=str)
def test_rows_are_found_exactly_for_as_many_variables_as_there_may_be(precision):
    masks = torch.rand(50, 20, generator=torch.Generator().manual_seed(0)) < 0.5
    weights = 2 ** torch.arange(20)[:, None] * torch.tensor([[1, 0]])
    with torch.autocast("cpu", dtype=precision, enabled=precision is not None):
        assert torch.equal(_whole_product(masks, weights), masks.long() @ weights)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.sampled_from(sorted(LAYERS)), min_size=1, max_size=1),
    st.integers(1, 5),
    st.integers(8, 13),
    st.integers(8, 13),
    st.sampled_from([0.0, -0.7, (0.1, 0.2, -0.3, 1.0)]),
    st.integers(0, 2**20),
)
@torch.no_grad()
def test_every_layer_gives_what_it_gives_on_each_masked_map(names, n, height, width, baseline, seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layer = LAYERS[names[0]]().double().eval()
        features = torch.randn(1, 4, height, width, dtype=torch.float64)
    patches = FeatureMapPatches("layer", grid=4, border=0, n_variables=n, baseline=baseline)
    (draw,) = patches.draw(features)
    masks = subset_masks(n)
    expected = layer(patches.mask(features, [draw], masks))
    modules = modules_of(layer)
    maps, done = local_maps(patches, draw, features, modules, length=len(modules))

    assert done == len(modules)
    torch.testing.assert_close(maps.maps(masks), expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(maps.maps(masks[-1:]), expected[-1:], rtol=1e-9, atol=1e-9)


@torch.no_grad()
def test_a_chain_of_layers_and_what_it_saves():
    torch.manual_seed(0)
    chain = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 5, 3, padding=1), nn.ReLU()
    ).double()
    features = torch.randn(1, 3, 32, 32, dtype=torch.float64)
    patches = FeatureMapPatches("layer", grid=8, border=1, n_variables=8)
    (draw,) = patches.draw(features)
    masks = subset_masks(8)
    for length in range(len(chain) + 1):
        maps, _ = local_maps(patches, draw, features, chain, length)
        expected = chain[:length](patches.mask(features, [draw], masks))
        torch.testing.assert_close(maps.maps(masks), expected, rtol=1e-9, atol=1e-9)
        # No fewer rows than there are different values over the masks, counted position by position.
        different = sum(
            len(expected[:, :, row, column].unique(dim=0))
            for row in range(expected.shape[2])
            for column in range(expected.shape[3])
        )
        assert different <= maps.n_rows < 0.1 * len(masks) * maps.height * maps.width


@torch.no_grad()
def test_it_stops_where_most_combinations_differ():
    chain = [nn.Conv2d(3, 3, 3, padding=1).double() for _ in range(8)]
    features = torch.randn(1, 3, 8, 8, dtype=torch.float64)
    patches = FeatureMapPatches("layer", grid=8, border=0, n_variables=10)
    maps, done = local_maps(patches, patches.draw(features)[0], features, chain)

    assert 0 < done < 8
    assert maps.n_rows <= 0.5 * 2**10 * 64


def test_the_chain_ends_where_something_is_not_understood():
    grouped = nn.Conv2d(4, 4, 3, groups=2)
    circular = nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular")
    ceil = nn.MaxPool2d(2, ceil_mode=True)
    for last in (grouped, circular, ceil, nn.Flatten(), nn.MaxPool2d(3, padding=1), nn.Conv2d(4, 4, 3, padding="same")):
        net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), last, nn.ReLU())
        assert chain_after(net, net[0]) == [net[1], net[2]]
    assert chain_after(nn.ModuleList([net]), nn.ReLU()) == []

    class Own(nn.Sequential):
        """May do anything with its modules."""

    own = Own(nn.Conv2d(3, 4, 3), nn.ReLU())
    assert chain_after(own, own[0]) == []


@pytest.fixture
def chain_net():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        features = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(4, 6, 3, padding=1),
            nn.BatchNorm2d(6),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 6, 3, padding=1),
        )
        net = nn.Sequential(features, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 4))
        seen(features[3])
    return net.double().eval()


@pytest.fixture
def large_images():
    return torch.randn(3, 3, 16, 18, dtype=torch.float64, generator=torch.Generator().manual_seed(4))


PATCHES = FeatureMapPatches("0.1", grid=8, border=1, n_variables=5)


def one_at_a_time(net, images, classes, draws, slow_mask, grid=8):
    """Each masked map by hand through the layers after it."""
    expected = torch.empty(len(images), 32, dtype=torch.float64)
    with torch.no_grad():
        for sample, draw in enumerate(draws):
            features = net[0][:2](images[sample : sample + 1])[0]
            for subset in range(32):
                masked = slow_mask(features, draw.positions, subset, grid)[None]
                expected[sample, subset] = net[1:](net[0][2:](masked))[0, classes[sample]]
    return expected


@pytest.mark.parametrize("end", [3, 4, 5, 6])
@pytest.mark.parametrize("mask_batch_size", [1, 7, 32, 70, "auto"])
def test_the_engine_gives_the_values_of_each_masked_map(mask_batch_size, end, chain_net, large_images, slow_mask):
    chain_net[0].insert(end + 1, nn.Softmax2d())  # the chain ends before it
    classes, draws = torch.tensor([0, 3, 1]), PATCHES.draw(large_images)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = values(
            chain_net, large_images, classes, PATCHES, draws, output=target_logit, mask_batch_size=mask_batch_size
        )

    expected = one_at_a_time(chain_net, large_images, classes, draws, slow_mask)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_the_same_patches_on_different_images_are_not_confused(chain_net, large_images, slow_mask):
    classes, draws = torch.tensor([0, 3, 1]), [PATCHES.draw(large_images)[0]] * 3
    found = values(chain_net, large_images, classes, PATCHES, draws, output=target_logit, mask_batch_size=8)

    expected = one_at_a_time(chain_net, large_images, classes, draws, slow_mask)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_the_chain_runs_on_the_samples_alone(chain_net, large_images):
    rows = {2: 0, 6: 0}
    for number in (2, 6):
        chain_net[0][number].register_forward_pre_hook(
            lambda _module, arguments, number=number: rows.update({number: rows[number] + len(arguments[0])})
        )
    head = []
    chain_net[3].register_forward_pre_hook(lambda _module, arguments: head.append(len(arguments[0])))
    values(chain_net, large_images, torch.tensor([0, 3, 1]), PATCHES, PATCHES.draw(large_images), mask_batch_size=32)

    # Compared: six inputs whole, one alone, six split, one to make the tables and one with them. Then three samples.
    assert rows[2] == 6 + 1 + 6 + 1 + 1 + 3
    assert sum(head) == 6 + 1 + 6 + 1 + 3 + 3 * 32


class Twisted(nn.Conv2d):
    """Is a convolution by its type, and does something else."""

    def forward(self, x):
        return super().forward(x).flip(2)


def test_a_module_that_is_not_what_it_seems_is_run_itself(chain_net, large_images, slow_mask):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        chain_net[0][6] = Twisted(6, 6, 3, padding=1).double()
    classes, draws = torch.tensor([0, 3, 1]), PATCHES.draw(large_images)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = values(chain_net, large_images, classes, PATCHES, draws, output=target_logit)

    expected = one_at_a_time(chain_net, large_images, classes, draws, slow_mask)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_tables_that_do_not_fit_into_memory_are_done_without(chain_net, large_images, monkeypatch, slow_mask):
    import lightning_interactions.masking.ways as module  # noqa: PLC0415

    calls = []
    tables = module.local_maps

    def short_of_memory(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise torch.OutOfMemoryError
        return tables(*arguments)

    monkeypatch.setattr(module, "local_maps", short_of_memory)
    classes, draws = torch.tensor([0, 3, 1]), PATCHES.draw(large_images)
    found = values(chain_net, large_images, classes, PATCHES, draws, output=target_logit, mask_batch_size=32)

    assert len(calls) == 3
    expected = one_at_a_time(chain_net, large_images, classes, draws, slow_mask)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("kind", "way"), [(FeatureMapPatches, UntilMemoryRunsOut), (None, Split)])
def test_only_patches_of_a_grid_are_local(kind, way, chain_net, large_images):
    class Own(FeatureMapPatches):
        """Masks in a way of its own."""

        def mask(self, target, draws, masks):
            return super().mask(2 * target, draws, masks)

    patches = (kind or Own)("0.1", grid=8, border=1, n_variables=5)
    network = MaskedNetwork(chain_net, patches, call_network)
    with torch.no_grad():
        choice = choose_way(network, large_images, patches.draw(large_images), subset_masks(5))

    assert type(choice.way) is way
