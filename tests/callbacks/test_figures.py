from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from matplotlib.figure import Figure
from sklearn.metrics import f1_score

from mlemo.callbacks import EvaluationFigures, ThresholdTuning
from mlemo.callbacks.label_figures import (
    MOST_LABELS,
    class_f1_figure,
    clustered_order,
    correlation_figure,
    label_correlation,
    most_positive,
)
from mlemo.callbacks.threshold_figures import PANELS, f1_by_threshold, reliability_figure, threshold_figure
from mlemo.labels import LabelSpace
from mlemo.metrics import expected_calibration_error, reliability
from mlemo.metrics.outputs import Outputs
from mlemo.thresholds import AtLeastOne, Calibrated, ExpectedF1, PerClassThreshold, ThresholdRule

Maker = Callable[..., Any]

NAMES = ("joy", "anger", "fear", "trust")


def test_correlation_equals_numpy_on_the_rows_where_both_labels_are_annotated() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = (torch.rand(60, 4, generator=generator) < 0.4).float()
    mask = torch.rand(60, 4, generator=generator) < 0.8
    found = label_correlation(labels * mask, mask)
    for first in range(4):
        for second in range(4):
            rows = (mask[:, first] & mask[:, second]).numpy()
            expected = np.corrcoef(labels[rows, first], labels[rows, second])[0, 1]
            assert found[first, second].item() == pytest.approx(expected, abs=1e-9)


def test_a_label_that_does_not_vary_has_no_correlation() -> None:
    labels = torch.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 0.0]])
    found = label_correlation(labels, torch.ones(3, 2, dtype=torch.bool))
    assert found[0].isnan().all()
    assert found[:, 0].isnan().all()
    assert found[1, 1].item() == pytest.approx(1.0)


def test_bars_stand_in_order_of_support() -> None:
    figure = class_f1_figure(NAMES, torch.tensor([0.1, 0.2, 0.3, 0.4]), torch.tensor([5.0, 9.0, 1.0, 7.0]))
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["anger (9)", "trust (7)", "joy (5)", "fear (1)"]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([0.2, 0.4, 0.1, 0.3])


def test_gold_predicted_and_their_difference_share_one_scale_and_the_clustered_order() -> None:
    """Labels 0 and 2 go together, and 1 and 3."""
    gold = torch.eye(4)
    gold[0, 2] = gold[2, 0] = 0.8
    gold[1, 3] = gold[3, 1] = 0.6
    predicted = gold / 2
    figure = correlation_figure(NAMES, gold, predicted)
    panels = figure.axes[:3]
    assert [axes.get_title() for axes in panels] == ["gold", "predicted", "predicted − gold"]
    assert {axes.images[0].get_clim() for axes in panels} == {(-1, 1)}
    order = [NAMES.index(text.get_text()) for text in panels[0].get_yticklabels()]
    assert {frozenset(order[:2]), frozenset(order[2:])} == {frozenset({0, 2}), frozenset({1, 3})}
    for axes, matrix in zip(panels, (gold, predicted, predicted - gold)):
        assert [NAMES.index(text.get_text()) for text in axes.get_xticklabels()] == order
        assert torch.equal(torch.as_tensor(axes.images[0].get_array()), matrix[order][:, order])


def test_the_clustered_order_finds_groups_that_were_shuffled_and_bears_missing_correlations() -> None:
    group = torch.arange(12) // 3
    shuffled = group[torch.randperm(12, generator=torch.Generator().manual_seed(0))]
    correlation = torch.where(shuffled[:, None] == shuffled, 0.7, -0.1).fill_diagonal_(1)
    found = shuffled[clustered_order(correlation)]
    assert torch.equal(found[::3].repeat_interleave(3), found)
    correlation[4] = correlation[:, 4] = torch.nan
    assert sorted(clustered_order(correlation)) == list(range(12))
    assert [clustered_order(torch.eye(size)) for size in (1, 2)] == [[0], [0, 1]]


def test_the_labels_with_the_most_positives_are_chosen_and_of_equals_the_first() -> None:
    positives = torch.randint(0, 20, (500,), generator=torch.Generator().manual_seed(0))
    expected = sorted(sorted(range(500), key=lambda label: (-int(positives[label]), label))[:MOST_LABELS])
    assert most_positive(positives).tolist() == expected
    assert most_positive(positives[:7]).tolist() == list(range(7))


def test_a_correlation_picture_says_how_many_labels_it_leaves_out_and_refuses_too_many() -> None:
    matrix = torch.eye(MOST_LABELS)
    names = [f"label {number}" for number in range(MOST_LABELS)]
    figure = correlation_figure(names, matrix, matrix, of=1400)
    assert figure.get_suptitle() == "40 of 1,400 labels, those with the most gold positives"
    assert correlation_figure(names, matrix, matrix, of=MOST_LABELS).get_suptitle() == ""
    with pytest.raises(ValueError, match=r"at most 40 labels .* found 41 names and matrices \(41, 41\)"):
        correlation_figure([*names, "one more"], torch.eye(41), torch.eye(41))


def test_bars_of_many_classes_are_those_with_the_most_positives() -> None:
    names = [f"label {number}" for number in range(10_000)]
    figure = class_f1_figure(names, torch.linspace(0, 1, 10_000), torch.arange(10_000.0))
    axes = figure.axes[0]
    assert axes.get_title() == "40 of 10,000 labels, those with the most gold positives"
    assert [text.get_text() for text in axes.get_yticklabels()] == [f"label {n} ({n})" for n in range(9999, 9959, -1)]
    assert figure.get_size_inches()[1] < 13


def test_pictures_of_many_labels_reach_the_logger(
    trainer: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels, generator = 300, torch.Generator().manual_seed(0)
    targets = (torch.rand(50, labels, generator=generator) < torch.linspace(0, 0.4, labels)).float()
    mask = torch.rand(50, labels, generator=generator) < 0.9
    outputs = Outputs(torch.arange(50), torch.rand(50, labels, generator=generator), targets * mask, mask)
    logger = TensorBoardLogger(tmp_path, name="")
    drawn: dict[str, Figure] = {}
    monkeypatch.setattr(logger.experiment, "add_figure", lambda tag, figure, step: drawn.update({tag: figure}))
    model = SimpleNamespace(label_space=LabelSpace(tuple(f"label {number}" for number in range(labels))))
    EvaluationFigures().on_outputs(trainer(logger=logger), model, "test", outputs)  # type: ignore[arg-type]
    assert set(drawn) == {
        "test/class_f1",
        "test/label_correlation",
        "test/reliability",
        "test/f1_by_threshold",
    }
    places = most_positive((targets * mask).sum(0))
    places = places[clustered_order(label_correlation((targets * mask)[:, places], mask[:, places]))]
    expected = label_correlation(targets * mask, mask)[places][:, places]
    shown = torch.as_tensor(drawn["test/label_correlation"].axes[0].images[0].get_array())
    torch.testing.assert_close(shown, expected)


def calibration_data() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(80, 40, generator=generator)
    targets = (torch.rand(80, 40, generator=generator) < logits.sigmoid()).float()
    mask = torch.rand(80, 40, generator=generator) < 0.9
    mask[:, 5] = False
    return (torch.linspace(0.5, 4, 40) * logits).sigmoid(), targets, mask


def test_reliability_shows_all_labels_and_then_the_worst_ones() -> None:
    probabilities, targets, mask = calibration_data()
    names = [f"label {label}" for label in range(40)]
    figure = reliability_figure(names, {"model": probabilities}, targets, mask)
    titles = [axes.get_title() for axes in figure.axes if axes.axison]
    errors = expected_calibration_error(probabilities, targets, mask)
    pooled = expected_calibration_error(probabilities[mask][:, None], targets[mask][:, None]).item()
    assert titles[0] == f"all labels\nECE {pooled:.3f}"
    worst = [label for label in errors.argsort(descending=True).tolist() if label != 5][:31]
    assert titles[1:] == [f"{names[label]}\nECE {errors[label]:.3f}" for label in worst]
    # the curve of the worst label: share of positives against mean probability
    bins = reliability(probabilities, targets, mask)
    filled = bins.counts[worst[0]] > 0
    curve = next(line for line in figure.axes[1].lines if line.get_label() == "model")
    assert list(curve.get_xdata()) == pytest.approx(bins.probability[worst[0]][filled].tolist())
    assert list(curve.get_ydata()) == pytest.approx(bins.frequency[worst[0]][filled].tolist())
    shares = figure.axes[1].patches[0].get_data().values.tolist()
    assert shares == pytest.approx((bins.counts[worst[0]] / bins.counts[worst[0]].sum()).tolist())
    assert not figure.legends


def test_reliability_of_few_labels_leaves_out_those_without_annotation_and_shows_both_curves() -> None:
    probabilities, targets, mask = calibration_data()
    part = slice(3, 7)  # one of them is not annotated
    curves = {"model": probabilities[:, part], "calibrated": probabilities[:, part] ** 2}
    figure = reliability_figure(NAMES, curves, targets[:, part], mask[:, part])
    shown = [axes for axes in figure.axes if axes.axison]
    assert {axes.get_title().split("\n")[0] for axes in shown} == {"all labels", "joy", "anger", "trust"}
    errors = [expected_calibration_error(p, targets[:, part], mask[:, part]) for p in curves.values()]
    first = NAMES.index(shown[1].get_title().split("\n")[0])
    assert shown[1].get_title().endswith(f"ECE {errors[0][first]:.3f} → {errors[1][first]:.3f}")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["model", "calibrated"]


def test_f1_at_each_threshold_is_that_of_the_decisions() -> None:
    probabilities, targets, mask = calibration_data()
    probabilities = (probabilities * 20).round() / 20  # ties, and probabilities equal to thresholds
    thresholds = torch.tensor([0.0, 0.05, 0.3, 0.5, 0.95, 1.0, 1.1])
    found = f1_by_threshold(probabilities, targets, mask, thresholds)
    for place, threshold in enumerate(thresholds):
        for label in (0, 5, 17):  # the second is not annotated
            rows = mask[:, label]
            decided = probabilities[rows, label] >= threshold
            expected = f1_score(targets[rows, label], decided, zero_division=0) if rows.any() else 0.0
            assert found[place, label].item() == pytest.approx(expected, abs=1e-12)


def test_f1_is_drawn_against_the_threshold_with_the_fitted_one_marked() -> None:
    probabilities, targets, mask = calibration_data()
    names = [f"label {label}" for label in range(40)]
    rule = PerClassThreshold().fit(probabilities, targets, mask)
    figure = threshold_figure(names, probabilities, targets, mask, rule.thresholds())
    shown = [axes for axes in figure.axes if axes.axison]
    labels = most_positive((targets * mask).sum(0), PANELS).tolist()
    assert [axes.get_title().split(" (")[0] for axes in shown] == [names[label] for label in labels]
    assert figure.get_suptitle() == "32 of 40 labels, those with the most gold positives"
    curve, half, fitted = shown[3].lines
    label, rows = labels[3], mask[:, labels[3]]
    assert (half.get_xdata()[0], fitted.get_xdata()[0]) == (0.5, pytest.approx(rule.thresholds()[label].item()))
    truth = targets[rows, label]
    decided = {"0.5": probabilities >= 0.5, "fitted": rule.predict(probabilities)}
    scores = [f1_score(truth, on[rows, label]) for on in decided.values()]
    assert shown[3].get_title().endswith(f"F1 {scores[0]:.3f} → {scores[1]:.3f}")
    assert list(curve.get_ydata())[30] == pytest.approx(f1_score(truth, probabilities[rows, label] >= 0.3))
    bare = threshold_figure(NAMES, probabilities[:, :4], targets[:, :4], mask[:, :4])
    assert [len(axes.lines) for axes in bare.axes] == [2, 2, 2, 2]


@pytest.mark.parametrize("fallback", [False, True])
def test_reliability_is_drawn_outside_of_training_with_the_calibrated_curve_of_the_rule(
    fallback: bool, classifier: Maker, data: Maker, trainer: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule: ThresholdRule = Calibrated(ExpectedF1())
    tuning = ThresholdTuning(AtLeastOne(rule) if fallback else rule)
    logger = TensorBoardLogger(tmp_path, name="")
    drawn: list[str] = []
    curves: list[str] = []

    def add_figure(tag: str, figure: Figure, step: int) -> None:
        drawn.append(tag)
        curves.extend(text.get_text() for legend in figure.legends for text in legend.get_texts())

    monkeypatch.setattr(logger.experiment, "add_figure", add_figure)
    run = trainer(callbacks=[tuning, EvaluationFigures()], logger=logger)
    model, module = classifier(), data()
    run.fit(model, datamodule=module)
    assert drawn == ["val/class_f1", "val/label_correlation"]
    run.test(model, datamodule=module, verbose=False)
    assert drawn[2:] == ["test/class_f1", "test/label_correlation", "test/reliability", "test/f1_by_threshold"]
    assert curves == ["model", "calibrated"]


def test_figures_can_be_drawn_after_some_epochs_only(
    classifier: Maker, data: Maker, trainer: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = TensorBoardLogger(tmp_path, name="")
    steps: list[int] = []
    monkeypatch.setattr(logger.experiment, "add_figure", lambda tag, figure, step: steps.append(step))
    run = trainer(callbacks=[EvaluationFigures(every_n_epochs=2)], logger=logger, max_epochs=3, limit_train_batches=1)
    run.fit(classifier(), datamodule=data())
    assert steps == [1, 1, 3, 3]  # two figures after the first and the third epoch
    steps.clear()
    run = trainer(callbacks=[EvaluationFigures(every_n_epochs=0)], logger=logger, limit_train_batches=1)
    run.fit(model := classifier(), datamodule=data())
    run.test(model, datamodule=data(), verbose=False)
    assert steps == []
    with pytest.raises(ValueError, match=r"every_n_epochs must be at least 0, found -1"):
        EvaluationFigures(every_n_epochs=-1)
