"""The labels of one's own tables: cells of zeros and ones, or sets of names; and which labels a file has."""

from __future__ import annotations

import ast
import json
import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import torch
from torch import Tensor

from mlemo.data.checks import listing
from mlemo.data.io.indicators import Indicators
from mlemo.data.io.table import Table
from mlemo.labels import LabelSpace
from mlemo.utils.messages import shown

__all__ = ["LabelCells"]

log = logging.getLogger(__name__)

ADVICE = "; data.true_values and data.false_values set which cells mean 1 and 0 (now {})"
SEPARATORS = (";", ",", "|", "/", "+", "\n")  # between names, for messages


@dataclass(frozen=True)
class LabelCells:
    """Reads the labels of a table.

    Args:
        column: Column with the label sets; ``None`` for one column a label.
        separator: Text between the names of a label set.
        empty: What an empty cell means, see `TextFiles`.
        indicators: 0 or 1 of a cell in a column of its own.
    """

    column: str | None = None
    separator: str = ","
    empty: str | None = None
    indicators: Indicators = field(default_factory=Indicators)

    def read(self, table: Table, space: LabelSpace) -> tuple[Tensor, Tensor]:
        """Labels ``(N, C)`` float32; mask ``(N, C)`` bool, false where a cell is empty and its meaning not ``"no"``.

        Without a single one of the columns, and with the meaning ``"unknown"``, no row is annotated.

        Raises:
            ValueError: A column is missing, a cell holds no indicator, or a name is no label.
        """
        if self.column is None:
            if self.empty == "unknown" and not any(name in table.columns for name in space.names):
                nothing = torch.zeros(len(table), len(space))
                return nothing, nothing.bool()
            advice = ADVICE.format(self.indicators.expected)
            return table.indicators(space.names, empty_is_unknown=True, read=self.indicators, advice=advice)
        sets = [self._names(table, row, cell) for row, cell in enumerate(table.column(self.column))]
        known = frozenset(space.names)
        for row, names in enumerate(sets):
            self._check_separator(table, row, names or (), known)
        mask = torch.tensor([names is not None for names in sets])[:, None].expand(-1, len(space)).clone()
        return table.multi_hot([names or [] for names in sets], space), mask

    def find(self, tables: Iterable[Table], others: Collection[str]) -> list[str]:
        """The labels that a file has.

        Args:
            tables: The parts of the file.
            others: Columns that are no labels: text, ids and groups.

        Returns:
            Without ``column``: the columns whose cells are all indicators or empty, and not all empty, in the order of
            the file. With it: the names in its cells, sorted.

        Raises:
            ValueError: There is no label, or a column holds more indicators than other cells, but some of these.
        """
        if self.column is None:
            return self._find_columns(tables, others)
        names: set[str] = set()
        source = ""
        for table in tables:
            source = table.source
            for row, cell in enumerate(table.column(self.column)):
                names.update(self._names(table, row, cell) or ())
        if not names:
            raise ValueError(f"{source}: column {self.column!r} has no label: each of its cells is empty")
        log.info("labels found in %s: %s", source, listing(sorted(names), 40))
        return sorted(names)

    def _find_columns(self, tables: Iterable[Table], others: Collection[str]) -> list[str]:
        found: dict[str, _Column] = {}
        source = ""
        for table in tables:
            source = table.source
            for name, cells in table.columns.items():
                if name not in others:
                    found.setdefault(name, _Column()).add(table, cells, self.indicators)
        for name, column in found.items():
            if column.indicators > column.other > 0:
                column.refuse(name, self.indicators.expected)
        labels = [name for name, column in found.items() if column.indicators and not column.other]
        rest = [f"{name!r} ({column.example})" for name, column in found.items() if name not in labels]
        if not labels:
            raise ValueError(
                f"{source}: no column of labels, whose cells are {self.indicators.expected} or empty; the other "
                f"columns are {listing(rest) or 'none'}. Set data.true_values and data.false_values, or "
                "data.label_column where one column holds the names of all labels of a text"
            )
        log.info("labels found in %s: %s", source, listing(labels, 40))
        if rest:
            log.info("columns of %s that are not read: %s", source, listing(rest, 40))
        return labels

    def _names(self, table: Table, row: int, cell: Any) -> list[str] | None:
        """The label names in one cell; ``None`` where it is not annotated."""
        if cell is None or (isinstance(cell, str) and not cell.strip() and self.empty == "unknown"):
            return None
        names = cell
        if isinstance(cell, str):
            listed = cell.strip().startswith("[")
            names = _literal(cell.strip()) if listed else [name.strip() for name in cell.split(self.separator)]
            names = names if listed else [name for name in names if name]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError(
                f"{table.where(row)}: column {self.column!r} holds {shown(cell)}, expected a list of label names "
                f"or names joined by {self.separator!r}"
            )
        return names

    def _check_separator(self, table: Table, row: int, names: Sequence[str], known: Collection[str]) -> None:
        """Refuse a name that is two labels joined by something else than the separator."""
        for name in names:
            for other in () if name in known else SEPARATORS:
                if other in name and all(part.strip() in known for part in name.split(other)):
                    raise ValueError(
                        f"{table.where(row)}: unknown label {shown(name)} in column {self.column!r}, which is labels "
                        f"joined by {other!r}, expected {self.separator!r} between them; set data.separator"
                    )


@dataclass
class _Column:
    """What the cells of a column are."""

    indicators: int = 0
    other: int = 0
    example: str = "empty"  # the first other cell
    place: str = ""

    def add(self, table: Table, cells: Sequence[Any], read: Indicators) -> None:
        for row, cell in enumerate(cells):
            value = read(cell)
            if value is None and not self.other:
                self.example, self.place = shown(cell), table.where(row)
            self.other += value is None
            self.indicators += value in (0.0, 1.0)

    def refuse(self, name: str, expected: str) -> NoReturn:
        raise ValueError(
            f"{self.place}: column {name!r} holds {self.example}, and {self.indicators:,} cells of {expected}; is it a "
            "label? If so, correct the cell or set data.true_values and data.false_values; if not, name the labels by "
            "data.labels"
        )


def _literal(cell: str) -> Any:
    """A list in JSON or Python notation, or ``None``."""
    for parse in (json.loads, ast.literal_eval):
        try:
            return parse(cell)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):  # as deep nesting and odd keys raise
            continue
    return None
