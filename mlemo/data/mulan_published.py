"""MULAN data as released: their sizes, and two faults that circulate with them (label columns, shifted labels)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.linalg import norm

from mlemo.data.checks import count_warnings
from mlemo.data.io.arff import ArffTable, Attribute

__all__ = ["LABELS_AT_END", "SHIFTS", "SIZES", "published_columns", "size_warnings", "undo_shift"]

# How many of the last columns the public code of Zhou et al. takes for labels. Where labels are last and are as many
# these are the right ones; not so in llog (they are first), yahoo-Arts (26) and yahoo-Business (30).
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
# Rows, inputs and labels as released. Several numbers of inputs: versions with so many words.
SIZES: dict[str, tuple[int, tuple[int, ...], int]] = {
    "Corel5k": (5_000, (499,), 374),
    "bibtex": (7_395, (1_836,), 159),
    "cal500": (502, (68,), 174),
    "enron": (1_702, (1_001,), 53),
    "llog": (1_460, (1_004,), 75),
    "rcv1subset1": (6_000, (47_236,), 101),
    "rcv1subset2": (6_000, (47_236,), 101),
    "rcv1subset3": (6_000, (47_236,), 101),
    "scene": (2_407, (294,), 6),
    "tmc2007": (28_596, (500, 49_060), 22),
    "yahoo-Arts": (7_484, (23_146,), 26),
    "yahoo-Business": (11_214, (21_924,), 30),
    "yeast": (2_417, (103,), 14),
}
# By how many columns too early the labels are in the second half of the file.
SHIFTS = {"rcv1subset1": 1, "rcv1subset2": 12, "rcv1subset3": 14}
ROWS, FIRST_SHIFTED = 6000, 3000
TOLERANCE = 1e-4  # of a row norm; the values have six decimals


def size_warnings(name: str, files: Sequence[Path], size: tuple[int, int | None, int]) -> tuple[str, ...]:
    """Differences between the files of a dataset and its released size, where that is known (``SIZES``).

    Args:
        name: Name of the dataset.
        files: The files, for messages.
        size: Rows, inputs and labels in them; ``None`` inputs for a file that holds a part of them.
    """
    if name not in SIZES:
        return ()
    (rows, inputs, labels), (n, versions, q) = size, SIZES[name]
    source = " + ".join(map(str, files))
    return (
        *count_warnings(rows, n, "rows", source),
        *(() if inputs is None or inputs in versions else count_warnings(inputs, versions[0], "inputs", source)),
        *count_warnings(labels, q, "labels", source),
    )


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

    The inputs of every row were scaled to Euclidean norm 1. In the second half label ``j`` is in column ``d + j -
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
