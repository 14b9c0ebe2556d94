"""Ensembles of trained runs: their saved predictions averaged, decided anew, and written as the folder of a run.

``mlemo ensemble RUN…`` makes them; nothing is trained, and neither texts nor models are read.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from scipy.optimize import minimize
from torch import Tensor

import mlemo
from mlemo.callbacks.result_files import intervals_of_test, write_per_class, write_results, write_thresholds
from mlemo.callbacks.result_table import WITH_INTERVAL, Intervals
from mlemo.callbacks.rule_comparison import RuleComparison
from mlemo.callbacks.run_manifest import PACKAGES
from mlemo.callbacks.threshold_tuning import tuned_values
from mlemo.experiments.ensemble_members import SPLITS, MemberRun, Split, common_rule, read_members
from mlemo.inference import EnsembleClassifier
from mlemo.metrics.compare import Comparison, paired_bootstrap
from mlemo.metrics.intervals import bootstrap_values, resamples_within_budget
from mlemo.metrics.outputs import Outputs
from mlemo.metrics.weighted import WeightedMetrics
from mlemo.runs.atomic import write_atomically
from mlemo.runs.ensemble import Ensemble, Member, weighted_mean, write_ensemble
from mlemo.runs.files import PER_CLASS, PREDICTIONS, RULES
from mlemo.runs.manifest import Manifest, now, sha256, write_manifest
from mlemo.runs.place import traces
from mlemo.runs.predictions import Predictions, write_predictions
from mlemo.runs.surroundings import git_state, versions
from mlemo.thresholds import ThresholdRule, rule_to_dict
from mlemo.utils.serialization import class_path

__all__ = ["Combined", "combine", "fitted_weights"]

Floats = np.ndarray[Any, np.dtype[np.float64]]
Weighting = Literal["mean", "fitted"]
RESAMPLES = 1000  #: of each interval, as in a run


@dataclass(frozen=True)
class Combined:
    """An ensemble that has been written.

    Args:
        folder: Its folder.
        weights: Weight of each member.
        rule: The fitted decision rule.
        scores: Every metric, by split.
        intervals: Of the test.
        gains: Test score of the ensemble minus the mean of its members' test scores, by metric, each decided by its own
            rule, with the 95 % interval over the texts for these members.
    """

    folder: Path
    weights: tuple[float, ...]
    rule: ThresholdRule
    scores: dict[str, dict[str, float]]
    intervals: Intervals
    gains: dict[str, Comparison]


def combine(
    runs: Sequence[Path],
    folder: Path,
    *,
    weighting: Weighting = "mean",
    rule: ThresholdRule | None = None,
    name: str | None = None,
    command: Sequence[str] = (),
) -> Combined:
    """Make an ensemble of tested runs over the same corpus and labels.

    Its probabilities are ``Σ_m w_m p_m`` over the members m. Weights and decision rule are fitted on validation alone.

    Args:
        runs: Folders of the members.
        folder: Folder of the ensemble.
        weighting: ``mean`` for equal weights, ``fitted`` for those of `fitted_weights`.
        rule: Decision rule; ``None`` for that of the members, fitted again.
        name: Name of the ensemble.
        command: Words of the command line.

    Raises:
        FileNotFoundError: A file of a member is missing.
        ValueError: Fewer than two members, the same one twice, members that differ in labels, samples or (without
            ``rule``) decision rules, one that was trained further since its test, or a run in the folder already.
    """
    started = now()
    if any(traces(folder)):
        raise ValueError(f"{folder} holds a run already; choose another --name or --output")
    members = read_members(runs)
    rule = common_rule(members) if rule is None else rule
    val = members[0].predictions["val"]
    weights = (1 / len(members),) * len(members)
    if weighting == "fitted":
        weights = fitted_weights([member.predictions["val"].probabilities for member in members], val.gold, val.mask)
    outputs = {split: _averaged(members, split, weights) for split in SPLITS}
    rule.fit(outputs["val"].probabilities, outputs["val"].targets, outputs["val"].mask)
    names = val.label_space.names
    combined = Combined(
        folder,
        weights,
        rule,
        scores={split: _scores(rule, outputs[split], split) for split in SPLITS},
        intervals=intervals_of_test(outputs["test"], rule, names, RESAMPLES),
        gains=_gains(members, outputs["test"], rule),
    )
    folder.mkdir(parents=True, exist_ok=True)
    references = _references(members, folder, weights)
    file = write_ensemble(folder, Ensemble(names, weighting, references, rule_to_dict(rule)))
    _write_scores(combined, members, outputs)
    manifest = Manifest(
        "finished",
        started,
        list(command),
        name,
        ended=now(),
        tested={"file": file.name, "sha256": sha256(file)},
        data=members[0].manifest.data,
        model=_facts(members, weights),
        versions=versions(PACKAGES),
        git=git_state(Path(mlemo.__file__).parents[1]),
    )
    write_manifest(folder, manifest)
    return combined


def fitted_weights(probabilities: Sequence[Tensor], targets: Tensor, mask: Tensor) -> tuple[float, ...]:
    """Weights of a mixture of members with the least log loss.

        w = argmin −mean_{(i, c) annotated} log Σ_m w_m p_m(y_ic)   over w_m ≥ 0, Σ_m w_m = 1

    with p_m(1) = p_mic and p_m(0) = 1 − p_mic. The loss is convex in w.

    Args:
        probabilities: ``(N, C)`` of each member.
        targets: ``(N, C)`` bool.
        mask: ``(N, C)`` bool, ``False`` = not annotated.

    Raises:
        ValueError: Nothing is annotated, or the search fails.

    Example:
        >>> truth = torch.tensor([[True, False]])
        >>> good, bad = torch.tensor([[0.9, 0.1]]), torch.tensor([[0.6, 0.4]])
        >>> [round(weight, 4) for weight in fitted_weights([bad, good], truth, torch.ones_like(truth))]
        [0.0, 1.0]
    """
    if not mask.any():
        raise ValueError("weights are fitted on annotated labels of validation, and there are none")
    stacked = torch.stack(list(probabilities)).double()
    likelihoods = torch.where(targets, stacked, 1 - stacked)[:, mask].clamp(min=1e-12).numpy()  # (M, entries)

    def loss(weights: Floats) -> tuple[float, Floats]:
        mixture = weights @ likelihoods
        return float(-np.log(mixture).mean()), -(likelihoods / mixture).mean(1)

    count = len(likelihoods)
    found = minimize(
        loss,
        np.full(count, 1 / count),
        jac=True,
        method="SLSQP",
        bounds=[(0, 1)] * count,
        constraints={"type": "eq", "fun": lambda weights: weights.sum() - 1, "jac": np.ones_like},
        options={"ftol": 1e-12, "maxiter": 1000},
    )
    if not found.success:
        raise ValueError(f"the weights of the ensemble cannot be fitted: {found.message}")
    weights = found.x.clip(0)
    return tuple((weights / weights.sum()).tolist())


def _averaged(members: Sequence[MemberRun], split: Split, weights: Sequence[float]) -> Outputs:
    saved = [member.predictions[split] for member in members]
    mean = weighted_mean([one.probabilities for one in saved], weights)
    return Outputs(torch.arange(len(mean)), mean, saved[0].gold.float(), saved[0].mask)


def _scores(rule: ThresholdRule, outputs: Outputs, split: Split) -> dict[str, float]:
    values = outputs.values() | tuned_values(rule, outputs, split)
    return {name: float(value) for name, value in values.items()}


def _gains(members: Sequence[MemberRun], outputs: Outputs, rule: ThresholdRule) -> dict[str, Comparison]:
    """Compare the ensemble with the mean of its members on the same resamples of the test."""
    some = outputs.mask.any(1)
    truth, mask = outputs.targets[some].bool(), outputs.mask[some]
    resamples = resamples_within_budget(RESAMPLES, *outputs.probabilities.shape)
    if not some.any() or not resamples:
        return {}

    def values(decided: Tensor, probabilities: Tensor) -> Floats:
        metrics = WeightedMetrics(WITH_INTERVAL, truth, mask, decided[some], probabilities[some])
        return bootstrap_values(metrics, truth.shape, resamples, 0)  # (metrics, 1 + resamples)

    own = values(outputs.decided(rule).decisions, outputs.probabilities)
    saved = [member.predictions["test"] for member in members]
    mean = np.mean([values(one.decided, one.probabilities) for one in saved], axis=0)
    names = [name if name == "macro_ap" else f"tuned_{name}" for name in WITH_INTERVAL]
    return {name: paired_bootstrap(*pair) for name, *pair in zip(names, own, mean)}


# writing ----------------------------------------------------------------------------------------------------------


def _references(members: Sequence[MemberRun], folder: Path, weights: Sequence[float]) -> list[Member]:
    paths = [Path(os.path.relpath(member.checkpoint.resolve(), folder.resolve())).as_posix() for member in members]
    return [Member(path, sha256(member.checkpoint), weight) for path, member, weight in zip(paths, members, weights)]


def _facts(members: Sequence[MemberRun], weights: Sequence[float]) -> dict[str, Any]:
    """Describe the members for the manifest, as :func:`mlemo.callbacks.run_manifest.model_facts` does a model."""
    models = [member.manifest.model for member in members]
    names = [member.manifest.name or member.folder.resolve().name for member in members]
    facts: dict[str, Any] = {
        "class": class_path(EnsembleClassifier),
        "settings": {"members": names, "weights": list(weights)},
        "parameters": sum(model.get("parameters", 0) for model in models),
        "trained": sum(model.get("trained", 0) for model in models),
    }
    encoders = [model.get("encoder") for model in models]
    if encoders[0] is not None and all(encoder == encoders[0] for encoder in encoders):
        facts["encoder"] = encoders[0]
    return facts


def _write_scores(combined: Combined, members: Sequence[MemberRun], outputs: dict[Split, Outputs]) -> None:
    folder, rule = combined.folder, combined.rule
    warnings = list(dict.fromkeys(line for member in members for line in member.warnings))
    positives = pd.read_csv(PER_CLASS.path(members[0].folder, "test"))["training_positives"]
    comparison = RuleComparison()
    for split in SPLITS:
        saved, own = members[0].predictions[split], outputs[split]
        decided = own.decided(rule).decisions
        path = PREDICTIONS.path(folder, split)
        write_predictions(
            Predictions(path, saved.label_space, saved.ids, saved.gold, saved.mask, decided, own.probabilities)
        )
        write_per_class(
            folder,
            split,
            own,
            rule=rule,
            names=saved.label_space.names,
            training_positives=torch.tensor(positives.to_numpy()),
        )
        write_atomically(RULES.path(folder, split), comparison.add(split, own, None, rule).to_csv())
        gains = {name: asdict(gain) for name, gain in combined.gains.items()} if split == "test" else {}
        write_results(
            folder,
            split,
            combined.scores[split],
            rule=rule.describe(),
            intervals=combined.intervals,
            warnings=warnings,
            **({"gain_over_members": gains} if gains else {}),
        )
    write_thresholds(folder, rule, members[0].predictions["val"].label_space.names)
