"""An encoder that is named instead of copied: its files, and the hashes by which they are known again."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from transformers.utils import cached_file
from transformers.utils.hub import extract_commit_hash

from mlemo.utils.fetched import note_fetched

__all__ = ["commit_of", "differences", "file_hashes", "note_commit", "public_name"]

#: The first of these that is there is what transformers loads.
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
#: What a tokenizer without a ``tokenizer.json`` is made of.
VOCABULARIES = (
    "vocab.txt", "vocab.json", "merges.txt", "spiece.model", "spm.model", "sentencepiece.bpe.model", "tokenizer.model",
    "bpe.codes", "added_tokens.json", "special_tokens_map.json",
)  # fmt: skip
SHA256 = re.compile("[0-9a-f]{64}")


def file_hashes(encoder: str, revision: str | None = None) -> dict[str, str]:
    """SHA-256 of each file that makes an encoder what it is: config, weights and tokenizer; none of them is loaded.

    Args:
        encoder: Name on the hub, or a local folder in its layout.
        revision: Branch, tag or commit on the hub.

    Raises:
        FileNotFoundError: There is no such encoder.
    """
    return {path.name: _hash(path) for path in _paths(encoder, revision)}


def differences(stored: dict[str, str], found: dict[str, str]) -> str:
    """What differs between two sets of values by name, in one line; empty where nothing does."""
    names = [name for name in {**stored, **found} if stored.get(name) != found.get(name)]
    return "; ".join(f"{name} was {_short(stored.get(name))} and is {_short(found.get(name))}" for name in names)


def commit_of(encoder: str, revision: str | None = None) -> str | None:
    """Commit of the hub that the files of an encoder are from; ``None`` for a local folder."""
    config = cached_file(encoder, "config.json", revision=revision, local_files_only=True)
    return extract_commit_hash(config, None)


def public_name(encoder: str) -> str:
    """The name of an encoder without the folders of this machine.

    Args:
        encoder: Name on the hub, or a local folder in its layout.

    Returns:
        The name on the hub; of a folder, the name that its ``config.json`` holds, else that of the folder.
    """
    folder = Path(encoder)
    if not folder.is_dir():
        return encoder
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        config = {}
    name = config.get("_name_or_path") if isinstance(config, dict) else None
    return name if isinstance(name, str) and name and not Path(name).is_absolute() else folder.resolve().name


def note_commit(encoder: str, revision: str | None = None) -> None:
    """Have the record of a run say which commit of the hub an encoder is, if it is from there.

    Args:
        encoder: Name on the hub, or a local folder in its layout.
        revision: Branch, tag or commit on the hub.
    """
    if (commit := commit_of(encoder, revision)) is not None:
        note_fetched(encoder, f"commit:{commit}")


def _paths(encoder: str, revision: str | None) -> list[Path]:
    """The files; they are found, or fetched, without loading them."""
    paths = [_required(encoder, "config.json", revision)]
    note_commit(encoder, revision)
    weights = (path for name in WEIGHTS if (path := _path(encoder, name, revision)) is not None)
    paths.append(next(weights, None) or _required(encoder, WEIGHTS[0], revision))
    if paths[-1].suffix == ".json":  # weights in several files
        parts = set(json.loads(paths[-1].read_text(encoding="utf-8"))["weight_map"].values())
        paths += [_required(encoder, name, revision) for name in sorted(parts)]
    vocabulary = VOCABULARIES if _path(encoder, "tokenizer.json", revision) is None else ("tokenizer.json",)
    settings = ("tokenizer_config.json", *vocabulary)
    return paths + [path for name in settings if (path := _path(encoder, name, revision)) is not None]


def _path(encoder: str, name: str, revision: str | None) -> Path | None:
    try:
        return _required(encoder, name, revision)
    except FileNotFoundError:
        return None


def _required(encoder: str, name: str, revision: str | None) -> Path:
    try:
        path = cached_file(encoder, name, revision=revision)
        if path is None:  # so it answers where a folder has no config.json
            raise OSError(f"it has no {name}")
    except OSError as error:
        raise FileNotFoundError(
            f"encoder {encoder!r} is neither a local folder in the hub's layout nor to be had from it: {error}"
        ) from error
    return Path(path)


def _hash(path: Path) -> str:
    # the hub's cache names large files by their SHA-256, and reading 10 GB of weights again takes a minute
    blob = path.resolve()
    if blob.parent.name == "blobs" and SHA256.fullmatch(blob.name):
        return blob.name
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _short(value: str | None) -> str:
    """A setting, or the beginning of a hash."""
    return "missing" if value is None else value if len(value) < 64 else f"{value[:12]}…"
