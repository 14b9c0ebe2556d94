"""What adaptive batch selection adds to the processor time of a whole training epoch.

Two trainings that differ in their batches alone run one after the other, with one thread; epochs of the warm-up, in
which both draw at random, are left out.

python tests/benchmarks/selection_training.py DIR      # the folder that holds bibtex/, as MULAN has it
"""

import argparse
import sys
import tempfile
from statistics import median
from time import process_time
from typing import Any

import torch
from lightning.pytorch import Callback

from mlemo.training import instantiate

WARMUP = 3
MARK = 1.10


class EpochTimes(Callback):
    """Processor seconds of the training part of each epoch."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self._start = process_time()

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        if not trainer.sanity_checking:
            self.seconds.append(process_time() - self._start)


def seconds_an_epoch(words: list[str]) -> float:
    times = EpochTimes()
    with tempfile.TemporaryDirectory() as folder:
        logged = [f"--trainer.logger.init_args.save_dir={folder}", f"--trainer.default_root_dir={folder}"]
        built: Any = instantiate([*words, *logged])
        built.trainer.callbacks.append(times)
        built.trainer.fit(built.model, datamodule=built.datamodule)
    return median(times.seconds[WARMUP:])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="folder of the folder of the dataset")
    parser.add_argument("--dataset", default="bibtex")
    parser.add_argument("--model", default="DELA")
    parser.add_argument("--epochs", type=int, default=6, help="counted ones, after the warm-up")
    options = parser.parse_args()
    torch.set_num_threads(1)
    words = ["--data=Mulan", f"--data.data_dir={options.folder}", f"--data.name={options.dataset}"]
    words += ["--data.batch_size=128", f"--model={options.model}", "--trainer.precision=32-true"]
    words += [f"--trainer.max_epochs={WARMUP + options.epochs}", "--trainer.accelerator=cpu"]
    selected = [
        "--trainer.callbacks+=BatchSelection",
        "--trainer.callbacks.strategy=mlemo.callbacks.batch_selection.Adaptive",
    ]
    plain, adaptive = (seconds_an_epoch([*words, *more]) for more in ([], selected))
    sys.stdout.write(
        f"{options.model} on {options.dataset}, processor seconds an epoch: {plain:.2f} with random batches, "
        f"{adaptive:.2f} with adaptive ones: {adaptive / plain:.3f} times (asked: ≤ {MARK})\n"
    )
    return int(adaptive / plain > MARK)


if __name__ == "__main__":
    raise SystemExit(main())
