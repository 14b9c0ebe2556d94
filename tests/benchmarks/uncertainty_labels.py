"""How often the 95 % interval of one run holds the metric of the population, where labels are rare.

python tests/benchmarks/uncertainty_labels.py methods --repeats 200    # macro-F1 by several methods
python tests/benchmarks/uncertainty_labels.py metrics --repeats 200    # metrics, by mlemo and by percentiles

The labels have the frequencies of GoEmotions; tables of coverage and mean width by the number of test rows.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import ndtr, ndtri
from torch import Tensor

from mlemo.metrics import bootstrap_interval
from mlemo.metrics.pseudo_positives import Array, PseudoPositives
from mlemo.metrics.weighted import evaluator

#: Shares of the 28 labels in the 5,427 test rows of GoEmotions.
RARE = np.array([504, 264, 198, 320, 351, 135, 153, 284, 83, 151, 267, 123, 37, 103, 78, 352, 6, 161, 238, 23, 186, 16,
                 145, 11, 56, 156, 141, 1787]) / 5427  # fmt: skip
METRICS = ("macro_f1", "macro_recall", "macro_ap", "macro_auroc", "micro_f1", "weighted_f1")
Interval = tuple[float, float, float]


@dataclass(frozen=True)
class Labels:
    """A population: labels that a system scores N(0, 1), or N(d, 1) where the label is there, and decides above a cut.

    Args:
        prevalence: ``(C,)``, share of the rows that have the label.
        distance: ``(C,)``, d.
        threshold: ``(C,)``, the cut of each label.
    """

    prevalence: Array
    distance: Array
    threshold: Array

    def draw(self, rows: int, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Targets and probabilities ``(N, C)``, decided at 0.5."""
        truth = generator.random((rows, len(self.prevalence))) < self.prevalence
        scores = generator.normal(size=truth.shape) + self.distance * truth - self.threshold
        return torch.from_numpy(truth), torch.from_numpy(ndtr(scores)).float()

    def true_value(self, metric: str) -> float:
        """The metric of infinitely many rows."""
        share, recall, alarms = self.prevalence, ndtr(self.distance - self.threshold), ndtr(-self.threshold)
        tp, fp, fn = share * recall, (1 - share) * alarms, share * (1 - recall)
        cuts = np.linspace(-8, 14, 20_001)[:, None]
        found = ndtr(self.distance - cuts)
        precision = share * found / (share * found + (1 - share) * ndtr(-cuts))
        values = {
            "macro_f1": np.mean(2 * tp / (2 * tp + fp + fn)),
            "macro_recall": np.mean(recall),
            "macro_ap": np.mean((-(precision[1:] + precision[:-1]) / 2 * np.diff(found, axis=0)).sum(0)),
            "macro_auroc": np.mean(ndtr(self.distance / np.sqrt(2))),
            "micro_f1": 2 * tp.sum() / (2 * tp + fp + fn).sum(),
            "weighted_f1": (2 * tp / (2 * tp + fp + fn) * share).sum() / share.sum(),
        }
        return float(values[metric])


def draw_labels(prevalence: Array, quality: float | Array) -> Labels:
    """Labels with this F1, precision and recall alike; 0 is a label that is never decided for."""
    f1 = np.clip(np.broadcast_to(quality, prevalence.shape), 1e-9, 1 - 1e-9)
    threshold = -ndtri(prevalence * (1 - f1) / (1 - prevalence))
    threshold[f1 < 1e-6] = 8.0
    return Labels(prevalence, np.where(f1 < 1e-6, 0.0, ndtri(f1) + threshold), threshold)


def populations() -> dict[str, Labels]:
    """What the rare labels are like."""
    rank = np.argsort(np.argsort(RARE)) / (len(RARE) - 1)
    return {
        "all .55": draw_labels(RARE, 0.55),
        "rare .15 to frequent .75": draw_labels(RARE, 0.15 + 0.6 * rank),
        "eight rarest 0, others .5": draw_labels(RARE, np.where(rank < 8 / 27, 0.0, 0.5)),
        "four rarest .9, others .5": draw_labels(RARE, np.where(rank < 4 / 27, 0.9, 0.5)),
    }


@dataclass(frozen=True)
class Coverage:
    """Shares of the test sets whose interval holds the true value, or lies above or below it, and its mean width."""

    covered: float
    above: float
    below: float
    width: float


def coverage(
    metric: str, labels: Labels, rows: int, repeats: int, resamples: int = 500, method: str = "mlemo", seed: int = 0
) -> Coverage:
    """How often the 95 % interval of a metric of one run holds the value of the population."""
    generator, true = np.random.default_rng([seed, rows]), labels.true_value(metric)
    found = []
    for repeat in range(repeats):
        targets, probabilities = labels.draw(rows, generator)
        outputs = probabilities if metric in ("macro_ap", "macro_auroc") else probabilities >= 0.5
        found.append(METHODS[method](metric, outputs, targets, resamples, repeat))
    low, _, high = np.array(found).T
    return Coverage(*(float(share.mean()) for share in ((low <= true) & (true <= high), low > true, high < true)),
                    width=float((high - low).mean()))  # fmt: skip


def _mlemo(metric: str, outputs: Tensor, targets: Tensor, resamples: int, seed: int) -> Interval:
    return bootstrap_interval(metric, outputs, targets, resamples=resamples, seed=seed)


def _resampled(metric: str, outputs: Tensor, targets: Tensor, resamples: int, seed: int) -> tuple[float, Array]:
    """The value, and that of each resample without pseudo-positives."""
    rows = len(targets)
    counts = np.random.default_rng(seed).multinomial(rows, np.full(rows, 1 / rows), resamples)
    evaluate = evaluator(metric, outputs, targets, None)
    return float(evaluate(np.ones((1, rows)))[0, 0]), evaluate(counts.astype(np.int32))[0]


def _percentile(metric: str, outputs: Tensor, targets: Tensor, resamples: int, seed: int) -> Interval:
    value, values = _resampled(metric, outputs, targets, resamples, seed)
    low, high = np.quantile(values, [0.025, 0.975])
    return low, value, high


def _basic(metric: str, outputs: Tensor, targets: Tensor, resamples: int, seed: int) -> Interval:
    low, value, high = _percentile(metric, outputs, targets, resamples, seed)
    return 2 * value - high, value, 2 * value - low


def _bca(metric: str, outputs: Tensor, targets: Tensor, resamples: int, seed: int) -> Interval:
    """Efron (1987), with the acceleration of the jackknife."""
    value, values = _resampled(metric, outputs, targets, resamples, seed)
    evaluate, rows = evaluator(metric, outputs, targets, None), len(targets)
    blocks = np.array_split(np.arange(rows), max(1, rows // 500))
    left_out = np.concatenate([evaluate(1 - np.eye(rows, dtype=np.int32)[block])[0] for block in blocks])
    moved = left_out.mean() - left_out
    acceleration = (moved**3).sum() / (6 * max((moved**2).sum(), 1e-30) ** 1.5)
    share = np.clip(((values < value).mean() + (values <= value).mean()) / 2, 0.5 / resamples, 1 - 0.5 / resamples)
    shift = ndtri(share)
    ends = shift + np.array([-1.96, 1.96])
    low, high = np.quantile(values, ndtr(shift + ends / (1 - acceleration * ends)))
    return low, value, high


def _stratified(metric: str, outputs: Tensor, targets: Tensor, resamples: int, seed: int) -> Interval:
    """Percentiles of resamples that keep the number of rows whose rarest label is each label."""
    truth = targets.numpy()
    rarity = np.argsort(np.argsort(truth.sum(0)))
    stratum = np.where(truth, rarity, truth.shape[1]).min(1)
    generator, counts = np.random.default_rng(seed), np.zeros((resamples, len(truth)), dtype=np.int32)
    for rows in (np.nonzero(stratum == each)[0] for each in np.unique(stratum)):
        counts[:, rows] = generator.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), resamples)
    evaluate = evaluator(metric, outputs, targets, None)
    low, high = np.quantile(evaluate(counts)[0], [0.025, 0.975])
    return low, float(evaluate(np.ones((1, len(truth))))[0, 0]), high


def _bayesian(metric: str, outputs: Tensor, targets: Tensor, resamples: int, seed: int) -> Interval:
    """Jeffreys's prior for each label on its own (Goutte and Gaussier 2005)."""
    generator, (rows, labels) = np.random.default_rng(seed), targets.shape
    counts = generator.multinomial(rows, np.full(rows, 1 / rows), resamples).astype(np.int32)
    own = PseudoPositives(*generator.gamma(0.5, size=(2, resamples, labels)))
    evaluate = evaluator(metric, outputs, targets, None)
    low, high = np.quantile(evaluate(counts, own)[0], [0.025, 0.975])
    return low, float(evaluate(np.ones((1, rows)))[0, 0]), high


METHODS: dict[str, Callable[[str, Tensor, Tensor, int, int], Interval]] = {
    "percentile": _percentile,
    "basic": _basic,
    "BCa": _bca,
    "stratified": _stratified,
    "Bayesian per label": _bayesian,
    "mlemo": _mlemo,
}


def print_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table in Markdown, each row as soon as it is there."""
    for line in (head, ["--"] * len(head)):
        print("| " + " | ".join(line) + " |", flush=True)
    for line in rows:
        print("| " + " | ".join(line) + " |", flush=True)


def _cells(metric: str, labels: Labels, sizes: Sequence[int], method: str, settings: tuple[int, int]) -> Iterator[str]:
    for size in sizes:
        found = coverage(metric, labels, size, *settings, method)
        yield f"{found.covered:.2f} ({found.width:.3f})"


def main() -> None:
    """Print a table of coverage."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("what", choices=("methods", "metrics"))
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--resamples", type=int, default=500)
    options = parser.parse_args()
    settings, sizes = (options.repeats, options.resamples), (100, 500, 2000, 5427)
    if options.what == "methods":
        cases = [("macro_f1", method, sizes[:3] if method == "BCa" else sizes) for method in METHODS]  # N² entries
    else:
        cases = [(metric, method, sizes[:3]) for metric in METRICS for method in ("percentile", "mlemo")]
    rows = (
        [name, metric, method, *_cells(metric, labels, some, method, settings)]
        for name, labels in populations().items()
        for metric, method, some in cases
    )
    print_table(["F1 of the labels", "metric", "interval", *(f"N = {size}" for size in sizes)], rows)


if __name__ == "__main__":
    main()
