"""A file is whole, as it was before, or not there: after a full disk, and after a kill at any moment of the writing."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mlemo.runs.atomic import remove_parts, write_atomically


@pytest.mark.parametrize("content", ["ü, \u2028 and \r\n", b"\x00\xff", memoryview(b"a view")])
@pytest.mark.parametrize("sync", [True, False])
def test_content_is_written_as_it_is_and_folders_are_made(tmp_path: Path, content: Any, sync: bool) -> None:
    path = tmp_path / "new" / "file.txt"
    for _ in range(2):
        write_atomically(path, content, sync=sync)
        assert path.read_bytes() == (content.encode() if isinstance(content, str) else bytes(content))
    assert list(path.parent.iterdir()) == [path]


def test_text_in_parts_is_written_as_the_whole(tmp_path: Path) -> None:
    write_atomically(tmp_path / "parts", (text for text in ("ü,", "", "\n", "end")))
    assert (tmp_path / "parts").read_text("utf-8") == "ü,\nend"


def test_a_full_disk_leaves_the_file_as_it_was_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "results.json"
    write_atomically(path, "before")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="what was there before is kept: No space left on device") as raised:
        write_atomically(path, "after" * 1000)
    assert (raised.value.errno, raised.value.filename) == (errno.ENOSPC, str(path))
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("results.json", "before")]


def full(descriptor: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


KILL = """
import os, signal, sys
from pathlib import Path
from mlemo.runs.atomic import write_atomically

def die(*args):
    os.kill(os.getpid(), signal.SIGKILL)

{patch}
write_atomically(Path(sys.argv[1]), "after" * 1000)
"""


@pytest.mark.parametrize("patch", ["os.fsync = die", "Path.replace = die"])
def test_a_kill_leaves_the_file_as_it_was(tmp_path: Path, patch: str) -> None:
    path = tmp_path / "results.json"
    path.write_text("before")
    killed = subprocess.run([sys.executable, "-c", KILL.format(patch=patch), str(path)], check=False)
    assert killed.returncode == -9
    assert path.read_text() == "before"
    (left,) = (file for file in tmp_path.iterdir() if file != path)
    assert left.name.endswith(".part")
    other = tmp_path / "other.json.1.part"
    other.touch()
    remove_parts(path)
    assert sorted(tmp_path.iterdir()) == [other, path]


def test_text_that_cannot_be_encoded_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UnicodeEncodeError):
        write_atomically(tmp_path / "file", "\ud800")
    assert not list(tmp_path.iterdir())
