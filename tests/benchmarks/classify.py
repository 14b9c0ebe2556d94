"""Speed of `mlemo classify` beside transformers' pipeline, its decisions in bfloat16, and its memory.

python tests/benchmarks/classify.py speed --ckpt RUN --data-dir DIR
python tests/benchmarks/classify.py memory --rows 10000 1000000
"""

from __future__ import annotations

import argparse
import csv
import logging
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import torch
from lightning.pytorch import Trainer
from transformers import AutoModelForSequenceClassification, pipeline

from mlemo.data import SemEval2018
from mlemo.inference import Classifier, load
from mlemo.models import TransformerClassifier
from mlemo.nn.encoder import FromScratch

ASKED = {"float32": 1.6, "bfloat16": 3.0}  # times as fast as the pipeline
EQUAL = 0.999  # of the decisions in bfloat16 and float32
BATCH_SIZES = (1, 4, 8, 16, 32, 64)  # of the pipeline
BLOCK = 1000  # texts of a turn, about a part of a file
FLAT = 1.1  # most memory of many rows, as a multiple of that of few

Side = Callable[[Sequence[str]], object]


def hugging_face(classifier: Classifier) -> Callable[[int], Side]:
    """The pipeline with the encoder of a classifier and a head of its size, by batch size."""
    encoder = classifier.model.encoder
    model = AutoModelForSequenceClassification.from_config(encoder.config, dtype=torch.float32)
    model.config.num_labels = len(classifier.labels)
    model.base_model.load_state_dict(encoder.state_dict(), strict=False)
    tokenizer = classifier.model.tokenizer
    pipe = pipeline("text-classification", model=model.eval(), tokenizer=tokenizer, top_k=None, device="cpu")
    return lambda size: lambda texts: pipe(list(texts), batch_size=size, function_to_apply="sigmoid", truncation=True)


def seconds(side: Side, texts: Sequence[str]) -> float:
    """Processor time of all threads."""
    began = time.process_time()
    side(texts)
    return time.process_time() - began


def speed(options: argparse.Namespace) -> bool:
    """Print processor times and ratios; return whether all marks are met."""
    torch.set_num_threads(options.threads)
    texts = SemEval2018(data_dir=options.data_dir).corpus("test").texts[: options.texts]
    single, half = load(options.ckpt), load(options.ckpt)
    of_size = hugging_face(single)
    single.accelerate()
    half.accelerate(torch.bfloat16)

    sample = texts[:: max(1, len(texts) // 100)]
    of_size(8)(sample[:50])
    sizes = {size: seconds(of_size(size), sample) for size in BATCH_SIZES}
    best = min(sizes, key=lambda size: sizes[size])
    print(f"pipeline, seconds by batch size: {', '.join(f'{size}: {value:.2f}' for size, value in sizes.items())}")

    sides = {"pipeline": of_size(best), "float32": single.probabilities, "bfloat16": half.probabilities}
    times: dict[str, list[float]] = {name: [] for name in sides}
    blocks = [texts[start : start + BLOCK] for start in range(0, len(texts), BLOCK)]
    for block in blocks * options.rounds:
        for name, side in sides.items():
            times[name].append(seconds(side, block))
    met = True
    for name, asked in ASKED.items():
        ratios = [theirs / ours for theirs, ours in zip(times["pipeline"], times[name], strict=True)]
        low, _, high = torch.tensor(ratios).quantile(torch.tensor([0.25, 0.5, 0.75])).tolist()
        ratio, rate = median(ratios), len(blocks[0]) / median(times[name][:: len(blocks)])
        met &= ratio >= asked
        print(
            f"{name}: {ratio:.2f} [{low:.2f}, {high:.2f}] times the pipeline (batch size {best}), asked {asked}; "
            f"{rate:.0f} texts per second of processor time, {options.threads} threads"
        )
    expected, found = (side.rule.predict(side.probabilities(texts)) for side in (single, half))
    equal = (expected == found).float().mean().item()
    print(f"bfloat16 decides {equal:.2%} of {found.numel():,} labels as float32, asked {EQUAL:.1%}")
    return met and equal >= EQUAL


def memory(options: argparse.Namespace) -> bool:
    """Print the peak memory of the command by number of rows; return whether it is flat."""
    peaks = []
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        words = [
            "so",
            "glad",
            "and",
            "then",
            "it",
            "rained",
            "all",
            "day",
            "on",
            "the",
            "old",
            "house",
            "by",
            "the",
            "sea",
        ]
        model = TransformerClassifier(["joy", "fear"], FromScratch(layers=1, width=16, heads=2, vocabulary=80))
        model.build(lambda: words)
        trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False)
        trainer.strategy.connect(model)
        trainer.save_checkpoint(folder / "best.ckpt")
        for rows in options.rows:
            with (folder / "in.csv").open("w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(["id", "text"])
                writer.writerows([row, " ".join(words[row % 9 : row % 9 + row % 6 + 1])] for row in range(rows))
            command = ["classify", "--ckpt", str(folder), "--file", str(folder / "in.csv")]
            command += ["--output", str(folder / f"out{options.suffix}"), "--overwrite"]
            began = time.perf_counter()
            done = subprocess.run(
                [sys.executable, __file__, "child", *command],
                stdout=subprocess.PIPE, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
            )  # fmt: skip
            peaks.append(int(done.stdout.split()[-1]) / 1024)
            print(f"{rows:,} rows: peak RSS {peaks[-1]:,.0f} MiB, {time.perf_counter() - began:.0f} s", flush=True)
    print(f"ratio {peaks[-1] / peaks[0]:.3f}, asked at most {FLAT}")
    return peaks[-1] <= FLAT * peaks[0]


def child(words: Sequence[str]) -> None:
    """Run a command and print the peak memory of this process in KiB."""
    from mlemo.cli import main as mlemo

    mlemo(words)
    lines = Path("/proc/self/status").read_text().splitlines()
    print(next(line.split()[1] for line in lines if line.startswith("VmHWM:")))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("speed")
    one.set_defaults(run=speed)
    one.add_argument("--ckpt", required=True, help="run of a TransformerClassifier on SemEval-2018 English")
    one.add_argument("--data-dir", required=True, help="folder with the files of SemEval-2018 E-c")
    one.add_argument("--texts", type=int, default=2000)
    one.add_argument("--rounds", type=int, default=3)
    one.add_argument("--threads", type=int, default=1)
    other = commands.add_parser("memory")
    other.set_defaults(run=memory)
    other.add_argument("--rows", type=int, nargs="+", default=[10_000, 1_000_000])
    other.add_argument("--suffix", default=".csv", help="of the output")
    other.add_argument("--folder", help="where the files are written; default: a temporary folder")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    return 0 if options.run(options) else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(sys.argv[2:])
    else:
        raise SystemExit(main())
