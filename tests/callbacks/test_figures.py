from __future__ import annotations

import numpy as np
import pytest
import torch

from mlemo.callbacks.figures import class_f1_figure, correlation_figure, label_correlation

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
