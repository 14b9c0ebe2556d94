from typing import ClassVar

import numpy as np
import pytest
import torch
from scipy.optimize import linprog

from mlemo.losses import WassersteinLoss

from .tester import CLASSES, LossTester, Matrix, make_batch, softmax

# Labels on a line, with uneven gaps; the way back costs more.
PLACES = [0.0, 0.3, 0.4, 0.8, 1.0]
COST = [[(b - a) if b > a else 1.25 * (a - b) for b in PLACES] for a in PLACES]


def distributions(x: list[float], y: list[float], mask: list[bool]) -> tuple[list[int], list[float], list[float]]:
    """The annotated labels of a row, their normalised targets and the softmax over them."""
    labels = [c for c, annotated in enumerate(mask) if annotated]
    total = sum(y[c] for c in labels)
    return labels, [y[c] / total if total else 0.0 for c in labels], softmax([x[c] for c in labels])


def sinkhorn(target: list[float], prediction: list[float], cost: Matrix, epsilon: float, iterations: int) -> float:
    """Cost of the plan after plain Sinkhorn scaling."""
    size = len(target)
    kernel = [[np.exp(-cost[i][j] / epsilon) for j in range(size)] for i in range(size)]
    v = list(prediction)
    for _ in range(iterations):
        u = [target[i] / sum(kernel[i][j] * v[j] for j in range(size)) for i in range(size)]
        v = [prediction[j] / sum(kernel[i][j] * u[i] for i in range(size)) for j in range(size)]
    return sum(u[i] * kernel[i][j] * v[j] * cost[i][j] for i in range(size) for j in range(size))


class TestWassersteinLoss(LossTester):
    losses: ClassVar = {
        "0/1": WassersteinLoss,
        "cost": lambda: WassersteinLoss(COST),
        "cost, few iterations": lambda: WassersteinLoss(COST, regularization=0.2, iterations=3),
    }
    single_class = WassersteinLoss

    def reference(self, loss: WassersteinLoss, logits: Matrix, targets: Matrix, mask: list[list[bool]]) -> float:
        values = []
        for x, y, annotated in zip(logits, targets, mask):
            labels, target, prediction = distributions(x, y, annotated)
            if not labels:
                continue
            if not any(target):
                values.append(0.0)
            elif loss.cost is None:
                values.append(0.5 * sum(abs(a - b) for a, b in zip(target, prediction)))
            else:
                cost = [[COST[i][j] for j in labels] for i in labels]
                values.append(sinkhorn(target, prediction, cost, loss.regularization, loss.iterations))
        return sum(values) / len(values)


def optimal_cost(target: list[float], prediction: list[float], cost: Matrix) -> float:
    """The least cost, as a linear program."""
    size = len(target)
    rows = np.kron(np.eye(size), np.ones(size))
    columns = np.kron(np.ones(size), np.eye(size))
    return linprog(np.ravel(cost), A_eq=np.vstack([rows, columns]), b_eq=[*target, *prediction], bounds=(0, None)).fun


@pytest.mark.parametrize("seed", [0, 1])
def test_small_regularization_approaches_the_optimum(seed: int) -> None:
    logits, targets, mask = make_batch(rows=4, masked=True, seed=seed)
    mask[-1] = True
    costs = []
    for x, y, annotated in zip(logits.tolist(), targets.tolist(), mask.tolist()):
        labels, target, prediction = distributions(x, y, annotated)
        cost = [[COST[i][j] for j in labels] for i in labels]
        costs.append(optimal_cost(target, prediction, cost) if any(target) else 0.0)
    optimum = sum(costs) / len(costs)
    values = [WassersteinLoss(COST, epsilon, 500)(logits, targets, mask).item() for epsilon in (0.2, 0.05, 0.01)]
    assert values[0] > values[1] > values[2] > optimum - 1e-4
    assert values[2] == pytest.approx(optimum, abs=2e-3)


def test_a_0_1_cost_is_the_total_variation() -> None:
    logits, targets, _ = make_batch()
    cost = (1 - torch.eye(CLASSES)).tolist()
    closed = WassersteinLoss()(logits, targets).item()
    assert WassersteinLoss(cost, regularization=0.01, iterations=300)(logits, targets).item() == pytest.approx(
        closed, abs=1e-3
    )


def test_the_direction_of_the_cost() -> None:
    # All mass stands at label 0 and should be at label 1, or the other way round.
    cost = [[0.0, 2.0], [7.0, 0.0]]
    logits = torch.tensor([[20.0, -20.0]])
    assert WassersteinLoss(cost)(logits, torch.tensor([[0.0, 1.0]])).item() == pytest.approx(7.0, rel=1e-4)
    assert WassersteinLoss(cost)(-logits, torch.tensor([[1.0, 0.0]])).item() == pytest.approx(2.0, rel=1e-4)


@pytest.mark.parametrize("cost", [None, COST], ids=["0/1", "cost"])
def test_a_row_without_positives_has_no_gradient(cost: Matrix | None) -> None:
    logits, targets, _ = make_batch()
    logits.requires_grad_()
    WassersteinLoss(cost)(logits, targets).backward()
    assert logits.grad is not None
    assert torch.all(logits.grad[0] == 0)
    assert torch.all(logits.grad[1:][targets[1:].any(1)].abs().sum(1) > 0)


def test_descent_finds_the_target_distribution() -> None:
    targets = torch.tensor([[1.0, 1.0, 0.0, 0.0, 0.0]])
    logits = torch.zeros(1, CLASSES, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.3)
    loss = WassersteinLoss(COST, iterations=30)
    first = loss(logits, targets).item()
    for _ in range(60):
        optimizer.zero_grad()
        loss(logits, targets).backward()
        optimizer.step()
    assert loss(logits, targets).item() < 0.1 * first
    assert set(logits[0].topk(2).indices.tolist()) == {0, 1}


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match=r"cost must be square, .* found \(1, 2\)"):
        WassersteinLoss([[0.0, 1.0]])
    with pytest.raises(ValueError, match=r"costs must be finite and not negative, found \[\[-1\.0\]\]"):
        WassersteinLoss([[-1.0]])
    with pytest.raises(ValueError, match="regularization must be positive, found 0"):
        WassersteinLoss(regularization=0)
    with pytest.raises(ValueError, match="iterations must be at least 1, found 0"):
        WassersteinLoss(iterations=0)
    with pytest.raises(ValueError, match="a cost for 5 labels and logits of 3"):
        WassersteinLoss(COST)(torch.zeros(1, 3), torch.zeros(1, 3))
