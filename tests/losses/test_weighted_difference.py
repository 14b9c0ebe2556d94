import itertools
import math
from collections.abc import Sequence
from typing import ClassVar, Literal

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mlemo.losses import BinaryCrossEntropy, WeightedDifferenceLoss
from mlemo.losses.weighting import Weighting

from .tester import CLASSES, ROWS, LossTester, Matrix, make_batch, sigmoid, softmax

GROUPS = ((3, 0), (1, 4, 2))
PARTIAL_GROUPS = ((4, 1, 0), (2,))  # label 3 has no siblings at all

PERMUTATIONS: tuple[Literal["sampled", "exact"], ...] = ("sampled", "exact")

Orders = list[list[list[int]]]


def differences(values: list[float], d: int) -> list[float]:
    for _ in range(d):
        values = [following - value for value, following in itertools.pairwise(values)]
    return values


def components(
    logits: Matrix,
    targets: Matrix,
    mask: list[list[bool]],
    orders: Orders,
    order: int,
    groups: Sequence[Sequence[int]] | None = None,
    adaptive: bool = False,
    sample_weights: Matrix | None = None,
) -> list[float]:
    """Every component by loops: over orders of the labels, samples, groups and entries."""
    sums, counts = [0.0] * (order + 2), [0] * (order + 2)

    def add(component: int, value: float) -> None:
        sums[component] += value
        counts[component] += 1

    for n, (row_logits, row_targets, annotated) in enumerate(zip(logits, targets, mask)):
        labels = [c for c, known in enumerate(annotated) if known]
        if not labels:
            continue
        weight = sample_weights[n] if sample_weights else [1.0] * (order + 2)
        total = sum(row_targets[c] for c in labels)
        ratio = {c: row_targets[c] / total if total else 0.0 for c in labels}
        predicted = dict(zip(labels, softmax([row_logits[c] for c in labels])))
        highest = min(order, sum(row_targets[c] > 0 for c in labels)) if adaptive else order
        for c in labels:
            p = sigmoid(row_logits[c])
            add(0, -weight[0] * (row_targets[c] * math.log(p) + (1 - row_targets[c]) * math.log(1 - p)))
            add(1, weight[1] * (predicted[c] - ratio[c]) ** 2)
        for places in (permutation[n] for permutation in orders):
            for group in groups or [range(len(row_logits))]:
                siblings = [c for c in places if c in group and annotated[c]]
                for d in range(1, highest + 1):
                    pairs = zip(
                        differences([predicted[c] for c in siblings], d), differences([ratio[c] for c in siblings], d)
                    )
                    for a, b in pairs:
                        add(d + 1, weight[d + 1] * (a - b) ** 2)
    return [value / max(count, 1) for value, count in zip(sums, counts)]


def all_orders(rows: int, labels: int) -> Orders:
    return [[list(order)] * rows for order in itertools.permutations(range(labels))]


def random_orders(draws: int, rows: int = ROWS, labels: int = CLASSES) -> Tensor:
    return torch.rand(draws, rows, labels, generator=torch.Generator().manual_seed(3)).argsort(-1)


START = {
    "fixed": lambda order: [1.0] * (order + 2),
    "softmax": lambda order: [1 / (order + 2)] * (order + 2),
    "uncertainty": lambda order: [1.0] * (order + 2),
    "monotone": lambda order: [1.0, *(2 * (order + 1 - d) / (order + 2) for d in range(order + 1))],
}


class TestWeightedDifferenceLoss(LossTester):
    losses: ClassVar = {
        "defaults": WeightedDifferenceLoss,
        "order 0": lambda: WeightedDifferenceLoss(order=0),
        "order 2, softmax": lambda: WeightedDifferenceLoss(order=2, weighting="softmax"),
        "order 3, uncertainty": lambda: WeightedDifferenceLoss(order=3, weighting="uncertainty"),
        "order 3, fixed": lambda: WeightedDifferenceLoss(order=3, weighting="fixed"),
        "exact": lambda: WeightedDifferenceLoss(order=3, permutation="exact"),
        "groups": lambda: WeightedDifferenceLoss(order=2, groups=GROUPS),
        "groups, exact": lambda: WeightedDifferenceLoss(order=2, groups=PARTIAL_GROUPS, permutation="exact"),
        "adaptive": lambda: WeightedDifferenceLoss(order=3, weighting="fixed", adaptive_order=True),
        "adaptive, exact": lambda: WeightedDifferenceLoss(order=3, permutation="exact", adaptive_order=True),
    }
    single_class: ClassVar = lambda: WeightedDifferenceLoss(order=0)
    # the higher orders average over the rows that have labels enough
    batchwise_exceptions: ClassVar = frozenset({"adaptive", "adaptive, exact"})
    says_samples: ClassVar = False  # its weights may be learnt, and a penalty on them is of no sample

    def reference(self, loss: WeightedDifferenceLoss, logits: Matrix, targets: Matrix, mask: list[list[bool]]) -> float:
        rows, labels = len(logits), len(logits[0])
        orders = all_orders(rows, labels) if loss.permutation == "exact" else [[list(range(labels))] * rows]
        values = components(logits, targets, mask, orders, loss.order, loss.groups, loss.adaptive_order)
        value = sum(w * v for w, v in zip(START[loss.component_weights.weighting](loss.order), values))
        if loss.component_weights.weighting == "uncertainty":
            value += 1e-6 * len(values)
        return value


# --- the differences and their order


def test_values_of_the_paper_s_equations() -> None:
    # r = (½, ½, 0, 0), r̂ = (⅛, ½, ¼, ⅛): the errors are (−⅜, 0, ¼, ⅛), their differences (⅜, ¼, −⅛) and (−⅛, −⅜).
    logits = torch.tensor([[1.0, 4.0, 2.0, 1.0]]).log()
    targets = torch.tensor([[1.0, 1.0, 0.0, 0.0]])
    values = WeightedDifferenceLoss(order=3, weighting="fixed").components(logits, targets)
    assert values["bce"].item() == pytest.approx((math.log(2) + math.log(5 / 4) + math.log(3) + math.log(2)) / 4)
    assert values["d0"].item() == pytest.approx((9 + 0 + 4 + 1) / 64 / 4)
    assert values["d1"].item() == pytest.approx((9 + 4 + 1) / 64 / 3)
    assert values["d2"].item() == pytest.approx((1 + 9) / 64 / 2)
    assert values["d3"].item() == pytest.approx(4 / 64)


@pytest.mark.parametrize("groups", [None, GROUPS], ids=["flat", "groups"])
@pytest.mark.parametrize("draws", [1, 3])
def test_differences_follow_the_given_order(draws: int, groups: Sequence[Sequence[int]] | None) -> None:
    logits, targets, mask = make_batch(masked=True)
    orders = random_orders(draws)
    loss = WeightedDifferenceLoss(order=2, groups=groups)
    values = loss.components(logits, targets, mask, label_order=orders)
    expected = components(logits.tolist(), targets.tolist(), mask.tolist(), orders.tolist(), 2, groups)
    assert [value.item() for value in values.values()] == pytest.approx(expected)
    if draws == 1:
        flat = loss.components(logits, targets, mask, label_order=orders[0])
        assert all(torch.equal(flat[name], values[name]) for name in values)
    canonical = loss.components(logits, targets, mask)
    assert canonical["d0"] == values["d0"]
    assert canonical["d1"] != values["d1"]


def test_several_orders_for_one_forward_equal_copies_of_the_batch() -> None:
    logits, targets, mask = make_batch(masked=True)
    orders = random_orders(3)
    loss = WeightedDifferenceLoss(order=2)
    copies = loss(
        logits.repeat(3, 1), targets.repeat(3, 1), mask.repeat(3, 1), label_order=orders.reshape(3 * ROWS, CLASSES)
    )
    assert loss(logits, targets, mask, label_order=orders).item() == pytest.approx(copies.item())


def test_labels_without_annotation_are_taken_out_of_the_order() -> None:
    logits, targets, mask = make_batch()
    mask[:, 2] = False
    kept = [0, 1, 3, 4]
    order = random_orders(1)[0]
    without = torch.tensor([[kept.index(c) for c in row if c != 2] for row in order.tolist()])
    for permutation in PERMUTATIONS:
        loss = WeightedDifferenceLoss(order=3, permutation=permutation)
        expected = loss(logits[:, kept], targets[:, kept], label_order=without)
        assert loss(logits, targets, mask, label_order=order).item() == pytest.approx(expected.item())


# --- the closed form


@pytest.mark.parametrize("labels", [4, 5, 6])
def test_the_closed_form_is_the_mean_over_all_orders(labels: int) -> None:
    logits, targets, _ = make_batch(rows=4, classes=labels, soft=True)
    targets[1:] = (targets[1:] > 0.5).double()  # row 0 has no positive, the others a few
    assert targets[1:].sum(1).min() > 0
    orders = torch.tensor(all_orders(4, labels))
    assert len(orders) == math.factorial(labels)
    order = min(3, labels - 1)
    for rows in (slice(0, 1), slice(1, 4), slice(0, 4)):
        sampled = WeightedDifferenceLoss(order).components(logits[rows], targets[rows], None, orders[:, rows])
        exact = WeightedDifferenceLoss(order, permutation="exact").components(logits[rows], targets[rows])
        error = logits[rows].softmax(-1) - F.normalize(targets[rows], p=1)
        for d in range(1, order + 1):
            formula = math.comb(2 * d, d) * labels / (labels - 1) * error.var(-1, correction=0).mean()
            assert exact[f"d{d}"].item() == pytest.approx(sampled[f"d{d}"].item())
            assert exact[f"d{d}"].item() == pytest.approx(formula.item())


def test_in_expectation_every_order_is_a_multiple_of_the_ratio_loss() -> None:
    logits, targets, _ = make_batch()
    positive = targets.any(-1)
    loss = WeightedDifferenceLoss(order=3, permutation="exact")
    values = loss.components(logits[positive], targets[positive])
    for d, factor in ((1, 2), (2, 6), (3, 20)):
        assert (values[f"d{d}"] / values["d0"]).item() == pytest.approx(factor * CLASSES / (CLASSES - 1))
    # Without a positive label the errors sum to 1, and their variance is below their mean square by 1/M².
    values = loss.components(logits[~positive], targets[~positive])
    assert values["d1"].item() == pytest.approx(2 * CLASSES / (CLASSES - 1) * (values["d0"].item() - 1 / CLASSES**2))


def test_the_closed_form_needs_no_order() -> None:
    logits, targets, mask = make_batch(masked=True)
    loss = WeightedDifferenceLoss(order=2, permutation="exact")
    assert torch.equal(loss(logits, targets, mask, label_order=random_orders(1)[0]), loss(logits, targets, mask))


@pytest.mark.parametrize("groups", [GROUPS, PARTIAL_GROUPS])
def test_the_closed_form_for_groups_is_the_mean_over_all_orders(groups: Sequence[Sequence[int]]) -> None:
    logits, targets, mask = make_batch(masked=True)
    orders = torch.tensor(all_orders(ROWS, CLASSES))
    sampled = WeightedDifferenceLoss(2, groups=groups).components(logits, targets, mask, orders)
    exact = WeightedDifferenceLoss(2, groups=groups, permutation="exact").components(logits, targets, mask)
    assert [value.item() for value in exact.values()] == pytest.approx([value.item() for value in sampled.values()])


# --- groups


def test_one_group_of_all_labels_is_no_group() -> None:
    logits, targets, mask = make_batch(masked=True)
    order = random_orders(1)[0]
    for permutation in PERMUTATIONS:
        flat = WeightedDifferenceLoss(2, permutation=permutation)
        grouped = WeightedDifferenceLoss(2, permutation=permutation, groups=[range(CLASSES)])
        expected = flat(logits, targets, mask, label_order=order)
        assert torch.equal(grouped(logits, targets, mask, label_order=order), expected)


def test_groups_that_are_too_small_have_no_differences() -> None:
    # Second differences exist in the group (1, 4, 2) alone: one entry.
    logits, targets, _ = make_batch(rows=1, seed=2)
    error = (logits.softmax(-1) - F.normalize(targets, p=1))[0]
    value = WeightedDifferenceLoss(2, groups=GROUPS).components(logits, targets)["d2"]
    assert value.item() == pytest.approx((error[1] - 2 * error[2] + error[4]).item() ** 2)


def test_siblings_keep_their_order_among_many_labels() -> None:
    # Sorting by group must be stable; on few labels any sort looks stable.
    logits, targets, mask = make_batch(rows=2, classes=80)
    groups = [list(range(start, 80, 4)) for start in range(4)]
    orders = random_orders(2, rows=2, labels=80)
    values = WeightedDifferenceLoss(2, groups=groups).components(logits, targets, mask, orders)
    expected = components(logits.tolist(), targets.tolist(), mask.tolist(), orders.tolist(), 2, groups)
    assert [value.item() for value in values.values()] == pytest.approx(expected)


# --- weights


def test_uneven_weights() -> None:
    logits, targets, mask = make_batch(masked=True)
    loss = WeightedDifferenceLoss(1, "fixed", fixed_weights=[0.5, 3.0, 2.0])
    values = loss.components(logits, targets, mask)
    expected = 0.5 * values["bce"] + 3 * values["d0"] + 2 * values["d1"]
    assert loss(logits, targets, mask).item() == pytest.approx(expected.item())
    assert {name: weight.item() for name, weight in loss.weights().items()} == {"bce": 0.5, "d0": 3.0, "d1": 2.0}


@pytest.mark.parametrize("weighting", ["softmax", "monotone", "uncertainty"])
def test_the_loss_trains_its_weights(weighting: Weighting) -> None:
    logits, targets, _ = make_batch()
    loss = WeightedDifferenceLoss(2, weighting)
    (parameter,) = loss.weight_parameters()
    assert parameter is loss.component_weights.raw
    before = {name: weight.item() for name, weight in loss.weights().items()}
    loss(logits, targets).backward()
    torch.optim.SGD(loss.weight_parameters(), lr=0.5).step()
    assert list(loss.weights()) == ["bce", "d0", "d1", "d2"]
    assert {name: weight.item() for name, weight in loss.weights().items()} != before
    values = loss.components(logits, targets)
    expected = sum(loss.weights()[name].item() * values[name].item() for name in values)
    if weighting == "uncertainty":
        expected += parameter.sum().item()
    assert loss(logits, targets).item() == pytest.approx(expected, rel=1e-5)


def test_fixed_weights_are_not_parameters() -> None:
    assert WeightedDifferenceLoss(weighting="fixed").weight_parameters() == []


def train(weighting: Weighting) -> tuple[float, float, float]:
    """A linear model on noisy labels: its cross-entropy after training, the label weight, and the largest weight."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(128, 10, generator=generator)
    scores = features @ torch.randn(10, 6, generator=generator) + 2 * torch.randn(128, 6, generator=generator)
    targets = (scores > 3).float()
    model = nn.Linear(10, 6)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    loss = WeightedDifferenceLoss(1, weighting, permutation="exact")
    optimizers = [
        torch.optim.Adam(model.parameters(), lr=0.02),
        torch.optim.SGD(loss.weight_parameters(), lr=0.01, momentum=0.9),
    ]
    for _ in range(900):
        value = loss(model(features), targets)
        for optimizer in optimizers:
            optimizer.zero_grad()
        value.backward()
        for optimizer in optimizers:
            optimizer.step()
    weights = loss.weights()
    with torch.no_grad():
        entropy = BinaryCrossEntropy()(model(features), targets)
    return entropy.item(), weights["bce"].item(), max(weights.values()).item()


def test_learned_weights_collapse_under_softmax_and_not_otherwise() -> None:
    _, label_weight, largest = train("softmax")
    assert label_weight < 0.03  # from 1/3
    assert largest > 0.6
    entropy, label_weight, largest = train("monotone")
    assert label_weight == 1
    assert largest <= 2
    entropy, label_weight, _ = train("uncertainty")
    assert label_weight == pytest.approx(1 / entropy, rel=0.1)


# --- weights of samples, adaptive order


def test_sample_weights() -> None:
    logits, targets, mask = make_batch(masked=True)
    loss = WeightedDifferenceLoss(1)
    generator = torch.Generator().manual_seed(0)
    weights = torch.rand(ROWS, 3, generator=generator, dtype=torch.float64)
    order = [[list(range(CLASSES))] * ROWS]
    for given, full in ((weights, weights), (weights[:, 0], weights[:, :1].expand(ROWS, 3))):
        values = loss.components(logits, targets, mask, sample_weights=given)
        expected = components(logits.tolist(), targets.tolist(), mask.tolist(), order, 1, sample_weights=full.tolist())
        assert [value.item() for value in values.values()] == pytest.approx(expected)
    assert loss(logits, targets, mask, sample_weights=torch.ones(ROWS)).item() == pytest.approx(
        loss(logits, targets, mask).item()
    )


def test_a_sample_of_weight_zero_has_no_gradient() -> None:
    logits, targets, _ = make_batch()
    logits.requires_grad_()
    weights = torch.ones(ROWS)
    weights[2] = 0
    WeightedDifferenceLoss(2)(logits, targets, sample_weights=weights).backward()
    assert logits.grad is not None
    assert torch.equal(logits.grad.abs().sum(1) == 0, weights == 0)


@pytest.mark.parametrize("permutation", PERMUTATIONS)
def test_the_adaptive_order_is_bounded_by_the_number_of_positives(permutation: Literal["sampled", "exact"]) -> None:
    logits, _, _ = make_batch(rows=4)
    targets = torch.tensor([[0, 0, 0, 0, 0], [0, 1, 0, 0, 0], [1, 0, 1, 0, 0], [1, 1, 1, 1, 0]])
    adaptive = WeightedDifferenceLoss(3, permutation=permutation, adaptive_order=True)
    plain = WeightedDifferenceLoss(3, permutation=permutation)
    values = adaptive.components(logits, targets)
    for name, first in (("bce", 0), ("d0", 0), ("d1", 1), ("d2", 2), ("d3", 3)):
        expected = plain.components(logits[first:], targets[first:])[name]
        assert values[name].item() == pytest.approx(expected.item())


# --- failures


def test_an_order_that_the_labels_do_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="differences of order 3 need more than 3 labels, found 3"):
        WeightedDifferenceLoss(order=3)(torch.zeros(1, 3), torch.zeros(1, 3))
    with pytest.raises(ValueError, match="differences of order 2 need a group of more labels; the largest has 2"):
        WeightedDifferenceLoss(order=2, groups=[[0, 1], [2, 3]])
    with pytest.raises(ValueError, match="order must not be negative, found -1"):
        WeightedDifferenceLoss(order=-1)


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="permutation must be sampled or exact, found 'all'"):
        WeightedDifferenceLoss(permutation="all")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="weighting must be one of"):
        WeightedDifferenceLoss(weighting="none")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"fixed weights must be 3 non-negative numbers, found \[1\.0\]"):
        WeightedDifferenceLoss(weighting="fixed", fixed_weights=[1.0])
    for groups in ([[0, 1], [1, 2]], [[0, 1], []], [[0, -1]], []):
        with pytest.raises(ValueError, match="groups must be disjoint, non-empty sets of label columns"):
            WeightedDifferenceLoss(groups=groups)
    with pytest.raises(ValueError, match="name columns beyond the 5 labels"):
        WeightedDifferenceLoss(groups=[[0, 5]])(*make_batch())


def test_wrong_context_is_refused() -> None:
    logits, targets, _ = make_batch()
    loss = WeightedDifferenceLoss()
    with pytest.raises(ValueError, match=r"label_order has shape \(5,\), expected \(6, 5\) or \(K, 6, 5\)"):
        loss(logits, targets, label_order=torch.arange(5))
    with pytest.raises(ValueError, match=r"label_order has shape \(3, 6, 4\)"):
        loss(logits, targets, label_order=random_orders(3)[..., :4])
    with pytest.raises(ValueError, match=r"label_order must be long, found torch\.float32"):
        loss(logits, targets, label_order=random_orders(1)[0].float())
    with pytest.raises(ValueError, match=r"sample_weights have shape \(5,\), expected \(6,\) or \(6, 3\)"):
        loss(logits, targets, sample_weights=torch.ones(5))
