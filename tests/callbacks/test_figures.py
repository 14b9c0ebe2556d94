from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from matplotlib.figure import Figure

from mlemo.callbacks import EvaluationFigures, ThresholdTuning
from mlemo.callbacks.figures import class_f1_figure, correlation_figure, label_correlation, reliability_figure
from mlemo.metrics import expected_calibration_error, reliability
from mlemo.thresholds import AtLeastOne, Calibrated, ExpectedF1, ThresholdRule

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


def test_both_correlations_share_one_scale() -> None:
    figure = correlation_figure(NAMES, torch.eye(4), torch.full((4, 4), torch.nan))
    gold, predicted = figure.axes[:2]
    assert (gold.get_title(), predicted.get_title()) == ("gold", "predicted")
    assert gold.images[0].get_clim() == predicted.images[0].get_clim() == (-1, 1)


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
    shares = [bar.get_height() for bar in figure.axes[1].patches]
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
    assert drawn[2:] == ["test/class_f1", "test/label_correlation", "test/reliability"]
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
    with pytest.raises(ValueError, match=r"every_n_epochs must be at least 1, found 0"):
        EvaluationFigures(every_n_epochs=0)
