"""The protocol: private generators for each sample, masking by regions, and a kind of variable of one's own."""

import math

import pytest
import torch
from torch import nn

from lightning_interactions.masking.forward import values
from lightning_interactions.masking.variables import Draw, Variables, mask_regions, sample_generators


class TimeSteps(Variables):
    """What a user writes: the first steps of series ``(B, T)`` are the variables; absent ones repeat the last step."""

    def draw(self, inputs, seed=None):  # noqa: ARG002
        return [
            Draw(
                positions=tuple((step,) for step in range(self.n_variables)),
                names=tuple(f"step {step}" for step in range(self.n_variables)),
                baseline=(float(series[-1]),),
            )
            for series in inputs
        ]

    def mask(self, target, draws, masks):
        everywhere = torch.arange(target.shape[1]).clamp(max=self.n_variables).expand(target.shape)
        return mask_regions(target, everywhere, masks, torch.tensor([draw.baseline for draw in draws]))


@pytest.mark.parametrize("mask_batch_size", [1, 5, None])
def test_a_kind_of_variable_of_ones_own_works(mask_batch_size, slow_log_odds):
    series = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([0, 1, 2, 1])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3))
    steps = TimeSteps(n_variables=3)
    found = values(model, series, targets, steps, steps.draw(series), mask_batch_size=mask_batch_size)

    for sample in range(4):
        for subset in range(8):
            masked = series[sample].clone()
            for step in range(3):
                if not subset >> step & 1:
                    masked[step] = series[sample, -1]
            assert found[sample, subset].item() == pytest.approx(
                slow_log_odds(model(masked[None])[0].detach(), targets[sample]), abs=1e-5
            )


def test_the_protocol_has_two_abstract_methods():
    with pytest.raises(TypeError, match="abstract"):
        Variables(3)
    assert Variables.__abstractmethods__ == {"draw", "mask"}


@pytest.mark.parametrize("n_variables", [0, 21, -3])
def test_number_of_variables_is_checked(n_variables):
    with pytest.raises(ValueError, match="1 … 20"):
        TimeSteps(n_variables)


def test_a_draw_becomes_plain_data():
    draw = Draw(((1, 2),), ("row 1 col 2",), (0.0,))

    assert draw.as_dict() == {"positions": [[1, 2]], "names": ["row 1 col 2"], "baseline": [0.0]}


def first_numbers(inputs, seed=0):
    return [torch.randint(2**62, (), generator=generator).item() for generator in sample_generators(inputs, seed)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.uint8, torch.bool])
def test_a_generator_depends_on_the_content_alone(dtype):
    batch = torch.randint(2, (6, 3, 8), generator=torch.Generator().manual_seed(0)).to(dtype)
    numbers = first_numbers(batch)

    assert len(set(numbers)) == 6
    assert first_numbers(batch[[4, 1]]) == [numbers[4], numbers[1]]
    assert first_numbers(batch.mT.contiguous().mT) == numbers
    assert first_numbers(batch, seed=1) != numbers


def test_every_tensor_of_a_sample_counts():
    x, y = torch.zeros(1, 2), torch.ones(1, 2)

    assert len({first_numbers(batch)[0] for batch in [{"a": x, "b": y}, {"a": x, "b": x}, {"a": y, "b": y}]}) == 3


def test_scalars_are_samples_too():
    assert len(set(first_numbers(torch.arange(4)))) == 4


@pytest.mark.parametrize("seed", [-5, 0, 2**80])
def test_any_integer_is_a_seed(seed):
    assert first_numbers(torch.zeros(1, 2), seed) == first_numbers(torch.zeros(1, 2), seed)


def test_regions_are_masked_location_by_location():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(2, 3, 4, generator=generator)  # two samples, three channels, four locations
    regions = torch.tensor([[0, 1, 2, 1], [2, 2, 1, 0]])
    masks = torch.tensor([[True, False], [False, True], [False, False]])
    baseline = torch.tensor([[[-1.0], [-2.0], [-3.0]]])
    masked = mask_regions(x, regions, masks, baseline)

    for sample in range(2):
        for number, mask in enumerate(masks):
            for location in range(4):
                region = int(regions[sample, location])
                kept = region == 2 or bool(mask[region])
                expected = x[sample, :, location] if kept else baseline[0, :, 0]
                assert torch.equal(masked[sample * 3 + number, :, location], expected)


@pytest.mark.parametrize("samples", [1, 2, 3])
@pytest.mark.parametrize("fill", [0.5, math.nan], ids=["multiplied", "chosen"])
def test_channels_that_are_last_in_memory_stay_last(fill, samples):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(samples, 5, 6, 7, generator=generator).to(memory_format=torch.channels_last)
    x[0, 0, 0, 0] = fill
    regions = torch.randint(0, 4, (samples, 6, 7), generator=generator)
    masks = torch.rand(8, 3, generator=generator) > 0.5
    masked = mask_regions(x, regions, masks, torch.tensor(-1.0))

    assert masked.is_contiguous(memory_format=torch.channels_last)
    plain = mask_regions(x.contiguous(), regions, masks, torch.tensor(-1.0))
    assert plain.is_contiguous()
    assert torch.equal(masked.nan_to_num(), plain.nan_to_num())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.int64], ids=str)
@pytest.mark.parametrize(
    "baseline",
    [torch.tensor(0.0), torch.tensor(-3.0), torch.tensor([[1.0], [5.0]])],
    ids=["zero", "number", "per channel"],
)
@pytest.mark.parametrize("bad", [None, float("nan"), float("inf")])
def test_a_masked_location_is_exactly_the_baseline_whatever_was_there(dtype, baseline, bad):
    generator = torch.Generator().manual_seed(0)
    x = (10 * torch.randn(2, 2, 5, generator=generator)).to(dtype)
    if bad is not None and dtype.is_floating_point:
        x[0, 0, 1] = x[1, 1, 4] = bad
    regions = torch.randint(0, 4, (2, 5), generator=generator)
    masks = torch.rand(7, 3, generator=generator) > 0.5
    found = mask_regions(x, regions, masks, baseline.expand(2, 2, 1) if baseline.ndim else baseline)

    assert found.dtype == dtype
    for row, image in enumerate(found.unflatten(0, (2, 7))):
        for mask, masked in zip(masks.tolist(), image, strict=True):
            present = [*mask, True]
            for channel in range(2):
                value = baseline.reshape(-1)[channel % baseline.numel()].to(dtype)
                for where in range(5):
                    expected = x[row, channel, where] if present[regions[row, where]] else value
                    torch.testing.assert_close(masked[channel, where], expected, rtol=0, atol=0, equal_nan=True)
