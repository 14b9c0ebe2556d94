"""The runs that an ensemble is made of: their saved predictions, checkpoints and decision rules."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

from mlemo.runs.files import PREDICTIONS, RESULTS
from mlemo.runs.loading import find_checkpoint, read_checkpoint
from mlemo.runs.manifest import Manifest, read_manifest
from mlemo.runs.predictions import Predictions, check_same_samples, read_predictions
from mlemo.thresholds import ThresholdRule, rule_from_dict

__all__ = ["SPLITS", "MemberRun", "Split", "common_rule", "read_members"]

Split = Literal["val", "test"]
SPLITS: tuple[Split, ...] = ("val", "test")


@dataclass(frozen=True)
class MemberRun:
    """What an ensemble takes from a run.

    Args:
        folder: Folder of the run.
        checkpoint: The tested checkpoint.
        manifest: Its manifest.
        rule: Its fitted decision rule, see :func:`mlemo.thresholds.rule_to_dict`.
        predictions: Saved predictions by split.
        results: Content of the results by split.
    """

    folder: Path
    checkpoint: Path
    manifest: Manifest
    rule: dict[str, Any]
    predictions: dict[Split, Predictions]
    results: dict[Split, dict[str, Any]]

    @property
    def warnings(self) -> Iterator[str]:
        """What makes its scores doubtful, one line each."""
        for split in SPLITS:
            yield from self.results[split].get("warnings", [])
        inference = self.results["test"].get("inference", {"test": "", "predict": ""})
        if inference["test"] != inference["predict"]:
            yield (
                f"{self.folder}: scored with the inference {inference['test']!r}, and classifies with "
                f"{inference['predict']!r}, for which weights and rule of the ensemble were not fitted"
            )


def read_members(runs: Sequence[Path]) -> list[MemberRun]:
    """Read runs that are to make an ensemble.

    Args:
        runs: Their folders.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: Fewer than two runs, the same one twice, runs that differ in labels or samples, or one that has not
            been tested since it was trained.
    """
    if len(runs) < 2:
        raise ValueError(f"an ensemble has at least two members, found {len(runs)}")
    members = [_read(run) for run in runs]
    for one, other in combinations(members, 2):
        if one.checkpoint.samefile(other.checkpoint):
            raise ValueError(f"{one.folder} and {other.folder} are the same member")
    for member in members[1:]:
        for split in SPLITS:
            check_same_samples(members[0].predictions[split], member.predictions[split])
    return members


def common_rule(members: Sequence[MemberRun]) -> ThresholdRule:
    """Return the members' decision rule.

    Raises:
        ValueError: The members have different ones.
    """
    first = members[0]
    for member in members[1:]:
        if any(member.rule[key] != first.rule[key] for key in ("class_path", "init_args")):
            found = [f"{one.folder} has “{rule_from_dict(one.rule).describe()}”" for one in (first, member)]
            raise ValueError(f"the members have different decision rules; choose one with --rule: {', '.join(found)}")
    return rule_from_dict(first.rule)


def _read(run: Path) -> MemberRun:
    manifest = read_manifest(run)
    if manifest is None or manifest.tested is None:
        raise ValueError(
            f"{run} is not the folder of a tested run, or was trained further since its test; "
            f"`mlemo test --ckpt_path {run}` tests it"
        )
    predictions = {split: read_predictions(PREDICTIONS.path(run, split)) for split in SPLITS}
    results = {split: json.loads(RESULTS.path(run, split).read_text(encoding="utf-8")) for split in SPLITS}
    checkpoint = find_checkpoint(run)
    rule = read_checkpoint(checkpoint).get("thresholds")
    if rule is None:
        raise ValueError(f"{checkpoint} holds no decision rule, which checkpoints of `mlemo fit` do")
    return MemberRun(run, checkpoint, manifest, rule, predictions, results)
