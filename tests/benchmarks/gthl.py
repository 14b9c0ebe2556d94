"""What graph, label transformer, fusion and hybrid loss of GTHL-Emo add to a training step of encoder and linear head.

Both models have the same encoder with random weights and see the same batches, in turn, in one process; compared is the
median of the ratios of neighbouring steps (forward, loss, backward, clipping, AdamW).

python tests/benchmarks/gthl.py --steps 20
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from statistics import median
from time import perf_counter, process_time

import torch
from rich.console import Console
from rich.table import Table

from mlemo.batch import Batch
from mlemo.losses import (
    BinaryCrossEntropy,
    DynamicWeightAverage,
    FixedWeights,
    GradNorm,
    GTHLController,
    HybridLoss,
    WeightController,
)
from mlemo.models import GTHLEmo, TransformerClassifier
from mlemo.models.base import MultiLabelModel
from mlemo.nn.encoder import FromScratch

MARK = 1.15  # at batch 16, length 64 and an encoder of 6 layers x 384
CONTROLLERS: tuple[type[WeightController], ...] = (GTHLController, FixedWeights, GradNorm, DynamicWeightAverage)
LABELS = tuple(f"label {number}" for number in range(11))


def batches(count: int, size: int, length: int, vocabulary: int, device: torch.device) -> list[Batch]:
    generator = torch.Generator().manual_seed(0)
    made: list[Batch] = []
    for number in range(count):
        batch: Batch = {
            "input_ids": torch.randint(5, vocabulary, (size, length), generator=generator),
            "attention_mask": torch.ones(size, length, dtype=torch.long),
            "labels": (torch.rand(size, len(LABELS), generator=generator) < 0.2).float(),
            "label_mask": torch.ones(size, len(LABELS), dtype=torch.bool),
            "index": torch.arange(size) + number * size,
        }
        made.append({name: tensor.to(device) for name, tensor in batch.items()})  # type: ignore[misc]
    return made


def stepper(model: MultiLabelModel, precision: str, device: torch.device) -> Callable[[Batch], None]:
    model.to(device).train()
    optimizer, _ = model.optimization.build(model, model.loss.weight_parameters(), 1000)
    mixed = precision == "bf16"

    def step(batch: Batch) -> None:
        optimizer.zero_grad()
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=mixed):
            loss = model.objective(batch, model.outputs(batch))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--controller", choices=[kind.__name__ for kind in CONTROLLERS], default="GTHLController")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    torch.manual_seed(0)
    controller = next(kind() for kind in CONTROLLERS if kind.__name__ == arguments.controller)
    source = FromScratch(arguments.layers, arguments.width, 12, vocabulary=4000)
    text = ["".join(chr(97 + number // 26**place % 26) for place in range(3)) for number in range(4000)]
    contenders: dict[str, MultiLabelModel] = {
        "plain": TransformerClassifier(LABELS, source, loss=BinaryCrossEntropy()),
        "GTHL-Emo": GTHLEmo(LABELS, source, loss=HybridLoss(controller=controller)),
    }
    for model in contenders.values():
        model.build(lambda: [" ".join(text)])  # type: ignore[operator]  # both read texts
    vocabulary = contenders["plain"].encoder.config.vocab_size
    work = batches(8, arguments.batch_size, arguments.length, vocabulary, device)

    def clock() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize()
            return perf_counter()
        return process_time()  # on which other programs have little influence

    table = Table("precision", title=f"a training step of {arguments.batch_size} x {arguments.length} tokens, median")
    for column in ("plain, ms", "GTHL-Emo, ms", "ratio", f"≤ {MARK}"):
        table.add_column(column, justify="right")
    failed = False
    for precision in ("32", "bf16"):
        steps = {name: stepper(model, precision, device) for name, model in contenders.items()}
        times: dict[str, list[float]] = {name: [] for name in steps}
        for number in range(arguments.steps + 2):
            names = list(steps) if number % 2 else list(steps)[::-1]
            for name in names:
                start = clock()
                steps[name](work[number % len(work)])
                if number >= 2:  # the first steps make the optimizer's state
                    times[name].append(clock() - start)
        ratio = median(full / plain for plain, full in zip(times["plain"], times["GTHL-Emo"]))
        failed |= ratio > MARK
        shown = [f"{1000 * median(values):.1f}" for values in times.values()]
        table.add_row(precision, *shown, f"{ratio:.3f}", "FAIL" if ratio > MARK else "pass")
    Console().print(table)
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
