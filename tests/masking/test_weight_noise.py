"""Noise that leaves no trace."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lightning_interactions.masking.weight_noise import weight_noise


def odd_network():
    """Shared, frozen, half-precision and integer parameters, a NaN, a negative zero, and a buffer."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 2).half())
    model[1].weight = model[0].weight
    model[0].bias.requires_grad_(requires_grad=False)
    model[2].bias.data[0], model[2].bias.data[1] = math.nan, -0.0
    model.register_parameter("table", nn.Parameter(torch.arange(4), requires_grad=False))
    model.register_parameter("elsewhere", nn.Parameter(torch.ones(2, device="meta")))
    return model


def without_meta(model):
    del model.elsewhere
    return model


class TestWeightNoise:
    @pytest.mark.parametrize("relative", [False, True])
    def test_everything_is_bitwise_restored(self, relative, state_of):
        model = odd_network()
        state = state_of(without_meta(odd_network()))
        with weight_noise(model, 0.7, relative=relative):
            pass

        assert state_of(without_meta(model)) == state

    def test_everything_is_bitwise_restored_after_an_error_and_a_training_step(self, state_of):
        model = without_meta(odd_network())
        state = state_of(model)

        def fail():
            with weight_noise(model, 0.7):
                model[1].weight.data.zero_()
                raise KeyError

        with pytest.raises(KeyError):
            fail()
        assert state_of(model) == state

    def test_an_error_while_the_noise_is_added_leaves_nothing_behind(self, monkeypatch, state_of):
        model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
        state, draw, calls = state_of(model), torch.randn, []

        def fails_at_the_third(*arguments, **options):
            calls.append(arguments)
            if len(calls) == 3:
                raise MemoryError
            return draw(*arguments, **options)

        monkeypatch.setattr(torch, "randn", fails_at_the_third)
        with pytest.raises(MemoryError), weight_noise(model, 1.0):
            pass
        assert state_of(model) == state

    def test_what_gets_noise_and_what_does_not(self):
        model, clean = odd_network(), odd_network()
        with weight_noise(model, 0.7):
            for noisy in ("0.weight", "0.bias", "1.bias", "2.weight", "3.weight", "3.bias"):
                assert not torch.equal(model.get_parameter(noisy), clean.get_parameter(noisy)), noisy
            assert model[1].weight is model[0].weight
            assert model.table.tolist() == [0, 1, 2, 3]
            assert torch.equal(model[2].running_var, clean[2].running_var)
            assert [parameter.requires_grad for parameter in model.parameters()] == [
                parameter.requires_grad for parameter in clean.parameters()
            ]

    def test_shared_memory_gets_noise_once(self):
        single, tied = nn.Linear(40, 30, bias=False), nn.Sequential(nn.Linear(40, 30, bias=False), nn.Linear(30, 40))
        nn.init.zeros_(single.weight)
        nn.init.zeros_(tied[0].weight)
        tied[1].weight = nn.Parameter(tied[0].weight.data.T)  # another object, the same memory
        with weight_noise(single, 1.0), weight_noise(tied, 1.0):
            assert torch.equal(single.weight, tied[0].weight)
            assert torch.equal(tied[1].weight, single.weight.T)

    def test_absolute_noise_is_gaussian_with_the_given_deviation(self):
        model = nn.Linear(300, 200).double()
        clean = model.weight.detach().clone()
        with weight_noise(model, 0.25):
            noise = (model.weight - clean).detach().flatten() / 0.25

        assert noise.mean().item() == pytest.approx(0, abs=4 / math.sqrt(60_000))
        assert noise.std().item() == pytest.approx(1, abs=4 / math.sqrt(120_000))
        assert noise.pow(4).mean().item() == pytest.approx(3, abs=4 * math.sqrt(96 / 60_000))

    def test_relative_noise_is_the_absolute_one_times_the_root_mean_square(self):
        model = nn.Sequential(nn.Linear(5, 7), nn.Linear(7, 2)).double()
        nn.init.zeros_(model[1].bias)
        clean = [parameter.detach().clone() for parameter in model.parameters()]
        with weight_noise(model, 1.0):
            draws = [(parameter - was).detach() for parameter, was in zip(model.parameters(), clean, strict=True)]
        with weight_noise(model, 0.3, relative=True):
            for parameter, was, draw in zip(model.parameters(), clean, draws, strict=True):
                size = math.sqrt(sum(number**2 for number in was.flatten().tolist()) / was.numel())
                torch.testing.assert_close(parameter.detach(), was + 0.3 * size * draw, rtol=1e-12, atol=1e-12)
            assert model[1].bias.tolist() == [0.0, 0.0]

    def test_the_seed_alone_decides_and_no_other_generator_notices(self):
        model = nn.Linear(3, 3)

        def noisy(seed):
            with weight_noise(model, 1.0, seed=seed):
                return model.weight.detach().clone()

        torch.manual_seed(1)
        first, state = noisy(3), torch.get_rng_state()
        torch.manual_seed(2)
        other = torch.get_rng_state()
        assert torch.equal(noisy(3), first)
        assert torch.equal(torch.get_rng_state(), other)
        torch.manual_seed(1)
        assert torch.equal(torch.get_rng_state(), state)
        assert not torch.equal(noisy(4), first)

    def test_a_graph_recorded_before_the_block_can_be_used_after_it(self):
        model, x = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1)).double(), torch.ones(1, 3, dtype=torch.float64)
        expected = torch.autograd.grad(model(x).sum(), list(model.parameters()))
        loss = model(x).sum()
        with torch.no_grad(), weight_noise(model, 1.0):
            model(x)
        loss.backward()
        for parameter, gradient in zip(model.parameters(), expected, strict=True):
            assert torch.equal(parameter.grad, gradient)

    @pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad, torch.inference_mode])
    def test_it_works_in_every_gradient_mode(self, mode, state_of):
        model = nn.Linear(3, 1)
        state, x = state_of(model), torch.ones(1, 3)
        clean = model(x).item()
        with mode(), weight_noise(model, 1.0) as noisy:
            assert noisy(x).item() != clean
        assert state_of(model) == state

    @given(st.floats(0, 10), st.integers(0, 2**40), st.booleans())
    @settings(deadline=None, max_examples=25)
    def test_noise_is_linear_in_sigma(self, sigma, seed, relative):
        model = nn.Linear(4, 4, bias=False).double()
        clean = model.weight.detach().clone()
        with weight_noise(model, 1.0, relative=relative, seed=seed):
            one = model.weight.detach() - clean
        with weight_noise(model, sigma, relative=relative, seed=seed):
            torch.testing.assert_close(model.weight.detach(), clean + sigma * one, rtol=1e-12, atol=1e-12)
        assert torch.equal(model.weight, clean)

    @pytest.mark.parametrize("sigma", [-1.0, math.nan, math.inf])
    def test_a_sigma_that_is_none_is_refused(self, sigma):
        with pytest.raises(ValueError, match="`sigma` must be a finite number"), weight_noise(nn.Linear(1, 1), sigma):
            pass

    def test_a_lazy_network_is_refused(self):
        with pytest.raises(ValueError, match=r"'weight' has no shape.*HINT"), weight_noise(nn.LazyLinear(1), 1.0):
            pass
