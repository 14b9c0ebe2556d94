"""Streaming readers of word vectors: word2vec, GloVe and fastText files, text or binary, gzipped or not."""

from __future__ import annotations

import gzip
import logging
import zlib
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from mlemo.utils.messages import shown

__all__ = ["read_vectors"]

log = logging.getLogger(__name__)

NUMBER = frozenset(b"0123456789+-.eEnaif \t")  # characters of a line of numbers; n, a, i, f: nan and inf
FASTTEXT_MODEL = b"\xba\x16\x4f\x2f"
GZIP = b"\x1f\x8b"
LONGEST_COUNT = 12  # largest number of digits of a number of words
REPORT = 500_000  # number of words between two messages
CHUNK = 1 << 20

Row = tuple[str, str, Callable[[], NDArray[np.float32]]]  # position in the file, word, reader of its vector


def read_vectors(
    path: str | Path,
    words: Collection[str],
    most_frequent: int = 0,
    normalize: Callable[[str], str] = str,
) -> dict[str, NDArray[np.float32]]:
    """Read the vectors of given words, and of the first (most frequent) words of the file.

    The file is read once, from start to end, and only the returned vectors are kept in memory. Its format is detected
    from its content: text with or without a header ``words width`` (word2vec, fastText's ``.vec``; GloVe), or
    word2vec's binary format (header, then each word, a space and ``width`` little-endian float32).

    Args:
        path: The file.
        words: Requested words, normalized.
        most_frequent: Number of words from the start of the file to return as well; files begin with the most frequent
            words.
        normalize: Function that normalizes the file's words like ``words``, such as to lower case. A word that is
            already normalized in the file has priority over one that is not; otherwise the first one is used.

    Returns:
        Normalized word to ``(width,)`` float32, in the order of the file.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: A line has another number of values, a value is not a finite number, the file has fewer words than
            its header states or another format; the message has file and line.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file of word vectors at {path}")
    found: dict[str, NDArray[np.float32]] = {}
    exact: set[str] = set()
    with _open(path) as stream:
        for number, (where, written, vector) in enumerate(_readable(path, _rows(path, stream))):
            if number and not number % REPORT:
                log.info("%s: %s words read", path.name, f"{number:,}")
            word = normalize(written)
            wanted = word in words or number < most_frequent
            if not wanted or word in exact or (word in found and word != written):
                continue
            found[word] = vector()
            if not np.isfinite(found[word]).all():
                raise ValueError(f"{where}: the vector of {shown(written)} holds a number that is not finite")
            if word == written:
                exact.add(word)
    return found


def _open(path: Path) -> IO[bytes]:
    with path.open("rb") as stream:
        start = stream.read(4)
    if start == FASTTEXT_MODEL:
        raise ValueError(f"{path} is a fastText model; expected its vectors alone (.vec)")
    return gzip.open(path) if start.startswith(GZIP) else path.open("rb")  # type: ignore[return-value]  # reads bytes


def _readable(path: Path, rows: Iterator[Row]) -> Iterator[Row]:
    """Yield the rows; errors of the gzip file have its path."""
    try:
        yield from rows
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{path}: not a readable gzip file: {error}") from None


def _rows(path: Path, stream: IO[bytes]) -> Iterator[Row]:
    header = stream.readline()
    numbers = header.split()
    if len(numbers) == 2 and all(number.isdigit() and len(number) < LONGEST_COUNT for number in numbers):
        count, width = int(numbers[0]), int(numbers[1])
        start = stream.read(CHUNK)
        if set(start.partition(b" ")[2][: 2 * width - 1]) <= NUMBER:  # a number and its space are two bytes or more
            yield from _text_rows(path, _lines(start, stream), width, 2, count)
        else:
            yield from _binary_rows(path, start, stream, width, count)
        return
    width = len(numbers) - 1
    if width < 1:
        raise ValueError(f"{path}:1: expected a word and its numbers, or a header, found {_shown(header)}")
    yield from _text_rows(path, _lines(header, stream), width, 1, None)


def _lines(start: bytes, stream: IO[bytes]) -> Iterator[bytes]:
    """Yield the lines already read, and those that follow."""
    *whole, last = start.split(b"\n")
    yield from whole
    if last := last + stream.readline():
        yield last
    yield from stream


def _text_rows(path: Path, lines: Iterator[bytes], width: int, first: int, count: int | None) -> Iterator[Row]:
    read = 0
    for number, line in enumerate(lines, first):
        content = line.rstrip()
        if not content:
            continue
        read += 1
        where = f"{path}:{number}"
        if content.count(b" ") == width:
            word, _, numbers = content.partition(b" ")
        else:
            word, numbers = _split(content, width, where)
        yield where, word.decode("utf-8", "replace"), partial(_text_vector, numbers, where)
    if count is not None and read != count:
        raise ValueError(f"{path} has {read:,} words, but its header states {count:,}; it may be truncated")


def _split(content: bytes, width: int, where: str) -> tuple[bytes, bytes]:
    """Split a line with tabs, several spaces in a row, or spaces in its word (as in GloVe) into word and numbers.

    Raises:
        ValueError: Too few numbers, or too many.
    """
    word, *numbers = content.rsplit(None, width)
    if len(numbers) < width or any(_is_number(piece) for piece in word.split()[1:]):
        found = len(content.split()) - 1
        raise ValueError(f"{where}: expected a word and {width} numbers, found {found} after {_shown(content)}")
    return word, b" ".join(numbers)


def _is_number(piece: bytes) -> bool:
    try:
        float(piece)
    except ValueError:
        return False
    return True


def _text_vector(numbers: bytes, where: str) -> NDArray[np.float32]:
    try:
        with np.errstate(over="ignore"):  # a number above the range of float32 becomes infinite
            return np.array(numbers.split(b" "), dtype=np.float32)
    except ValueError as error:
        raise ValueError(f"{where}: {str(error)[:200]}") from error


def _binary_rows(path: Path, buffer: bytes, stream: IO[bytes], width: int, count: int) -> Iterator[Row]:
    size, at = 4 * width, 0
    for number in range(1, count + 1):
        while (space := buffer.find(b" ", at)) < 0 or len(buffer) <= space + size:
            more = stream.read(CHUNK)
            if not more:
                raise ValueError(f"{path} ends within word {number:,} of {count:,} stated in its header")
            buffer, at = buffer[at:] + more, 0
        word = buffer[at:space].lstrip(b"\n").decode("utf-8", "replace")
        at = space + 1 + size
        yield f"{path}, word {number:,}", word, partial(_binary_vector, buffer, space + 1, width)


def _binary_vector(buffer: bytes, at: int, width: int) -> NDArray[np.float32]:
    return np.frombuffer(buffer, "<f4", width, at).astype(np.float32)  # a copy, so that the buffer can be released


def _shown(line: bytes) -> str:
    return shown(line.decode("utf-8", "replace"))
