"""Files of an encoder inside a checkpoint: which there may be, and what of their content is left out."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

__all__ = ["NAMES", "check_local", "check_names", "read_files", "write_files"]

#: What ``save_pretrained`` of configs and tokenizers writes.
NAMES = (
    "config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.txt", "vocab.json", "merges.txt", "bpe.codes", "dict.txt", "spiece.model", "spm.model",
    "sentencepiece.bpe.model", "tokenizer.model", "chat_template.jinja",
)  # fmt: skip

LARGEST = 2**26  #: bytes of one file; the largest tokenizers take some 20 MB
BASE64 = "base64:"

#: Settings that have transformers fetch code or weights, or read files elsewhere; a checkpoint brings all it needs.
ELSEWHERE = {
    "auto_map", "attn_implementation", "experts_implementation", "quantization_config", "backbone",
    "use_pretrained_backbone", "use_timm_backbone", "_name_or_path", "name_or_path", "fast_tokenizer_files",
}  # fmt: skip
LARGEST_SIZE = 10_000_000  #: of a vocabulary, a layer or anything else that an encoder's config counts


def check_names(names: Mapping[str, Any]) -> None:
    """Refuse file names that a checkpoint may not hold.

    Args:
        names: The names, as keys.

    Raises:
        ValueError: A name is not one of ``NAMES``.

    Example:
        >>> check_names({"../../.bashrc": "rm -r ~"})
        Traceback (most recent call last):
        ValueError: a checkpoint's encoder may have no file named '../../.bashrc'
    """
    for name in names:
        if name not in NAMES:
            raise ValueError(f"a checkpoint's encoder may have no file named {name!r}")


def read_files(folder: Path, names: Collection[str] | None = None) -> dict[str, str]:
    """Files of a folder as ``{name: content}``; content that is not UTF-8 text is written as ``base64:…``.

    Args:
        folder: The folder.
        names: Files to be read, where they are there; ``None`` for all.

    Raises:
        ValueError: A checkpoint may not hold a file of this name.
    """
    files: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and (names is None or path.relative_to(folder).as_posix() in names):
            content = path.read_bytes()
            try:
                text = content.decode("utf-8")
            except UnicodeDecodeError:
                text = BASE64 + base64.b64encode(content).decode("ascii")
            files[path.relative_to(folder).as_posix()] = text
    check_names(files)
    return files


def write_files(files: Mapping[str, str], folder: Path) -> None:
    """Write what `read_files` read, without settings that would have code, weights or files fetched from elsewhere.

    Raises:
        ValueError: There is no ``config.json``; a name, a size or the form of a content is not allowed.
    """
    if not isinstance(files, Mapping) or "config.json" not in files:
        found: object = sorted(map(str, files)) if isinstance(files, Mapping) else type(files).__name__
        raise ValueError(f"the checkpoint's encoder has no config.json; its files are {found}")
    check_names(files)
    for name, text in files.items():
        if not isinstance(text, str) or len(text) > LARGEST:
            size = f"{len(text):,} characters" if isinstance(text, str) else type(text).__name__
            raise ValueError(f"{name} of the checkpoint's encoder must be a text of at most {LARGEST:,}, found {size}")
        (folder / name).write_bytes(_content(name, text))


def check_local(files: Mapping[str, str]) -> None:
    """Refuse files that `write_files` would have changed, as they have something fetched from elsewhere.

    Args:
        files: What `read_files` read of a folder that `write_files` wrote.

    Raises:
        ValueError: Such a file, or one that cannot be read.
    """
    for name, text in files.items():
        if not text.startswith(BASE64) and _content(name, text) != text.encode("utf-8"):
            raise ValueError(
                f"{name} of the encoder has settings that mlemo does not write, which may fetch files or code"
            )


def _content(name: str, text: str) -> bytes:
    try:
        if text.startswith(BASE64):
            return base64.b64decode(text.removeprefix(BASE64), validate=True)
        if name in ("config.json", "tokenizer_config.json"):
            settings = json.loads(text)
            if not isinstance(settings, dict):
                raise ValueError(f"expected settings by name, found {type(settings).__name__}")
            return json.dumps(_local(settings, name), ensure_ascii=False).encode("utf-8")
        return text.encode("utf-8")
    except (ValueError, RecursionError, binascii.Error) as error:
        raise ValueError(f"{name} of the checkpoint's encoder cannot be read: {error}") from error


def _local(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        return {key: _local(item, name) for key, item in value.items() if not _points_elsewhere(key)}
    if isinstance(value, list):
        return [_local(item, name) for item in value]
    # not in the tokenizer's settings, which say "no limit" by a number of 30 digits
    if name == "config.json" and isinstance(value, int) and abs(value) > LARGEST_SIZE:
        raise ValueError(f"its sizes are at most {LARGEST_SIZE:,}, found {value:,}")
    return value


def _points_elsewhere(key: str) -> bool:
    return key in ELSEWHERE or key.startswith(("_attn_impl", "_experts_impl")) or key.endswith("_file")
