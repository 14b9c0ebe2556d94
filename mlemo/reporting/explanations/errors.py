"""Examples of correct and wrong decisions of a run, per label."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import torch

from mlemo.callbacks.label_figures import most_positive
from mlemo.reporting.explanations.correlation import MOST_PAIRED
from mlemo.runs.predictions import Predictions

__all__ = ["error_examples"]


def error_examples(predictions: Predictions, texts: Sequence[str] | None, each: int = 3, seed: int = 0) -> pd.DataFrame:
    """Draw true positives, false positives and false negatives of each label (Alrasheedy et al. 2026, Table 13).

    Of many labels, the `MOST_PAIRED` with the most positives have examples.

    Args:
        predictions: Predictions of the run; entries that are not annotated are left out.
        texts: Texts of the rows, if known.
        each: Largest number of examples per case and label, drawn at random.
        seed: Seed of the draw.

    Returns:
        Columns ``label``, ``case``, ``of`` (number of samples of this case), ``probability``, ``id``, ``text`` (if
        known), ``gold``, ``predicted``.
    """
    names = predictions.label_space.names
    gold, decided = predictions.gold & predictions.mask, predictions.decided & predictions.mask
    cases = {"TP": gold & decided, "FP": ~predictions.gold & decided, "FN": gold & ~decided}
    draw = torch.Generator().manual_seed(seed)
    rows = []
    for column in most_positive(gold.sum(0), MOST_PAIRED).tolist():
        label = names[column]
        for case, cells in cases.items():
            found = cells[:, column].nonzero().flatten()
            for row in found[torch.randperm(len(found), generator=draw)[:each]].sort().values.tolist():
                content = {} if texts is None else {"text": texts[row]}
                rows.append(
                    {
                        "label": label,
                        "case": case,
                        "of": len(found),
                        "probability": float(predictions.probabilities[row, column]),
                        "id": predictions.ids[row],
                        **content,
                        "gold": ", ".join(predictions.label_space.decode(gold[row].tolist())),
                        "predicted": ", ".join(predictions.label_space.decode(predictions.decided[row].tolist())),
                    }
                )
    columns = ["label", "case", "of", "probability", "id", *([] if texts is None else ["text"]), "gold", "predicted"]
    return pd.DataFrame(rows, columns=columns)
