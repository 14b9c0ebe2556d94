"""Processor milliseconds per training step of two checkouts, which share one core, so that both meet the same load.

python tests/benchmarks/checkouts.py OLD NEW --core 0 --steps 60 -- fit --data … --model …
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from statistics import mean, median

WARM_UP = 5  # steps that do not count


def train(words: list[str], out: Path) -> None:
    """Train in this process, and write when each step began, in processor seconds."""
    import torch
    from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop

    from mlemo.cli import main as mlemo

    torch.set_num_threads(1)
    begun: list[float] = []
    advance = _TrainingEpochLoop.advance

    def timed(self: _TrainingEpochLoop, *args: object) -> None:
        begun.append(time.process_time())
        advance(self, *args)

    _TrainingEpochLoop.advance = timed  # type: ignore[method-assign]
    mlemo(words)
    out.write_text(json.dumps([later - earlier for earlier, later in pairwise(begun)]))


def main() -> None:
    """Start both trainings at once on one core, and print the ratio of their steps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkouts", nargs=2, type=Path, metavar="OLD NEW")
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)  # what the children are called with
    split = sys.argv.index("--")
    options, words = parser.parse_args(sys.argv[1:split]), sys.argv[split + 1 :]
    words += [
        f"--trainer.limit_train_batches={options.steps}", "--trainer.max_epochs=1", "--trainer.limit_val_batches=0",
        "--trainer.accelerator=cpu", "--trainer.precision=32-true", "--test_after_fit=false",
        "--checkpoint.save_top_k=0", "--last_checkpoint.save_top_k=0", "--early_stopping.strict=false",
        "--trainer.enable_model_summary=false",
    ]  # fmt: skip
    if options.train is not None:
        train(words, options.train)
        return
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ("old.json", "new.json")]
        children = []
        for checkout, file in zip(options.checkouts, files):
            arguments = [*map(str, options.checkouts), f"--steps={options.steps}", f"--train={file}", "--", *words]
            place = f"--trainer.logger.init_args.save_dir={file}.runs"
            environment = {**os.environ, "PYTHONPATH": str(checkout.resolve()), "OMP_NUM_THREADS": "1"}
            command = [sys.executable, __file__, *arguments, place]
            children.append(subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL))
            os.sched_setaffinity(children[-1].pid, {options.core})
        for child in children:
            child.wait()
        old, new = (json.loads(file.read_text())[WARM_UP:] for file in files)
    print(f"old {1e3 * mean(old):.1f} ms, new {1e3 * mean(new):.1f} ms per step of the processor")
    print(f"new / old: mean {mean(new) / mean(old):.3f}, median {median(new) / median(old):.3f}")


if __name__ == "__main__":
    main()
