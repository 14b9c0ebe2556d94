import itertools
from collections import Counter

import pytest
import torch
from torch import Tensor

from mlemo.samplers import ShuffledBatchSampler


def lengths(n: int) -> Tensor:
    return torch.randint(3, 60, (n,), generator=torch.Generator().manual_seed(n))


def padded(batches: list[list[int]], sizes: Tensor) -> int:
    """Cells of padding in all batches together."""
    return sum(int(sizes[batch].max() * len(batch) - sizes[batch].sum()) for batch in batches)


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize(("n", "batch_size"), [(1, 4), (7, 7), (20, 3), (101, 8), (100, 10)])
def test_an_epoch_is_every_row_once(n: int, batch_size: int, grouped: bool) -> None:
    sampler = ShuffledBatchSampler(n, batch_size, lengths(n) if grouped else None, window=2)
    for epoch in range(3):
        sampler.set_epoch(epoch)
        batches = list(sampler)
        assert Counter(row for batch in batches for row in batch) == Counter(range(n))
        assert len(batches) == len(sampler) == -(-n // batch_size)
        assert sorted((len(batch) for batch in batches), reverse=True)[:-1] == [batch_size] * (len(batches) - 1)


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize(("n", "world_size"), [(100, 2), (90, 2), (101, 3), (9, 4), (300, 7)])
def test_processes_share_the_epoch_in_equal_numbers_of_batches(n: int, world_size: int, grouped: bool) -> None:
    sizes = lengths(n) if grouped else None
    whole = ShuffledBatchSampler(n, 10, sizes)
    shares = [list(ShuffledBatchSampler(n, 10, sizes, world_size=world_size, rank=rank)) for rank in range(world_size)]
    assert {len(share) for share in shares} == {len(ShuffledBatchSampler(n, 10, world_size=world_size))}
    batches = [tuple(batch) for share in shares for batch in share]
    expected = [tuple(batch) for batch in whole]
    assert set(batches) == set(expected)
    assert len(batches) - len(expected) < world_size, "no more repetitions than needed"


def test_order_is_a_function_of_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> list[list[int]]:
        torch.manual_seed(epoch + 100 * seed)  # of no influence
        sampler = ShuffledBatchSampler(50, 4, lengths(50), seed=seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    orders = {(seed, epoch): order(seed, epoch) for seed in range(3) for epoch in range(3)}
    assert all(order(*key) == value for key, value in orders.items())
    assert len({str(value) for value in orders.values()}) == 9


def test_iterating_twice_and_going_back_give_the_same_epoch() -> None:
    sampler = ShuffledBatchSampler(50, 4)
    first = list(sampler)
    assert list(sampler) == first
    sampler.set_epoch(1)
    assert list(sampler) != first
    sampler.set_epoch(0)
    assert list(sampler) == first


def test_lightning_finds_set_epoch_on_the_sampler_of_the_batch_sampler() -> None:
    sampler = ShuffledBatchSampler(50, 4)
    sampler.sampler.set_epoch(3)
    assert sampler.epoch == 3


@pytest.mark.parametrize("drawn", [0, 1, 5, 13])
@pytest.mark.parametrize("world_size", [1, 2])
def test_resumes_exactly_behind_the_drawn_batches(drawn: int, world_size: int) -> None:
    def make() -> ShuffledBatchSampler:
        return ShuffledBatchSampler(100, 4, lengths(100), world_size=world_size, rank=world_size - 1)

    unbroken = make()
    unbroken.set_epoch(2)
    expected = list(unbroken)
    unbroken.set_epoch(3)
    following = list(unbroken)

    broken = make()
    broken.set_epoch(2)
    batches = iter(broken)
    assert [next(batches) for _ in range(drawn)] == expected[:drawn]
    state = broken.state_dict()
    assert state == {"epoch": 2, "drawn": drawn}

    resumed = make()
    resumed.load_state_dict(state)
    assert resumed.state_dict() == state  # saved again before anything is drawn
    resumed.set_epoch(2)
    assert list(resumed) == expected[drawn:]
    assert resumed.state_dict() == {"epoch": 2, "drawn": len(expected)}
    assert list(resumed) == expected, "only the epoch that was broken off is shortened, and only once"
    resumed.set_epoch(3)
    assert list(resumed) == following


def test_a_finished_epoch_is_followed_by_a_whole_one() -> None:
    first = ShuffledBatchSampler(40, 4)
    list(first)
    second = ShuffledBatchSampler(40, 4)
    second.load_state_dict(first.state_dict())
    second.set_epoch(1)
    assert len(list(second)) == 10


def test_grouping_by_length_pads_less_and_larger_windows_less_still() -> None:
    sizes = lengths(400)
    plain, small, large = (
        padded(list(ShuffledBatchSampler(400, 8, grouping, window=window)), sizes)
        for grouping, window in ((None, 50), (sizes, 5), (sizes, 50))
    )
    assert large < 0.15 * plain
    assert large < small < 0.6 * plain


def test_grouped_batches_are_shuffled() -> None:
    sizes = lengths(400)
    means = [float(sizes[batch].float().mean()) for batch in ShuffledBatchSampler(400, 8, sizes)]
    falls = sum(later < earlier for earlier, later in itertools.pairwise(means))
    assert 0.3 < falls / (len(means) - 1) < 0.7


@pytest.mark.parametrize(("n", "batch_size"), [(0, 4), (4, 0), (-1, 1)])
def test_sizes_below_one_are_refused(n: int, batch_size: int) -> None:
    with pytest.raises(ValueError, match=f"n and batch_size must be at least 1, found {n} and {batch_size}"):
        ShuffledBatchSampler(n, batch_size)


def test_lengths_of_another_corpus_are_refused() -> None:
    with pytest.raises(ValueError, match="3 lengths for 4 rows"):
        ShuffledBatchSampler(4, 2, torch.ones(3))
