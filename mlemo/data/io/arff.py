"""Reading ARFF, Weka's table format: dense or sparse rows, plain or gzip."""

from __future__ import annotations

import math
import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from scipy.sparse import csr_array, vstack

from mlemo.data.io.compressed import read_gzip
from mlemo.utils.messages import shown

__all__ = ["ArffTable", "Attribute", "read_arff", "read_attributes"]

Kind = Literal["numeric", "nominal", "text"]
KINDS: dict[str, Kind] = {
    "numeric": "numeric",
    "real": "numeric",
    "integer": "numeric",
    "string": "text",
    "date": "text",
}

# A file may hold anything, so each pattern takes time in proportion to the line: possessive quantifiers never go back,
# and a quote that is not closed is tried once, since later ones of its kind are escaped and begin no value.
QUOTED = r"""'[^'\\]*+(?:\\.[^'\\]*+)*+'|"[^"\\]*+(?:\\.[^"\\]*+)*+\""""
BARE = r"""[^\s,{}'"][^\s,{}]*+"""
BEGINS = r"(?<![^\s,{])"  # where a value may begin; a quote inside a word is an ordinary character
TOKEN = re.compile(rf"{QUOTED}|{BARE}")
ATTRIBUTE = re.compile(rf"@attribute\s++({QUOTED}|{BARE})\s*+(.*)", re.IGNORECASE)
NOMINAL = re.compile(rf"""\{{((?:{BEGINS}(?:{QUOTED})|[^'"{{}}]|(?<=[^\s,{{])['"])*+)\}}""")
BEFORE_COMMENT = re.compile(rf"(?:{BEGINS}(?:{QUOTED})|[^%])*+")  # a % inside quotes begins no comment
ENTRY = re.compile(rf"\s*+(\S++)\s++({QUOTED}|{BARE})\s*+(?:,|$)")
ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


@dataclass(frozen=True)
class Attribute:
    """One column of an ARFF file.

    Args:
        name: Name, without quotes.
        kind: ``"text"`` for strings and dates, whose contents are not read.
        values: Declared values of a nominal attribute, in the order of the file; empty for the other kinds.
        line: Where it is declared.
    """

    name: str
    kind: Kind
    values: tuple[str, ...]
    line: int


@dataclass(frozen=True)
class ArffTable:
    """The rows of one ARFF file, or of several joined.

    Args:
        attributes: The ``A`` columns.
        codes: ``(N, A)`` float64: the number itself, or the position (from 0) of a nominal value among the declared
            ones; 0 for text. What a sparse row leaves out is 0, hence the first declared value, as Weka has it.
        sources: ``N`` file names, for messages.
        lines: ``N`` line numbers in these files, from 1.
    """

    attributes: tuple[Attribute, ...]
    codes: csr_array
    sources: Sequence[str]
    lines: Sequence[int]

    def where(self, row: int) -> str:
        """File and line of a row, for messages."""
        return f"{self.sources[row]}:{self.lines[row]}"

    @classmethod
    def concatenate(cls, parts: Sequence[ArffTable]) -> ArffTable:
        """Several tables with the same attributes, one after another.

        Raises:
            ValueError: The parts differ in an attribute; the message has the place.
        """
        first = parts[0]
        for part in parts[1:]:
            if len(part.attributes) != len(first.attributes):
                found, expected = len(part.attributes), len(first.attributes)
                raise ValueError(f"{part.sources[0]}: {found} attributes, expected {expected} as in {first.sources[0]}")
            for theirs, ours in zip(part.attributes, first.attributes):
                if (theirs.name, theirs.kind, theirs.values) != (ours.name, ours.kind, ours.values):
                    raise ValueError(
                        f"{part.sources[0]}:{theirs.line}: attribute {shown(theirs.name)} differs from "
                        f"{shown(ours.name)} in {first.sources[0]}:{ours.line}"
                    )
        return cls(
            first.attributes,
            vstack([part.codes for part in parts], format="csr"),
            [source for part in parts for source in part.sources],
            [line for part in parts for line in part.lines],
        )


def read_attributes(path: str | Path) -> tuple[Attribute, ...]:
    """The header of an ARFF file; raises as ``read_arff`` does."""
    return _header(_lines(Path(path)), Path(path))


def read_arff(path: str | Path) -> ArffTable:
    """A whole ARFF file, UTF-8 or Latin-1, gzip if its name ends in ``.gz``.

    Dense rows (values set apart by commas or blanks) and sparse rows (``{index value, ...}``, indices from 0) may be
    mixed. Names and values may be in single or double quotes with backslash escapes; ``%`` begins a comment.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Broken or far too large gzip, a header that is not ARFF, a row too short or too long, a number that
            is none, a value that was not declared, a missing value (``?``), a sparse index out of range or given twice,
            or no row. The message gives file and line.
    """
    path = Path(path)
    lines = _lines(path)
    attributes = _header(lines, path)
    decoders = [_decoder(attribute) for attribute in attributes]
    every_column = range(len(attributes))
    columns, values, ends, numbers = array("q"), array("d"), array("q", [0]), array("q")
    for number, line in lines:
        try:
            if line.startswith("{"):
                where, what = _sparse_row(line, decoders)
                columns.extend(where)
                values.extend(what)
            else:
                values.extend(_dense_row(line, decoders))
                columns.extend(every_column)
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {error}") from None
        ends.append(len(columns))
        numbers.append(number)
    if not numbers:
        raise ValueError(f"{path}: no row after @data")
    shape = (len(numbers), len(attributes))
    # copies, since the arrays may not be resized while a buffer of theirs is in use
    codes = csr_array((np.array(values), np.array(columns), np.array(ends)), shape=shape)
    codes.eliminate_zeros()
    codes.sort_indices()
    return ArffTable(attributes, codes, [str(path)] * len(numbers), numbers)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Line numbers and lines that are neither empty nor comments, stripped."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    content = read_gzip(path) if path.suffix.lower() == ".gz" else path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")  # older files; a label name read wrongly would not be found in the XML
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.strip()
        if "%" in line:
            line = BEFORE_COMMENT.match(line).group().strip()  # type: ignore[union-attr]  # matches always, if nothing
        if line:
            yield number, line


def _header(lines: Iterator[tuple[int, str]], path: Path) -> tuple[Attribute, ...]:
    """Consumes the lines up to and with ``@data``."""
    attributes: dict[str, Attribute] = {}
    for number, line in lines:
        keyword = line.split(None, 1)[0].lower()
        if keyword == "@data":
            if not attributes:
                raise ValueError(f"{path}:{number}: @data before any @attribute")
            return tuple(attributes.values())
        if keyword == "@relation":
            continue
        match = ATTRIBUTE.fullmatch(line)
        if match is None:
            raise ValueError(f"{path}:{number}: found {line[:60]!r}, expected @relation, @attribute or @data")
        name, declared = _unquote(match[1]), match[2].strip()
        kind, values = _kind(declared)
        if kind is None:
            raise ValueError(
                f"{path}:{number}: attribute {shown(name)} has the type {declared[:60]!r}, expected "
                f"{', '.join(KINDS)} or {{value, ...}}"
            )
        if name in attributes:
            raise ValueError(
                f"{path}:{number}: attribute {shown(name)} is declared a second time, first in line "
                f"{attributes[name].line}"
            )
        attributes[name] = Attribute(name, kind, values, number)
    raise ValueError(f"{path}: no @data line, is this an ARFF file?")


def _kind(declared: str) -> tuple[Kind | None, tuple[str, ...]]:
    nominal = NOMINAL.fullmatch(declared)
    if nominal is not None:
        values = tuple(_unquote(token) for token in TOKEN.findall(nominal[1]))
        return ("nominal" if values else None), values
    word = declared.split(None, 1)[0].lower() if declared else ""
    return KINDS.get(word), ()


def _unquote(token: str) -> str:
    if token[:1] not in ("'", '"'):
        return token
    return re.sub(r"\\(.)", lambda match: ESCAPES.get(match[1], match[1]), token[1:-1])


def _decoder(attribute: Attribute) -> Callable[[str], float]:
    """From a value as written to its code."""
    codes = {value: float(code) for code, value in enumerate(attribute.values)}

    def number(token: str) -> float:
        try:
            value = float(_unquote(token))
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or "_" in token:  # Python reads 1_0 as ten
            raise ValueError(_unfit(attribute, token, "a number"))
        return value

    def category(token: str) -> float:
        code = codes.get(_unquote(token))
        if code is None:
            raise ValueError(_unfit(attribute, token, f"one of {shown(list(attribute.values))}"))
        return code

    return {"numeric": number, "nominal": category, "text": lambda token: 0.0}[attribute.kind]


def _unfit(attribute: Attribute, token: str, expected: str) -> str:
    if token == "?":
        return f"attribute {shown(attribute.name)} has no value ('?'), expected {expected}: fill the gaps first"
    return f"attribute {shown(attribute.name)} holds {shown(token)}, expected {expected}"


def _dense_row(line: str, decoders: list[Callable[[str], float]]) -> list[float]:
    if "'" in line or '"' in line:
        tokens = TOKEN.findall(line)
        _nothing_left(TOKEN.sub("", line).replace(",", ""))
    elif "," in line:
        tokens = [token.strip() for token in line.split(",")]
    else:
        tokens = line.split()
    if len(tokens) != len(decoders):
        raise ValueError(f"found {len(tokens)} values, expected {len(decoders)}, one an attribute")
    return [decode(token) for decode, token in zip(decoders, tokens)]


def _sparse_row(line: str, decoders: list[Callable[[str], float]]) -> tuple[list[int], list[float]]:
    if not line.endswith("}"):
        raise ValueError(f"a sparse row must end in '}}', found {line[-20:]!r}")
    body = line[1:-1].strip()
    if not body:
        return [], []
    entries: list[list[str]]
    if "'" in body or '"' in body:
        entries, end = [], 0
        while (match := ENTRY.match(body, end)) is not None:
            entries.append([match[1], match[2]])
            end = match.end()
        _nothing_left(body[end:])
    else:
        entries = [entry.split() for entry in body.split(",")]
    columns, values = [], []
    for entry in entries:
        if len(entry) != 2 or not entry[0].isdecimal():
            raise ValueError(f"found {shown(' '.join(entry))} in a sparse row, expected an index and a value")
        column = int(entry[0])
        if column >= len(decoders):
            raise ValueError(f"index {column} is out of range: there are {len(decoders)} attributes, counted from 0")
        columns.append(column)
        values.append(decoders[column](entry[1]))
    if len(set(columns)) != len(columns):
        twice = next(column for column, count in Counter(columns).items() if count > 1)
        raise ValueError(f"index {twice} occurs twice in a sparse row")
    return columns, values


def _nothing_left(rest: str) -> None:
    """After the values of a row with quotes are taken out of it."""
    if rest.strip():
        raise ValueError(f"found {rest.strip()[:40]!r} beside the values: is a quote not closed?")
