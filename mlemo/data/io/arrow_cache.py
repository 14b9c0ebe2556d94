"""Tables on disk that are made once per machine and mapped into the memory of all processes that read them."""

from __future__ import annotations

import logging
import mmap
import shutil
import tempfile
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path

import pyarrow
import xxhash
from filelock import FileLock

from mlemo.data.columns import Columns, NotKept
from mlemo.utils.cache import user_cache

__all__ = ["ArrowCache", "content_key"]

DIGEST = 16  # bytes of an xxh3_128, behind the Arrow stream
BLOCK = 2**22  # bytes that are read at a time

log = logging.getLogger(__name__)


class ArrowCache:
    """Tables by the name of everything that they follow from, one file each: nothing in one is ever out of date.

    A file ``KEY.arrow`` is an Arrow stream of one record batch (``datasets.Dataset.from_file`` reads it) with a digest
    behind it. It is made by one process, under a lock, in a folder of its own, and appears whole. Its pages are in the
    memory of the machine once, however many processes map it. Files may be deleted at any time: a process that has
    mapped one keeps it, and another makes it again.

    Args:
        folder: Where the files are; ``None`` for ``$XDG_CACHE_HOME/mlemo/corpora``, by default
            ``~/.cache/mlemo/corpora``.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = user_cache() / "corpora" if folder is None else Path(folder)

    def get(self, key: str, fill: Callable[[Columns], None]) -> pyarrow.RecordBatch:
        """The table of a key, mapped; made first where it is not there, or is not what was written.

        Args:
            key: Name of everything that the table follows from, such as a `content_key`.
            fill: Puts the columns in. Called in one process per machine, and again where the first try cannot be kept.

        Returns:
            The table; in memory, with a warning, where the folder cannot be written.
        """
        path = self.folder / f"{key}.arrow"
        if (batch := _read(path, key)) is not None:
            return batch
        try:
            with _writing(self.folder, key) as parts:
                if (batch := _read(path, key)) is None:
                    with closing(Columns(parts)) as columns:
                        fill(columns)
                        _write(path, key, columns.batch(), parts)
                    batch = _read(path, key)
        except NotKept as error:
            log.warning("the data cannot be kept in %s, and every process has them in its own memory: %s", path, error)
        if batch is None:
            columns = Columns()
            fill(columns)
            batch = columns.batch()
        return batch


class _writing:
    """The lock of a key, and an empty folder that only its holder has."""

    def __init__(self, folder: Path, key: str) -> None:
        self.folder, self.key = folder, key

    def __enter__(self) -> Path:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.lock = FileLock(self.folder / f"{self.key}.lock")
            self.lock.acquire()
            for left in self.folder.glob(f"{self.key}.part-*"):  # by a process that was killed
                shutil.rmtree(left, ignore_errors=True)
            self.parts = Path(tempfile.mkdtemp(prefix=f"{self.key}.part-", dir=self.folder))
        except OSError as error:
            raise NotKept(error.errno, error.strerror, str(self.folder)) from error
        return self.parts

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.parts, ignore_errors=True)
        self.lock.release()


def content_key(*parts: str | bytes | Iterable[bytes]) -> str:
    """A name for contents: 32 hexadecimal digits, others for any other contents.

    Args:
        parts: Texts, bytes, or bytes in pieces; where one part ends and the next begins counts.
    """
    digest = xxhash.xxh3_128()
    for part in parts:
        size = 0
        for piece in [part.encode("utf-8", "surrogatepass")] if isinstance(part, str) else _pieces(part):
            digest.update(piece)
            size += len(piece)
        digest.update(size.to_bytes(8, "little"))
    return digest.hexdigest()


def _pieces(part: bytes | Iterable[bytes]) -> Iterable[bytes]:
    return [part] if isinstance(part, bytes) else part


def _read(path: Path, key: str) -> pyarrow.RecordBatch | None:
    """The table of a file, mapped; ``None`` where there is none, or (with a warning) where it is damaged."""
    try:
        with path.open("rb") as file:
            size = path.stat().st_size - DIGEST
            if size < 0 or _digest(path, key, size) != _last(path, size):
                log.warning("the cached data %s are damaged and made anew", path)
                return None
            # a write to the memory goes to a copy of the page, never to the file
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    except FileNotFoundError:
        return None
    except OSError as error:
        log.warning("cached data cannot be read, and are made anew: %s", error)
        return None
    return pyarrow.ipc.open_stream(pyarrow.py_buffer(content)).read_next_batch()


def _write(path: Path, key: str, batch: pyarrow.RecordBatch, parts: Path) -> None:
    unfinished = parts / "unfinished.arrow"
    try:
        with unfinished.open("wb") as file:
            with pyarrow.ipc.new_stream(file, batch.schema) as writer:
                writer.write_batch(batch)
            file.flush()
            file.write(_digest(unfinished, key, file.tell()))
        unfinished.replace(path)
    except OSError as error:
        raise NotKept(error.errno, error.strerror, str(path)) from error


def _digest(path: Path, key: str, size: int) -> bytes:
    # with the key, so that a file under another's name is not taken for it
    digest = xxhash.xxh3_128(key.encode())
    with path.open("rb") as file:
        while size > 0 and (block := file.read(min(BLOCK, size))):
            digest.update(block)
            size -= len(block)
    return digest.digest()


def _last(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(size)
        return file.read()
