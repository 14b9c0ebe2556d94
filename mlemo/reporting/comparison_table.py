"""Results of ``mlemo compare``, as a printed table and as files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from math import isnan
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from mlemo.utils.messages import cell, visible
from mlemo.utils.tables import markdown_escape, markdown_table, tex_table

if TYPE_CHECKING:
    from mlemo.reporting.comparison import Row

__all__ = ["WRITERS", "cells", "print_rows"]


def cells(rows: Sequence[Row]) -> list[list[str]]:
    """Create head and body of the printed table; empty columns are left out."""

    def number(value: float | None, sign: str = "") -> str:
        return "" if value is None else f"{value:{sign}.3f}"

    def interval(low: float | None, high: float | None, sign: str = "") -> str:
        return "" if low is None else f"[{number(low, sign)}, {number(high, sign)}]"

    seeds, compared = any(row.runs > 1 for row in rows), any(row.difference is not None for row in rows)
    system = "system (runs)" if seeds else "system"
    table = [["metric", system, "value", "interval", "sd", "diff", "interval", "p", "p Holm"]]
    for row in rows:
        own = [number(row.value), interval(row.low, row.high), number(row.sd)]
        difference = [number(row.difference, "+"), interval(row.difference_low, row.difference_high, "+")]
        p = ["" if value is None else f"{value:.4f}" for value in (row.p, row.p_holm)]
        system = f"{row.system} ({row.runs})" if seeds else row.system
        table.append([row.metric, system, *own, *difference, *p])
    left_out = {*(() if seeds else (4,)), *(() if compared else (5, 6, 7, 8))}
    return [[text for column, text in enumerate(line) if column not in left_out] for line in table]


def print_rows(rows: Sequence[Row], notes: Sequence[str]) -> None:
    """Print a table per metric, and the notes."""
    head, *body = cells(rows)
    for metric, lines in groupby(body, key=lambda line: line[0]):
        table = Table(title=cell(metric), title_justify="left", box=SIMPLE_HEAD, padding=0)
        table.add_column(head[1], min_width=8, overflow="fold")
        for name in head[2:]:
            table.add_column(name, justify="right", no_wrap=True)
        for line in lines:
            table.add_row(*map(cell, line[1:]))
        Console().print(table)
    for note in notes:
        Console().print(visible(note), highlight=False, markup=False)


def _markdown(rows: Sequence[Row], notes: Sequence[str], settings: dict[str, Any]) -> str:
    head, *body = cells(rows)
    return "\n".join([markdown_table(head, body, 2), "", *(f"- {markdown_escape(note)}" for note in notes)]) + "\n"


def _tex(rows: Sequence[Row], notes: Sequence[str], settings: dict[str, Any]) -> str:
    head, *body = cells(rows)
    return "\n".join([*(f"% {' '.join(note.split())}" for note in notes), tex_table(head, body, 2)]) + "\n"


def _csv(rows: Sequence[Row], notes: Sequence[str], settings: dict[str, Any]) -> str:
    return pd.DataFrame([asdict(row) for row in rows]).to_csv(index=False)


def _json(rows: Sequence[Row], notes: Sequence[str], settings: dict[str, Any]) -> str:
    plain = [{k: None if isinstance(v, float) and isnan(v) else v for k, v in asdict(row).items()} for row in rows]
    return json.dumps({"settings": settings, "notes": notes, "rows": plain}, indent=1, ensure_ascii=False) + "\n"


#: Writers of the table by the suffix of the file.
WRITERS = {".md": _markdown, ".csv": _csv, ".json": _json, ".tex": _tex}
