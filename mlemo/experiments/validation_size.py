"""How much a decision rule overfits the validation rows that it is fitted on, by how many there are."""

from __future__ import annotations

from collections.abc import Collection
from copy import deepcopy
from pathlib import Path

import pandas as pd
import torch

from mlemo.callbacks.rule_comparison import scores_of_rules
from mlemo.experiments.rules import RULES
from mlemo.metrics.outputs import Outputs
from mlemo.runs.predictions import Predictions, read_predictions

__all__ = ["optimism_by_validation_size"]


def optimism_by_validation_size(
    run: str | Path,
    metric: str = "macro_f1",
    *,
    rules: Collection[str] = ("0.5", "one cut, macro-F1", "per class, F1", "per class, F1, both"),
    sizes: Collection[int] = (25, 50, 100, 200, 400, 800),
    draws: int = 20,
    seed: int = 0,
) -> pd.DataFrame:
    """Fit rules on random parts of a run's saved validation predictions, and test them on its test predictions.

    Args:
        run: Folder of a run, with ``predictions_val.csv`` and ``predictions_test.csv``.
        metric: ``jaccard``, ``micro_f1`` or ``macro_f1``.
        rules: Labels of `mlemo.experiments.rules.RULES`.
        sizes: Validation rows that a rule is fitted on; those that the run has not are left out.
        draws: Random parts of each size; they are drawn without replacement, the same for every rule.
        seed: Seed of the draws.

    Returns:
        A row for each rule and size: the mean score on the rows it was fitted on (``val``), on the test split
        (``test``), and ``optimism``, the first minus the second.

    Raises:
        FileNotFoundError: A file of predictions is missing.
        ValueError: There is no such rule, or the run has fewer validation rows than any of the sizes.
    """
    if unknown := [name for name in rules if name not in RULES]:
        raise ValueError(f"no rule {unknown[0]!r}; there are {', '.join(RULES)}")
    val, test = (read_predictions(Path(run) / f"predictions_{split}.csv") for split in ("val", "test"))
    known = [size for size in sizes if size <= len(val.ids)]
    if not known:
        raise ValueError(f"{val.path} has {len(val.ids)} rows, fewer than any of {', '.join(map(str, sizes))}")
    draw = torch.Generator().manual_seed(seed)
    every_row, found = torch.arange(len(test.ids)), []
    for size in known:
        for _ in range(draws):
            part = _outputs(val, torch.randperm(len(val.ids), generator=draw)[:size])
            fitted = [deepcopy(RULES[name]).fit(part.probabilities, part.targets, part.mask) for name in rules]
            scores = {"val": scores_of_rules(fitted, part), "test": scores_of_rules(fitted, _outputs(test, every_row))}
            for split, table in scores.items():
                values = table[metric].tolist()
                found += [(rule, size, split, value) for rule, value in zip(rules, values, strict=True)]
    table = pd.DataFrame(found, columns=["rule", "validation rows", "split", "score"])
    means = table.groupby(["rule", "validation rows", "split"], sort=False)["score"].mean().unstack("split")
    means["optimism"] = means["val"] - means["test"]
    return means[["val", "test", "optimism"]].loc[list(rules)].rename_axis(columns=None)


def _outputs(saved: Predictions, rows: torch.Tensor) -> Outputs:
    return Outputs(rows, saved.probabilities[rows], saved.gold[rows].float(), saved.mask[rows])
