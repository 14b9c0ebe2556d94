"""What the tests of the corpora share."""

import os
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
collect_ignore_glob = ["*/make.py"]  # scripts that write the fixtures


@pytest.fixture
def make() -> Callable[[str], dict[str, Any]]:
    """Names in the script that wrote a fixture: ``rows()`` is what a reader must find in it."""
    return lambda corpus: runpy.run_path(str(HERE / corpus / "make.py"))


@pytest.fixture
def official() -> Callable[[str], Path]:
    """Folder of a corpus as released, inside the folder that MLEMO_DATA names; the test is skipped without it."""

    def folder(name: str) -> Path:
        root = os.environ.get("MLEMO_DATA")
        if not root or not (Path(root) / name).is_dir():
            pytest.skip(f"MLEMO_DATA names no folder with {name}")
        return Path(root) / name

    return folder


@pytest.fixture
def changed(tmp_path: Path) -> Callable[[str, str, bytes, bytes], Path]:
    """Copy of a fixture with one place of one file changed."""
    import shutil

    def change(corpus: str, file: str, old: bytes, new: bytes) -> Path:
        folder = tmp_path / corpus
        shutil.copytree(HERE / corpus, folder)
        content = (folder / file).read_bytes()
        assert old in content, f"{old!r} is not in {file}: the test would change nothing"
        (folder / file).write_bytes(content.replace(old, new, 1))
        return folder

    return change
