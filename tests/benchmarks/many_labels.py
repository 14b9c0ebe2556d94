"""Seconds and memory of a run with thousands of labels: fit, test, comparison, report, and each decision rule.

OMP_NUM_THREADS=1 python tests/benchmarks/many_labels.py --labels 10000 --rows 20000 \\
    --most-seconds 1000 --most-memory 10

That took 853 s of one thread of an AVX-512 processor and 9.3 GB (30 November 2026): 172 s for fit, 105 s for test, 121
s for the comparison, 381 s for the report, and 73 s for the rules; the runs of the study that is reported are processes
of their own and not counted. It exits with 1 above the marks.

The features and labels are invented: each row has some ten labels, of which few are frequent and most are rare, and its
features are the sum of its labels' vectors with noise. Three fifths of the rows are for training, one fifth each for
validation and test. `mlemo fit` and `mlemo test` run as from the command line, with all that a run writes and draws.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import torch
import yaml
from rich.console import Console
from rich.table import Table
from torch import Tensor

from mlemo.cli import main as mlemo
from mlemo.data import Corpus, EmotionDataModule, Split
from mlemo.labels import LabelSpace
from mlemo.thresholds import (
    CrossFittedThreshold,
    ExpectedF1,
    FixedThreshold,
    GlobalThreshold,
    PerClassThreshold,
    ThresholdAveraging,
    ThresholdRule,
)

WIDTH = 64
RULES: list[ThresholdRule] = [
    FixedThreshold(),
    ExpectedF1(),
    GlobalThreshold("jaccard"),
    ThresholdAveraging(),
    PerClassThreshold(),
    CrossFittedThreshold(),
]


class ManyLabels(EmotionDataModule):
    """Invented rows.

    Args:
        labels: C.
        rows: N, of all splits together.
        kwargs: Settings of `EmotionDataModule`.
    """

    def __init__(self, labels: int = 10_000, rows: int = 2_000, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.labels, self.rows = labels, rows

    @property
    def label_space(self) -> LabelSpace:
        return LabelSpace(tuple(f"label {number}" for number in range(self.labels)))

    def read(self, split: Split) -> Corpus:
        rows = self.rows // 5 * (3 if split == "train" else 1)
        vectors = torch.randn(self.labels, WIDTH, generator=torch.Generator().manual_seed(9))
        generator = torch.Generator().manual_seed(("train", "val", "test").index(split))
        frequency = 1 / torch.arange(5.0, self.labels + 5)  # like that of the words of a language
        count = min(10, self.labels)  # in blocks, as multinomial holds several tensors of rows × labels
        blocks = [frequency.expand(len(block), -1) for block in torch.arange(rows).split(1000)]
        drawn = torch.cat([torch.multinomial(block, count, generator=generator) for block in blocks])
        features = vectors[drawn].sum(1) + torch.randn(rows, WIDTH, generator=generator)
        hot = torch.zeros(rows, self.labels).scatter_(1, drawn, 1.0)
        return Corpus(self.label_space, hot, [f"{split}-{row}" for row in range(rows)], features=features)


def two_losses(labels: int, rows: int, epochs: int) -> dict[str, Any]:
    """A study of two runs."""
    corpus = {"class_path": f"{Path(__file__).stem}.ManyLabels", "init_args": {"labels": labels, "rows": rows}}
    trainer = {"max_epochs": epochs, "precision": "32-true", "accelerator": "cpu"}
    settings = {"data": corpus, "data.batch_size": 32, "model": "FrozenHead", "trainer": trainer}
    return {
        "title": "Two losses, many labels",
        "paper": "none",
        "metrics": {"Macro-F1": "macro_f1", "Jaccard": "jaccard", "Macro-F1 tuned": "tuned_macro_f1"},
        "class_metrics": {"F1": "f1"},
        "scales": {"small": {"set": settings, "seeds": [1]}},
        "varies": {
            "loss": {"BCE": {"model.loss": "BinaryCrossEntropy"}, "Ranking": {"model.loss": "PairwiseRankingLoss"}}
        },
        "figures": [
            {"kind": "point", "title": "Macro-F1", "metric": "Macro-F1", "across": "loss"},
            {"kind": "class_gain", "title": "Gain per class", "metric": "F1", "across": "loss", "baseline": "BCE"},
        ],
    }


def outputs(rows: int, labels: int) -> tuple[Tensor, Tensor]:
    """Probabilities and targets of a model that knows something."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.rand(rows, labels, generator=generator) < 10 / labels
    return torch.sigmoid(torch.randn(rows, labels, generator=generator) + 3 * targets - 6), targets


def peak() -> float:
    """Largest memory of this process so far, GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=2_000)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--loss", default="PairwiseRankingLoss")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--most-seconds", type=float, default=300.0, help="of processor time, of all steps together")
    parser.add_argument("--most-memory", type=float, default=8.0, help="in GB")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    test_rows = options.rows // 5
    title = f"{options.labels:,} labels, {options.rows:,} rows ({test_rows:,} in test), {options.threads} threads"
    table = Table("what", title=title)
    for column in ("seconds", "processor seconds", "peak so far [GB]"):
        table.add_column(column, justify="right")
    total = 0.0

    def add(name: str, call: Callable[[], Any]) -> None:
        nonlocal total
        start, busy = perf_counter(), process_time()
        call()
        spent = process_time() - busy
        total += spent
        table.add_row(name, f"{perf_counter() - start:.1f}", f"{spent:.1f}", f"{peak():.2f}")

    table.add_row("imports", "", "", f"{peak():.2f}")
    with tempfile.TemporaryDirectory() as folder:
        data = [
            f"--data={Path(__file__).stem}.ManyLabels",
            f"--data.labels={options.labels}",
            f"--data.rows={options.rows}",
        ]
        place = [f"--trainer.logger.init_args.save_dir={folder}"]
        words = [*data, "--data.batch_size=32", "--model=FrozenHead", f"--model.loss={options.loss}", *place]
        words += [f"--trainer.max_epochs={options.epochs}", "--trainer.precision=32-true"]
        words += ["--trainer.accelerator=cpu", "--seed_everything=1"]
        add(f"mlemo fit, {options.epochs} epochs", lambda: mlemo(["fit", *words, "--test_after_fit=false"]))
        (best,) = Path(folder).rglob("best.ckpt")
        add("mlemo test", lambda: mlemo(["test", *data, f"--ckpt_path={best}", *place]))
        (predictions,) = Path(folder).rglob("predictions_test.csv")
        run = str(predictions.parent)
        add("mlemo compare", lambda: mlemo(["compare", f"a={run}", f"b={run}"]))
        study = Path(folder) / "many.yaml"
        study.write_text(yaml.safe_dump(two_losses(options.labels, options.rows, options.epochs)))
        at = [str(study), "--scale=small", f"--folder={folder}/studies"]
        add("mlemo reproduce, two runs in processes of their own", lambda: mlemo(["reproduce", *at]))
        add("mlemo report of them", lambda: mlemo(["report", *at, f"--output={folder}/report"]))

    probabilities, targets = outputs(test_rows, options.labels)
    for rule in RULES:
        add(rule.describe(), lambda rule=rule: rule.fit(probabilities, targets).predict(probabilities))  # type: ignore[misc]
    table.add_row("all", "", f"{total:.1f}", f"{peak():.2f}")
    Console().print(table)
    return int(total > options.most_seconds or peak() > options.most_memory)


if __name__ == "__main__":
    raise SystemExit(main())
