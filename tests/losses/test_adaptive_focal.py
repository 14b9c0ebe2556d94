import math
from typing import ClassVar

import pytest
import torch

from mlemo.losses import AdaptiveFocalLoss, FocalLoss
from mlemo.losses.adaptive_focal import batch_jaccard, effective_number_weights

from .tester import LossTester, Matrix, make_batch, sigmoid


def focal(
    gamma: float, alpha: list[float], negative: bool, logits: Matrix, targets: Matrix, mask: list[list[bool]]
) -> float:
    """The formula, by loops."""
    values = []
    for row_logits, row_targets, row_mask in zip(logits, targets, mask):
        for c, (x, y, annotated) in enumerate(zip(row_logits, row_targets, row_mask)):
            if annotated:
                p = sigmoid(x)
                value = -y * (1 - p) ** gamma * math.log(p)
                if negative:
                    value -= (1 - y) * p**gamma * math.log(1 - p)
                values.append(alpha[c] * value)
    return sum(values) / max(1, len(values))


def jaccard(logits: Matrix, targets: Matrix, mask: list[list[bool]]) -> float:
    """Mean Jaccard index at 0.5 over the annotated samples, by sets."""
    values = []
    for row_logits, row_targets, row_mask in zip(logits, targets, mask):
        on = {c for c, (x, known) in enumerate(zip(row_logits, row_mask)) if known and x >= 0}
        truth = {c for c, (y, known) in enumerate(zip(row_targets, row_mask)) if known and y >= 0.5}
        if any(row_mask):
            values.append(len(on & truth) / len(on | truth) if on | truth else 1.0)
    return sum(values) / max(1, len(values))


def trained(**settings: bool) -> AdaptiveFocalLoss:
    """A loss in the midst of a training, in evaluation mode, where nothing moves."""
    loss = AdaptiveFocalLoss(0.5, 2.5, **settings)
    loss.observe(torch.tensor([[1.0, 0, 0, 1, 0], [1, 1, 0, 0, 0], [1, 0, 0, 0, 0]]), torch.ones(3, 5) > 0)
    loss.jaccard.fill_(0.4)
    return loss.eval()


class TestAdaptiveFocalLoss(LossTester):
    # in training mode each call moves the focus of the next one, so that the same batch has another loss
    losses: ClassVar = {
        "at the start": lambda: AdaptiveFocalLoss().eval(),
        "in training": trained,
        "two sides": lambda: trained(negative_term=True),
    }

    @staticmethod
    def single_class() -> AdaptiveFocalLoss:
        return AdaptiveFocalLoss(negative_term=True).eval()

    def reference(self, loss: AdaptiveFocalLoss, logits: Matrix, targets: Matrix, mask: list[list[bool]]) -> float:
        gamma = loss.gamma_min + (loss.gamma_max - loss.gamma_min) * (1 - loss.jaccard.item())
        alpha = loss.alpha.tolist() or [1.0] * len(logits[0])
        return focal(gamma, alpha, loss.negative_term, logits, targets, mask)


def test_the_focus_follows_the_jaccard_index_of_the_batches_before() -> None:
    loss = AdaptiveFocalLoss(1.0, 3.0, momentum=0.9)
    running = 0.0
    for seed in range(5):
        batch = make_batch(masked=True, seed=seed)
        assert loss.gamma().item() == pytest.approx(1 + 2 * (1 - running), rel=1e-6)
        value = loss(*batch).item()
        inputs = [part.tolist() for part in batch]
        assert value == pytest.approx(focal(1 + 2 * (1 - running), [1.0] * 5, False, *inputs), rel=1e-5)
        running = 0.9 * running + 0.1 * jaccard(*inputs)
    before = loss.gamma().item()
    logits, targets, mask = make_batch()
    loss(logits, targets, mask & False)
    loss.eval()(logits, targets, mask)
    assert loss.gamma().item() == before, "neither an empty batch nor evaluation moves it"
    loss.train()
    for _ in range(200):
        loss(20 * (targets - 0.5), targets, mask)
    assert loss.gamma().item() == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_the_jaccard_index_by_sets(seed: int) -> None:
    batch = make_batch(masked=True, seed=seed)
    assert batch_jaccard(*batch).item() == pytest.approx(jaccard(*(part.tolist() for part in batch)))
    assert batch_jaccard(*(part[:0] for part in batch)).item() == 0


def test_without_adaptation_it_is_the_focal_loss() -> None:
    for negative in (False, True):
        adaptive = AdaptiveFocalLoss(2.0, 2.0, negative_term=negative)
        batch = make_batch(masked=True)
        expected = FocalLoss(gamma=2.0, negative_term=negative)(*batch).item()
        assert adaptive(*batch).item() == pytest.approx(expected)


def test_class_weights_are_inverse_effective_numbers_of_mean_one() -> None:
    counts = [1, 10, 500, 0]
    effective = [(1 - 0.999 ** max(n, 1)) / (1 - 0.999) for n in counts]
    inverse = [1 / number for number in effective]
    expected = [value * 4 / sum(inverse) for value in inverse]
    assert effective_number_weights(torch.tensor(counts)).tolist() == pytest.approx(expected)
    loss = AdaptiveFocalLoss()
    loss.bind(2)
    assert loss.alpha.tolist() == [1, 1]
    loss.observe(torch.tensor([[1.0, 1.0], [1.0, 1.0]]), torch.tensor([[True, True], [True, False]]))
    assert loss.alpha.tolist() == pytest.approx(effective_number_weights(torch.tensor([2, 1])).tolist())


def test_state_survives_saving() -> None:
    loss = trained()
    other = AdaptiveFocalLoss(0.5, 2.5)
    other.bind(5)
    other.load_state_dict(loss.state_dict())
    assert other.eval()(*make_batch()).item() == loss(*make_batch()).item()


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="0 ≤ min ≤ max, found 3 and 1"):
        AdaptiveFocalLoss(3, 1)
    with pytest.raises(ValueError, match=r"momentum must lie in \[0, 1\), found 1"):
        AdaptiveFocalLoss(momentum=1)
