"""Two faults that circulate with MULAN data: labels taken from the wrong columns, and rows with shifted labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.linalg import norm

from mlemo.data.arff import ArffTable, Attribute

__all__ = ["LABELS_AT_END", "SHIFTS", "published_columns", "undo_shift"]

# How many of the last columns the public code of Zhou et al. takes for labels. Where labels stand last and are as many
# these are the right ones; not so in llog (they stand first), yahoo-Arts (26) and yahoo-Business (30).
LABELS_AT_END = {
    "Corel5k": 374,
    "bibtex": 159,
    "cal500": 174,
    "enron": 53,
    "llog": 75,
    "rcv1subset1": 101,
    "rcv1subset2": 101,
    "rcv1subset3": 101,
    "scene": 6,
    "tmc2007": 22,
    "yahoo-Arts": 25,
    "yahoo-Business": 28,
    "yeast": 14,
}
# By how many columns too early the labels stand in the second half of the file.
SHIFTS = {"rcv1subset1": 1, "rcv1subset2": 12, "rcv1subset3": 14}
ROWS, FIRST_SHIFTED = 6000, 3000
TOLERANCE = 1e-4  # of a row norm; the values have six decimals


def published_columns(name: str, attributes: Sequence[Attribute]) -> list[int]:
    """The columns that the public code takes for the labels of a dataset: the last ones.

    Raises:
        ValueError: The file has no more attributes than that.
    """
    count = LABELS_AT_END[name]
    if len(attributes) <= count:
        raise ValueError(f"data.as_published: {name!r} has {len(attributes)} attributes, expected more than {count}")
    return list(range(len(attributes) - count, len(attributes)))


def undo_shift(table: ArffTable, labels: Sequence[int], shift: int) -> tuple[ArffTable, str]:
    """Move the labels of rows 3001 to 6000 back by ``shift`` columns, and prove it by the row norms.

    The inputs of every row were scaled to Euclidean norm 1. In the second half label ``j`` stands in column ``d + j -
    shift``, so the first labels count as inputs and the norms exceed 1.

    Args:
        table: ``N`` rows, ``d`` inputs and then the labels.
        labels: Columns of the labels.
        shift: Number of columns.

    Returns:
        The table put right, and what was found, in words.

    Raises:
        ValueError: The file does not show the fault, or not as known: nothing is changed on a guess.
    """
    source, codes = table.sources[0], table.codes
    inputs = codes.shape[1] - len(labels)

    def must(holds: bool, evidence: str) -> None:
        if not holds:
            raise ValueError(f"data.repair: {source}: {evidence}; this is not the file with the known fault")

    must(codes.shape[0] == ROWS, f"found {codes.shape[0]} rows, expected {ROWS}")
    must(sorted(labels) == list(range(inputs, codes.shape[1])), "the labels are not the last columns")
    before = norm(codes[:, :inputs], axis=1)
    must(bool(np.abs(before[:FIRST_SHIFTED] - 1).max() < TOLERANCE), "rows 1 to 3000 do not have norm 1")
    must(bool(np.abs(before[FIRST_SHIFTED:] - 1).max() > TOLERANCE), "rows 3001 to 6000 have norm 1 already")

    cells = codes.tocoo()
    moved = (cells.row >= FIRST_SHIFTED) & (cells.col >= inputs - shift)
    must(bool((cells.data[moved] == 1).all()), f"the last {shift} inputs of rows 3001 to 6000 are not 0 or 1")
    columns = cells.col + np.where(moved, shift, 0)
    must(bool((columns < codes.shape[1]).all()), f"the last {shift} labels occur in rows 3001 to 6000")
    right = csr_array((cells.data, (cells.row, columns)), shape=codes.shape)
    after = norm(right[:, :inputs], axis=1)
    must(
        bool(np.abs(after - 1).max() < TOLERANCE),
        f"moving the labels by {shift} columns leaves row norms from {after.min():.6f} to {after.max():.6f}",
    )
    words = (
        f"labels of rows 3001-6000 moved by {shift} columns; row norms up to {before.max():.4f} before, "
        f"{after.min():.6f} to {after.max():.6f} after"
    )
    return ArffTable(table.attributes, right, table.sources, table.lines), words
