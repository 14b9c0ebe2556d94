"""The predictions that a run leaves behind, read back: ``predictions_<split>.csv`` of its folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mlemo.labels import LabelSpace
from mlemo.thresholds.base import check_probabilities

__all__ = ["Predictions", "read_predictions"]


@dataclass(frozen=True)
class Predictions:
    """A predictions file of a run.

    Args:
        path: The file.
        label_space: The labels, in the order of its columns.
        ids: The samples.
        gold: ``(N, C)`` bool.
        mask: ``(N, C)`` bool, False = not annotated.
        decided: ``(N, C)`` bool, by the run's own rule.
        probabilities: ``(N, C)`` float32.
        rule: The run's own rule in words, where its results are beside the file.
    """

    path: Path
    label_space: LabelSpace
    ids: list[str]
    gold: Tensor
    mask: Tensor
    decided: Tensor
    probabilities: Tensor
    rule: str


def read_predictions(path: Path) -> Predictions:
    """Read a ``predictions_<split>.csv``: id, gold and decided labels, ``not_annotated`` where some are, probabilities.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not such a file, is empty, or a cell cannot be understood.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there; `mlemo test --ckpt_path FILE` writes the predictions of a run")
    sets = ("gold", "decided", "not_annotated")
    try:
        table = pd.read_csv(path, dtype=dict.fromkeys(("id", *sets), str), keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a table of predictions: {error}") from error
    names = [name for name in table.columns if name not in ("id", *sets)]
    if list(table.columns[:3]) != ["id", "gold", "decided"] or not names or table.empty:
        raise ValueError(
            f"{path}: expected columns id, gold, decided and one of probabilities for each label, and at "
            f"least one row, found columns {', '.join(map(str, table.columns))} and {len(table)} rows"
        )
    for name in names:
        if not pd.api.types.is_numeric_dtype(table[name]):
            raise ValueError(
                f"{path}: column {name!r} must hold probabilities, found {table[name].iloc[0]!r} or the like"
            )
    space = LabelSpace(tuple(names))
    hot = {column: _multi_hot(table[column], space, path) for column in sets if column in table}
    try:
        probabilities = check_probabilities(torch.from_numpy(table[names].to_numpy(np.float32, copy=True)))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    mask = ~hot.get("not_annotated", torch.zeros_like(hot["gold"]))
    results = path.with_name(path.name.replace("predictions_", "results_")).with_suffix(".json")
    rule = json.loads(results.read_text(encoding="utf-8")).get("rule", "") if results.is_file() else ""
    return Predictions(path, space, list(table["id"]), hot["gold"], mask, hot["decided"], probabilities, rule)


def _multi_hot(cells: pd.Series[str], space: LabelSpace, path: Path) -> Tensor:
    """Label sets that are written as names in label order, joined by blanks: ``(N, C)`` bool."""

    @cache
    def readings(cell: str, start: int) -> list[tuple[int, ...]]:
        """Every way to read the cell; there may be several only where names contain blanks."""
        found: list[tuple[int, ...]] = [] if cell else [()]
        for column in range(start, len(space)):
            name = space.names[column]
            if cell == name:
                found.append((column,))
            elif cell.startswith(name + " "):
                found += [(column, *rest) for rest in readings(cell[len(name) + 1 :], column + 1) if rest]
        return found

    codes, distinct = pd.factorize(cells)
    hot = torch.zeros(len(distinct), len(space), dtype=torch.bool)
    for index, cell in enumerate(distinct):
        ways = readings(cell, 0)
        if len(ways) != 1:
            what = (
                "can be read in several ways" if ways else f"is not a list of labels in the order {list(space.names)}"
            )
            row = int((codes == index).argmax()) + 1
            raise ValueError(f"{path}, row {row}: {cell!r} in column {cells.name!r} {what}")
        hot[index, list(ways[0])] = True
    return hot[torch.from_numpy(codes)]
