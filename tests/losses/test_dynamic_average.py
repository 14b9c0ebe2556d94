"""Dynamic weight averaging against its formula by loops."""

from __future__ import annotations

import math

import pytest
import torch

from mlemo.losses import DynamicWeightAverage

#: Values of three terms in the batches of five epochs; epochs may differ in length.
EPOCHS = [
    [[4.0, 2.0, 1.0], [2.0, 2.0, 1.0]],
    [[2.0, 1.9, 1.0], [1.0, 1.9, 1.0], [0.6, 1.9, 1.0]],
    [[0.5, 1.7, 0.0]],
    [[0.4, 1.5, 0.0], [0.2, 1.6, 0.0]],
    [[0.3, 1.5, 2.0]],
]


def by_the_formula(epochs: list[list[list[float]]], temperature: float) -> list[float]:
    """Multipliers of the epoch behind these."""
    if len(epochs) < 2:
        return [1.0, 1.0, 1.0]
    before, latest = ([sum(column) / len(column) for column in zip(*epoch)] for epoch in epochs[-2:])
    powers = [math.exp((new / old if old > 0 else 1.0) / temperature) for new, old in zip(latest, before)]
    return [3 * power / sum(powers) for power in powers]


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_the_weights_by_the_formula(temperature: float) -> None:
    base = [1.0, 0.5, 0.1]
    controller = DynamicWeightAverage(temperature)
    controller.bind(base)
    logits, targets = torch.zeros(1, 2), torch.zeros(1, 2)
    for number, batches in enumerate(EPOCHS):
        controller.start_epoch()
        multipliers = by_the_formula(EPOCHS[:number], temperature)
        expected = [weight * multiplier for weight, multiplier in zip(base, multipliers)]
        for values in batches:
            total = controller([torch.tensor(value) for value in values], logits, targets)
            assert controller.weights().tolist() == pytest.approx(expected)
            assert total.item() == pytest.approx(sum(w * v for w, v in zip(expected, values)))
        assert sum(multipliers) == pytest.approx(3), "multipliers sum to the number of terms"
    assert multipliers[1] > multipliers[0], "the term that decreased less weighs more"


def test_an_epoch_without_a_batch_changes_nothing() -> None:
    controller = DynamicWeightAverage()
    controller.bind([1.0, 1.0])
    for values in ([3.0, 1.0], [1.0, 1.0]):
        controller.start_epoch()
        controller([torch.tensor(value) for value in values], torch.zeros(1, 2), torch.zeros(1, 2))
    controller.start_epoch()
    weights = controller.weights().tolist()
    assert weights[0] < weights[1]
    controller.start_epoch()
    assert controller.weights().tolist() == weights
