"""The latest checkpoint of a run that can be read."""

from __future__ import annotations

import logging
from pathlib import Path

from mlemo.runs.files import LAST, PREVIOUS
from mlemo.runs.limits import check_archive

__all__ = ["latest"]

log = logging.getLogger(__name__)


def latest(last: Path) -> Path:
    """The file itself, or the checkpoint kept from before it where the file is a ``last.ckpt`` that cannot be read.

    Args:
        last: A checkpoint; one of another name is given back unchecked, as nothing is kept from before it.

    Returns:
        A file to read. A line is logged where it is another one than ``last``.
    """
    previous = last.with_name(Path(PREVIOUS.name).name)
    if last.name != Path(LAST.name).name or not previous.is_file() or _is_whole(last) or not _is_whole(previous):
        return last
    problem = "cannot be read, it is damaged" if last.is_file() else "is not there"
    log.warning("%s %s; %s, the checkpoint before it, is used", last, problem, previous.name)
    return previous


def _is_whole(path: Path) -> bool:
    """Whether a checkpoint is a complete archive in which every part has its checksum."""
    try:
        check_archive(path)
    except ValueError:
        return False
    return True
