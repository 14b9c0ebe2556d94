"""Runs that are killed and resumed, each in a process of its own that is forked from one with everything imported."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import torch

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["mlemo.training", "mlemo.cli", "mlemo.models", "mlemo.data.mulan", "kill", "broken"])

ENCODER = [
    "--model.encoder=FromScratch", "--model.encoder.layers=1", "--model.encoder.width=16", "--model.encoder.heads=2",
    "--model.encoder.vocabulary=200", "--model.max_length=96",
]  # fmt: skip
TEXTS = ["--data=SyntheticEmotions", "--data.size=44", "--data.val_size=14", "--data.test_size=10",
         "--data.batch_size=8", "--data.eval_batch_size=4"]  # fmt: skip
COMMON = [
    "--trainer.precision=32-true", "--trainer.accelerator=cpu", "--trainer.max_epochs=3",
    "--figures.every_n_epochs=0", "--results.resamples=20", "--trainer.enable_model_summary=false",
    "--trainer.log_every_n_steps=100", "--early_stopping.patience=2",
]  # fmt: skip
SCENE = Path(__file__).parents[1] / "data" / "mulan"
SYSTEMS = {
    "BertWDL": [
        *TEXTS, "--model=BertWDL", *ENCODER, "--model.optimization.learning_rate=1e-3",
        "--model.loss=WeightedDifferenceLoss", "--model.loss.weighting=uncertainty", "--model.loss.permutation=sampled",
        "--trainer.callbacks+=LabelShuffle", "--trainer.callbacks.k=3",
        "--trainer.callbacks+=EMAWeights", "--trainer.callbacks.decay=0.9", "--trainer.accumulate_grad_batches=2",
    ],
    "GTHLEmo": [
        *TEXTS, "--model=GTHLEmo", *ENCODER, "--model.graph=memory", "--model.neighbor_labels=true",
        "--model.label_heads=2", "--model.loss=HybridLoss", "--model.loss.controller=GradNorm",
        "--model.optimization.learning_rate=1e-3",
    ],
    "DELA": [
        "--data=Mulan", f"--data.data_dir={SCENE}", "--data.name=scene", "--data.batch_size=4", "--model=DELA",
        "--model.latent=4", "--model.optimization.learning_rate=1e-3", "--model.loss=CompositeLoss",
        "--model.loss.terms.bce={class_path: BinaryCrossEntropy}",
        "--model.loss.terms.asl={class_path: AsymmetricLoss}", "--model.loss.controller=DynamicWeightAverage",
        "--trainer.callbacks+=BatchSelection", "--trainer.callbacks.warmup_epochs=1",
    ],
}  # fmt: skip


def run(words: Sequence[str], log: Path, place: tuple[str, int] | None = None, number: int = 9) -> int:
    """Run a command of mlemo in a process of its own; its exit code, negative for a signal.

    Args:
        words: The command line.
        log: File for what it prints.
        place: Hook, and the call of it (from 1), that ends the process.
        number: Signal that ends it.
    """
    process = CONTEXT.Process(target=_child, args=(list(words), log, place, number))
    process.start()
    process.join(300)
    assert process.exitcode is not None, f"{words} did not end"
    return process.exitcode


def _child(words: list[str], log: Path, place: tuple[str, int] | None, number: int) -> None:
    from kill import KillAt

    from mlemo.callbacks import EvaluationFigures
    from mlemo.cli import script
    from mlemo.training import MlemoCLI

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background processes ignore it
    torch.set_num_threads(1)
    make = MlemoCLI._instantiate_trainer

    def with_killer(self: MlemoCLI, config: dict[str, Any], callbacks: list[Any]) -> Any:
        quick = [one for one in callbacks if not isinstance(one, EvaluationFigures)]  # they take most of the time
        killers = [] if place is None else [KillAt(*place, number=number)]
        return make(self, config, [*quick, *killers])

    MlemoCLI._instantiate_trainer = with_killer  # type: ignore[method-assign]
    with log.open("a", encoding="utf-8") as file, redirect_stdout(file), redirect_stderr(file):
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        script(words)


def remains(folder: Path) -> dict[str, Any]:
    """What a finished run left: weights, states and thresholds of its checkpoints, predictions, and test results."""
    found: dict[str, Any] = {}
    for name in ("best", "last"):
        checkpoint = torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)
        for part in ("state_dict", "current_model_state", "averaging_state", "optimizer_states", "lr_schedulers"):
            found |= {f"{name}.{key}": value for key, value in _flat(checkpoint.get(part, {}), part)}
        found |= {f"{name}.{key}": value for key, value in _flat(checkpoint["thresholds"], "thresholds")}
        found |= {f"{name}.{part}": checkpoint[part] for part in ("epoch", "global_step")}
    found["predictions"] = (folder / "predictions_test.csv").read_bytes()
    found["results"] = json.loads((folder / "results_test.json").read_text())
    found["validation"] = json.loads((folder / "results_val.json").read_text())
    found["thresholds"] = (folder / "thresholds.json").read_bytes()
    found["checkpoints"] = sorted(path.name for path in (folder / "checkpoints").iterdir())
    return found


def differences(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """Names of what is not equal, bit by bit."""
    names = sorted(first.keys() | second.keys())
    return [name for name in names if not _equal(first.get(name), second.get(name))]


def _equal(first: Any, second: Any) -> bool:
    if isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor):
        return torch.equal(first.nan_to_num(7e7), second.nan_to_num(7e7))
    return bool(first == second)


def _flat(value: Any, name: str) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [found for key, item in value.items() for found in _flat(item, f"{name}.{key}")]
    if isinstance(value, list | tuple):
        return [found for key, item in enumerate(value) for found in _flat(item, f"{name}.{key}")]
    return [(name, value)]
