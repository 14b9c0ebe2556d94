"""Milliseconds of one core that a batch costs under each strategy of batch selection, all probabilities refreshed.

Processor time is measured, on which other programs have little influence.

python tests/benchmarks/selection.py
"""

import argparse
from statistics import median
from time import process_time

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from mlemo.samplers import (
    AdaptiveBatchSampler,
    ChainAdaptiveBatchSampler,
    RankBatchSampler,
    SelectionSampler,
    instance_weights,
)

BATCH_SIZE = 128
LABELS = 28  # as GoEmotions has, from one in 2000 samples to one in 3
#: Strategy, rows and the most milliseconds that a batch may take, where that is asked for.
STRATEGIES: list[tuple[type[SelectionSampler], int, float | None]] = [
    (RankBatchSampler, 1_000_000, 10.0),
    (AdaptiveBatchSampler, 1_000_000, 10.0),
    (ChainAdaptiveBatchSampler, 100_000, None),
    (ChainAdaptiveBatchSampler, 1_000_000, None),
]


def labels(rows: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return (torch.rand(rows, LABELS, generator=generator) < torch.logspace(-3.3, -0.5, LABELS)).float()


def milliseconds(kind: type[SelectionSampler], rows: int, pressure: float, batches: int) -> float:
    size = labels(rows) if kind is ChainAdaptiveBatchSampler else rows
    sampler = kind(size, BATCH_SIZE, pressure, warmup_epochs=0)  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(1)
    # few losses are large, as late in a training: the case in which most proposals are refused
    sampler.update(torch.arange(rows), torch.rand(rows, generator=generator) ** 8)
    times = []
    start = process_time()
    for batch, _ in zip(sampler, range(batches + 1)):
        drawn = process_time() - start
        losses = torch.rand(len(batch), generator=generator) ** 8
        start = process_time()
        sampler.update(batch, losses)
        times.append(drawn + process_time() - start)
        start = process_time()
    return 1000 * median(times[1:])  # the first batch sorts the table, or looks for candidates


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=50)
    parser.add_argument("--neighbours", type=int, default=20_000, help="rows among which neighbours are sought")
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    table = Table("strategy", "rows", "s_e", title=f"a batch of {BATCH_SIZE}: its draw and its losses, median")
    for column in ("ms", "asked", "result"):
        table.add_column(column, justify="right")
    failed = False
    for kind, rows, mark in STRATEGIES:
        for pressure in (2.0, 64.0):
            value = milliseconds(kind, rows, pressure, arguments.batches)
            passed = mark is None or value <= mark
            failed |= not passed
            result = "" if mark is None else "pass" if passed else "FAIL"
            asked = "" if mark is None else f"≤ {mark:g}"
            table.add_row(kind.__name__, f"{rows:,}", f"{pressure:g}", f"{value:.2f}", asked, result)
    Console().print(table)

    features = torch.randn(arguments.neighbours, 384, generator=torch.Generator().manual_seed(2))
    start = process_time()
    instance_weights(features, labels(arguments.neighbours))
    seconds = process_time() - start
    Console().print(f"weights of {arguments.neighbours:,} rows with 384 features, once: {seconds:.1f} s")
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
