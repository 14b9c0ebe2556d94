"""The lines of text files: encodings, byte-order marks and characters that no text holds."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path

from mlemo.utils.messages import shown

__all__ = ["encoding_of", "read_text", "text_lines"]

#: Byte-order marks, which name an encoding.
MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
NAMES = {"utf-8-sig": "UTF-8", "utf-16": "UTF-16"}
AROUND = 10  # bytes on each side of one that cannot be read


def read_text(path: str | Path) -> str:
    """A whole UTF-8 file, without its byte-order mark; line ends are kept as they are.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is empty, is not UTF-8 (the message gives the line and the byte), holds a NUL character, or
            begins with two byte-order marks.
    """
    return "".join(text_lines(Path(path), newline="\n", ends=True))


def encoding_of(path: Path, encoding: str | None) -> str:
    """Name of the codec that reads a file and takes its byte-order mark away.

    Args:
        path: The file.
        encoding: As given; ``None`` for that of the byte-order mark, and UTF-8 where there is none.

    Raises:
        ValueError: The byte-order mark is that of another encoding.
    """
    with path.open("rb") as file:
        head = file.read(3)
    marked = next((name for mark, name in MARKS.items() if head.startswith(mark)), None)
    if encoding is None:
        return marked or "utf-8-sig"
    name = codecs.lookup(encoding).name
    name = "utf-8-sig" if name == "utf-8" else name
    if marked is not None and marked.split("-")[1] not in name:
        raise ValueError(
            f"{path}:1: the file begins with the byte-order mark of {NAMES[marked]}, expected {encoding}; "
            f"with TextFiles, set data.encoding: {NAMES[marked].lower()}"
        )
    return name


def text_lines(path: Path, newline: str, ends: bool = False, encoding: str | None = "utf-8") -> Iterator[str]:
    """The lines of a file with their ends, without its byte-order mark.

    Args:
        path: The file.
        newline: As for ``open``: what a line ends with.
        ends: Whether the empty lines after the last row are lines too; any other empty line always is.
        encoding: As for `encoding_of`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: As for `read_text`.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    codec = encoding_of(path, encoding)
    waiting: list[str] = []  # empty lines, until it is known whether something follows
    number, begun = 1, False
    try:
        with path.open(encoding=codec, newline=newline) as file:
            for line in file:
                if "\0" in line:
                    raise ValueError(
                        f"{path}:{number}: found a NUL character, expected text; is the file damaged or UTF-16?"
                    )
                if number == 1 and not begun and not waiting and line.startswith("\ufeff"):
                    raise ValueError(f"{path}:1: the file begins with two byte-order marks (U+FEFF); remove one")
                number += line.endswith("\n")
                if not line.strip("\r\n" if begun else None):
                    waiting.append(line)
                    continue
                begun = True
                yield from waiting
                waiting.clear()
                yield line
    except UnicodeDecodeError:
        _refuse_encoding(path, codec)
        raise
    if not begun:
        raise ValueError(f"{path}: the file is empty, expected at least one row")
    if ends:
        yield from waiting


def _refuse_encoding(path: Path, codec: str) -> None:
    try:
        path.read_bytes().decode(codec)
    except UnicodeDecodeError as error:
        line = error.object[: error.start].decode(codec, "replace").count("\n") + 1
        byte = error.object[error.start]
        name = NAMES.get(codec, codec)
        advice = f"save the file as {name}"
        if codec == "utf-8-sig":
            around = error.object[max(0, error.start - AROUND) : error.start + AROUND].decode("cp1252", "replace")
            advice += f" or, with TextFiles, set data.encoding (in cp1252, this place is {shown(around)})"
        raise ValueError(f"{path}:{line}: byte 0x{byte:02x} is not {name}; {advice}") from None
