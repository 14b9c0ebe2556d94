"""Speed of an exported folder in PyTorch and in onnxruntime, on the same texts in turns.

mlemo export RUN --output FOLDER --onnx --int8
python tests/benchmarks/runtimes.py FOLDER
"""

from __future__ import annotations

import argparse
import random
import statistics
import time

import torch

import mlemo

WORDS = ["we", "had", "such", "a", "good", "day", "what", "may", "come", "tomorrow", "or", "never", "again", "rain"]


def main() -> None:
    """Print the time per text of each runtime, the ratio to PyTorch, and the largest difference of a probability."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--texts", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--runtimes", nargs="+", default=["torch", "onnx", "int8"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng = random.Random(0)
    texts = [" ".join(rng.choices(WORDS, k=rng.randint(3, 30))) for _ in range(options.texts)]
    classifiers = {name: mlemo.load(options.folder, runtime=name) for name in options.runtimes}
    probabilities = {name: classifier.probabilities(texts) for name, classifier in classifiers.items()}  # warm
    seconds: dict[str, list[float]] = {name: [] for name in classifiers}
    for _ in range(options.rounds):
        for name, classifier in classifiers.items():
            start = time.process_time()
            classifier.probabilities(texts)
            seconds[name].append(time.process_time() - start)
    first = options.runtimes[0]
    for name, times in seconds.items():
        ratio = statistics.median(before / now for before, now in zip(seconds[first], times, strict=True))
        difference = (probabilities[name] - probabilities[first]).abs().max().item()
        each = 1000 * statistics.median(times) / len(texts)
        print(f"{name}: {each:.2f} ms per text, {ratio:.2f} times the speed of {first}, difference {difference:.1e}")


if __name__ == "__main__":
    main()
