"""Results of ``mlemo compare``, as a printed table and as files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from math import isnan
from typing import TYPE_CHECKING, Any

import pandas as pd

from mlemo.reports.tables import markdown_escape, markdown_table, tex_table

if TYPE_CHECKING:
    from mlemo.compare import Row

__all__ = ["WRITERS", "cells"]


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
    return [[cell for column, cell in enumerate(line) if column not in left_out] for line in table]


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
