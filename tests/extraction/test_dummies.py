import pytest
import torch

from lightning_interactions import lattice
from lightning_interactions.extraction.dummies import without_dummies

SEED = 0


def with_dummies(game, dummies):
    """The same game with more variables, of which those numbered ``dummies`` matter for nothing."""
    for dummy in sorted(dummies):
        game = game.unflatten(-1, (-1, 1 << dummy)).repeat_interleave(2, dim=-2).flatten(-2)
    return game


def drawn(samples, n):
    game = torch.randn(samples, 2**n, dtype=torch.float64, generator=torch.Generator().manual_seed(SEED))
    game[:, 0] = 0
    return game


@pytest.mark.parametrize("dummies", [(), (0,), (2,), (0, 1), (1, 3, 4)])
def test_a_game_is_seen_through_the_variables_that_matter(dummies):
    small = drawn(3, 2)
    (game,) = without_dummies(with_dummies(small, dummies))
    assert game.rows.tolist() == [0, 1, 2]
    assert torch.equal(game.of(with_dummies(small, dummies)), small)


@pytest.mark.parametrize("dummies", [(), (0,), (1, 3, 4)])
def test_what_is_put_back_stands_where_no_dummy_is_present(dummies):
    large = with_dummies(drawn(3, 2), dummies)
    (game,) = without_dummies(large)
    part = torch.rand(3, 2, 4)
    table = torch.full((3, 2, large.shape[1]), torch.nan)
    game.put(part, table)
    present = lattice.subset_masks(2 + len(dummies))[:, list(dummies)].any(dim=1)
    assert torch.equal(table[..., ~present], part)
    assert not table[..., present].any()


@pytest.mark.parametrize("dummies", [(), (0,), (1, 3, 4)])
def test_sums_are_over_the_subsets_that_differ_by_dummies_alone(dummies):
    (game,) = without_dummies(with_dummies(drawn(2, 2), dummies))
    table = torch.randint(-9, 9, (2, 4 << len(dummies)))
    kept = [variable for variable in range(2 + len(dummies)) if variable not in dummies]
    expected = torch.zeros(2, 4, dtype=torch.int64)
    for subset in range(table.shape[1]):
        small = sum(1 << place for place, variable in enumerate(kept) if subset >> variable & 1)
        if small:
            expected[:, small] += table[:, subset]
    assert torch.equal(game.summed(table), expected)


def test_samples_with_other_dummies_are_seen_each_through_its_own():
    small = drawn(1, 2)
    large = torch.cat([with_dummies(small, (0, 2)), with_dummies(small, (1, 3)), with_dummies(drawn(1, 3), (0,))])
    games = list(without_dummies(large))
    assert [game.rows.tolist() for game in games] == [[0, 1], [2]]
    assert torch.equal(games[0].of(large), small.expand(2, -1))
    assert games[0].subsets.tolist() == [[0, 2, 8, 10], [0, 1, 4, 5]]


def test_where_no_variable_matters_one_is_kept():
    (game,) = without_dummies(torch.zeros(2, 8))
    assert game.subsets.tolist() == [[0, 1], [0, 1]]


def test_rounding_is_no_change_and_anything_larger_is():
    large = with_dummies(drawn(1, 2), (2,))
    large[0, 7] *= 1 + 1e-14
    (game,) = without_dummies(large)
    assert game.subsets.shape == (1, 4)
    large[0, 7] *= 1 + 1e-9
    (game,) = without_dummies(large)
    assert game.subsets.shape == (1, 8)


def test_without_samples_there_is_no_game():
    assert list(without_dummies(torch.zeros(0, 8))) == []
