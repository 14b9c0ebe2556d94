"""Densities of the losses of training samples by their number of minority labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from matplotlib.figure import Figure as Drawing
from numpy.typing import NDArray
from scipy.stats import gaussian_kde

from mlemo.experiments.study import Figure
from mlemo.reporting.figure_style import COLORS, LINES, Words, grid, legend
from mlemo.reporting.panels import by_panel, chosen
from mlemo.reporting.results import Combination, Results, trained
from mlemo.reporting.scores import Scores
from mlemo.reporting.units import number

__all__ = ["density", "losses_by_minority_labels"]

GROUPS = ("0 minority labels", "1 minority label", "2 minority labels", "more than 2 minority labels")
FEWEST = 5  # smallest number of samples for a density
LEAST = 1e-7  # smallest loss drawn: the logarithm of smaller float32 values would be noise


def density(figure: Figure, results: Results, scores: Scores, say: Words) -> tuple[Drawing, str]:
    """Draw densities of the logarithm of the samples' training losses, one panel per recorded epoch.

    As Fig. 1 of Zhou et al. (2024): one curve each for samples with no, one, two, and more minority labels, over all
    seeds. A group of fewer than five samples is not drawn.

    Raises:
        ValueError: There is nothing to draw.
    """
    panels = {}
    for title, own in by_panel(trained(chosen(figure, results)), ()).items():
        (combination,) = own
        for epoch, groups in losses_by_minority_labels(combination).items():
            drawn = {name: values for name, values in groups.items() if len(values) >= FEWEST and np.ptp(values) > 0}
            if drawn:
                panels[title, epoch] = drawn
    if not panels:
        raise ValueError("no finished run has recorded losses; BatchSelection does so with record_epochs")
    drawing, axes = grid(len(panels), 3.6 if len(panels) > 1 else 5.5, 3.0)
    x = np.geomspace(*_range(panels.values()), 200)
    parts = ["Densities of the logarithm of training samples' cross-entropy, by their number of minority labels."]
    for place, ((title, epoch), groups) in zip(axes, panels.items()):
        for name, values in groups.items():
            group = GROUPS.index(name)
            curve = gaussian_kde(np.log10(values))(np.log10(x))
            place.plot(x, curve, color=COLORS[group], linestyle=LINES[group], label=name)
            spread = ", ".join(number(float(value), None) for value in np.quantile(values, [0.25, 0.5, 0.75]))
            what = ", ".join([*title, f"epoch {epoch}", name])
            parts.append(f"{what}: {len(values)} samples, quartiles {spread}.")
        place.set_title("\n".join([*map(say, title), f"epoch {epoch}"]), fontsize=9)
        place.set_xscale("log")
        place.set_xlabel("binary cross-entropy of a sample")
        place.set_ylabel("density of its logarithm")
    legend(drawing, axes)
    return drawing, " ".join(parts)


def losses_by_minority_labels(combination: Combination) -> dict[int, dict[str, NDArray[np.float64]]]:
    """Read the losses of training samples recorded by `BatchSelection`, by epoch and number of minority labels."""
    found: dict[int, dict[str, list[NDArray[np.float64]]]] = {}
    for run in combination.runs:
        path = run.folder / "selection_losses.npz"
        if not path.is_file():
            continue
        with np.load(path) as file:
            group = np.minimum(file["minority_labels"], len(GROUPS) - 1)
            for epoch, losses in zip(file["epochs"].tolist(), file["losses"].astype(np.float64)):
                for place, name in enumerate(GROUPS):
                    own = losses[(group == place) & np.isfinite(losses)]
                    found.setdefault(epoch, {}).setdefault(name, []).append(np.maximum(own, LEAST))
    return {
        epoch: {name: np.concatenate(parts) for name, parts in groups.items()}
        for epoch, groups in sorted(found.items())
    }


def _range(panels: Iterable[Mapping[str, NDArray[np.float64]]]) -> tuple[float, float]:
    """Return the range of nearly all losses."""
    quantiles = [np.quantile(values, [0.005, 0.995]) for groups in panels for values in groups.values()]
    return float(min(low for low, _ in quantiles)), float(max(high for _, high in quantiles))
