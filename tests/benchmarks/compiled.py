"""Processor milliseconds per training step with and without `Compile`, and the time of its compilations.

OMP_NUM_THREADS=1 python tests/benchmarks/compiled.py --data SemEval2018 --data.data_dir DIR --model.encoder DIR

A model is trained for the same batches twice, as it is and with its encoder compiled, in turns of a few steps, so that
both meet the same load. Batches are padded to a multiple of 16 tokens for both. `--backward false` times inference.
"""

from __future__ import annotations

import argparse
import sys
import time
from statistics import median
from typing import Any

import torch

from mlemo.callbacks import Compile
from mlemo.training import instantiate

TURN = 5  # steps of one kind in a row


def steps(model: Any, optimizer: Any, batches: list[Any], backward: bool) -> list[float]:
    found = []
    for batch in batches:
        start = time.process_time()
        if backward:
            model.loss(model(dict(batch)), batch["labels"], batch["label_mask"]).backward()
            optimizer.step()
            optimizer.zero_grad()
        else:
            with torch.inference_mode():
                model(dict(batch))
        found.append(time.process_time() - start)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--backward", type=lambda word: word == "true", default=True, metavar="true|false")
    parser.add_argument("--dynamic", choices=("none", "true", "false"), default="none")
    parser.add_argument("--bf16", action="store_true", help="mixed precision")
    options, words = parser.parse_known_args()
    cli = instantiate(
        ["--model=TransformerClassifier", "--trainer.logger=false", "--trainer.precision=32-true", *words]
    )
    model, data = cli.model, cli.datamodule
    model.build()
    data.setup("fit")
    dataset = data.dataset("train", model.data_input)
    generator = torch.Generator().manual_seed(0)
    rows = torch.randperm(len(dataset), generator=generator).split(16)[: options.steps]
    batches = [dataset.__getitems__(batch.tolist()) for batch in rows]
    callback = Compile(dynamic={"none": None, "true": True, "false": False}[options.dynamic])
    for batch in batches:
        callback._pad(model, batch)
    model.train(options.backward)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-5)
    found: dict[str, list[float]] = {"as it is": [], "compiled": []}
    with torch.autocast("cpu", torch.bfloat16, enabled=options.bf16):
        callback._start(model)
        call = model.encoder._compiled_call_impl
        wall = time.perf_counter()
        steps(model, optimizer, batches, options.backward)  # every length once
        print(f"first {len(batches)} steps, with compilations: {time.perf_counter() - wall:.0f} s")
        for place in range(0, len(batches), TURN):
            for kind, compiled in (("as it is", None), ("compiled", call)):
                model.encoder._compiled_call_impl = compiled
                found[kind] += steps(model, optimizer, batches[place : place + TURN], options.backward)
    lengths = sorted({batch["input_ids"].shape[1] for batch in batches})
    print(f"lengths {lengths}; {torch.get_num_threads()} threads; steps {len(found['compiled'])}")
    for kind, seconds in found.items():
        print(f"{kind}: median {1000 * median(seconds):.1f} ms")
    ratio = median(new / old for old, new in zip(found["as it is"], found["compiled"]))
    print(f"compiled / as it is, median over batches: {ratio:.3f}")


if __name__ == "__main__":
    sys.exit(main())
