"""Decision rules against the default one on finished runs: paired differences per corpus, and over all corpora.

python tests/benchmarks/default_rule.py english=runs/english/version_0 arabic=runs/arabic/version_0

Each argument is a corpus and the folder of a tested run on it. Every rule is fitted on the run's validation predictions
and scored on its test predictions. Prints two tables in Markdown per metric: the mean difference over the corpora with
its 95 % interval (Student's distribution, corpora as a sample), and the difference on each corpus with its paired 95 %
bootstrap interval over the texts.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy import stats

from mlemo.experiments.rules import RULES
from mlemo.metrics import Comparison, holm, wilcoxon
from mlemo.metrics.compare import paired_bootstrap
from mlemo.metrics.intervals import annotated_samples, bootstrap_values
from mlemo.metrics.weighted import WeightedMetrics
from mlemo.runs.predictions import read_predictions
from mlemo.thresholds import Calibrated, CrossFittedThreshold, ExpectedF1, GlobalThreshold, ThresholdRule

METRICS = ("jaccard", "micro_f1", "macro_f1")
DEFAULT = "default: per class, F1, 5 folds"
EQUAL_TO_DEFAULT = "per class, F1, 5 folds"
CANDIDATES: dict[str, ThresholdRule] = {
    DEFAULT: CrossFittedThreshold(),
    **{name: rule for name, rule in RULES.items() if name != EQUAL_TO_DEFAULT},
    "one cut, micro-F1": GlobalThreshold("micro_f1"),
    "largest expected F1, temperature": Calibrated(ExpectedF1()),
    "largest expected F1, Platt": Calibrated(ExpectedF1(), method="platt"),
    "largest expected F1, temperature per class": Calibrated(ExpectedF1(), per_class=True),
    "largest expected F1, Platt per class": Calibrated(ExpectedF1(), per_class=True, method="platt"),
    "largest expected F1, beta per class": Calibrated(ExpectedF1(), per_class=True, method="beta"),
    "largest expected F1, isotonic per class": Calibrated(ExpectedF1(), per_class=True, method="isotonic"),
    "one cut, Jaccard, Platt per class": Calibrated(GlobalThreshold("jaccard"), per_class=True, method="platt"),
    "one cut, macro-F1, Platt per class": Calibrated(GlobalThreshold("macro_f1"), per_class=True, method="platt"),
}

Differences = dict[str, dict[str, dict[str, Comparison]]]  #: by metric, rule and corpus


def values_of_rules(run: Path, rules: Mapping[str, ThresholdRule], resamples: int) -> dict[str, np.ndarray]:
    """Values ``(metrics, 1 + resamples)`` of each rule on a run's test rows and on the same resamples of them."""
    val, test = (read_predictions(run / f"predictions_{split}.csv") for split in ("val", "test"))
    values = {}
    for name, rule in rules.items():
        fitted = copy.deepcopy(rule).fit(val.probabilities, val.gold, val.mask)
        (decisions,), truth, mask = annotated_samples(fitted.predict(test.probabilities)[None], test.gold, test.mask)
        values[name] = bootstrap_values(
            WeightedMetrics(METRICS, truth, mask, decisions), truth.shape, resamples, seed=0
        )
    return values


def differences_of(runs: Mapping[str, Path], resamples: int) -> tuple[dict[str, dict[str, float]], Differences]:
    """Mean over corpora of the default rule by metric, and the differences of the other rules from it."""
    scores: dict[str, dict[str, float]] = {metric: {} for metric in METRICS}
    found: Differences = {metric: {name: {} for name in CANDIDATES if name != DEFAULT} for metric in METRICS}
    for corpus, run in runs.items():
        values = values_of_rules(run, CANDIDATES, resamples)
        for place, metric in enumerate(METRICS):
            scores[metric][corpus] = float(values[DEFAULT][place, 0])
            for name in found[metric]:
                found[metric][name][corpus] = paired_bootstrap(values[name][place], values[DEFAULT][place])
    return scores, found


def over_corpora(found: Mapping[str, Mapping[str, Comparison]]) -> list[list[str]]:
    """Rows of rule, mean difference with interval, corpora significantly above and below, and corrected Wilcoxon p."""
    differences = {name: np.array([each.difference for each in by.values()]) for name, by in found.items()}
    p = holm([wilcoxon(values, np.zeros_like(values)).p for values in differences.values()])
    rows = []
    for (name, values), corrected in zip(differences.items(), p):
        half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
        above = sum(each.low > 0 for each in found[name].values())
        below = sum(each.high < 0 for each in found[name].values())
        mean = values.mean()
        interval = f"{mean:+.3f} [{mean - half:+.3f}, {mean + half:+.3f}]"
        rows.append([name, interval, str(above), str(below), f"{corrected:.3f}"])
    return rows


def print_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table in Markdown."""
    for line in (head, ["--"] * len(head), *rows):
        print("| " + " | ".join(line) + " |")
    print()


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("runs", nargs="+", metavar="CORPUS=RUN", help="name of a corpus and folder of a tested run")
    parser.add_argument("--resamples", type=int, default=1000)
    options = parser.parse_args()
    pairs = [each.partition("=") for each in options.runs]
    if len(pairs) < 2 or not all(folder for *_, folder in pairs) or len({name for name, *_ in pairs}) < len(pairs):
        parser.error(f"expected CORPUS=RUN for at least two corpora with different names, found {options.runs}")
    scores, found = differences_of({name: Path(folder) for name, _, folder in pairs}, options.resamples)
    for metric in METRICS:
        mean = np.mean(list(scores[metric].values()))
        print(f"{metric}, {len(pairs)} corpora, minus the default (mean {mean:.3f}):\n")
        print_table(["rule", "mean [95 %]", "above", "below", "p (Wilcoxon, Holm)"], over_corpora(found[metric]))
    for metric in METRICS:
        print(f"{metric} per corpus, minus the default:\n")
        head = ["rule", *(f"{corpus} ({score:.3f})" for corpus, score in scores[metric].items())]
        print_table(head, (
            [name, *(f"{each.difference:+.3f} [{each.low:+.3f}, {each.high:+.3f}]" for each in by.values())]
            for name, by in found[metric].items()
        ))  # fmt: skip


if __name__ == "__main__":
    main()
