"""What a result depends on beside its settings: versions of the libraries, and the state of the code."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

__all__ = ["code_checksum", "git_state", "versions"]


def versions(packages: Iterable[str]) -> dict[str, str | None]:
    """Version of Python, and of each package; ``None`` for one that is not installed."""
    return {"python": platform.python_version()} | {name: _version(name) for name in packages}


def code_checksum(package: Path) -> str:
    """SHA-256 of names and contents of the Python files of a package: the same for equal code, whatever the commit."""
    digest = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        digest.update(f"{file.relative_to(package).as_posix()}\0".encode() + file.read_bytes() + b"\0")
    return f"sha256:{digest.hexdigest()}"


def git_state(folder: Path) -> dict[str, Any] | None:
    """Commit of a working copy, and whether files differ from it; ``None`` where the folder is not the root of one."""
    if not (folder / ".git").exists():
        return None
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return {"commit": commit, "changed": bool(_git(folder, "status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", folder, *words], capture_output=True, text=True, check=True).stdout.strip()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
