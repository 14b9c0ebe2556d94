"""The files of a MULAN dataset: which they are, the labels in the XML, and inputs and labels out of the table."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from math import nan
from pathlib import Path
from typing import Any
from xml.parsers import expat

import numpy as np
from scipy.io import loadmat, whosmat
from scipy.io.matlab import MatReadError
from scipy.sparse import csr_array, hstack

from mlemo.data.checks import listing
from mlemo.data.io.arff import ArffTable, Attribute, read_arff
from mlemo.data.io.compressed import check_mat
from mlemo.data.io.tables import nearest
from mlemo.labels import LabelSpace
from mlemo.utils.messages import shown

__all__ = [
    "LabelFile",
    "find_label_file",
    "find_tables",
    "inputs",
    "label_columns",
    "label_values",
    "label_warnings",
    "mat_label_space",
    "read_label_file",
    "read_mat",
    "read_tables",
]

ARFF_NAME = re.compile(r"\.arff(\.gz)?$", re.IGNORECASE)
PART_NAME = re.compile(r"(?:^|[-_.])(train|test)\.arff(\.gz)?$", re.IGNORECASE)
# what scipy raises, by the fault; of some it warns as well
UNREADABLE_MAT = (
    *(MatReadError, NotImplementedError, OSError, TypeError, ValueError, KeyError, IndexError, OverflowError),
    *(EOFError, MemoryError, Warning, zlib.error),
)


@dataclass(frozen=True)
class LabelFile:
    """Content of the XML file.

    Args:
        path: The file, for messages.
        space: The labels in the order of the file, parents before their children; the groups are the siblings of a
            hierarchy, ``None`` where it is flat.
        lines: Line of each label.
    """

    path: Path
    space: LabelSpace
    lines: tuple[int, ...]


def find_tables(folder: Path, file: str | None = None) -> list[Path]:
    """The files with the rows: ``file``, else the whole ARFF, else training and test ARFF, else the one MATLAB file.

    A whole ARFF file is one whose name ends neither in ``-train`` nor in ``-test``.

    Raises:
        FileNotFoundError: There is none.
        ValueError: There are several and no telling which.
    """
    if file is not None:
        if not (folder / file).is_file():
            raise FileNotFoundError(f"{folder} has no {file!r}, found {_listing(folder)}")
        return [folder / file]
    arff = sorted(path for path in folder.glob("*") if ARFF_NAME.search(path.name))
    part = {path: PART_NAME.search(path.name) for path in arff}
    whole = [path for path in arff if part[path] is None] or sorted(folder.glob("*.mat")) * (not arff)
    halves = {match[1].lower(): path for path, match in part.items() if match is not None}
    if len(whole) == 1:
        return whole
    if not whole and len(arff) == len(halves) == 2:
        return [halves["train"], halves["test"]]
    if not whole and len(arff) == 1:
        return arff
    names = [path.name for path in [*arff, *whole]]
    if not names:
        raise FileNotFoundError(f"{folder} has no .arff, .arff.gz or .mat file, found {_listing(folder)}")
    raise ValueError(f"{folder} has {sorted(set(names))}: name the one to read as data.file")


def find_label_file(folder: Path, table: Path) -> Path:
    """The XML file of the folder; of several, the one that is named like the table.

    Raises:
        FileNotFoundError: There is none.
        ValueError: There are several and no telling which.
    """
    found = sorted(path for path in folder.glob("*") if path.suffix.lower() == ".xml")
    if not found:
        raise FileNotFoundError(f"{folder} has no .xml file, found {_listing(folder)}; it names the labels")
    stem = (PART_NAME if PART_NAME.search(table.name) else ARFF_NAME).sub("", table.name)
    alike = [path for path in found if path.stem.lower() == stem.lower()]
    if len(found) > 1 and len(alike) != 1:
        raise ValueError(f"{folder} has {[path.name for path in found]}, expected one .xml file or one like {stem}.xml")
    return found[0] if len(found) == 1 else alike[0]


def _listing(folder: Path) -> list[str] | str:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else "no such folder"


def read_label_file(path: Path) -> LabelFile:
    """The labels that a MULAN XML file names, nested ones included.

    Raises:
        ValueError: No well-formed XML, or labels without a name, named twice, or none; the message has the place.
    """
    lines: dict[str, int] = {}
    parents: list[str] = []
    siblings: dict[str | None, list[str]] = {}
    parser = expat.ParserCreate(namespace_separator=" ")

    def start(tag: str, attributes: dict[str, str]) -> None:
        if tag.rpartition(" ")[2] != "label":
            return
        line, name = parser.CurrentLineNumber, attributes.get("name", "")
        if not name.strip():
            raise ValueError(f"{path}:{line}: a label without a name")
        if name in lines:
            raise ValueError(f"{path}:{line}: label {shown(name)} occurs a second time, see line {lines[name]}")
        lines[name] = line
        siblings.setdefault(parents[-1] if parents else None, []).append(name)
        parents.append(name)

    def end(tag: str) -> None:
        if tag.rpartition(" ")[2] == "label":
            parents.pop()

    parser.StartElementHandler, parser.EndElementHandler = start, end
    try:
        parser.Parse(path.read_bytes(), True)
    except LookupError as error:
        raise ValueError(f"{path}: not readable as XML: {error}") from None
    except expat.ExpatError as error:
        raise ValueError(f"{path}:{error.lineno}: not readable as XML: {error}") from None
    if not lines:
        raise ValueError(f"{path}: names no label, expected <labels><label name=...></label>...</labels>")
    groups = tuple(map(tuple, siblings.values())) if len(siblings) > 1 else None
    return LabelFile(path, LabelSpace(tuple(lines), groups), tuple(lines.values()))


def read_tables(paths: Sequence[Path]) -> ArffTable:
    """One or several ARFF files as one table."""
    return ArffTable.concatenate([read_arff(path) for path in paths])


def label_columns(table: ArffTable, labels: LabelFile) -> list[int]:
    """Places of the labels among the attributes: found by name, whatever the order of either.

    Raises:
        ValueError: A label is no attribute, or a text; the message gives file and line.
    """
    known = {attribute.name: column for column, attribute in enumerate(table.attributes)}
    for name, line in zip(labels.space.names, labels.lines):
        if name not in known:
            raise ValueError(
                f"{labels.path}:{line}: label {shown(name)} is no attribute of {table.sources[0]}{nearest(name, known)}"
            )
        attribute = table.attributes[known[name]]
        if attribute.kind == "text":
            raise ValueError(f"{table.sources[0]}:{attribute.line}: label {name!r} is a text, expected 0 and 1")
    return [known[name] for name in labels.space.names]


def label_warnings(table: ArffTable, columns: Sequence[int], labels: LabelFile) -> tuple[str, ...]:
    """A warning where attributes that are no labels are between those that are: a line of the XML may be missing.

    Args:
        table: The table.
        columns: Columns of the labels.
        labels: The XML file.
    """
    between = sorted(set(range(min(columns), max(columns))) - set(columns))
    if not between:
        return ()
    names = [table.attributes[column].name for column in between]
    return (
        f"{labels.path} names {len(columns)} labels, but not {listing(names)}, which are between them in "
        f"{table.sources[0]} and are taken for inputs; is a <label> missing?",
    )


def label_values(table: ArffTable, columns: Sequence[int]) -> np.ndarray:
    """Columns of zeros and ones ``(N, C)`` float32, numeric or nominal as they may be declared: {0,1}, {0.0,1.0}.

    Raises:
        ValueError: A value is neither 0 nor 1; the message gives file, line and label.
    """
    values = table.codes.tocsc()[:, list(columns)].toarray()
    for place, column in enumerate(columns):
        attribute = table.attributes[column]
        if attribute.kind == "nominal":
            values[:, place] = np.array(_numbers(attribute))[values[:, place].astype(int)]
    wrong = np.argwhere((values != 0) & (values != 1))
    if len(wrong):
        row, place = wrong[0]
        attribute = table.attributes[columns[place]]
        code = table.codes[row, columns[place]]
        found = attribute.values[int(code)] if attribute.kind == "nominal" else f"{code:g}"
        raise ValueError(f"{table.where(row)}: label {attribute.name!r} holds {found!r}, expected 0 or 1")
    return values.astype(np.float32)


def inputs(table: ArffTable, columns: Sequence[int]) -> csr_array:
    """Columns as numbers ``(N, F)`` float32, in the order given.

    A numeric attribute is itself, and so is a nominal one that declares 0 and 1, in whatever spelling. Any other
    nominal attribute with two values is 0 for the first declared and 1 for the second; one with more values becomes one
    0/1 column a value.
    """
    codes, blocks = table.codes.tocsc(), []
    for as_it_is, run in groupby(columns, key=lambda column: _levels(table.attributes[column]) is None):
        if as_it_is:
            blocks.append(codes[:, list(run)])
        else:
            one_hot = [codes[:, [c]].toarray() == np.array(_levels(table.attributes[c])) for c in run]
            blocks.append(csr_array(np.hstack(one_hot)))
    if not blocks:
        return csr_array((table.codes.shape[0], 0), dtype=np.float32)
    return csr_array(hstack(blocks, format="csr", dtype=np.float32))


def _levels(attribute: Attribute) -> list[int] | None:
    """The codes that get a 0/1 column each; ``None`` where the code itself is the number."""
    if _numbers(attribute) == [1, 0]:
        return [0]
    return list(range(len(attribute.values))) if len(attribute.values) > 2 else None


def _numbers(attribute: Attribute) -> list[float]:
    """The declared values as numbers; NaN for a value that is none."""
    numbers = []
    for value in attribute.values:
        try:
            numbers.append(nan if "_" in value else float(value))  # Python reads 0_1 as one
        except ValueError:
            numbers.append(nan)
    return numbers


def read_mat(path: Path) -> tuple[csr_array, np.ndarray]:
    """A MATLAB file with ``data`` (rows x inputs) and ``target`` (labels x rows, 0 or 1).

    Returns:
        Inputs ``(N, F)`` and labels ``(N, C)``, both float32.

    Raises:
        ValueError: Not readable, a variable is missing or misshapen, or a value is no number or no label.
    """
    check_mat(path)
    mat_label_space(path)  # checks the names and shapes
    try:
        content: dict[str, Any] = loadmat(path, variable_names=["data", "target"])
        data, target = csr_array(content["data"], dtype=np.float32), csr_array(content["target"]).toarray().T
    except UNREADABLE_MAT as error:
        raise _unreadable_mat(path, error) from None
    if not np.isfinite(data.data).all():
        raise ValueError(f"{path}: 'data' holds values that are no finite numbers")
    wrong = np.argwhere((target != 0) & (target != 1))
    if len(wrong):
        row, label = wrong[0]
        raise ValueError(f"{path}: 'target' holds {target[row, label]} for label {label + 1} in row {row + 1}, not 0/1")
    return data, target.astype(np.float32)


def mat_label_space(path: Path) -> LabelSpace:
    """Labels called by their number from 1, since a MATLAB file does not name them; reads no values.

    Raises:
        ValueError: Not readable, or a variable is missing or misshapen.
    """
    try:
        shapes = {name: shape for name, shape, _ in whosmat(path)}
    except UNREADABLE_MAT as error:
        raise _unreadable_mat(path, error) from None
    data, target = shapes.get("data", ()), shapes.get("target", ())
    if len(data) != 2 or len(target) != 2 or data[0] != target[1]:
        raise ValueError(f"{path}: expected 'data' (rows x inputs) and 'target' (labels x rows), found {shapes}")
    return LabelSpace(tuple(f"label {number}" for number in range(1, target[0] + 1)))


def _unreadable_mat(path: Path, error: BaseException) -> ValueError:
    return ValueError(f"{path}: not readable as a MATLAB file of version 7.2 or before: {error}")
