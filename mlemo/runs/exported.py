"""Reading of exported folders: safetensors and JSON, of which the content of a checkpoint is made again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mlemo.nn.encoder_files import NAMES, check_local, read_files
from mlemo.nn.sequence_classification import from_sequence_classifier
from mlemo.runs.limits import check_content
from mlemo.runs.manifest import sha256

__all__ = [
    "ADDED",
    "CARD",
    "CONFIG",
    "ENCODER",
    "ENTRY",
    "FORMAT",
    "MANIFEST",
    "WEIGHTS",
    "is_exported",
    "read_exported",
]

FORMAT = 1  #: grows when earlier releases cannot read a folder
CARD, CONFIG, WEIGHTS, MANIFEST = "README.md", "config.json", "model.safetensors", "manifest.json"
ENCODER = "encoder"  #: subfolder of a frozen encoder
ENTRY = "mlemo"  #: key of config.json with everything that is not of the encoder's own config
#: Keys of config.json beside those of the encoder's own config.
ADDED = (ENTRY, "id2label", "label2id", "problem_type", "architectures")


def is_exported(path: str | Path) -> bool:
    """Whether a path is a folder of `mlemo export`, whole or not."""
    folder = Path(path)
    return folder.is_dir() and any((folder / name).is_file() for name in (CONFIG, WEIGHTS, MANIFEST))


def read_exported(folder: str | Path) -> dict[str, Any]:
    """Read an exported folder; only tensors and JSON are read, no code is run.

    Args:
        folder: Folder of `mlemo export`.

    Returns:
        What a checkpoint holds of a trained model, as of `mlemo.runs.loading.read_checkpoint`.

    Raises:
        ValueError: A file is missing, differs from the one that was exported or cannot be read, or the folder is of a
            later version of mlemo.
    """
    folder = Path(folder)
    names = _checked_files(folder)
    config = _read_json(folder / CONFIG)
    entry = config.get(ENTRY)
    kinds = {name: type(value) for name, value in entry.items()} if isinstance(entry, dict) else {}
    if not isinstance(entry, dict) or (kinds.get("format"), kinds.get("model")) != (int, dict):
        raise ValueError(f"{folder / CONFIG} has no entry {ENTRY!r} with format and model, which mlemo export writes")
    if entry["format"] > FORMAT:
        raise ValueError(
            f"{folder} was written by a later version of mlemo (format {entry['format']}; this one reads {FORMAT})"
        )
    try:
        tensors = load_file(folder / WEIGHTS)
        checkpoint: dict[str, Any] = _with_tensors(entry["model"], tensors)
        if (prefix := entry.get("encoder_prefix")) is not None:
            checkpoint["encoder"] = _encoder_files(folder, names, config)
            if entry.get("sequence_classifier"):
                tensors = from_sequence_classifier(tensors, str(config.get("model_type")))
            tensors = {_own_name(name, prefix): tensor for name, tensor in tensors.items()}
        if entry.get("frozen_encoder"):
            check_local(read_files(folder / ENCODER, NAMES))
            checkpoint["features"]["from_texts"]["init_args"]["encoder"] = str(folder / ENCODER)
        checkpoint["state_dict"] = tensors
        check_content(checkpoint)
    except (SafetensorError, KeyError, TypeError, AttributeError, RecursionError, ValueError, OSError) as error:
        raise ValueError(f"{folder} cannot be read as an exported model: {type(error).__name__}: {error}") from error
    return checkpoint


def _checked_files(folder: Path) -> tuple[str, ...]:
    """Names of the files of the manifest, each of which is there as it was exported."""
    again = "copy or export the folder again"
    if not (folder / MANIFEST).is_file():
        raise ValueError(f"{folder} has no {MANIFEST}, so it is no whole folder of mlemo export; {again}")
    files = _read_json(folder / MANIFEST).get("files")
    if not isinstance(files, dict) or not {CONFIG, WEIGHTS} <= files.keys():
        raise ValueError(f"{folder / MANIFEST} does not list {CONFIG} and {WEIGHTS}; {again}")
    for name, digest in files.items():
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise ValueError(f"{folder / MANIFEST} lists {name!r}, which is outside of the folder")
        path = folder / name
        if not path.is_file():
            raise ValueError(f"{folder} lacks {name}, which its {MANIFEST} lists; {again}")
        if sha256(path) != digest:
            size = path.stat().st_size
            raise ValueError(f"{path} ({size:,} bytes) has another SHA-256 than at its export; {again}")
    return tuple(files)


def _encoder_files(folder: Path, names: tuple[str, ...], config: Mapping[str, Any]) -> dict[str, str]:
    files = read_files(folder, [name for name in names if name in NAMES])
    own = {key: value for key, value in config.items() if key not in ADDED}
    return {**files, CONFIG: json.dumps(own)}


def _own_name(name: str, prefix: str) -> str:
    return f"encoder.{name.removeprefix(f'{prefix}.')}" if name.startswith(f"{prefix}.") else name


def _with_tensors(value: Any, tensors: dict[str, Tensor]) -> Any:
    """The value with tensors, taken out of the named ones, in the places of their names."""
    if isinstance(value, dict):
        if value.keys() == {"tensor"}:
            return tensors.pop(value["tensor"])
        return {key: _with_tensors(item, tensors) for key, item in value.items()}
    return [_with_tensors(item, tensors) for item in value] if isinstance(value, list) else value


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must be a JSON object, found {type(content).__name__}")
    return content
