"""Reading and writing of the predictions of a run, ``predictions_<split>.csv``."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mlemo.labels import LabelSpace
from mlemo.runs.atomic import write_atomically
from mlemo.runs.files import PREDICTIONS
from mlemo.thresholds.base import check_probabilities
from mlemo.utils.messages import enumerated, shown

__all__ = ["Predictions", "check_same_samples", "read_predictions", "write_predictions"]

GOLD, DECIDED, PROBABILITY = PREFIXES = ("gold:", "decided:", "probability:")
OLD_SETS = ("gold", "decided", "not_annotated")


@dataclass(frozen=True)
class Predictions:
    """A predictions file of a run.

    Args:
        path: Path of the file.
        label_space: The labels, in the order of the columns.
        ids: IDs of the samples.
        gold: ``(N, C)`` bool, False where not annotated.
        mask: ``(N, C)`` bool, False = not annotated.
        decided: ``(N, C)`` bool, by the run's own rule.
        probabilities: ``(N, C)`` float32.
        rule: Description of the run's own rule, if the results are in the same folder.
    """

    path: Path
    label_space: LabelSpace
    ids: list[str]
    gold: Tensor
    mask: Tensor
    decided: Tensor
    probabilities: Tensor
    rule: str = ""


def write_predictions(predictions: Predictions) -> None:
    """Write a predictions file to ``predictions.path``.

    The columns are ``id``, then ``gold:<label>`` for each label (1, 0, or empty where not annotated), then
    ``decided:<label>`` (1 or 0), then ``probability:<label>``. Each label has separate columns, so that any name can be
    restored. ``rule`` is not written: the results in the same folder have it.
    """
    write_atomically(predictions.path, _lines(predictions))


def _lines(predictions: Predictions) -> Iterator[str]:
    """Yield the lines of the file; not by pandas, which is slow for many columns and holds all lines in memory."""
    names = predictions.label_space.names
    # every text is quoted: by default a carriage return in a name or an id would end the row
    yield ",".join(map(_quoted, ["id", *(prefix + name for prefix in PREFIXES for name in names)])) + "\n"
    gold = torch.where(predictions.mask, predictions.gold.byte(), 2).numpy()
    decided = predictions.decided.byte().numpy()
    digits = np.array(["0", "1", _quoted("")], dtype=object)
    for row, identifier in enumerate(predictions.ids):
        cells = [*digits[gold[row]], *digits[decided[row]], *map(repr, predictions.probabilities[row].tolist())]
        yield f"{_quoted(identifier)},{','.join(cells)}\n"


def read_predictions(path: Path) -> Predictions:
    """Read a ``predictions_<split>.csv`` in the format of ``write_predictions`` or of version 0.1.0.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file has another format, is empty, or has an invalid cell.
    """
    if not path.is_file():
        command = "validate" if path.name == PREDICTIONS.path("", "val").name else "test"
        raise FileNotFoundError(
            f"{path} does not exist; `mlemo {command} --ckpt_path FILE` writes the predictions of a run"
        )
    try:
        header = list(pd.read_csv(path, nrows=0, index_col=False).columns)
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # for rows that are longer than the header
            table = pd.read_csv(
                path,
                index_col=False,
                dtype=dict.fromkeys(("id", *OLD_SETS), str),
                keep_default_na=False,
                na_values={name: [""] for name in header if name.startswith(GOLD)},
            )
    except (ValueError, OverflowError, pd.errors.ParserWarning) as error:
        raise ValueError(f"{path} is not a table of predictions: {error}") from error
    old = header[:3] == ["id", "gold", "decided"]
    if old:
        names = [name for name in header if name not in ("id", *OLD_SETS)]
    else:
        names = [name.removeprefix(GOLD) for name in header if name.startswith(GOLD)]
    columns = {prefix: [prefix + name for name in names] for prefix in PREFIXES}
    if not names or table.empty or not (old or header == ["id", *chain.from_iterable(columns.values())]):
        raise ValueError(
            f"{path}: expected columns id, gold:<label>, decided:<label> and probability:<label> for each label, and "
            f"at least one row, found columns {enumerated(list(map(str, header)))} and {len(table)} rows"
        )
    space = LabelSpace(tuple(names))
    if old:
        gold, mask, decided = _old_sets(table, space, path)
    else:
        gold, mask = _indicators(table, columns[GOLD], path)
        decided, _ = _indicators(table, columns[DECIDED], path)
    numbers = _numbers(table, names if old else columns[PROBABILITY], path)
    try:
        probabilities = check_probabilities(numbers.float())
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return Predictions(path, space, list(table["id"]), gold, mask, decided, probabilities, _rule(path))


def check_same_samples(first: Predictions, other: Predictions) -> None:
    """Check that two runs have the same samples in the same order, with the same labels and gold labels.

    Raises:
        ValueError: The runs differ; the message has the first different row.
    """

    def different(what: str, row: int, found: object, expected: object) -> ValueError:
        where = f"row {row + 1}: {what} {found!r}, but {expected!r} in {first.path}"
        return ValueError(f"runs must have the same samples in the same order; {other.path}, {where}")

    if other.label_space != first.label_space:
        found, expected = other.label_space.names, first.label_space.names
        raise ValueError(f"{other.path} has the labels {shown(list(found))}, {first.path} {shown(list(expected))}")
    for row, (found_id, expected_id) in enumerate(zip(other.ids, first.ids)):
        if found_id != expected_id:
            raise different("id", row, found_id, expected_id)
    if len(other.ids) != len(first.ids):
        raise ValueError(f"{other.path} has {len(other.ids)} rows, {first.path} {len(first.ids)}")
    for what, found_sets, expected_sets in (("annotated", other.mask, first.mask), ("gold", other.gold, first.gold)):
        rows = (found_sets != expected_sets).any(1).nonzero()
        if len(rows):
            row = int(rows[0])
            decode = first.label_space.decode
            raise different(what, row, decode(found_sets[row].tolist()), decode(expected_sets[row].tolist()))


def _quoted(text: str) -> str:
    """Format a cell of a CSV file."""
    return '"' + text.replace('"', '""') + '"'


def _indicators(table: pd.DataFrame, columns: list[str], path: Path) -> tuple[Tensor, Tensor]:
    """Convert columns of 0 and 1 to ``(N, len(columns))`` bool; also return where they are not empty."""
    values = _numbers(table, columns, path)
    known = ~values.isnan()
    wrong = (known & (values != 0) & (values != 1)).nonzero()
    if len(wrong):
        row, column = wrong[0].tolist()
        found = f"column {columns[column]!r} holds {values[row, column]:g}"
        raise ValueError(f"{path}, row {row + 1}: {found}, expected 0 or 1")
    return values == 1, known


def _numbers(table: pd.DataFrame, columns: list[str], path: Path) -> Tensor:
    """Convert columns of numbers to ``(N, len(columns))`` float64."""
    for name in columns:
        if not pd.api.types.is_numeric_dtype(table[name]):
            row = int(pd.to_numeric(table[name], errors="coerce").isna().argmax())
            raise ValueError(f"{path}, row {row + 1}: column {name!r} holds {table[name][row]!r}, expected a number")
    return torch.from_numpy(table[columns].to_numpy(np.float64, copy=True))


def _rule(path: Path) -> str:
    results = path.with_name(path.name.replace("predictions_", "results_")).with_suffix(".json")
    return json.loads(results.read_text(encoding="utf-8")).get("rule", "") if results.is_file() else ""


# the format of version 0.1.0: label sets as names joined by spaces, and one column of probabilities per label


def _old_sets(table: pd.DataFrame, space: LabelSpace, path: Path) -> tuple[Tensor, Tensor, Tensor]:
    """Return gold labels, mask and decided labels, each ``(N, C)`` bool."""
    hot = {column: _multi_hot(table[column], space, path) for column in OLD_SETS if column in table}
    return hot["gold"], ~hot.get("not_annotated", torch.zeros_like(hot["gold"])), hot["decided"]


def _multi_hot(cells: pd.Series[str], space: LabelSpace, path: Path) -> Tensor:
    """Parse label sets written as names in label order, joined by spaces: ``(N, C)`` bool."""

    @cache
    def readings(cell: str, start: int) -> list[tuple[int, ...]]:
        """Return every reading of the cell; there may be several only if names contain spaces."""
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
                "can be read in several ways"
                if ways
                else f"is not a list of labels in the order {shown(list(space.names))}"
            )
            row = int((codes == index).argmax()) + 1
            raise ValueError(f"{path}, row {row}: {cell!r} in column {cells.name!r} {what}")
        hot[index, list(ways[0])] = True
    return hot[torch.from_numpy(codes)]
