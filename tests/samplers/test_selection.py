"""What holds for every sampler of batch selection."""

from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor

from mlemo.samplers import (
    AdaptiveBatchSampler,
    ChainAdaptiveBatchSampler,
    RandomBatchSampler,
    RankBatchSampler,
    SelectionSampler,
    ShuffledBatchSampler,
)


def labels(n: int) -> Tensor:
    """Four labels in changing company; the first row of ten has none."""
    generator = torch.Generator().manual_seed(n)
    drawn = torch.rand(n, 4, generator=generator) < torch.tensor([0.6, 0.4, 0.3, 0.2])
    drawn[::10] = False
    drawn[1:2] = True
    drawn[0] = n == 1  # some label must occur
    return drawn.float()


def losses(n: int, seed: int = 0) -> Tensor:
    return torch.rand(n, generator=torch.Generator().manual_seed(seed)) ** 2


def make(kind: type[SelectionSampler], n: int, batch_size: int, *args: Any, **options: Any) -> SelectionSampler:
    """A sampler that selects from the first epoch on, unless the options say otherwise."""
    options = {"warmup_epochs": 0} | options
    size = labels(n) if kind is ChainAdaptiveBatchSampler else n
    return kind(size, batch_size, *args, **options)  # type: ignore[arg-type]


def train(sampler: SelectionSampler, batches: int, epoch: int = 0) -> list[list[int]]:
    """Batches, each followed by losses that depend on its rows and its place."""
    drawn = []
    for rows, _ in zip(sampler, range(batches)):
        drawn.append(rows)
        sampler.update(rows, losses(sampler.n, seed=1000 * epoch + len(drawn))[rows])
    return drawn


SAMPLERS = [RankBatchSampler, AdaptiveBatchSampler, ChainAdaptiveBatchSampler]
each = pytest.mark.parametrize("kind", SAMPLERS)


@each
@pytest.mark.parametrize("pressure", [1.0, 1.5, 2.0, 64.0])
def test_probabilities_sum_to_one_and_differ_by_no_more_than_the_pressure(kind: Any, pressure: float) -> None:
    sampler = make(kind, 200, 10, pressure)
    sampler.update(range(200), losses(200))
    probabilities = sampler.probabilities()
    assert probabilities.shape == (200,)
    assert float(probabilities.sum()) == pytest.approx(1)
    ratio = float(probabilities.max() / probabilities.min())
    assert ratio <= pressure * (1 + 1e-12)
    assert ratio >= 1 + 0.9 * (pressure - 1)


@each
def test_equal_losses_are_uniform_and_so_is_a_pressure_of_one(kind: Any) -> None:
    for value in (0.0, 0.3, 1e-30, 1e30):
        sampler = make(kind, 50, 10, 8.0)
        sampler.update(range(50), torch.full((50,), value))
        torch.testing.assert_close(sampler.probabilities(), torch.full((50,), 0.02, dtype=torch.float64))
    for pressure in (1.0, 1 + 1e-9):
        sampler = make(kind, 50, 10, pressure)
        sampler.update(range(50), losses(50))
        torch.testing.assert_close(sampler.probabilities(), torch.full((50,), 0.02, dtype=torch.float64))


@each
@pytest.mark.parametrize("scale", [0.1, 1 / 3, 7.3, 1000.0])
def test_a_common_factor_of_the_losses_makes_no_difference(kind: Any, scale: float) -> None:
    for values in (losses(100), torch.linspace(0, 1, 101)[:100]):  # the second ones lie on the borders of the steps
        first, second = make(kind, 100, 10, 16.0), make(kind, 100, 10, 16.0)
        first.update(range(100), values)
        second.update(range(100), values * scale)
        torch.testing.assert_close(first.probabilities(), second.probabilities())


@each
def test_a_sample_without_a_loss_is_as_likely_as_the_likeliest(kind: Any) -> None:
    sampler = make(kind, 10, 2, 4.0)
    torch.testing.assert_close(sampler.probabilities(), torch.full((10,), 0.1, dtype=torch.float64))
    sampler.update([0, 1, 2], [0.1, 0.0, 0.5])
    probabilities = sampler.probabilities()
    assert (probabilities[3:] == probabilities.max()).all()
    assert probabilities[0] < probabilities[3]
    sampler.update([3, 4], [torch.nan, torch.inf])  # of a step that went wrong
    assert sampler.losses[3:].isinf().all()
    sampler.update([0], [torch.nan])
    assert sampler.losses[0] == torch.tensor(0.1)


@each
def test_a_row_that_stands_twice_gets_the_mean_of_its_losses(kind: Any) -> None:
    sampler = make(kind, 6, 2)
    sampler.update(torch.tensor([4, 2, 4, 4]), torch.tensor([1.0, 5.0, 2.0, 6.0]))
    assert sampler.losses[[4, 2]].tolist() == [3.0, 5.0]
    sampler.update([4], [0.5])
    assert sampler.losses[[4, 2]].tolist() == [0.5, 5.0]


@each
@pytest.mark.parametrize("replacement", [False, True])
@pytest.mark.parametrize(("n", "pressure"), [(400, 8.0), (12, 8.0), (12, 1000.0)])
def test_draws_follow_the_probabilities(kind: Any, n: int, pressure: float, replacement: bool) -> None:
    # with batches of one sample every draw is from p; 400 rows are drawn by proposals, 12 from p itself
    sampler = make(kind, n, 1, pressure, replacement=replacement)
    sampler.update(range(n), losses(n))
    expected = sampler.probabilities().numpy()
    counts = Counter[int]()
    for epoch in range(4000 // n):
        sampler.set_epoch(epoch)
        counts.update(row for rows in sampler for row in rows)
    observed = np.array([counts[row] for row in range(n)])
    assert chisquare(observed, expected * observed.sum()).pvalue > 1e-3
    if n == 400:
        assert chisquare(observed, np.full(n, observed.mean())).pvalue < 1e-6, "a uniform draw would pass as well"


@pytest.mark.parametrize("kind", [RankBatchSampler, AdaptiveBatchSampler])
@pytest.mark.parametrize("n", [6, 24])
def test_samples_of_a_batch_are_drawn_one_after_another_without_those_before(kind: Any, n: int) -> None:
    sampler = make(kind, n, 3, 8.0)
    sampler.update(range(n), losses(n))
    p = sampler.probabilities().numpy()
    rest = 1 - p[:, None] - p[None, :]
    pair = p[:, None] * p[None, :] / (1 - p[:, None])  # first i, then j
    np.fill_diagonal(pair, 0)
    third = pair[:, :, None] * p / np.where(rest > 0, rest, 1)[:, :, None]
    i, j, k = np.indices(third.shape)
    third[(i == k) | (j == k)] = 0
    expected = third.sum((1, 2)) + third.sum((0, 2)) + third.sum((0, 1))
    assert expected.sum() == pytest.approx(3)
    counts = np.zeros(n)
    batches = 0
    for epoch in range(3000 // (n // 3)):
        sampler.set_epoch(epoch)
        for rows in sampler:
            assert len(set(rows)) == 3
            counts[rows] += 1
            batches += 1
    # each row is in a batch or not; the statistic is below that of independent cells, so 1e-3 errs on the safe side
    deviation = (counts - batches * expected) / np.sqrt(batches * expected * (1 - expected))
    assert np.abs(deviation).max() < 4.5


@each
@pytest.mark.parametrize(("n", "batch_size"), [(53, 8), (40, 8), (5, 8), (1, 1)])
def test_warm_up_is_shuffled_passes_and_then_batches_are_full(kind: Any, n: int, batch_size: int) -> None:
    sampler = make(kind, n, batch_size, warmup_epochs=2, seed=7)
    shuffled = ShuffledBatchSampler(n, batch_size, seed=7)
    for epoch in range(4):
        sampler.set_epoch(epoch)
        shuffled.set_epoch(epoch)
        drawn = train(sampler, 10_000, epoch)
        assert len(drawn) == len(sampler) == len(shuffled)
        if epoch < 2:
            assert drawn == list(shuffled)
            assert sampler.seen.all()
            assert sampler.losses.isfinite().all()
        else:
            assert all(len(rows) == len(set(rows)) == min(n, batch_size) for rows in drawn)
            assert sampler.seen.nonzero()[:, 0].tolist() == sorted({row for rows in drawn for row in rows})


@each
def test_last_batch_can_be_short_and_batches_can_repeat_a_sample(kind: Any) -> None:
    assert [len(rows) for rows in make(kind, 20, 8, short_last_batch=True)] == [8, 8, 4]
    assert [len(rows) for rows in make(kind, 20, 8)] == [8, 8, 8]
    assert [len(rows) for rows in make(kind, 16, 8, short_last_batch=True)] == [8, 8]
    assert [len(rows) for rows in make(kind, 5, 8, replacement=True)] == [8]
    repeated = [rows for rows in make(kind, 20, 10, replacement=True, seed=0) if len(set(rows)) < 10]
    assert repeated


@each
def test_batches_are_a_function_of_seed_epoch_and_losses(kind: Any) -> None:
    def drawn(seed: int, epoch: int, hard: int) -> str:
        torch.manual_seed(epoch)  # of no influence
        sampler = make(kind, 60, 6, 64.0, seed=seed)
        sampler.update(range(60), losses(60, hard))
        sampler.set_epoch(epoch)
        return str(train(sampler, 100))

    places = [(seed, epoch, hard) for seed in range(2) for epoch in range(2) for hard in range(2)]
    first = {place: drawn(*place) for place in places}
    assert all(drawn(*place) == batches for place, batches in first.items())
    assert len(set(first.values())) == 8


@each
def test_batches_of_an_epoch_differ(kind: Any) -> None:
    sampler = make(kind, 60, 6)
    batches = [tuple(sorted(rows)) for rows in sampler]
    assert len(set(batches)) == len(batches) == 10


@each
def test_refresh_by_batch_and_by_epoch(kind: Any) -> None:
    by_batch, by_epoch = (make(kind, 60, 6, 64.0, refresh=refresh) for refresh in ("batch", "epoch"))
    for sampler in (by_batch, by_epoch):
        sampler.update(range(60), losses(60))
    before = by_epoch.probabilities()
    assert torch.equal(by_batch.probabilities(), before)
    for step, _ in enumerate(zip(by_batch, by_epoch)):
        for sampler in (by_batch, by_epoch):
            sampler.update(range(60), losses(60, seed=step + 1))
        if step < 9:
            assert torch.equal(by_epoch.probabilities(), before)
            assert not torch.equal(by_batch.probabilities(), before)
    assert torch.equal(by_batch.probabilities(), by_epoch.probabilities()), "the next epoch knows the losses"


@each
@pytest.mark.parametrize("refresh", ["batch", "epoch"])
@pytest.mark.parametrize("epoch", [1, 2])  # the last of the warm-up, and the first after it
@pytest.mark.parametrize("batches", [0, 1, 5, 9])
def test_resumed_draws_equal_unbroken_ones(kind: Any, refresh: Any, epoch: int, batches: int) -> None:
    def new() -> SelectionSampler:
        return make(kind, 50, 6, 64.0, refresh=refresh, warmup_epochs=2)

    unbroken = new()
    expected = []
    for number in range(4):
        unbroken.set_epoch(number)
        expected.append(train(unbroken, 100, number))

    broken = new()
    for number in range(epoch):
        broken.set_epoch(number)
        train(broken, 100, number)
    broken.set_epoch(epoch)
    drawn = []
    iterator = iter(broken)
    for _ in range(batches):
        rows = next(iterator)
        drawn.append(rows)
        broken.update(rows, losses(50, seed=1000 * epoch + len(drawn))[rows])
    state = broken.state_dict()
    kept = {name: value.clone() if isinstance(value, Tensor) else value for name, value in state.items()}
    list(iterator)
    broken.update(range(50), losses(50, seed=99))  # must not reach the state that was taken

    resumed = new()
    resumed.load_state_dict(state)
    assert str(resumed.state_dict()) == str(kept), "saved again before anything is drawn"
    resumed.set_epoch(epoch)
    for rows in resumed:
        drawn.append(rows)
        resumed.update(rows, losses(50, seed=1000 * epoch + len(drawn))[rows])
    assert drawn == expected[epoch]
    assert torch.equal(resumed.seen, torch.tensor([any(row in rows for rows in drawn) for row in range(50)]))
    resumed.set_epoch(epoch + 1)
    if epoch + 1 < 4:
        assert train(resumed, 100, epoch + 1) == expected[epoch + 1]


@each
def test_every_strategy_goes_on_from_the_same_warm_up(kind: Any) -> None:
    random = RandomBatchSampler(50, 6)
    own = make(kind, 50, 6, 64.0, warmup_epochs=2)
    for epoch in range(2):
        for sampler in (random, own):
            sampler.set_epoch(epoch)
            train(sampler, 100, epoch)
    continued = make(kind, 50, 6, 64.0, warmup_epochs=2)
    continued.load_state_dict(random.state_dict())
    for sampler in (continued, own):
        sampler.set_epoch(2)
    assert torch.equal(continued.probabilities(), own.probabilities())
    drawn = train(continued, 100, 2)
    assert drawn == train(own, 100, 2)
    random.load_state_dict(continued.state_dict())
    assert torch.equal(random.losses, continued.losses)


@each
def test_the_state_of_a_plain_run_is_taken_without_losses(kind: Any) -> None:
    plain = ShuffledBatchSampler(50, 6)
    plain.set_epoch(4)
    next(iter(plain))
    sampler = make(kind, 50, 6)
    sampler.load_state_dict(plain.state_dict())
    assert (sampler.epoch, sampler.drawn) == (4, 1)
    assert sampler.losses.isinf().all()
    plain.load_state_dict(sampler.state_dict())
    assert plain.state_dict() == {"epoch": 4, "drawn": 1}


@each
def test_the_state_of_another_corpus_is_refused(kind: Any) -> None:
    with pytest.raises(ValueError, match="losses of 50 rows, but the corpus has 60 rows"):
        make(kind, 60, 6).load_state_dict(make(kind, 50, 6).state_dict())


@pytest.mark.parametrize("kind", [*SAMPLERS, RandomBatchSampler])
@pytest.mark.parametrize(("world_size", "n"), [(2, 61), (3, 50), (4, 9)])
def test_processes_share_one_draw(kind: Any, world_size: int, n: int) -> None:
    def new(batch_size: int, **options: int) -> SelectionSampler:
        if kind is RandomBatchSampler:
            return kind(n, batch_size, **options)
        return make(kind, n, batch_size, 16.0, warmup_epochs=1, **options)

    whole = new(4 * world_size)
    shares = [new(4, world_size=world_size, rank=rank) for rank in range(world_size)]
    for epoch in range(3):
        for sampler in (whole, *shares):
            sampler.set_epoch(epoch)
        assert {len(share) for share in shares} == {len(whole)}
        for step, (rows, *parts) in enumerate(zip(whole, *shares, strict=True)):
            assert all(parts)
            joined = [row for part in parts for row in part]
            if len(rows) >= world_size:
                assert joined == rows, "disjoint parts of the one batch"
                assert max(map(len, parts)) - min(map(len, parts)) <= 1
            else:
                assert set(joined) == set(rows)
            for sampler in (whole, *shares):
                sampler.update(rows, losses(n, 100 * epoch + step)[rows])


def test_a_random_sampler_is_shuffled_passes_for_ever_and_knows_the_losses() -> None:
    sampler, shuffled = RandomBatchSampler(23, 5, seed=3), ShuffledBatchSampler(23, 5, seed=3)
    for epoch in (0, 1, 57):
        sampler.set_epoch(epoch)
        shuffled.set_epoch(epoch)
        assert train(sampler, 100, epoch) == list(shuffled)
    assert sampler.losses.isfinite().all()
    torch.testing.assert_close(sampler.probabilities(), torch.full((23,), 1 / 23, dtype=torch.float64))


@each
def test_iterating_again_is_the_epoch_again(kind: Any) -> None:
    sampler = make(kind, 40, 8)
    first = list(sampler)
    assert list(sampler) == first
    next(iter(sampler))
    assert list(sampler) == first
    assert sampler.sampler is sampler, "Lightning calls set_epoch there"


@each
def test_wrong_settings_and_losses_are_refused(kind: Any) -> None:
    for pressure in (0.99, 0.0, -2.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="selection_pressure must be finite and at least 1"):
            make(kind, 10, 2, pressure)
    with pytest.raises(ValueError, match="refresh must be 'batch' or 'epoch', found 'step'"):
        make(kind, 10, 2, refresh="step")
    with pytest.raises(ValueError, match="must be at least 1, found 10 and 0"):
        make(kind, 10, 0)
    sampler = make(kind, 10, 2)
    with pytest.raises(ValueError, match=r"found losses of shape \(2,\) for rows of shape \(1,\)"):
        sampler.update([1], [0.1, 0.2])
    with pytest.raises(ValueError, match="rows must lie in 0 to 9, found 3 to 10"):
        sampler.update([3, 10], [0.1, 0.2])
    with pytest.raises(ValueError, match=r"rows must lie in 0 to 9, found -1"):
        sampler.update([-1], [0.1])
    with pytest.raises(ValueError, match=r"losses must be at least 0, found -0\.5"):
        sampler.update([1], [-0.5])
    assert sampler.losses.isinf().all()


@each
def test_hard_samples_are_drawn_more_often(kind: Any) -> None:
    sampler = make(kind, 100, 10, 64.0)
    sampler.update(range(100), torch.arange(100.0))
    drawn = [row for epoch in range(10) for rows in (sampler.set_epoch(epoch), list(sampler))[1] for row in rows]
    quarters = np.bincount(np.array(drawn) // 25)
    assert all(lower < upper for lower, upper in pairwise(quarters))
