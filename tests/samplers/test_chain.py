from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor

from mlemo.samplers import AdaptiveBatchSampler, ChainAdaptiveBatchSampler, label_affinity

# counts 4, 3, 2, 1, 0 and cardinality 10/8: two labels are close, if there are as many
LABELS = torch.tensor(
    [
        [1, 1, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 0, 1, 0, 0],
        [1, 0, 0, 0, 0],
        [0, 1, 1, 0, 0],
        [0, 0, 0, 1, 0],
        [0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0],
    ]
)


def chain(
    batch_size: int = 2, pressure: float = 8.0, labels: Tensor = LABELS, **options: object
) -> AdaptiveBatchSampler:
    options = {"warmup_epochs": 0} | options
    sampler = ChainAdaptiveBatchSampler(labels, batch_size, pressure, **options)  # type: ignore[arg-type]
    n = len(labels)
    sampler.update(range(n), torch.linspace(0.1, 1, n))
    return sampler


def test_affinity_by_loops() -> None:
    labels = (torch.rand(60, 5, generator=torch.Generator().manual_seed(0)) < 0.4).int()
    labels[:, 3] = 0
    found = label_affinity(labels)
    for i in range(5):
        for j in range(5):
            together = sum(int(row[i] and row[j]) for row in labels)
            counts = int(labels[:, i].sum()), int(labels[:, j].sum())
            expected = 0.0 if i == j or 0 in counts else (together / counts[0] + together / counts[1]) / 2
            assert float(found[i, j]) == pytest.approx(expected)
    assert torch.equal(found, found.T)


def test_leads_close_labels_and_candidates_by_hand() -> None:
    sampler = chain()
    assert sampler.leads.tolist() == [1, 1, 2, 0, 2, 3, -1, -1], "the rarest of a sample's labels"
    # A01 = (2/4 + 2/3)/2, A02 = (1/4 + 1/2)/2, A12 = (1/3 + 1/2)/2; label 3 stands alone, label 4 never occurs
    assert [line.tolist() for line in sampler.close] == [[1, 2], [0, 2], [1, 0], [], []]
    everything = list(range(8))
    assert sampler.candidates(0).tolist() == [0, 1, 2, 4]
    assert sampler.candidates(1).tolist() == [0, 1, 2, 3, 4]
    assert sampler.candidates(2).tolist() == [0, 1, 2, 3, 4]
    assert sampler.candidates(3).tolist() == everything, "no label is close to it"
    assert sampler.candidates(-1).tolist() == everything, "a seed without labels"


def test_of_equally_close_labels_and_of_equally_rare_labels_the_first_counts() -> None:
    labels = torch.tensor([[1, 1, 1], [1, 1, 1], [0, 0, 0], [0, 0, 0], [0, 0, 0]])  # cardinality 6/5
    sampler = chain(labels=labels)
    assert sampler.leads.tolist() == [0, 0, -1, -1, -1]
    assert [line.tolist() for line in sampler.close] == [[1, 2], [0, 2], [0, 1]]


def test_second_sample_follows_the_probabilities_among_the_candidates() -> None:
    sampler = chain(2, 8.0)
    p = sampler.probabilities().numpy()
    expected = np.zeros((8, 8))
    for first in range(8):
        pool = [row for row in sampler.candidates(sampler.leads[first]) if row != first]
        expected[first, pool] = p[first] * p[pool] / p[pool].sum()
    assert expected.sum() == pytest.approx(1)
    counts = np.zeros((8, 8))
    for epoch in range(700):
        sampler.set_epoch(epoch)
        for first, second in sampler:
            counts[first, second] += 1
    assert not counts[expected == 0].any()
    large = expected > 1e-3
    others = 1 - expected[large].sum()
    observed = np.append(counts[large], counts[~large].sum())
    assert chisquare(observed, np.append(expected[large], max(others, 1e-9)) * 2800).pvalue > 1e-3


def test_candidates_of_small_losses_are_drawn_by_the_probabilities_too() -> None:
    # the first row has nearly all of p; of proposals among the others so few are kept that two in three draws have none
    sampler = ChainAdaptiveBatchSampler(torch.tensor([[1, 1], [0, 1], [0, 1], [1, 1]]), 2, 1e5, warmup_epochs=0)
    sampler.update(range(4), [1.0, 0.2, 0.4, 0.1])  # Q = 4, 1, 2, 1
    expected = np.array([1, 1e5**0.25, 1])
    counts = np.zeros(4)
    for epoch in range(300):
        sampler.set_epoch(epoch)
        for first, second in sampler:
            counts[second] += first == 0
    assert counts.sum() > 500
    assert chisquare(counts[1:], expected / expected.sum() * counts.sum()).pvalue > 1e-3


def test_an_empty_candidate_set_falls_back_to_the_corpus() -> None:
    # rows 0 and 1 lead only to each other; a batch of five must go on to the rest, and holds no row twice
    labels = torch.zeros(6, 3)
    labels[:2] = torch.tensor([1, 1, 0])
    labels[2, 2] = 1
    sampler = chain(5, labels=labels)
    assert sampler.candidates(0).tolist() == [0, 1]
    for epoch in range(20):
        sampler.set_epoch(epoch)
        for rows in sampler:
            assert len(set(rows)) == 5
            first = min(rows.index(row) for row in (0, 1) if row in rows)
            if first < 4 and {0, 1} <= set(rows):
                assert {rows[first], rows[first + 1]} == {0, 1}, "as long as there are candidates, they are taken"


def test_a_corpus_without_any_company_is_drawn_as_without_chains() -> None:
    sampler = chain(4, labels=torch.eye(8))
    assert sampler.candidates(3).tolist() == list(range(8))
    assert [len(set(rows)) for rows in sampler] == [4, 4]


def test_every_sample_is_a_candidate_of_the_one_before_while_there_are_any() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = (torch.rand(400, 12, generator=generator) < torch.linspace(0.3, 0.02, 12)).float()
    sampler = chain(40, labels=labels)
    followed = 0
    for rows in sampler:
        for place, (before, after) in enumerate(pairwise(rows)):
            candidates = set(sampler.candidates(sampler.leads[before])) - set(rows[: place + 1])
            assert after in candidates or not candidates
            followed += len(candidates) < 300
    assert followed > 200, "the chains hardly narrow anything"


def test_weights_and_losses_act_as_in_the_adaptive_sampler() -> None:
    weights = torch.linspace(1, 2, 8)
    first = chain(weights=weights)
    second = AdaptiveBatchSampler(8, 2, 8.0, weights)
    second.update(range(8), torch.linspace(0.1, 1, 8))
    assert torch.equal(first.probabilities(), second.probabilities())


def test_a_corpus_without_labels_is_refused() -> None:
    with pytest.raises(ValueError, match="no label occurs in 5 rows"):
        ChainAdaptiveBatchSampler(torch.zeros(5, 3), 2)
