import warnings
from collections.abc import Callable
from typing import ClassVar, get_args

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, fbeta_score, precision_score, recall_score

from mlemo.losses import SmoothConfusionLoss
from mlemo.losses.smooth_confusion import Average, Metric, confusion_counts, ratio

from .tester import CLASSES, LossTester, Matrix, make_batch, sigmoid

SLOPES = [0.5, 1.0, 2.0, 4.0, 1.5]
OFFSETS = [0.0, 1.0, -1.0, 0.5, 0.25]


def reference(loss: SmoothConfusionLoss, logits: Matrix, targets: Matrix, mask: list[list[bool]]) -> float:
    """1 − metric by Table 5 of Bénédict et al., by loops."""
    classes = len(logits[0])
    beta, eta = (np.broadcast_to(part.detach().numpy(), classes).tolist() for part in (loss.beta, loss.eta))
    micro = loss.average == "micro"
    counts: dict[int, dict[str, float]] = {}
    for row_logits, row_targets, row_mask in zip(logits, targets, mask):
        for c, (u, y, annotated) in enumerate(zip(row_logits, row_targets, row_mask)):
            if annotated:
                s = sigmoid(beta[c] * (u + eta[c]))
                n = counts.setdefault(0 if micro else c, dict.fromkeys(("tp", "fp", "fn", "tn", "positives"), 0.0))
                n["tp"] += s * y
                n["fp"] += s * (1 - y)
                n["fn"] += (1 - s) * y
                n["tn"] += (1 - s) * (1 - y)
                n["positives"] += y
    values = []
    for n in counts.values():
        tp, fp, fn, tn = (n[name] for name in ("tp", "fp", "fn", "tn"))
        weight = loss.f_beta**2
        part, whole = {
            "accuracy": (tp + tn, tp + fp + fn + tn),
            "precision": (tp, tp + fp),
            "recall": (tp, tp + fn),
            "specificity": (tn, tn + fp),
            "npv": (tn, tn + fn),
            "f1": (2 * tp, 2 * tp + fp + fn),
            "f_beta": ((1 + weight) * tp, (1 + weight) * tp + weight * fn + fp),
        }[loss.metric]
        if n["positives"] > 0 or not loss.skip_absent:
            values.append(1 - (part / whole if whole else 0.0))
    return sum(values) / len(values) if values else 0.0


class TestSmoothConfusionLoss(LossTester):
    losses: ClassVar = {
        "defaults": SmoothConfusionLoss,
        **{metric: lambda metric=metric: SmoothConfusionLoss(metric, "macro", 1.5, 0.5) for metric in get_args(Metric)},
        "specificity of all entries": lambda: SmoothConfusionLoss("specificity", "micro", 1.5, 0.5),
        "f2": lambda: SmoothConfusionLoss("f_beta", f_beta=2.0),
        "f0.5 of all entries": lambda: SmoothConfusionLoss("f_beta", "micro", f_beta=0.5),
        "per class": lambda: SmoothConfusionLoss("accuracy", "macro", SLOPES, OFFSETS),
        "learnable": lambda: SmoothConfusionLoss("f1", "micro", 2.0, 0.5, learnable=True),
        "learnable per class": lambda: SmoothConfusionLoss("npv", "micro", 2.0, OFFSETS, learnable=True, classes=5),
        "present classes": lambda: SmoothConfusionLoss("precision", skip_absent=True),
        "joined": lambda: SmoothConfusionLoss("recall", gather=True),  # the one process there is
    }
    single_class = SmoothConfusionLoss
    # the number of entries is the same in every row
    batchwise_exceptions: ClassVar = frozenset({"accuracy", "per class"})

    def reference(self, loss: SmoothConfusionLoss, logits: Matrix, targets: Matrix, mask: list[list[bool]]) -> float:
        return reference(loss, logits, targets, mask)


HARD: dict[Metric, Callable[..., float]] = {
    "accuracy": lambda y, o, **options: np.mean([accuracy_score(a, b) for a, b in zip(y.T, o.T)]),
    "precision": precision_score,
    "recall": recall_score,
    "specificity": lambda y, o, **options: recall_score(1 - y, 1 - o, **options),
    "npv": lambda y, o, **options: precision_score(1 - y, 1 - o, **options),
    "f1": lambda y, o, **options: fbeta_score(y, o, beta=1, **options),
    "f_beta": lambda y, o, **options: fbeta_score(y, o, beta=2.5, **options),
}


@pytest.mark.parametrize("average", get_args(Average))
@pytest.mark.parametrize("metric", get_args(Metric))
def test_certain_predictions_give_the_metric_of_scikit_learn(metric: Metric, average: Average) -> None:
    loss = SmoothConfusionLoss(metric, average, f_beta=2.5 if metric == "f_beta" else 1.0)
    generator = np.random.default_rng(0)
    for _ in range(25):
        share, shape = generator.random(), (generator.integers(1, 9), generator.integers(2, 6))
        y, o = (generator.random((2, *shape)) < share).astype(int)
        o[:, 0] = y[:, 1] = 0  # a class that is never predicted, and one that never applies
        logits = torch.from_numpy(np.where(o, 1e3, -1e3))
        assert set(logits.sigmoid().unique().tolist()) <= {0.0, 1.0}
        expected = HARD[metric](y, o, average=average, zero_division=0)
        assert 1 - loss(logits, torch.from_numpy(y)).item() == pytest.approx(expected, abs=1e-12)


def test_a_steep_slope_approaches_the_metric() -> None:
    logits, targets, _ = make_batch()
    decisions = (logits >= 0).long().numpy()
    expected = fbeta_score(targets.numpy(), decisions, beta=1, average="macro", zero_division=0)
    gaps = [abs(1 - SmoothConfusionLoss(beta=beta)(logits, targets).item() - expected) for beta in (1, 10, 1000)]
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] < 1e-4


def test_the_offset_moves_the_decision() -> None:
    logits = torch.tensor([[-1.4, -1.6]])
    loss = SmoothConfusionLoss("accuracy", beta=1000.0, eta=1.5)
    assert loss(logits, torch.tensor([[1.0, 0.0]])).item() == pytest.approx(0, abs=1e-6)


def test_counts_add_up() -> None:
    logits, targets, mask = make_batch(soft=True, masked=True)
    targets = targets * mask
    counts = confusion_counts(logits.sigmoid(), targets, mask)
    torch.testing.assert_close(sum(counts), mask.sum(0).double())
    torch.testing.assert_close(counts.tp + counts.fn, targets.sum(0))
    torch.testing.assert_close(counts.tp + counts.fp, (logits.sigmoid() * mask).sum(0))


def test_absent_and_unannotated_classes() -> None:
    # class 0 is present, class 1 has no positive, class 2 no annotation
    logits, targets = torch.zeros(2, 3), torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    mask = torch.tensor([[True, True, False]] * 2)
    assert SmoothConfusionLoss()(logits, targets, mask).item() == pytest.approx((0.5 + 1) / 2)
    assert SmoothConfusionLoss(skip_absent=True)(logits, targets, mask).item() == pytest.approx(0.5)
    assert SmoothConfusionLoss(skip_absent=True)(logits, torch.zeros(2, 3)).item() == 0


def test_a_class_without_a_positive_has_no_gradient() -> None:
    logits = torch.zeros(2, 2, requires_grad=True)
    SmoothConfusionLoss()(logits, torch.tensor([[1.0, 0.0], [0.0, 0.0]])).backward()
    assert logits.grad is not None
    assert torch.all(logits.grad[:, 0] != 0)
    assert torch.all(logits.grad[:, 1] == 0)


@pytest.mark.parametrize("classes", [None, CLASSES], ids=["shared", "per class"])
def test_slope_and_offset_are_learnt_with_the_network(classes: int | None) -> None:
    logits, targets, _ = make_batch(rows=40)
    loss = SmoothConfusionLoss(learnable=True, classes=classes)
    assert {name: tuple(parameter.shape) for name, parameter in loss.named_parameters()} == {
        "beta": () if classes is None else (classes,),
        "eta": () if classes is None else (classes,),
    }
    assert not loss.weight_parameters()  # no weights between components, which have an optimizer of their own
    optimizer = torch.optim.Adam(loss.parameters(), lr=0.1)
    first = loss(logits, targets).item()
    for _ in range(20):
        optimizer.zero_grad()
        loss(logits, targets).backward()
        optimizer.step()
    assert loss(logits, targets).item() < first - 0.01
    assert torch.all(loss.beta != 1)
    assert torch.all(loss.eta != 0)


@pytest.mark.parametrize("start", [0.05, -0.05])
def test_a_learnt_slope_keeps_its_sign(start: float) -> None:
    # right predictions that are to become wrong ones: a free slope would cross 0
    logits, targets = torch.tensor([[4.0], [-4.0]]), torch.tensor([[0.0], [1.0]])
    if start < 0:
        targets = 1 - targets
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loss = SmoothConfusionLoss(beta=start, learnable=True)
    fixed = 1.0 if start > 0 else -1.0
    optimizer = torch.optim.SGD(loss.parameters(), lr=1.0)
    crossed = False
    for _ in range(10):
        optimizer.zero_grad()
        loss(logits, targets).backward()
        optimizer.step()
        crossed = crossed or loss.beta.item() * fixed < 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            same = SmoothConfusionLoss(beta=fixed * loss.beta.abs().item(), eta=loss.eta.item())
        assert loss(logits, targets).item() == pytest.approx(same(logits, targets).item())
    assert crossed  # of the raw parameter, without which nothing was shown


def test_one_slope_per_class_is_one_loss_per_class() -> None:
    logits, targets, _ = make_batch()
    whole = SmoothConfusionLoss("f1", "macro", SLOPES, OFFSETS)(logits, targets).item()
    parts = [
        SmoothConfusionLoss("f1", "macro", beta, eta)(logits[:, [c]], targets[:, [c]]).item()
        for c, (beta, eta) in enumerate(zip(SLOPES, OFFSETS))
    ]
    assert whole == pytest.approx(sum(parts) / CLASSES)


def test_a_negative_slope_warns_and_reflects() -> None:
    logits, targets, _ = make_batch()
    with pytest.warns(UserWarning, match=r"beta = -0\.75: a negative slope .* low logits"):
        reflected = SmoothConfusionLoss(beta=-0.75, eta=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        straight = SmoothConfusionLoss(beta=0.75, eta=-0.5)
    assert reflected(logits, targets).item() == pytest.approx(straight(-logits, targets).item())


def test_a_slope_that_leaves_nothing_predicted_is_finite() -> None:
    logits = torch.full((3, 2), -100.0, requires_grad=True)
    for metric in get_args(Metric):
        SmoothConfusionLoss(metric, beta=30.0)(logits, torch.ones(3, 2)).backward()
    SmoothConfusionLoss("f_beta", f_beta=1e3)(logits, torch.zeros(3, 2)).backward()
    assert logits.grad is not None
    assert torch.all(logits.grad.isfinite())


def test_the_ratio_of_nothing_has_finite_gradients() -> None:
    part, whole = torch.zeros(2, requires_grad=True), torch.tensor([0.0, 1e-44], requires_grad=True)
    ratio(part, whole).sum().backward()
    assert torch.all(part.grad.isfinite())  # type: ignore[union-attr]
    assert torch.all(whole.grad.isfinite())  # type: ignore[union-attr]


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match=r"metric must be one of accuracy, .*, f_beta, found 'auc'"):
        SmoothConfusionLoss("auc")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="average must be macro or micro, found 'samples'"):
        SmoothConfusionLoss(average="samples")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="f_beta must be positive and finite, found 0"):
        SmoothConfusionLoss("f_beta", f_beta=0)
    with pytest.raises(ValueError, match=r"f_beta = 2\.0 needs metric='f_beta', found metric='f1'"):
        SmoothConfusionLoss("f1", f_beta=2.0)
    with pytest.raises(ValueError, match=r"skip_absent .* macro average, found average='micro'"):
        SmoothConfusionLoss(average="micro", skip_absent=True)
    with pytest.raises(ValueError, match=r"beta must not be 0, found 0\.0"):
        SmoothConfusionLoss(beta=0)
    with pytest.raises(ValueError, match="eta must be finite, found inf"):
        SmoothConfusionLoss(eta=float("inf"))
    with pytest.raises(ValueError, match=r"beta must be one number or one per class, found shape \(0,\)"):
        SmoothConfusionLoss(beta=[])
    with pytest.raises(ValueError, match="beta has 2 values for classes=3"):
        SmoothConfusionLoss(beta=[1.0, 2.0], classes=3)
    with pytest.raises(ValueError, match="beta has 1 values for classes=0"):
        SmoothConfusionLoss(classes=0)
    with pytest.raises(ValueError, match="2 values of eta for logits of 3 classes"):
        SmoothConfusionLoss(eta=[1.0, 2.0])(torch.zeros(1, 3), torch.zeros(1, 3))
