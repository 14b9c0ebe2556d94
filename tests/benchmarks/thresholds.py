"""Seconds to fit each decision rule on 50,000 × 28 probabilities and to decide by it, on one core.

python tests/benchmarks/thresholds.py
"""

from collections.abc import Callable
from time import process_time
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from mlemo.thresholds import (
    AtLeastOne,
    Calibrated,
    ConformalRiskControl,
    CostSensitive,
    ExpectedF1,
    FixedThreshold,
    GlobalThreshold,
    PerClassThreshold,
    ThresholdAveraging,
    ThresholdRule,
    TopK,
)

ROWS, LABELS, REPEATS = 50_000, 28, 5
#: Rule and the most seconds that fit and predict together may take, where that is asked for.
RULES: list[tuple[ThresholdRule, float | None]] = [
    (PerClassThreshold(), 0.5),
    (PerClassThreshold(shrinkage=0.5, cross_fit=5), None),
    (PerClassThreshold("micro_f1"), None),
    (PerClassThreshold("jaccard"), None),
    (GlobalThreshold("macro_f1"), None),
    (GlobalThreshold("jaccard"), None),
    (ThresholdAveraging(), None),
    (ExpectedF1(), 5.0),
    (TopK(2), None),
    (AtLeastOne(FixedThreshold()), None),
    (Calibrated(FixedThreshold()), None),
    (Calibrated(FixedThreshold(), per_class=True), None),
    (Calibrated(FixedThreshold(), per_class=True, method="platt"), None),
    (Calibrated(FixedThreshold(), per_class=True, method="beta"), None),
    (Calibrated(FixedThreshold(), per_class=True, method="isotonic"), None),
    (CostSensitive(method="empirical"), None),
    (ConformalRiskControl(), None),
]


def sample() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    targets = torch.rand(ROWS, LABELS, generator=generator) < 0.05
    return torch.sigmoid(torch.randn(ROWS, LABELS, generator=generator) + 2 * targets - 3), targets


def seconds(call: Callable[[], Any]) -> float:
    """The least processor time of several calls, which other work on the machine lengthens least."""
    times = []
    for _ in range(REPEATS):
        start = process_time()
        call()
        times.append(process_time() - start)
    return min(times)


def main() -> int:
    torch.set_num_threads(1)
    probabilities, targets = sample()
    table = Table("rule", title=f"{ROWS:,} × {LABELS}, best of {REPEATS}")
    for column in ("fit [s]", "predict [s]", "asked", "result"):
        table.add_column(column, justify="right")
    failed = False
    for rule, mark in RULES:
        fit = seconds(lambda rule=rule: rule.fit(probabilities, targets))  # type: ignore[misc]
        predict = seconds(lambda rule=rule: rule.predict(probabilities))  # type: ignore[misc]
        passed = mark is None or fit + predict <= mark
        failed |= not passed
        result = "" if mark is None else "pass" if passed else "FAIL"
        table.add_row(rule.describe(), f"{fit:.3f}", f"{predict:.3f}", "" if mark is None else f"≤ {mark}", result)
    Console().print(table)
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
