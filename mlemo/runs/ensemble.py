"""``ensemble.json``: the members of an ensemble, their weights, and its decision rule."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mlemo.runs.atomic import write_atomically
from mlemo.runs.files import ENSEMBLE
from mlemo.runs.manifest import sha256

__all__ = ["Ensemble", "Member", "member_files", "read_ensemble", "weighted_mean", "write_ensemble"]


@dataclass(frozen=True)
class Member:
    """A member of an ensemble.

    Args:
        checkpoint: Path of its checkpoint, relative to the folder of the ensemble.
        sha256: SHA-256 of the checkpoint.
        weight: Weight of its probabilities.
    """

    checkpoint: str
    sha256: str
    weight: float


@dataclass(frozen=True)
class Ensemble:
    """Content of ``ensemble.json``.

    Args:
        labels: Label names.
        weighting: How the weights were found.
        members: The members, whose weights add up to 1.
        rule: The fitted rule, see :func:`mlemo.thresholds.rule_to_dict`.
        format: Number of the form of the file.
    """

    labels: Sequence[str]
    weighting: str
    members: Sequence[Member]
    rule: dict[str, Any]
    format: int = ENSEMBLE.version


def weighted_mean(probabilities: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Average the probabilities of members: ``Σ_m w_m p_m``.

    Args:
        probabilities: ``(N, C)`` of each member.
        weights: One number per member, which add up to 1.

    Returns:
        ``(N, C)`` float32.
    """
    mean = torch.einsum("m,mnc->nc", torch.tensor(weights).double(), torch.stack(list(probabilities)).double())
    return mean.float().clamp(0, 1)  # as weights add up to 1 but for rounding


def write_ensemble(folder: Path, ensemble: Ensemble) -> Path:
    """Write the file into the folder of an ensemble, and return its path."""
    path = ENSEMBLE.path(folder)
    write_atomically(path, json.dumps(asdict(ensemble), indent=1) + "\n")
    return path


def read_ensemble(path: Path) -> Ensemble:
    """Read the file of an ensemble.

    Raises:
        ValueError: It has another form, or a later version of mlemo wrote it.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] > ENSEMBLE.version:
            raise ValueError(f"a later version of mlemo wrote it (format {content['format']})")
        members = [
            Member(str(one["checkpoint"]), str(one["sha256"]), float(one["weight"])) for one in content["members"]
        ]
        if not members:
            raise ValueError("it has no members")
        return Ensemble(tuple(content["labels"]), str(content["weighting"]), members, dict(content["rule"]))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"{path} is not the file of an ensemble: {type(error).__name__}: {error}") from error


def member_files(path: Path, ensemble: Ensemble) -> list[Path]:
    """Find the checkpoints of the members, and check that they have not changed.

    Args:
        path: The file of the ensemble.
        ensemble: Its content.

    Raises:
        FileNotFoundError: A checkpoint does not exist.
        ValueError: A checkpoint has changed since the ensemble was made.
    """
    files = [path.parent / member.checkpoint for member in ensemble.members]
    for file, member in zip(files, ensemble.members):
        if not file.is_file():
            raise FileNotFoundError(
                f"{file} does not exist, a member of the ensemble {path}, whose members have to stay where they are "
                "relative to it"
            )
        if sha256(file) != member.sha256:
            raise ValueError(
                f"{file} has changed since the ensemble {path} was made of it; make the ensemble again with "
                "`mlemo ensemble`"
            )
    return files
