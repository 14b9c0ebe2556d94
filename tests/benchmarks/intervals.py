"""Seconds for bootstrap intervals of all metrics.

python tests/benchmarks/intervals.py --rows 3259 --labels 11 --resamples 5000 --threads 2

For comparison, torchmetrics' BootStrapper around one metric, fed in batches of 32; a few resamples, scaled up.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from functools import partial
from time import perf_counter, process_time
from typing import Any

MARK = 10.0  # seconds for all metrics with the default settings


def seconds(call: Callable[[], Any]) -> tuple[float, float]:
    """By the clock, and of all processors together; the second tells whether the machine was busy elsewhere."""
    start, busy = perf_counter(), process_time()
    call()
    return perf_counter() - start, process_time() - busy


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=3259)
    parser.add_argument("--labels", type=int, default=11)
    parser.add_argument("--resamples", type=int, default=5000)
    parser.add_argument("--threads", type=int, default=2, help="threads of the matrix products")
    parser.add_argument("--wrapper-resamples", type=int, default=10, help="resamples of BootStrapper; 0 leaves it out")
    options = parser.parse_args()
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(options.threads)  # read when numpy and torch are imported

    import torch
    from rich.console import Console
    from rich.table import Table
    from torchmetrics.classification import MultilabelF1Score
    from torchmetrics.wrappers import BootStrapper

    from mlemo.metrics import bootstrap_interval, bootstrap_intervals, compare

    torch.set_num_threads(options.threads)
    generator = torch.Generator().manual_seed(0)
    shape = (options.rows, options.labels)
    targets = torch.rand(shape, generator=generator) < torch.linspace(0.05, 0.45, options.labels)
    first, second = (torch.sigmoid(torch.randn(shape, generator=generator) + 2 * targets - 1.5) for _ in range(2))
    count = options.resamples

    table = Table("what", title=f"{count} resamples of {options.rows} × {options.labels}, {options.threads} threads")
    table.add_column("seconds", justify="right")
    table.add_column("processor seconds", justify="right")

    def add(name: str, call: Callable[[], Any], factor: float = 1.0) -> float:
        times = seconds(call)
        table.add_row(name, *(f"{factor * value:.2f}" for value in times))
        return times[0]

    all_metrics = add("bootstrap_intervals: all metrics", lambda: bootstrap_intervals(first, targets, resamples=count))
    for name, given in (
        ("macro_f1", first >= 0.5),
        ("jaccard", first >= 0.5),
        ("macro_ap", first),
        ("micro_ap", first),
    ):
        add(f"bootstrap_interval: {name}", partial(bootstrap_interval, name, given, targets, resamples=count))
    for method in ("bootstrap", "randomization"):
        for name, pair in (("macro_f1", (first >= 0.5, second >= 0.5)), ("macro_ap", (first, second))):
            call = partial(compare, name, *pair, targets, method=method, resamples=count)
            add(f"compare, {method}: {name}", call)
    if options.wrapper_resamples:
        wrapper = BootStrapper(
            MultilabelF1Score(options.labels, average="macro"), num_bootstraps=options.wrapper_resamples, quantile=None
        )

        def wrapped() -> None:
            for rows in torch.arange(options.rows).split(32):
                wrapper.update(first[rows], targets[rows].long())
            wrapper.compute()

        scaled = f"BootStrapper: macro F1 alone, scaled from {options.wrapper_resamples} resamples"
        add(scaled, wrapped, factor=count / options.wrapper_resamples)
    Console().print(table)
    return int(all_metrics > MARK)


if __name__ == "__main__":
    raise SystemExit(main())
