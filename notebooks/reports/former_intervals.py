"""Compute the intervals and p-values of a report again whose runs are gone, from what the report prints.

    python notebooks/reports/former_intervals.py notebooks/reports/NAME_SCALE ...

Reports before `docs/uncertainty.md` have percentile intervals of a bootstrap that drew the seeds as well. With S seeds
of standard deviation s, half the width of such an interval is about 1.96 √(V_samples + (S − 1) s² / S²), where the
second term is a sum over both systems for a difference, so that V_samples follows by subtraction. The interval is then
value ± t_ν √V with

    V = V_samples + Σ s² / S,  ν = V² / Σ ((s² / S)² / (S − 1)),

and p is Student's; Holm's correction is made anew. Numbers of single runs and of folds (t) are left as they are, and so
are figures. What this differs by from `mlemo report` on the runs themselves: `docs/uncertainty.md`.
"""

from __future__ import annotations

import html
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isnan, nan, sqrt
from pathlib import Path

from scipy import stats

from mlemo.metrics import holm
from mlemo.reporting.units import number
from mlemo.utils.tables import markdown_escape, tex_escape

FORMER = "95 % percentile bootstrap interval, "
PAIRED = "Paired bootstrap on the same test samples, seeds drawn as well."
PAIRED_NOW = "With several seeds: computed again, see [a, b] above. Else: paired bootstrap on the same test samples."


@dataclass(frozen=True)
class Table:
    """A table of the report in Markdown: its caption, its head and its rows as they are printed."""

    caption: str
    head: list[str]
    rows: list[list[str]]

    @property
    def text_columns(self) -> int:
        """How many columns hold labels."""
        return self.head.index("seeds" if "seeds" in self.head else "difference")


def read_number(cell: str) -> float:
    """A number as :func:`mlemo.reporting.units.number` prints it; NaN for none."""
    try:
        return float(cell.replace("−", "-").replace(",", ""))
    except ValueError:
        return nan


def read_interval(cell: str) -> tuple[float, float]:
    """The ends of ``[a, b]``; NaN where there are none, or where they are Student's already."""
    found = re.fullmatch(r"\[(\S+), (\S+)\]", cell)
    return (read_number(found[1]), read_number(found[2])) if found else (nan, nan)


def read_tables(text: str) -> Iterator[Table]:
    """The tables with intervals."""
    pattern = r"\*\*(?P<caption>[^\n]+)\*\*\n\n(?P<head>\|[^\n]+)\n\|[ :|-]+\n(?P<rows>(?:\|[^\n]+\n)+)"
    for found in re.finditer(pattern, text):
        head, *rows = [
            [re.sub(r"\\(.)", r"\1", cell) for cell in re.split(r"(?<!\\) \| ", line.strip()[2:-2])]
            for line in (found["head"], *found["rows"].splitlines())
        ]
        if "95 % interval" in head:
            yield Table(re.sub(r"\\(.)", r"\1", found["caption"]), head, rows)


@dataclass(frozen=True)
class Seeds:
    """How many seeds a combination has, and their standard deviation."""

    count: int
    sd: float

    def former(self) -> float:
        """The variance that drawing S of S seeds gives their mean."""
        return 0.0 if self.count < 2 else (self.count - 1) / self.count**2 * self.sd**2


def renewed(value: float, ends: tuple[float, float], systems: Sequence[Seeds]) -> tuple[float, float, float] | None:
    """Low, high and p of a value from its former interval; ``None`` where it has no seeds or no interval."""
    several = [own for own in systems if own.count > 1]
    if not several or isnan(ends[0]) or any(isnan(own.sd) for own in several):
        return None
    samples = max(0.0, ((ends[1] - ends[0]) / 2 / stats.norm.ppf(0.975)) ** 2 - sum(own.former() for own in systems))
    parts = [(own.sd**2 / own.count, own.count - 1) for own in several]
    if len(several) < len(systems):  # one run beside several is given their variance
        parts = [(several[0].sd ** 2 * (1 / several[0].count + 1), several[0].count - 1)]
    seeds = sum(part for part, _ in parts)
    variance = samples + seeds
    if not variance or not seeds:
        return None
    degrees = variance**2 / sum(part**2 / freedom for part, freedom in parts)
    half = float(stats.t.ppf(0.975, degrees)) * sqrt(variance)
    return value - half, value + half, float(2 * stats.t.sf(abs(value) / sqrt(variance), degrees))


def renew(tables: Sequence[Table], resamples: int) -> Iterator[tuple[Table, list[list[str]]]]:
    """Each table with its rows as they should be."""
    seeds: dict[tuple[str, ...], Seeds] = {}
    for table in tables:
        width, rows = table.text_columns, [list(row) for row in table.rows]
        where = table.head.index("95 % interval")
        if "ours" in table.head:
            seeds = {}
            for row in rows:
                mean, _, sd = row[width + 1].partition(" ± ")
                own = seeds[tuple(row[:width])] = Seeds(int(row[width].split()[0]), read_number(sd))
                found = renewed(read_number(mean), read_interval(row[where]), [own])
                if found is not None:
                    digits = len(mean.partition(".")[2])
                    row[where] = f"[{number(found[0], digits)}, {number(found[1], digits)}]"
        elif "p" in table.head:
            _renew_differences(table, rows, seeds, resamples)
        yield table, rows


def _renew_differences(
    table: Table, rows: list[list[str]], seeds: dict[tuple[str, ...], Seeds], resamples: int
) -> None:
    width, where, p = table.text_columns, table.head.index("95 % interval"), table.head.index("p")
    compared, first = re.findall(r": difference from (\S+) (.+), scale \w+$", table.caption)[0]
    column = table.head.index(compared)
    families: dict[tuple[str, ...], list[list[str]]] = {}
    changed = set()
    for row in rows:
        labels = row[:width]
        base = (*labels[:column], first, *labels[column + 1 :])
        families.setdefault(base, []).append(row)
        value, ends = read_number(row[width]), read_interval(row[where])
        found = renewed(value, ends, [seeds[tuple(labels)], seeds[base]])
        if found is not None:
            digits = len(row[width].partition(".")[2])
            row[where] = f"[{number(found[0], digits, '+')}, {number(found[1], digits, '+')}]"
            changed.add(base)
            row[p] = number(max(found[2], 2 / (resamples + 1)), 4)
    for base, family in families.items():
        if base in changed:
            for row, corrected in zip(family, holm([read_number(row[p]) for row in family])):
                row[p + 1] = number(corrected, 4)


def _rendered(kind: str, row: Sequence[str], width: int) -> str:
    """A row as it stands in a file of that kind."""
    if kind == ".md":
        return "| " + " | ".join(map(markdown_escape, row)) + " |"
    if kind == ".tex":
        return " & ".join(map(tex_escape, row)) + r" \\"
    labels = (f'<th scope="row" dir="auto">{html.escape(cell)}</th>' for cell in row[:width])
    return "<tr>" + "".join([*labels, *(f'<td class="number">{html.escape(cell)}</td>' for cell in row[width:])])


def _replace_in_order(text: str, replacements: Sequence[tuple[str, str]]) -> str:
    """Replace texts that follow one another, each at its next place."""
    parts, start = [], 0
    for old, new in replacements:
        place = text.index(old, start)
        parts += [text[start:place], new]
        start = place + len(old)
    return "".join([*parts, text[start:]])


def main(folders: Sequence[str]) -> None:
    """Rewrite the reports in these folders, each in all its formats."""
    for folder in map(Path, folders):
        source = (folder / "report.md").read_text(encoding="utf-8")
        former = re.search(re.escape(FORMER) + r"(?P<count>\d+) resamples;[^\n]*", source)
        if former is None:
            sys.exit(f"{folder}: no intervals of the former method")
        commit = subprocess.run(
            ["git", "log", "-1", "--format=%h", "--", f"{folder}/report.md"], capture_output=True, text=True, check=True
        ).stdout.strip()
        remark = (
            f"95 % interval. Computed with mlemo at commit {commit}, by a bootstrap of {former['count']} resamples "
            "that understates the chance of few seeds. The runs are gone: where there are several seeds, intervals, p "
            "and p Holm were computed again from the numbers printed there (notebooks/reports/former_intervals.py), "
            "with Student's t. Those of one seed are of the former method, without the chance of the seeds; error bars "
            "of figures are of the former method throughout, and intervals of macro-averages are too narrow where "
            "labels are rare (docs/uncertainty.md)."
        )
        tables = list(renew(list(read_tables(source)), int(former["count"])))
        for kind, escape in ((".md", markdown_escape), (".html", html.escape), (".tex", tex_escape)):
            path = folder / f"report{kind}"
            if not path.exists():
                continue
            text = path.read_text(encoding="utf-8")
            rows = [
                (_rendered(kind, old, table.text_columns), _rendered(kind, new, table.text_columns))
                for table, found in tables
                for old, new in zip(table.rows, found)
            ]
            text = _replace_in_order(text, rows)
            old_remark = escape(former[0].replace("\\", "")[: former[0].index(";")])
            start = text.index(old_remark)
            end = text.index("left out.", start) + len("left out.")
            text = text[:start] + escape(remark) + text[end:]
            path.write_text(text.replace(escape(PAIRED), escape(PAIRED_NOW)), encoding="utf-8")
        changed = sum(old != new for table, found in tables for old, new in zip(table.rows, found))
        print(f"{folder}: {changed} rows, commit {commit}")


if __name__ == "__main__":
    main(sys.argv[1:])
