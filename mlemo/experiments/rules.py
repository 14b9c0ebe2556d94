"""Runs under other decision rules than their own, from their saved predictions.

``mlemo rules RUN…`` shows how much of each rule's validation score survives on the test split.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch

from mlemo.callbacks.rule_comparison import scores_of_rules
from mlemo.experiments.study import Rule
from mlemo.metrics import MultiLabelMetrics
from mlemo.metrics.outputs import Outputs
from mlemo.runs.predictions import read_predictions
from mlemo.thresholds import (
    ExpectedF1,
    FixedThreshold,
    GlobalThreshold,
    PerClassThreshold,
    ThresholdAveraging,
    ThresholdRule,
)

__all__ = ["RULES", "mean_optimism", "rule_optimism", "rule_scores"]

RULES: dict[str, ThresholdRule] = {
    "0.5": FixedThreshold(0.5),
    "0.05": FixedThreshold(0.05),
    "largest expected F1": ExpectedF1(),
    "averaging": ThresholdAveraging(),
    "one cut, Jaccard": GlobalThreshold("jaccard"),
    "one cut, macro-F1": GlobalThreshold("macro_f1"),
    "per class, Jaccard": PerClassThreshold("jaccard"),
    "per class, F1": PerClassThreshold("f1"),
    "per class, F1, shrinkage ½": PerClassThreshold("f1", shrinkage=0.5),
    "per class, F1, 5 folds": PerClassThreshold("f1", cross_fit=5),
    "per class, F1, both": PerClassThreshold("f1", shrinkage=0.5, cross_fit=5),
}


def rule_optimism(run: str | Path) -> pd.DataFrame:
    """Scores of every rule of `RULES`, fitted on a run's saved validation predictions.

    Args:
        run: Folder of a run, with ``predictions_val.csv`` and ``predictions_test.csv``.

    Returns:
        A row a rule; columns ``(metric, "val" | "test" | "optimism")`` for Jaccard, micro-F1 and macro-F1, where the
        optimism is the validation score minus the test score.

    Raises:
        FileNotFoundError: A file of predictions is missing.
    """
    outputs = {split: _outputs(Path(run) / f"predictions_{split}.csv") for split in ("val", "test")}
    for rule in RULES.values():
        rule.fit(outputs["val"].probabilities, outputs["val"].targets, outputs["val"].mask)
    scores = {}
    for split, part in outputs.items():
        scores[split] = scores_of_rules(list(RULES.values()), part).set_axis(list(RULES))
    scores["optimism"] = scores["val"] - scores["test"]
    table = pd.concat(scores, axis=1).swaplevel(axis=1)
    return table[[(metric, part) for metric in scores["val"].columns for part in scores]]


def rule_scores(run: str | Path, rule: Rule) -> dict[str, float]:
    """Test scores of a run under a decision rule, fitted on its saved validation predictions.

    Args:
        run: Folder of a run, with ``predictions_val.csv`` and ``predictions_test.csv``.
        rule: Any rule; the run itself may have had another one.

    Returns:
        Every metric of :class:`mlemo.metrics.MultiLabelMetrics` by its name; those of decisions are the rule's.

    Raises:
        FileNotFoundError: A file of predictions is missing.
    """
    val, test = (read_predictions(Path(run) / f"predictions_{split}.csv") for split in ("val", "test"))
    fitted = rule.build().fit(val.probabilities, val.gold, val.mask)
    metrics = MultiLabelMetrics(test.label_space, sync_on_compute=False)
    metrics.update(test.probabilities, test.gold, decisions=fitted.predict(test.probabilities), mask=test.mask)
    return {name: float(value) for name, value in metrics.compute().items()}


def _outputs(path: Path) -> Outputs:
    saved = read_predictions(path)
    return Outputs(torch.arange(len(saved.ids)), saved.probabilities, saved.gold.float(), saved.mask)


def mean_optimism(runs: Sequence[str | Path]) -> pd.DataFrame:
    """Average `rule_optimism` over runs (seeds of one system, or systems on one corpus)."""
    tables = [rule_optimism(run) for run in runs]
    mean: pd.DataFrame = sum(tables[1:], start=tables[0]) / len(tables)
    return mean
