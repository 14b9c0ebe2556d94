"""Forest plots: paired differences from a baseline with their intervals, a row per label."""

from __future__ import annotations

from math import inf, isnan

from mlemo.experiments.study import Figure, Labels
from mlemo.reporting.figure_style import COLOURS, LETTER, Chart, Words, grid
from mlemo.reporting.panels import by_panel, chosen
from mlemo.reporting.results import Results, apart
from mlemo.reporting.scores import Difference, Scores
from mlemo.reporting.units import number, unit_of

__all__ = ["forest"]


def forest(figure: Figure, results: Results, scores: Scores, say: Words) -> tuple[Chart, str]:
    """Differences of the compared setting's labels from the first one; filled where the interval excludes zero.

    To the right of each row stand the difference, its 95 % interval, and p, corrected for the rows by Holm's method.

    Raises:
        ValueError: No label has a difference from the baseline.
    """
    unit, compare = unit_of(results.study, figure.metric), results.study.compare
    found = {own.labels: own for own in scores.differences if own.metric == figure.metric}
    panels: dict[tuple[str, ...], list[Difference]] = {}
    for title, combinations in by_panel(chosen(figure, results), (compare,)).items():
        rows = [found[own.labels] for own in combinations if own.labels in found]
        if rows:
            panels[title] = rows
    if not panels:
        raise ValueError(f"nothing to compare with {scores.first}: {'; '.join(scores.problems) or 'one label alone'}")
    most = max(map(len, panels.values()))
    names = LETTER * max(len(_label(own.labels, compare)) for rows in panels.values() for own in rows)
    drawing, axes = grid(len(panels), names + 6.2, 1.1 + 0.4 * most)
    parts = [f"Forest plot of {unit.head}: difference from {scores.first}, 95 % interval, p after Holm."]
    for place, (title, rows) in zip(axes, panels.items()):
        for height, own in enumerate(rows):
            most_it_can_be = inf if unit.decimals is None else 1.0  # of two shares; few seeds can give more
            ends = (max(own.result.low, -most_it_can_be), min(own.result.high, most_it_can_be))
            low, middle, high = (value * unit.factor for value in (ends[0], own.result.difference, ends[1]))
            certain = not isnan(low) and (low > 0 or high < 0)
            if not isnan(low):
                place.plot((low, high), (height, height), color=COLOURS[0], linewidth=1.5, solid_capstyle="butt")
            marker = {"markeredgecolor": COLOURS[0], "markerfacecolor": COLOURS[0] if certain else "white"}
            place.plot([middle], [height], "s", markersize=6, zorder=3, **marker)  # type: ignore[arg-type]
            text = f"{unit.show(own.result.difference, '+')} {unit.interval(*ends, '+')}  p {number(own.p_holm, 3)}"
            place.text(1.02, height, text, transform=place.get_yaxis_transform(), va="center", fontsize=8)
            parts.append(f"{', '.join([*title, _label(own.labels, compare)])}: {text}.")
        place.axvline(0.0, color="black", linewidth=0.8, linestyle="--", zorder=0)
        place.set_yticks(range(len(rows)), [say(_label(own.labels, compare)) for own in rows])
        place.set_ylim(len(rows) - 0.5, -0.5)
        place.set_xlabel(f"{unit.head}: difference from {say(scores.first)}")
        place.set_title("\n".join(map(say, title)), fontsize=9)
        for side in ("top", "right", "left"):
            place.spines[side].set_visible(False)
        place.tick_params(axis="y", length=0)
    return drawing, " ".join(parts)


def _label(labels: Labels, compare: str) -> str:
    return apart(labels, compare)[0]
