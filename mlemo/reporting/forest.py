"""Forest plots: paired differences with their intervals, a row per comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, isnan, nan

from mlemo.experiments.study import Figure, Labels
from mlemo.metrics.compare import Comparison
from mlemo.reporting.claims import Finding
from mlemo.reporting.figure_style import COLORS, LETTER, PUBLISHED, Chart, Words, grid, legend
from mlemo.reporting.panels import by_panel, chosen
from mlemo.reporting.results import Results, apart
from mlemo.reporting.scores import Scores
from mlemo.reporting.units import Unit, number, unit_of

__all__ = ["claims_forest", "forest"]

#: Verdict -> color of its row.
VERDICT_COLORS = {"holds": COLORS[2], "contradicted": COLORS[1]}


@dataclass(frozen=True)
class Row:
    """A row of a forest plot.

    Args:
        name: Name of the comparison.
        result: Difference, with its interval.
        p_holm: Corrected p-value.
        published: Difference of published numbers; NaN if there is none.
        verdict: Verdict on the difference; empty if none is claimed.
    """

    name: str
    result: Comparison
    p_holm: float
    published: float = nan
    verdict: str = ""


def forest(figure: Figure, results: Results, scores: Scores, say: Words) -> tuple[Chart, str]:
    """Draw the differences of the compared setting's labels from the first one; filled where the interval excludes 0.

    To the right of each row are the difference, its 95 % interval, and p, corrected for the rows by Holm's method.

    Raises:
        ValueError: No label has a difference from the baseline.
    """
    unit, compare = unit_of(results.study, figure.metric), results.study.compare
    found = {own.labels: own for own in scores.differences if own.metric == figure.metric}
    panels = {}
    for title, combinations in by_panel(chosen(figure, results), (compare,)).items():
        own = [found[combination.labels] for combination in combinations if combination.labels in found]
        if own:
            panels[title] = (unit, [Row(_label(one.labels, compare), one.result, one.p_holm) for one in own])
    if not panels:
        raise ValueError(f"nothing to compare with {scores.first}: {'; '.join(scores.problems) or 'one label alone'}")
    return _draw(panels, say, scores.first)


def claims_forest(found: Sequence[Finding], results: Results, say: Words) -> tuple[Chart, str]:
    """Draw the differences that verdicts are from, a panel per metric, with the published differences.

    Raises:
        ValueError: No finding has a difference.
    """
    panels: dict[tuple[str, ...], tuple[Unit, list[Row]]] = {}
    for one in found:
        if not isnan(one.result.difference):
            unit = unit_of(results.study, one.metric)
            row = Row(one.name, one.result, one.p_holm, one.published, one.verdict)
            panels.setdefault((one.metric,), (unit, []))[1].append(row)
    if not panels:
        raise ValueError("no claim has finished runs of both of its settings")
    return _draw(panels, say)


def _draw(
    panels: Mapping[tuple[str, ...], tuple[Unit, Sequence[Row]]], say: Words, first: str = ""
) -> tuple[Chart, str]:
    most = max(len(rows) for _, rows in panels.values())
    names = LETTER * max(len(row.name) for _, rows in panels.values() for row in rows)
    claimed = any(row.verdict for _, rows in panels.values() for row in rows)
    drawing, axes = grid(len(panels), names + 6.2 + claimed, 1.1 + 0.4 * most, columns=1 if claimed else 3)
    heads = ", ".join(dict.fromkeys(unit.head for unit, _ in panels.values()))
    what = f"difference from {first}" if first else "difference"
    parts = [f"Forest plot of {heads}: {what}, 95 % interval, p after Holm."]
    for place, (title, (unit, rows)) in zip(axes, panels.items()):
        for height, row in enumerate(rows):
            most_it_can_be = inf if unit.decimals is None else 1.0  # of two shares; few seeds can give more
            ends = (max(row.result.low, -most_it_can_be), min(row.result.high, most_it_can_be))
            low, middle, high = (value * unit.factor for value in (ends[0], row.result.difference, ends[1]))
            certain = not isnan(low) and (low > 0 or high < 0)
            color = VERDICT_COLORS.get(row.verdict, "#595959" if row.verdict else COLORS[0])
            if not isnan(low):
                place.plot((low, high), (height, height), color=color, linewidth=1.5, solid_capstyle="butt")
            marker = {"markeredgecolor": color, "markerfacecolor": color if certain else "white"}
            place.plot([middle], [height], "s", markersize=6, zorder=3, **marker)  # type: ignore[arg-type]
            text = f"{unit.show(row.result.difference, '+')} {unit.interval(*ends, '+')}  p {number(row.p_holm, 3)}"
            if row.verdict:
                text += f"  {row.verdict}"
            place.text(1.02, height, text, transform=place.get_yaxis_transform(), va="center", fontsize=8)
            if not isnan(row.published):
                hollow = {"markeredgecolor": "black", "markerfacecolor": "none"}
                place.plot([row.published * unit.factor], [height], "D", label=PUBLISHED, zorder=4, **hollow)  # type: ignore[arg-type]
                text += f"; {PUBLISHED} {unit.show(row.published, '+')}"
            parts.append(f"{', '.join([*title, row.name])}: {text}.")
        place.axvline(0.0, color="black", linewidth=0.8, linestyle="--", zorder=0)
        place.set_yticks(range(len(rows)), [say(row.name) for row in rows])
        place.set_ylim(len(rows) - 0.5, -0.5)
        place.set_xlabel(f"{unit.head}: difference from {say(first)}" if first else f"{unit.head}: difference")
        place.set_title("\n".join(map(say, title)), fontsize=9)
        place.margins(x=0.08)
        for side in ("top", "right", "left"):
            place.spines[side].set_visible(False)
        place.tick_params(axis="y", length=0)
    legend(drawing, axes)
    return drawing, " ".join(parts)


def _label(labels: Labels, compare: str) -> str:
    return apart(labels, compare)[0]
