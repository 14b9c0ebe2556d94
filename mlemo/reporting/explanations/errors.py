"""Examples of correct and wrong decisions of a run, per label: drawn at random, and the most confident mistakes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pandas as pd
import torch
from torch import Tensor

from mlemo.callbacks.label_figures import most_positive
from mlemo.reporting.explanations.correlation import MOST_PAIRED
from mlemo.runs.predictions import Predictions

__all__ = ["confident_mistakes", "error_examples"]


def error_examples(
    predictions: Predictions,
    texts: Sequence[str] | None,
    each: int = 3,
    seed: int = 0,
    thresholds: Tensor | None = None,
) -> pd.DataFrame:
    """Draw true positives, false positives and false negatives of each label (Alrasheedy et al. 2026, Table 13).

    Of many labels, the `MOST_PAIRED` with the most positives have examples.

    Args:
        predictions: Predictions of the run; entries that are not annotated are left out.
        texts: Texts of the rows, if known.
        each: Largest number of examples per case and label, drawn at random.
        seed: Seed of the draw.
        thresholds: ``(C,)``, threshold of each label, if the decisions follow from them.

    Returns:
        Columns ``label``, ``case``, ``of`` (number of samples of this case), ``probability``, ``threshold`` (if given),
        ``id``, ``text`` (if known), ``gold``, ``predicted``.
    """
    gold, decided = predictions.gold & predictions.mask, predictions.decided & predictions.mask
    cases = {"TP": gold & decided, "FP": ~predictions.gold & decided, "FN": gold & ~decided}
    draw = torch.Generator().manual_seed(seed)

    def choose(rows: Tensor, column: int) -> Tensor:
        return rows[torch.randperm(len(rows), generator=draw)[:each]].sort().values

    return _examples(predictions, texts, thresholds, cases, choose)


def confident_mistakes(
    predictions: Predictions, texts: Sequence[str] | None, each: int = 3, thresholds: Tensor | None = None
) -> pd.DataFrame:
    """Find the false positives with the highest and the false negatives with the lowest probability of each label.

    Args:
        predictions: Predictions of the run; entries that are not annotated are left out.
        texts: Texts of the rows, if known.
        each: Largest number of mistakes per case and label.
        thresholds: ``(C,)``, threshold of each label, if the decisions follow from them.

    Returns:
        Columns as from `error_examples`; the most confident mistake of all labels first.
    """
    cases = {
        "FP": ~predictions.gold & predictions.decided & predictions.mask,
        "FN": predictions.gold & ~predictions.decided & predictions.mask,
    }
    # of the decision that was made: high for a false positive with a high, a false negative with a low probability
    confidence = torch.where(predictions.decided, predictions.probabilities, 1 - predictions.probabilities)

    def choose(rows: Tensor, column: int) -> Tensor:
        return rows[confidence[rows, column].argsort(descending=True, stable=True)[:each]]

    found = _examples(predictions, texts, thresholds, cases, choose)
    confident = found["probability"].where(found["case"] == "FP", 1 - found["probability"])
    return found.loc[confident.sort_values(ascending=False, kind="stable").index].reset_index(drop=True)


def _examples(
    predictions: Predictions,
    texts: Sequence[str] | None,
    thresholds: Tensor | None,
    cases: Mapping[str, Tensor],
    choose: Callable[[Tensor, int], Tensor],
) -> pd.DataFrame:
    """Tabulate chosen entries of each label and case; ``cases`` are ``(N, C)`` bool."""
    space, rows = predictions.label_space, []
    gold = predictions.gold & predictions.mask
    for column in most_positive(gold.sum(0), MOST_PAIRED).tolist():
        for case, cells in cases.items():
            found = cells[:, column].nonzero().flatten()
            for row in choose(found, column).tolist():
                content = {} if texts is None else {"text": texts[row]}
                threshold = {} if thresholds is None else {"threshold": float(thresholds[column])}
                rows.append(
                    {
                        "label": space.names[column],
                        "case": case,
                        "of": len(found),
                        "probability": float(predictions.probabilities[row, column]),
                        **threshold,
                        "id": predictions.ids[row],
                        **content,
                        "gold": ", ".join(space.decode(gold[row].tolist())),
                        "predicted": ", ".join(space.decode(predictions.decided[row].tolist())),
                    }
                )
    columns = ["label", "case", "of", "probability", "threshold", "id", "text", "gold", "predicted"]
    unknown = {"threshold": thresholds is None, "text": texts is None}
    return pd.DataFrame(rows, columns=[name for name in columns if not unknown.get(name)])
