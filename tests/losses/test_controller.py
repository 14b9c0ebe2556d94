"""What every controller of the weights between terms must do, alone and in the losses that take one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from mlemo.losses import (
    BinaryCrossEntropy,
    CompositeLoss,
    DynamicWeightAverage,
    FixedWeights,
    GradNorm,
    GTHLController,
    HybridLoss,
    PairwiseRankingLoss,
    WeightController,
)
from mlemo.losses.base import MultiTermLoss

from .tester import make_batch

CONTROLLERS: dict[str, Callable[[], WeightController]] = {
    "fixed": FixedWeights,
    "GTHL-Emo": GTHLController,
    "GradNorm": GradNorm,
    "dynamic average": DynamicWeightAverage,
}
LOSSES: dict[str, Callable[[WeightController], MultiTermLoss]] = {
    "hybrid": lambda controller: HybridLoss(0.1, 0.2, 0.3, controller=controller),
    "composite": lambda controller: CompositeLoss(
        {"bce": BinaryCrossEntropy(), "ranking": PairwiseRankingLoss()}, {"bce": 1.0, "ranking": 0.2}, controller
    ),
}
BASE = {
    "hybrid": {"bce": 1.0, "focal": 0.1, "ranking": 0.2, "correlation": 0.3},
    "composite": {"bce": 1.0, "ranking": 0.2},
}


def weights(loss: MultiTermLoss) -> dict[str, float]:
    return {name: value.item() for name, value in loss.weights().items()}


def train(loss: MultiTermLoss, epochs: int, logits: Tensor | None = None, start: int = 0) -> list[dict[str, float]]:
    """Weights in every batch of a training of logits, label affinities and controller; two batches per epoch."""
    values, targets, mask = make_batch(rows=8, masked=True)
    logits = values.float().requires_grad_() if logits is None else logits
    affinity = torch.eye(5, requires_grad=True)
    learned = {id(parameter) for parameter in loss.weight_parameters()}
    network = [parameter for parameter in loss.parameters() if id(parameter) not in learned]
    groups = [{"params": [logits, affinity, *network], "lr": 5.0}, {"params": loss.weight_parameters(), "lr": 0.5}]
    optimizer = torch.optim.SGD([group for group in groups if group["params"]])
    history = []
    for _ in range(start, epochs):
        for part in loss.modules():
            if isinstance(part, WeightController):
                part.start_epoch()
        for rows in (slice(0, 4), slice(4, 8)):
            optimizer.zero_grad()
            loss(logits[rows], targets[rows], mask[rows], label_affinity=affinity.log_softmax(1)).backward()
            history.append(weights(loss))
            optimizer.step()
    return history


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("name", CONTROLLERS)
def test_training_starts_at_the_base_weights(name: str, kind: str) -> None:
    torch.manual_seed(0)
    loss = LOSSES[kind](CONTROLLERS[name]())
    loss.bind(5)
    assert weights(loss) == pytest.approx(BASE[kind])
    history = train(loss, epochs=4)
    assert history[0] == pytest.approx(BASE[kind])
    assert (history[-1] != pytest.approx(BASE[kind], rel=1e-3)) is (name != "fixed")
    assert all(value > 0 for row in history for value in row.values())


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("name", ["GradNorm", "dynamic average"])
def test_adaptive_weights_move_against_each_other(name: str, kind: str) -> None:
    """The weights of the published controller all decrease; these share out a constant sum of multipliers."""
    loss = LOSSES[kind](CONTROLLERS[name]())
    loss.bind(5)
    adapted = BASE[kind].keys() if kind == "composite" else BASE[kind].keys() - {"bce"}
    history = train(loss, epochs=5)
    multipliers = [[row[term] / BASE[kind][term] for term in adapted] for row in history]
    assert [sum(row) for row in multipliers] == pytest.approx([len(adapted)] * len(history))
    assert max(multipliers[-1]) > 1.01
    assert min(multipliers[-1]) < 0.99
    assert all(row["bce"] == 1 for row in history) is (kind == "hybrid")


def test_the_published_controller_lowers_all_weights_together() -> None:
    torch.manual_seed(0)
    history = train(HybridLoss(0.1, 0.1, 0.1, controller=GTHLController()), epochs=15)
    for term in ("focal", "ranking", "correlation"):
        course = torch.tensor([row[term] for row in history])
        assert (course.diff() <= 1e-7).all()
        assert course[-1] < 0.099


@pytest.mark.parametrize("name", CONTROLLERS)
def test_the_loss_is_the_weighted_sum_of_its_terms(name: str) -> None:
    loss = LOSSES["hybrid"](CONTROLLERS[name]())
    train(loss, epochs=3)
    for training in (True, False):
        logits, targets, mask = make_batch(masked=True)
        value = loss.train(training)(logits.requires_grad_(), targets, mask)
        expected = sum(loss.weights()[name] * part for name, part in loss.last_components.items())
        assert value.item() == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("name", CONTROLLERS)
def test_evaluation_changes_nothing(name: str) -> None:
    loss = LOSSES["hybrid"](CONTROLLERS[name]())
    train(loss, epochs=3)
    before = {key: value.clone() for key, value in loss.state_dict().items()}
    loss.eval()
    logits, targets, mask = make_batch(seed=5)
    with torch.no_grad():
        loss(logits, targets, mask)
    loss(logits.requires_grad_(), targets, mask)
    assert all(torch.equal(value, before[key]) for key, value in loss.state_dict().items())


@pytest.mark.parametrize("name", CONTROLLERS)
def test_a_training_resumed_from_the_state_continues_as_the_uninterrupted_one(name: str) -> None:
    torch.manual_seed(0)
    uninterrupted, logits = LOSSES["composite"](CONTROLLERS[name]()), make_batch(rows=8)[0].float().requires_grad_()
    train(uninterrupted, epochs=3, logits=logits)
    torch.manual_seed(1)
    resumed = LOSSES["composite"](CONTROLLERS[name]())
    resumed.load_state_dict(uninterrupted.state_dict())
    kept = logits.detach().clone().requires_grad_()
    assert train(resumed, epochs=6, logits=kept, start=3) == train(uninterrupted, epochs=6, logits=logits, start=3)


@pytest.mark.usefixtures("no_autocast")
@pytest.mark.parametrize("name", CONTROLLERS)
def test_no_controller_waits_for_the_device(name: str) -> None:
    controller = CONTROLLERS[name]()
    controller.bind([1.0, 0.5])
    controller.to("meta")  # reading a tensor there raises
    logits, targets, mask = (part.to("meta") for part in make_batch(masked=True))
    logits.requires_grad_()
    for _ in range(2):
        terms = [logits.sigmoid().mean(), logits.square().mean()]
        controller.start_epoch()
        controller(terms, logits, targets, mask).backward()
        controller.weights()


@pytest.mark.parametrize("name", CONTROLLERS)
def test_gradients_of_the_terms_are_weighted(name: str) -> None:
    controller = CONTROLLERS[name]()
    controller.bind([1.0, 0.5])
    logits, targets, mask = make_batch(seed=2)
    logits.requires_grad_()
    terms = [logits.sigmoid().mean(), logits.square().mean()]
    parts = [torch.autograd.grad(term, logits, retain_graph=True)[0] for term in terms]
    controller(terms, logits, targets, mask).backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, parts[0] + 0.5 * parts[1])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GradNorm(alpha=-1), "alpha must not be negative, found -1"),
        (lambda: DynamicWeightAverage(temperature=0), "temperature must be positive, found 0"),
    ],
)
def test_wrong_settings_are_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
