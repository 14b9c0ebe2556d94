"""Atomic writing: a file is there whole, as it was before, or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from glob import escape as glob_escape
from pathlib import Path

__all__ = ["PART", "remove_parts", "write_atomically"]

#: Suffix of a file that is being written; the process id precedes it.
PART = ".part"


def write_atomically(
    path: Path,
    content: str | bytes | memoryview | Iterable[str],
    *,
    sync: bool = True,
    previous: Path | None = None,
) -> None:
    """Write a file so that a kill, a full disk or a power cut leaves the whole new file or the file before it.

    The content goes to a temporary file in the same folder, which then takes the name. Missing folders are made.

    Args:
        path: The file.
        content: Text, which is written as UTF-8, whole or in parts, or bytes.
        sync: Whether to wait until the disk holds it (about 10 ms). Without this a kill and a full disk are survived,
            but a power cut may bring the file before it back.
        previous: Name in the same folder that the file before is kept under; ``None`` to keep none.

    Raises:
        OSError: The file cannot be written; the message names it.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "notes.txt")
        >>> write_atomically(path, "kept")
        >>> path.read_text(), [file.name for file in path.parent.iterdir()]
        ('kept', ['notes.txt'])
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}{PART}")
    data: Iterable[bytes | memoryview]
    if isinstance(content, (bytes, memoryview)):
        data = [content]
    else:
        data = (text.encode("utf-8") for text in ([content] if isinstance(content, str) else content))
    try:
        with part.open("wb") as file:
            file.writelines(data)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        if previous is not None and path.exists():
            path.replace(previous)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        problem = f"cannot be written, what was there before is kept: {error.strerror}"
        raise OSError(error.errno, problem, str(path)) from error
    except UnicodeEncodeError:
        part.unlink(missing_ok=True)
        raise
    if sync:
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Wait until the disk holds the names of a folder's files; nothing where the system cannot do so."""
    if not hasattr(os, "O_DIRECTORY"):  # Windows
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # some network file systems do not sync folders; the file itself is on the disk
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_parts(path: Path) -> None:
    """Remove what earlier processes left when they were killed while they wrote a file.

    Args:
        path: The file; nobody else may be writing it.
    """
    for part in path.parent.glob(f"{glob_escape(path.name)}.*{PART}"):
        part.unlink(missing_ok=True)
