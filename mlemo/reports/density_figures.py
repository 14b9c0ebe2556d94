"""How the losses of samples are spread, by how many rare labels they have."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.figure import Figure as Drawing
from numpy.typing import NDArray
from scipy.stats import gaussian_kde
from torch.nn.functional import binary_cross_entropy

from mlemo.predictions import Predictions, read_predictions
from mlemo.reports.figure_style import COLOURS, LINES, Words, grid, legend
from mlemo.reports.panels import by_panel, chosen
from mlemo.reports.results import Combination, Results, trained
from mlemo.reports.scores import Scores
from mlemo.reports.units import number
from mlemo.samplers.imbalance import minority_labels
from mlemo.studies.study import Figure

__all__ = ["density", "losses_by_minority_labels"]

FEWEST = 5  # samples that a density is drawn from


def density(figure: Figure, results: Results, scores: Scores, say: Words) -> tuple[Drawing, str]:
    """Density of the samples' loss in the test, a curve for each number of minority labels, seeds put together.

    As Fig. 1 of Zhou et al. (2024). A number of labels that fewer than five samples have is not drawn.

    Raises:
        ValueError: There is nothing to draw.
        FileNotFoundError: A run has no predictions or no table of classes.
    """
    panels = {}
    for title, own in by_panel(trained(chosen(figure, results)), ()).items():
        (combination,) = own
        losses = losses_by_minority_labels(combination)
        panels[title] = {
            count: values for count, values in losses.items() if len(values) >= FEWEST and np.ptp(values) > 0
        }
    panels = {title: losses for title, losses in panels.items() if losses}
    if not panels:
        raise ValueError(f"no number of minority labels has {FEWEST} samples")
    drawing, axes = grid(len(panels), 3.6 if len(panels) > 1 else 5.5, 3.0)
    highest = max(float(np.quantile(values, 0.995)) for losses in panels.values() for values in losses.values())
    x = np.linspace(0, highest, 200)
    parts = ["Densities of the binary cross-entropy of test samples, by their number of minority labels."]
    for place, (title, losses) in zip(axes, panels.items()):
        for count, values in losses.items():
            line, colour = LINES[count % len(LINES)], COLOURS[count % len(COLOURS)]
            place.plot(x, gaussian_kde(values)(x), color=colour, linestyle=line, label=_name(count))
            spread = ", ".join(number(float(value), 3) for value in np.quantile(values, [0.25, 0.5, 0.75]))
            parts.append(f"{', '.join([*title, _name(count)])}: {len(values)} samples, quartiles {spread}.")
        place.set_title("\n".join(map(say, title)), fontsize=9)
        place.set_xlabel("binary cross-entropy of a sample")
        place.set_ylabel("density")
    legend(drawing, axes)
    return drawing, " ".join(parts)


def losses_by_minority_labels(combination: Combination) -> dict[int, NDArray[np.float64]]:
    """Binary cross-entropy of each test sample, mean over its annotated labels, by its number of minority labels.

    A minority label has IRLbl > MeanIR in the training part of its run.
    """
    found: dict[int, list[NDArray[np.float64]]] = {}
    for run in combination.runs:
        predictions = read_predictions(run.folder / "predictions_test.csv")
        positives = run.classes()["training_positives"].loc[list(predictions.label_space.names)]
        rare = minority_labels(torch.tensor(positives.to_numpy(dtype=np.int64))[None])
        counts, losses = (predictions.gold & rare).sum(1), _losses(predictions)
        some = predictions.mask.any(1)
        for count in counts[some].unique().tolist():
            found.setdefault(int(count), []).append(losses[some & (counts == count)].numpy())
    return {count: np.concatenate(found[count]) for count in sorted(found)}


def _losses(run: Predictions) -> torch.Tensor:
    """``(N,)`` float64; NaN for a sample without an annotated label."""
    entries = binary_cross_entropy(run.probabilities.double(), run.gold.double(), reduction="none")
    return (entries * run.mask).sum(1) / run.mask.sum(1)


def _name(count: int) -> str:
    return f"{count} minority label{'' if count == 1 else 's'}"
