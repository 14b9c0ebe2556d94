"""Average precision and AUROC for many weightings of the samples, from entries that are sorted once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlemo.metrics.pseudo_positives import Array

__all__ = ["Ranking"]


@dataclass(frozen=True)
class Ranking:
    """Entries of one label (or of all labels) by descending score, each given by the row of its sample.

    Equal scores form a group; only groups with a positive entry change the average precision and the AUROC.

    Args:
        rows: Row of each annotated entry.
        positive_rows: Row of each positive entry.
        first: Position in ``rows`` of the first entry of each group with a positive entry.
        last: Position in ``rows`` of its last entry.
        last_positive: Position in ``positive_rows`` of its last positive entry.
    """

    rows: Array
    positive_rows: Array
    first: Array
    last: Array
    last_positive: Array

    @classmethod
    def of(cls, scores: Array, truth: Array, annotated: Array) -> Ranking:
        """Sort the entries of matrices ``(N, labels)``."""
        rows = np.nonzero(annotated)[0]
        scores, truth = scores[annotated], truth[annotated]
        order = np.argsort(-scores, kind="stable")
        rows, scores, truth = rows[order], scores[order], truth[order]
        starts = np.nonzero(np.diff(scores, prepend=np.inf))[0]
        ends = np.append(starts[1:], len(scores)) - 1 if len(starts) else starts
        positives = truth.cumsum()
        holds = np.diff(positives[ends], prepend=0) > 0
        return cls(rows, rows[truth], starts[holds], ends[holds], positives[ends[holds]] - 1)

    def areas(self, counts: Array) -> Array:
        """Return average precision and AUROC, ``(2, R)``; NaN where the weighted entries have one value only."""
        if not 0 < len(self.positive_rows) < len(self.rows):
            return np.full((2, len(counts)), np.nan)
        seen = np.take(counts, self.rows, axis=1).cumsum(axis=1, dtype=np.int32)
        hits = np.take(counts, self.positive_rows, axis=1).cumsum(axis=1, dtype=np.int32)
        positives, negatives = hits[:, -1].astype(np.float64), (seen[:, -1] - hits[:, -1]).astype(np.float64)
        tp, both = hits[:, self.last_positive], seen[:, self.last]
        gained = np.diff(tp, axis=1, prepend=0).astype(np.float64)  # products of counts are too large for int32
        before = np.where(self.first > 0, seen[:, self.first - 1], 0) - tp + gained  # negatives above the group
        with np.errstate(invalid="ignore"):
            precision = (gained * tp / np.maximum(both, 1)).sum(axis=1) / positives
            misplaced = (gained * (before + both - tp)).sum(axis=1) / 2  # a tie is half misplaced
            areas = np.stack([precision, 1 - misplaced / (positives * negatives)])
        areas[:, (positives == 0) | (negatives == 0)] = np.nan
        return areas
