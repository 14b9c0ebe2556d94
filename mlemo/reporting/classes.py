"""Tables with one row per class."""

from __future__ import annotations

from collections.abc import Iterator
from math import nan

import pandas as pd

from mlemo.metrics.compare import mean_and_sd
from mlemo.reporting.document import Block, Heading, Table
from mlemo.reporting.results import TUNED, Combination, Results, trained
from mlemo.reporting.sections import published_cells, seeds
from mlemo.reporting.units import class_unit, number

__all__ = ["class_sections", "class_values"]

AVERAGES = {"macro average": "macro_", "micro average": "micro_"}  # rows that papers put below the classes


def class_sections(results: Results, missing: list[str]) -> Iterator[Block]:
    """Create one table per combination of labels: measured and published numbers of every class.

    Args:
        results: The runs.
        missing: List to which one line per missing item is added.
    """
    units = {name: class_unit(results.study, name) for name in results.study.class_metrics}
    combinations = trained(results.combinations)
    if not units or not combinations:
        return
    yield Heading("Class by class")
    for combination in combinations:
        try:
            values = class_values(combination)
        except (FileNotFoundError, KeyError, ValueError) as error:
            missing.append(f"{combination.name}: no table of classes: {error}")
            continue
        published = [row for row in results.study.published if row.of_class]
        extra = [row.of_class for row in published if dict(row.labels).items() <= dict(combination.labels).items()]
        rows, with_published = [], False
        for name in dict.fromkeys([*values["support"].index, *extra]):
            line = [name, *(_count(values[column], name) for column in ("training_positives", "support"))]
            for metric, unit in units.items():
                mean, sd = _of_class(combination, values, name, results.study.class_metrics[metric])
                known = None if pd.isna(mean) else mean
                cells = published_cells(results, combination.labels, metric, unit, known, of_class=name)
                with_published |= bool(cells[0])
                line += [unit.mean(mean, sd), *(cell or "–" for cell in cells[:2])]
            rows.append(tuple(line))
        heads = [(unit.head, "published", "difference") for unit in units.values()]
        kept = slice(None) if with_published else slice(1)
        head = ("class", "training", "test", *(name for names in heads for name in names[kept]))
        if not with_published:
            rows = [(*row[:3], *row[3::3]) for row in rows]
        tables = "; ".join(dict.fromkeys(row.table for row in published if row.of_class in dict.fromkeys(extra)))
        remark = "training, test: number of samples of the class."
        remark += f" Published: {tables}." if with_published else ""
        caption = f"{combination.name}, {seeds(combination)} seeds, scale {results.scale}"
        yield Table(caption, head, tuple(rows), 1, (remark,))


def class_values(combination: Combination) -> dict[str, pd.DataFrame]:
    """Read every column of the runs' tables of classes: one row per class, one column per seed.

    Raises:
        FileNotFoundError: A run has no such table.
        ValueError: A table cannot be read.
    """
    tables = {run.seed: run.classes() for run in combination.runs}
    columns = next(iter(tables.values())).columns
    return {column: pd.DataFrame({seed: table[column] for seed, table in tables.items()}) for column in columns}


def _of_class(combination: Combination, values: dict[str, pd.DataFrame], name: str, column: str) -> tuple[float, float]:
    """Compute mean and standard deviation over the runs; averages over classes are read from their records."""
    if name in values["support"].index:
        return mean_and_sd(values[column].loc[name].tolist())
    if name not in AVERAGES:
        return nan, nan
    prefix = TUNED if column.startswith(TUNED) else ""
    key = prefix + AVERAGES[name] + column.removeprefix(TUNED)
    found = [value for run in combination.runs if (value := run.value(key)) is not None]
    return mean_and_sd(found) if found else (nan, nan)


def _count(table: pd.DataFrame, name: str) -> str:
    """Return the value common to all runs, or the mean over folds."""
    return number(float(table.loc[name].mean()), None) if name in table.index else "–"
