from itertools import product

import pytest
import torch

from mlemo.utils.seeding import step_generator, step_seed


@pytest.fixture(autouse=True)
def seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", "42")


def test_seeds_are_a_function_of_the_place_and_differ_between_places() -> None:
    places = list(product(range(5), range(40), range(3), range(2)))
    seeds = [step_seed(*place) for place in places]
    assert seeds == [step_seed(*place) for place in places]
    assert len(set(seeds)) == len(places)
    assert all(0 <= value < 2**63 for value in seeds)


def test_the_runs_seed_enters_and_is_0_if_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    first = step_seed(1, 2, 3, 4)
    monkeypatch.setenv("PL_GLOBAL_SEED", "43")
    assert step_seed(1, 2, 3, 4) != first
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")
    zero = step_seed(1, 2, 3, 4)
    monkeypatch.delenv("PL_GLOBAL_SEED")
    assert step_seed(1, 2, 3, 4) == zero


def test_neighbouring_places_give_unrelated_noise() -> None:
    """Mean correlation of the draws of consecutive batches is that of independent ones."""
    draws = torch.stack(
        [torch.rand(500, generator=step_generator(torch.device("cpu"), 0, batch)) for batch in range(60)]
    )
    assert draws.mean().item() == pytest.approx(0.5, abs=0.01)
    centred = draws - 0.5
    correlation = (centred[:-1] * centred[1:]).mean() * 12
    assert abs(correlation) < 5 / (500 * 59) ** 0.5


def test_generator_is_that_of_the_seed_and_leaves_the_global_one_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    drawn = torch.rand(3, generator=step_generator(torch.device("cpu"), 3, 5, rank=1, stream=2))
    assert torch.equal(torch.rand(3), expected)
    reference = torch.Generator().manual_seed(step_seed(3, 5, 1, 2))
    assert torch.equal(drawn, torch.rand(3, generator=reference))
