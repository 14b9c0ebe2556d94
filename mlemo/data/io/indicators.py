"""Which cells mean that a label is there, and which that it is not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

__all__ = ["Indicators", "strict_indicator"]

# True, 1 and 1.0 are one dictionary key, so this covers the cells of CSV, JSON and Parquet
STRICT = {"0": 0.0, "1": 1.0, "0.0": 0.0, "1.0": 1.0, 0: 0.0, 1: 1.0}

#: What YAML reads as a boolean where it is not quoted.
YAML_WORDS = {True: ("true", "yes", "on"), False: ("false", "no", "off")}


def strict_indicator(cell: Any) -> float | None:
    """0 or 1; NaN for an empty cell; ``None`` for anything else."""
    if cell is None or cell == "" or (isinstance(cell, float) and math.isnan(cell)):
        return math.nan
    try:
        return STRICT.get(cell)
    except TypeError:  # a list in JSON or Parquet
        return None


class Indicators:
    """A reader of cells as people write them: with decimal commas, spaces around them, and words of their own.

    Args:
        true: Cells that mean 1, in any case; ``None`` for 1, 1.0 and 1,0. Numbers and booleans are taken as written.
        false: Cells that mean 0; ``None`` for 0, 0.0 and 0,0.

    Raises:
        ValueError: A value is empty, or is in both lists.

    Example:
        >>> read = Indicators(true=["x", "sí"], false=["no"])
        >>> read(" X"), read("Sí"), read("no"), read("  "), read("1")
        (1.0, 1.0, 0.0, nan, None)
    """

    def __init__(self, true: Sequence[Any] | None = None, false: Sequence[Any] | None = None) -> None:
        given = {1.0: (1, "1.0", "1,0") if true is None else true, 0.0: (0, "0.0", "0,0") if false is None else false}
        self._values: dict[str, float] = {}
        for value, cells in given.items():
            for key in (
                key for cell in cells for key in (YAML_WORDS[cell] if isinstance(cell, bool) else [_key(cell)])
            ):
                name = "true_values" if value else "false_values"
                if not key:
                    raise ValueError(f"data.{name} holds an empty value; what an empty cell means is set by data.empty")
                if self._values.setdefault(key, value) != value:
                    raise ValueError(f"data.true_values and data.false_values both hold {key!r}")

    def __call__(self, cell: Any) -> float | None:
        """0 or 1; NaN for an empty cell; ``None`` for anything else."""
        if isinstance(cell, bool):
            return float(cell)
        if cell is None or (isinstance(cell, float) and math.isnan(cell)):
            return math.nan
        if not isinstance(cell, str | int | float):
            return None
        key = _key(cell)
        return self._values.get(key) if key else math.nan

    @property
    def expected(self) -> str:
        """The cells, for messages."""
        return ", ".join(self._values)


def _key(cell: Any) -> str:
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return str(cell).strip().casefold()
