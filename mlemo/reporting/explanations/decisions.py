"""Probability and threshold of each label of a classified text."""

from __future__ import annotations

import pandas as pd
from torch import Tensor

from mlemo.inference import Classified
from mlemo.thresholds import AtLeastOne, Calibrated, ThresholdRule

__all__ = ["decisions", "thresholds_of"]


def thresholds_of(rule: ThresholdRule, labels: int) -> Tensor | None:
    """Return the threshold of each label for the probabilities of the model.

    The threshold t of a calibrated probability σ(z / T) is the threshold σ(T logit t) of the probability σ(z).

    Args:
        rule: A fitted decision rule.
        labels: Number of labels, ``C``.

    Returns:
        ``(C,)`` float32; ``None`` for a rule without thresholds, such as the k most probable labels.
    """
    if isinstance(rule, AtLeastOne):
        return thresholds_of(rule.rule, labels)
    if isinstance(rule, Calibrated):
        inner = thresholds_of(rule.rule, labels)
        return None if inner is None else (inner.double().logit() * rule.temperatures()).sigmoid().float()
    found = rule.thresholds()
    return None if found is None else found.cpu().expand(labels)


def decisions(result: Classified, thresholds: Tensor | None) -> pd.DataFrame:
    """Tabulate all labels of a text: decided ones first, then those nearest to their thresholds.

    Args:
        result: The classified text.
        thresholds: ``(C,)``, from `thresholds_of`.

    Returns:
        Columns ``label``, ``decided`` (yes or no), ``probability``, and with thresholds ``threshold`` and ``margin``,
        the probability minus the threshold; ordered by the decision and the margin, or else the probability.

    Example:
        >>> result = Classified("a text", ["fear"], {"joy": 0.5, "fear": 0.25, "anger": 0.125})
        >>> decisions(result, torch.tensor([0.75, 0.125, 0.25]))["label"].tolist()
        ['fear', 'anger', 'joy']
    """
    table = pd.DataFrame(
        {
            "label": list(result.probabilities),
            "decided": ["yes" if name in set(result.labels) else "no" for name in result.probabilities],
            "probability": list(result.probabilities.values()),
        }
    )
    order = "probability"
    if thresholds is not None:
        table["threshold"] = thresholds.tolist()
        order = "margin"
        table[order] = table["probability"] - table["threshold"]
    return table.sort_values(["decided", order], ascending=False, kind="stable").reset_index(drop=True)
