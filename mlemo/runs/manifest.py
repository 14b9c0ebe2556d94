"""The manifest of a run, ``run.json``: what the run is, how far it has come, and which checkpoint was tested."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlemo.runs.atomic import write_atomically
from mlemo.runs.files import MANIFEST

__all__ = ["STATES", "Manifest", "is_tested", "manifest_checkpoint", "now", "read_manifest", "sha256", "write_manifest"]

#: How far the training of a run has come. A killed one is still ``running``.
STATES = ("running", "finished", "stopped early", "interrupted", "failed")


@dataclass(frozen=True)
class Manifest:
    """The manifest of a run folder.

    Args:
        state: One of `STATES`.
        started: When the training began, as ISO 8601.
        command: Words of the command line behind ``mlemo`` that began or last continued it.
        name: What ``--name`` gave.
        ended: When the training or the test ended last.
        tested: Path in the folder and SHA-256 of the checkpoint that the results of the test are of.
        config: SHA-256 of ``config.yaml``.
        data: Class and settings of the corpus, and for each split its rows and a SHA-256 of its ids and labels.
        model: Class of the model, numbers of its parameters, and its encoder; empty in folders of earlier versions.
        versions: Of Python and the libraries.
        git: Commit of the code, and whether files differed from it.
        error: Why the training failed.
        format: Number of the form of the file.
    """

    state: str
    started: str
    command: list[str]
    name: str | None = None
    ended: str | None = None
    tested: dict[str, str] | None = None
    config: str | None = None
    data: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str | None] = field(default_factory=dict)
    git: dict[str, Any] | None = None
    error: str | None = None
    format: int = MANIFEST.version

    def test_of(self, folder: Path, checkpoint: Path) -> Manifest:
        """The same with a tested checkpoint, which lies in the run folder."""
        file = checkpoint.resolve().relative_to(folder.resolve()).as_posix()
        return replace(self, tested={"file": file, "sha256": sha256(checkpoint)}, ended=now())


def read_manifest(folder: str | Path) -> Manifest | None:
    """The manifest in a run folder; ``None`` where there is none, as in folders of mlemo 0.1.0.

    Raises:
        ValueError: The file is not a manifest, or one of a later version of mlemo.
    """
    path = MANIFEST.path(folder)
    if not path.is_file():
        return None
    try:
        return _parse(path.read_text(encoding="utf-8"))
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{path} is not the manifest of a run: {error}\nwithout this file the folder can be read"
        ) from error


def _parse(text: str) -> Manifest:
    content = json.loads(text)
    if not isinstance(content, dict) or not isinstance(content.get("format"), int):
        raise ValueError("it has no format")
    if content["format"] > MANIFEST.version:
        raise ValueError(f"a later version of mlemo wrote it (format {content['format']}, known: {MANIFEST.version})")
    known = {part.name for part in fields(Manifest)}
    manifest = Manifest(**{key: value for key, value in content.items() if key in known})
    tested = {"file": "", "sha256": ""} if manifest.tested is None else manifest.tested
    if not isinstance(tested, dict) or tested.keys() != {"file", "sha256"}:
        raise ValueError(f"expected file and sha256 of the tested checkpoint, found {tested!r}")
    if not all(isinstance(text, str) for text in (manifest.name or "", manifest.state, *tested.values())):
        raise ValueError("expected text as name, state, and file and sha256 of the tested checkpoint")
    return manifest


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest of a run."""
    text = json.dumps(asdict(manifest), indent=1, default=str)  # ASCII, as a path may hold what UTF-8 cannot
    write_atomically(MANIFEST.path(folder), text + "\n")


def manifest_checkpoint(folder: str | Path) -> Path | None:
    """The checkpoint that the results of a run folder are of, as its manifest names it.

    Returns:
        The file; ``None`` where there is no manifest, or no test since the training began or continued.

    Raises:
        FileNotFoundError: It is not there.
        ValueError: It is not the file that was tested, or the manifest cannot be read.
    """
    manifest = read_manifest(folder)
    if manifest is None or manifest.tested is None:
        return None
    folder, name = Path(folder), manifest.tested["file"]
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{MANIFEST.path(folder)}: the tested checkpoint {name!r} is not in the folder")
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there, which {MANIFEST.name} names; give another file in its place")
    if sha256(path) != manifest.tested["sha256"]:
        raise ValueError(
            f"{path} is not the checkpoint that the results in {folder} are of: it has changed since the test\n"
            f"test it with `mlemo test --ckpt_path {path}`, or give the file in place of the folder"
        )
    return path


def is_tested(folder: str | Path) -> bool:
    """Whether results of the test in a run folder are of its checkpoints, and not from before training went on.

    Raises:
        ValueError: The manifest cannot be read.
    """
    manifest = read_manifest(folder)
    return manifest is None or manifest.tested is not None


def sha256(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def now() -> str:
    """The time in UTC, to the second, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")
