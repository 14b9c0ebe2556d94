"""The same probabilities under several decision rules, so that every run shows what its rule gives and costs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

import pandas as pd
import torch
from rich.table import Table
from torch import Tensor

from mlemo.metrics.outputs import Outputs
from mlemo.models.evaluation import Stage
from mlemo.thresholds import (
    ExpectedF1,
    FixedThreshold,
    GlobalThreshold,
    PerClassThreshold,
    ThresholdAveraging,
    ThresholdRule,
)
from mlemo.thresholds.search import f1, jaccard
from mlemo.utils.messages import cell

__all__ = ["MOST_ENTRIES", "RuleComparison", "scores_of_rules"]

#: Entries N · C that rules are compared on; every rule takes a second or two for as many on one core.
MOST_ENTRIES = 2**23


class RuleComparison:
    """Scores of the run's own rule, of 0.5, of the largest expected F1, and of three rules fitted on validation.

    These are one threshold for Jaccard, threshold averaging, and a threshold per class for F1. They are fitted when a
    validation is added, and scored on a test of the same weights; without such a validation they are left out.

    Of a stage with more than `MOST_ENTRIES` entries, rows at equal distances are taken, and `notes` and the table say
    so. The run's own rule stays as it was fitted.
    """

    def __init__(self) -> None:
        self.scores: dict[str, pd.DataFrame] = {}
        self.notes: dict[str, str] = {}  #: by stage, where not all of its rows were taken
        self._fitted: list[ThresholdRule] = []
        self._fitted_on: str | Path | None = None

    def add(
        self, stage: Stage, outputs: Outputs, weights: str | Path | None, own: ThresholdRule | None
    ) -> pd.DataFrame:
        """Score the outputs of a stage.

        Args:
            stage: ``"val"`` or ``"test"``.
            outputs: Of the whole split.
            weights: What the outputs were computed with: path of the checkpoint, or ``None`` for the model as it was.
            own: The run's own fitted rule, if it has one.

        Returns:
            As :func:`scores_of_rules`.
        """
        rows, labels = outputs.probabilities.shape
        decided = [(FixedThreshold(0.5).describe(), outputs.decided().decisions)]
        if own is not None:
            decided.append((own.describe(), outputs.decided(own).decisions))
        self.notes.pop(stage, None)
        most = max(1, MOST_ENTRIES // labels)
        if rows > most:
            kept = torch.linspace(0, rows - 1, most, dtype=torch.float64).round().long()
            parts = (getattr(outputs, name)[kept] for name in ("index", "probabilities", "targets", "mask"))
            outputs = Outputs(*parts)
            decided = [(name, decisions[kept]) for name, decisions in decided]
            self.notes[stage] = f"{stage}: on {most:,} of {rows:,} rows, at {labels:,} labels"
        if stage == "val":
            self._fitted = [GlobalThreshold("jaccard"), ThresholdAveraging(), PerClassThreshold()]
            for rule in self._fitted:
                rule.fit(outputs.probabilities, outputs.targets, outputs.mask)
            self._fitted_on = weights
        fitted = self._fitted if self._fitted_on == weights else []
        others = _decided([ExpectedF1(), *fitted], outputs)
        self.scores[stage] = _scores(chain(decided[:1], others, decided[1:]), outputs)
        return self.scores[stage]

    def table(self) -> Table:
        """The rules of the stage that was added last, with the scores of all stages side by side."""
        stages = " / ".join(self.scores)
        last = list(self.scores.values())[-1]
        caption = "; ".join(["rules with something to fit were fitted on validation", *self.notes.values()])
        table = Table("decision rule", caption=caption)
        for metric in last.columns:
            table.add_column(f"{metric}\n{stages}", justify="right")
        for rule in last.index:
            rows = [scores.loc[rule] if rule in scores.index else None for scores in self.scores.values()]
            cells = [["–" if row is None else f"{row[metric]:.4f}" for row in rows] for metric in last.columns]
            table.add_row(cell(rule), *(" / ".join(values) for values in cells))
        return table


def scores_of_rules(rules: Sequence[ThresholdRule], outputs: Outputs) -> pd.DataFrame:
    """Jaccard, micro-F1 and macro-F1 of rules, with the conventions of :class:`mlemo.metrics.MultiLabelMetrics`.

    Args:
        rules: Rules, fitted where they have to be.
        outputs: What they decide.

    Returns:
        A row for each rule by its description, columns ``jaccard``, ``micro_f1`` and ``macro_f1``.
    """
    return _scores(_decided(rules, outputs), outputs)


def _decided(rules: Sequence[ThresholdRule], outputs: Outputs) -> Iterator[tuple[str, Tensor]]:
    """Description and decisions of each rule; one after another, as decisions over many labels are large."""
    return ((rule.describe(), rule.predict(outputs.probabilities)) for rule in rules)


def _scores(decided: Iterable[tuple[str, Tensor]], outputs: Outputs) -> pd.DataFrame:
    truth = outputs.targets.bool() & outputs.mask
    annotated = outputs.mask.any(dim=1)
    table = {}
    for name, decisions in decided:
        on = decisions & outputs.mask
        hits, predicted, positives = (on & truth).double(), on.double(), truth.double()
        samples = jaccard(hits.sum(1), predicted.sum(1), positives.sum(1))
        table[name] = {
            "jaccard": samples[annotated].mean().item(),
            "micro_f1": f1(hits.sum(), predicted.sum(), positives.sum(), empty=0.0).item(),
            "macro_f1": f1(hits.sum(0), predicted.sum(0), positives.sum(0), empty=0.0).mean().item(),
        }
    return pd.DataFrame.from_dict(table, orient="index").rename_axis("rule")
