"""The figures of a study's report."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TypeAlias

from matplotlib.figure import Figure as Drawing

from mlemo.experiments.study import Figure
from mlemo.reporting.claims import Finding
from mlemo.reporting.class_figures import class_gain
from mlemo.reporting.curve_figures import curve
from mlemo.reporting.density_figures import density
from mlemo.reporting.document import Picture
from mlemo.reporting.figure_style import Words, drawing, saved
from mlemo.reporting.forest import claims_forest, forest
from mlemo.reporting.results import Results
from mlemo.reporting.scores import Scores
from mlemo.reporting.value_figures import box, heatmap, line, point

__all__ = ["figures", "opening_figure"]

Draw: TypeAlias = Callable[[Figure, Results, Scores, Words], tuple[Drawing, str]]
KINDS: dict[str, Draw] = {
    "point": point, "box": box, "line": line, "heatmap": heatmap, "class_gain": class_gain, "curve": curve,
    "density": density, "forest": forest,
}  # fmt: skip


def figures(
    results: Results,
    scores: Scores,
    missing: list[str],
    only: Collection[str] | None = None,
    save: Callable[[Drawing], dict[str, bytes]] = saved,
) -> list[Picture]:
    """Draw the figures of a study.

    Args:
        results: The runs.
        scores: Scores of the runs.
        missing: List to which one line per figure that cannot be drawn is added, and one for characters without a font.
        only: Titles of the figures to draw; all by default.
        save: Function that renders the files of a figure.
    """
    pictures = []
    texts = _texts(results)
    for index, figure in enumerate(results.study.figures, start=1):
        if only is not None and figure.title not in only:
            continue
        source = f" (as {figure.source})" if figure.source else ""
        caption = f"Figure {index}. {figure.title}{source}, scale {results.scale}"
        with drawing(texts) as say:
            try:
                drawn, alternative = KINDS[figure.kind](figure, results, scores, say)
            except (FileNotFoundError, KeyError, ValueError) as error:
                missing.append(f"{caption}: {error}")
                continue
            name = f"figure_{index:02}_{figure.kind}"
            pictures.append(Picture(name, caption, alternative, save(drawn)))
    if pictures and say.missing:
        missing.append(
            f"no font of this system has {' '.join(sorted(say.missing)[:20])}: figures show a box in place of "
            f"{len(say.missing)} different characters; a font such as Noto Sans CJK helps"
        )
    return pictures


def opening_figure(results: Results, scores: Scores, found: Sequence[Finding]) -> list[Picture]:
    """Draw the forest plot that a report opens with: of its claims, else of its first metric.

    Args:
        results: The runs.
        scores: Scores of the runs.
        found: Findings on the claims of the study.

    Returns:
        The figure; nothing if there is no difference to draw.
    """
    study = results.study
    figure = Figure("forest", f"Differences from {study.compare} {scores.first}", metric=next(iter(study.metrics)))
    title = "Forest plot of the claims" if found else figure.title
    with drawing([*_texts(results), *(one.name for one in found), *(one.metric for one in found)]) as say:
        try:
            drawn, words = claims_forest(found, results, say) if found else forest(figure, results, scores, say)
        except ValueError:
            return []
        return [Picture("figure_00_forest", f"{title}, scale {results.scale}", words, saved(drawn))]


def _texts(results: Results) -> list[str]:
    """Collect all words of the study that figures may show."""
    study = results.study
    classes: list[str] = []
    for combination in results.combinations:
        try:
            classes += list(combination.runs[0].classes().index)
        except (FileNotFoundError, ValueError, KeyError):
            continue  # a missing table of classes is reported where it is needed
    scalars = [
        tag for figure in study.figures for tag in (*figure.scalars, *(tag.split("/")[0] for tag in figure.scalars))
    ]
    labels = [label for setting in results.settings for label in results.labels_of(setting)]
    return list(
        dict.fromkeys(["", *results.settings, *labels, *study.metrics, *study.class_metrics, *scalars, *classes])
    )
