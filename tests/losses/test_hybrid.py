import math
from typing import Any, ClassVar

import pytest
import torch

from mlemo.losses import BinaryCrossEntropy, GTHLController, HybridLoss, positive_weights
from mlemo.losses.controller import FixedWeights

from .test_adaptive_focal import focal, jaccard
from .test_gthl_controller import by_hand, perturbed
from .test_label_correlation import correlation
from .test_pairwise_ranking import ranking
from .tester import LossTester, Matrix, make_batch, sigmoid

Mask = list[list[bool]]
#: Nothing that a call leaves behind for the next one: no moving averages, and a focus that does not move.
STATELESS: dict[str, Any] = {"cooccurrence": "batch", "gamma_min": 2.0, "gamma_max": 2.0}


def cross_entropy(logits: Matrix, targets: Matrix, mask: Mask) -> float:
    values = [
        -y * math.log(sigmoid(x)) - (1 - y) * math.log(sigmoid(-x))
        for rows in zip(logits, targets, mask)
        for x, y, annotated in zip(*rows)
        if annotated
    ]
    return sum(values) / max(1, len(values))


def statistics(logits: Matrix, targets: Matrix, mask: Mask) -> list[float]:
    """Mean Jaccard index, label entropy and class frequency of a batch."""
    entropies = []
    for c in range(len(mask[0]) if mask else 1):
        values = [y[c] for y, known in zip(targets, mask) if known[c]]
        rate = sum(values) / max(1, len(values))
        entropies.append(-sum(p * math.log(p) for p in (rate, 1 - rate) if p > 0))
    known = [y for row, annotated in zip(targets, mask) for y, there in zip(row, annotated) if there]
    frequency = sum(known) / max(1, len(known))
    return [jaccard(logits, targets, mask), sum(entropies) / len(entropies), frequency]


def adaptive() -> HybridLoss:
    """Adaptive weights that are far from where they start, and differ from batch to batch."""
    torch.manual_seed(0)
    controller = GTHLController(smoothing=0.0)
    loss = HybridLoss(0.1, 0.2, 0.3, controller=controller, **STATELESS)
    perturbed(controller)
    return loss


def learning() -> HybridLoss:
    return HybridLoss(controller=GTHLController())


class TestHybridLoss(LossTester):
    losses: ClassVar = {
        "adaptive": adaptive,
        "fixed": lambda: HybridLoss(0.1, 0.2, 0.3, **STATELESS),
        "two-sided, without ranking": lambda: HybridLoss(ranking=0.0, negative_term=True, **STATELESS),
    }

    @staticmethod
    def single_class() -> HybridLoss:
        return HybridLoss(**STATELESS)

    def reference(self, loss: HybridLoss, logits: Matrix, targets: Matrix, mask: Mask) -> float:
        inputs = (logits, targets, mask)
        values = {"ranking": ranking(0.5, *inputs), "correlation": correlation(*inputs)}
        if "focal" in loss.names:
            negative = loss.terms["focal"].negative_term
            values["focal"] = focal(2.0, [1.0] * len(logits[0]), negative, *inputs)
        weights = loss.controller.base.tolist()
        if isinstance(loss.controller, GTHLController):
            weights = by_hand(loss.controller, torch.tensor(statistics(*inputs)))
        return cross_entropy(*inputs) + sum(weight * values[name] for name, weight in zip(loss.names, weights))


def test_a_term_with_a_weight_of_zero_is_left_out() -> None:
    batch = make_batch()
    for name in ("focal", "ranking", "correlation"):
        loss = HybridLoss(**{name: 0.0})
        assert set(loss.components(*batch)) == {"bce", "focal", "ranking", "correlation"} - {name}
        assert list(loss.weights()) == list(loss.components(*batch))
    plain = HybridLoss(0, 0, 0, controller=GTHLController())
    assert isinstance(plain.controller, FixedWeights)
    assert plain(*batch).item() == pytest.approx(BinaryCrossEntropy()(*batch).item())


def test_the_weights_of_a_call_are_those_that_it_used() -> None:
    loss = adaptive()
    seen = set()
    for seed in range(3):
        value = loss(*make_batch(seed=seed))
        weights = loss.weights()
        seen.add(round(weights["focal"].item(), 4))
        total = sum(weights[name].item() * part.item() for name, part in loss.last_components.items())
        assert total == pytest.approx(value.item(), rel=1e-5)
    assert len(seen) > 1


def test_gradients_reach_the_controller_and_the_labels_affinities() -> None:
    loss = learning()
    affinity = torch.randn(5, 5, requires_grad=True)
    loss(*make_batch(), label_affinity=affinity.log_softmax(1)).backward()
    gradient = loss.controller.network[2].weight.grad
    assert gradient is not None
    assert (gradient.abs().sum(1) > 0).all()
    assert affinity.grad is not None
    assert affinity.grad.abs().sum() > 0


def test_the_weights_stay_within_their_bounds_while_the_loss_is_minimised() -> None:
    """Logits, affinities and weights are learnt together, on batches of two: what training does."""
    torch.manual_seed(0)
    loss = learning()
    loss.bind(5)
    logits, targets, _ = make_batch(rows=40)
    logits = logits.float().requires_grad_()
    affinity = torch.randn(5, 5, requires_grad=True)
    optimizer = torch.optim.Adam([logits, affinity, *loss.parameters()], lr=0.05)
    history = []
    for step in range(400):
        rows = torch.arange(2) + 2 * (step % 20)
        optimizer.zero_grad()
        loss(logits[rows], targets[rows], label_affinity=affinity.log_softmax(1)).backward()
        optimizer.step()
        history.append([weight.item() for name, weight in loss.weights().items() if name != "bce"])
    trend = torch.tensor(history)
    assert (trend >= 0.05).all()
    assert (trend <= 0.2).all()
    assert (trend[-1] < 0.7 * trend[0]).any(), "the run is too short to show a trend"


def test_evaluation_moves_nothing() -> None:
    loss = learning()
    perturbed(loss.controller)
    loss.bind(5)
    loss(*make_batch(seed=3))
    before = {name: value.clone() for name, value in loss.state_dict().items()}
    loss.eval()
    first = loss(*make_batch())
    assert torch.equal(loss(*make_batch()), first)
    assert all(torch.equal(value, before[name]) for name, value in loss.state_dict().items())
    loss.train()(*make_batch(seed=4))
    moved = {name for name, value in loss.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {
        "controller.smoothed",
        "terms.focal.jaccard",
        "terms.correlation.average",
        "terms.correlation.seen",
    }


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("classes", [1, 5])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_small_batches_and_targets_all_alike_are_finite(rows: int, classes: int, value: float) -> None:
    loss = learning()
    logits = torch.randn(rows, classes, requires_grad=True)
    loss(logits, torch.full((rows, classes), value)).backward()
    for gradient in [logits.grad, *(parameter.grad for parameter in loss.parameters())]:
        assert gradient is not None
        assert gradient.isfinite().all()


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must not be negative, found \{'focal': -0\.1"):
        HybridLoss(-0.1)
    with pytest.raises(ValueError, match="margin"):
        HybridLoss(margin=0)


def test_every_setting_reaches_its_term() -> None:
    loss = HybridLoss(
        margin=0.2,
        gamma_min=0.5,
        gamma_max=4.0,
        negative_term=True,
        cooccurrence="batch",
        confidence=True,
    )
    focal, ranks, graph = (loss.terms[name] for name in ("focal", "ranking", "correlation"))
    assert (focal.gamma_min, focal.gamma_max, focal.negative_term) == (0.5, 4.0, True)
    assert ranks.margin == 0.2
    assert (graph.cooccurrence, graph.confidence) == ("batch", True)


@pytest.mark.parametrize("class_weights", [[1.0, 2.0, 0.5, 3.0, 1.0], "balanced"])
def test_class_weights_are_those_of_the_cross_entropy(class_weights: Any) -> None:
    """Table 2 of the paper has class weights, which had no place in the loss."""
    logits, targets, mask = make_batch(rows=30, masked=True)
    plain, weighted = HybridLoss(), HybridLoss(class_weights=class_weights)
    alone = BinaryCrossEntropy(class_weights)
    for loss in (plain, weighted, alone):
        loss.bind(5)
        loss.observe(targets, mask)
    expected = {name: value.item() for name, value in plain.components(logits, targets, mask).items()}
    expected["bce"] = alone(logits, targets, mask).item()
    assert expected["bce"] != pytest.approx(plain.components(logits, targets, mask)["bce"].item(), rel=0.01)
    found = {name: value.item() for name, value in weighted.components(logits, targets, mask).items()}
    assert found == pytest.approx(expected)
    if class_weights == "balanced":
        kept = weighted.state_dict()["cross_entropy.class_weights"]
        assert torch.equal(kept, positive_weights(targets, mask))
