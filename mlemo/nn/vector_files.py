"""Word vectors from files: word2vec, GloVe and fastText, text or binary, gzipped or not, streamed."""

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

from mlemo.visible import shown

__all__ = ["read_vectors"]

log = logging.getLogger(__name__)

NUMBER = frozenset(b"0123456789+-.eEnaif \t")  # what a line of numbers is written with; n, a, i, f: nan and inf
FASTTEXT_MODEL = b"\xba\x16\x4f\x2f"
GZIP = b"\x1f\x8b"
LONGEST_COUNT = 12  # digits of a number of words
REPORT = 500_000  # words between two messages
CHUNK = 1 << 20

Row = tuple[str, str, Callable[[], NDArray[np.float32]]]  # place in the file, word, what reads its vector


def read_vectors(
    path: str | Path,
    words: Collection[str],
    most_frequent: int = 0,
    normalize: Callable[[str], str] = str,
) -> dict[str, NDArray[np.float32]]:
    """The vectors of given words, and of the first (most frequent) words of the file.

    The file is read once, from start to end, and only what is returned is kept in memory. Its kind is found out from
    its content: text with or without a header ``words width`` (word2vec, fastText's ``.vec``; GloVe), or word2vec's
    binary form (header, then each word, a blank and ``width`` little-endian float32).

    Args:
        path: The file.
        words: Words that are wanted, normalised.
        most_frequent: How many words from the file's start are returned beside them; files begin with the most
            frequent words.
        normalize: How a word of the file is written among ``words``, such as in lower case. A word that stands in the
            file as wanted goes before one that only becomes it; otherwise the first one counts.

    Returns:
        Normalised word to ``(width,)`` float32, in the order of the file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A line with another number of numbers, something that is no finite number, fewer words than the
            header says, or a file of another kind; the message names file and line.
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
        raise ValueError(f"{path} is a fastText model; its vectors alone (.vec) are expected")
    return gzip.open(path) if start.startswith(GZIP) else path.open("rb")  # type: ignore[return-value]  # reads bytes


def _readable(path: Path, rows: Iterator[Row]) -> Iterator[Row]:
    """The rows; a fault of the gzip file is named."""
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
        if set(start.partition(b" ")[2][: 2 * width - 1]) <= NUMBER:  # a number and its blank are two bytes or more
            yield from _text_rows(path, _lines(start, stream), width, 2, count)
        else:
            yield from _binary_rows(path, start, stream, width, count)
        return
    width = len(numbers) - 1
    if width < 1:
        raise ValueError(f"{path}:1: a word and its numbers, or a header, are expected, found {_shown(header)}")
    yield from _text_rows(path, _lines(header, stream), width, 1, None)


def _lines(start: bytes, stream: IO[bytes]) -> Iterator[bytes]:
    """The lines of what has been read already, and those that follow."""
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
        raise ValueError(f"{path} has {read:,} words, and its header says {count:,}; it may be truncated")


def _split(content: bytes, width: int, where: str) -> tuple[bytes, bytes]:
    """Word and numbers of a line with tabs, with several blanks in a row, or with blanks in its word (GloVe has such).

    Raises:
        ValueError: Too few numbers, or too many.
    """
    word, *numbers = content.rsplit(None, width)
    if len(numbers) < width or any(_is_number(piece) for piece in word.split()[1:]):
        found = len(content.split()) - 1
        raise ValueError(f"{where}: a word and {width} numbers are expected, found {found} behind {_shown(content)}")
    return word, b" ".join(numbers)


def _is_number(piece: bytes) -> bool:
    try:
        float(piece)
    except ValueError:
        return False
    return True


def _text_vector(numbers: bytes, where: str) -> NDArray[np.float32]:
    try:
        with np.errstate(over="ignore"):  # a number above the range of float32 becomes one that is not finite
            return np.array(numbers.split(b" "), dtype=np.float32)
    except ValueError as error:
        raise ValueError(f"{where}: {str(error)[:200]}") from error


def _binary_rows(path: Path, buffer: bytes, stream: IO[bytes], width: int, count: int) -> Iterator[Row]:
    size, at = 4 * width, 0
    for number in range(1, count + 1):
        while (blank := buffer.find(b" ", at)) < 0 or len(buffer) <= blank + size:
            more = stream.read(CHUNK)
            if not more:
                raise ValueError(f"{path} ends within word {number:,} of the {count:,} that its header says")
            buffer, at = buffer[at:] + more, 0
        word = buffer[at:blank].lstrip(b"\n").decode("utf-8", "replace")
        at = blank + 1 + size
        yield f"{path}, word {number:,}", word, partial(_binary_vector, buffer, blank + 1, width)


def _binary_vector(buffer: bytes, at: int, width: int) -> NDArray[np.float32]:
    return np.frombuffer(buffer, "<f4", width, at).astype(np.float32)  # a copy, so that the buffer can be let go


def _shown(line: bytes) -> str:
    return shown(line.decode("utf-8", "replace"))
