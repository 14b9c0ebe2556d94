"""Two processes that share out the weights (FSDP2) train as two that do not (DDP)."""

from __future__ import annotations

import json
import os
import re
import socket
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest
import torch

import mlemo
from mlemo.cli import main
from mlemo.training.trainer_settings import check_trainer

# three steps of two processes with one batch each, and other numbers of batches in each of them in evaluation
WORDS = [
    "fit",
    *["--data.size=48", "--data.val_size=17", "--data.test_size=9", "--data.batch_size=8", "--data.eval_batch_size=8"],
    *["--model=BertWDL", "--model.encoder=FromScratch", "--model.encoder.layers=2", "--model.encoder.width=32"],
    *["--model.encoder.heads=2", "--model.encoder.vocabulary=300", "--model.encoder.dropout=0", "--model.dropout=0"],
    *["--model.loss=WeightedDifferenceLoss", "--model.loss.permutation=exact", "--model.loss.weighting=fixed"],
    *[
        "--model.optimization.learning_rate=2e-3",
        "--model.optimization.warmup=0",
        "--trainer.gradient_clip_val=0.05",
        "--results.resamples=0",
        "--figures.every_n_epochs=0",
    ],
    *["--trainer.precision=32-true", "--trainer.accelerator=cpu", "--trainer.devices=2", "--trainer.max_epochs=1"],
]


def two_processes(folder: Path, *words: str) -> None:
    """Run a command in two forks of this process, which has imported everything, as ``torchrun`` starts them."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    world = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "0", "TORCHELASTIC_RUN_ID": "test"}
    world |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    folder.mkdir(exist_ok=True)
    started = {}
    for rank in ("0", "1"):
        log = folder / f"log{rank}"
        if not (process := os.fork()):
            _child(log, world | {"RANK": rank, "LOCAL_RANK": rank}, list(words))
        started[process] = log
    for process, log in started.items():
        assert os.waitpid(process, 0)[1] == 0, log.read_text()[-3000:]


def _child(log: Path, world: dict[str, str], words: list[str]) -> None:
    status = 1
    try:
        os.environ.update(world)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        target = os.open(log, os.O_CREAT | os.O_WRONLY)
        os.dup2(target, 1)
        os.dup2(target, 2)
        sys.stdout = sys.stderr = os.fdopen(1, "w")
        main(words)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    if "MLEMO_LONG" not in os.environ:
        pytest.skip("two runs of two processes take a minute or two; set MLEMO_LONG")
    found = {}
    for strategy in ("ddp", "fsdp2"):
        path = tmp_path_factory.mktemp(strategy)
        two_processes(path, *WORDS, f"--trainer.strategy={strategy}", f"--trainer.logger.init_args.save_dir={path}")
        found[strategy] = path / "version_0"
    return found


def state(run: Path, name: str) -> dict[str, Any]:
    return torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)


def test_the_losses_of_three_steps_are_equal(runs: dict[str, Path]) -> None:
    rows = []
    for run in runs.values():
        lines = (run / "loss_weights.csv").read_text().splitlines()[1:]
        rows.append([float(value) for line in lines for value in line.split(",")])
    assert len(rows[0]) == 3 * 7
    assert rows[1] == pytest.approx(rows[0], rel=1e-5, abs=1e-6)


def test_a_checkpoint_is_that_of_whole_processes(runs: dict[str, Path]) -> None:
    for name in ("best", "last"):
        whole, sharded = state(runs["ddp"], name), state(runs["fsdp2"], name)
        assert sharded["model_class"] == whole["model_class"]
        assert sharded["thresholds"].keys() == whole["thresholds"].keys()
        assert list(sharded["state_dict"]) == list(whole["state_dict"])
        for key, tensor in whole["state_dict"].items():
            torch.testing.assert_close(sharded["state_dict"][key], tensor, atol=1e-5, rtol=1e-4, msg=key)


def test_figures_are_equal_and_those_of_one_process(runs: dict[str, Path], tmp_path: Path) -> None:
    whole, sharded = (json.loads((run / "results_test.json").read_text()) for run in runs.values())
    assert sharded.keys() == whole.keys()
    for name in sharded.keys() - {"rule", "warnings"}:
        assert sharded[name] == pytest.approx(whole[name], abs=1e-4), name
    folder = f"--trainer.logger.init_args.save_dir={tmp_path}"
    main(["test", f"--ckpt_path={runs['fsdp2']}", "--trainer.accelerator=cpu", "--results.resamples=0", folder])
    alone = json.loads((tmp_path / "version_0" / "results_test.json").read_text())
    for name in ("macro_f1", "macro_ap", "tuned_macro_f1", "tuned_jaccard"):
        assert alone[name] == pytest.approx(sharded[name], abs=1e-5), name


def test_the_trained_model_classifies(runs: dict[str, Path]) -> None:
    texts = ["what a lovely day", "I am afraid"]
    whole, sharded = (mlemo.load(run)(texts) for run in runs.values())
    assert sharded[0].probabilities == pytest.approx(whole[0].probabilities, abs=1e-4)


REFUSED = {
    "--model=KimCNN": "KimCNN (only TransformerClassifier or BertWDL)",
    "--model.loss.weighting=monotone": "WeightedDifferenceLoss with learned weights",
    "--trainer.callbacks+=EMAWeights": "with EMAWeights",
    "--trainer.precision=bf16-mixed": "in precision bf16-mixed (only 32-true)",
}


@pytest.mark.parametrize(("word", "what"), REFUSED.items(), ids=list(REFUSED))
def test_what_is_not_shown_to_train_in_shards_is_refused_at_the_start(word: str, what: str, tmp_path: Path) -> None:
    words = ["fit", word] if word.startswith("--model=") else [*WORDS, word]
    words += ["--trainer.accelerator=cpu", "--trainer.devices=2", "--trainer.strategy=fsdp2"]
    with pytest.raises(ValueError, match=re.escape(f"fsdp2 has not been shown to train {what}; use ddp")):
        main([*words, f"--trainer.logger.init_args.save_dir={tmp_path}"])


def test_a_sharded_training_is_not_resumed(runs: dict[str, Path]) -> None:
    with pytest.raises(ValueError, match="has not been shown to train on from a checkpoint"):
        main(["resume", str(runs["fsdp2"]), "--trainer.max_epochs=2"])


@pytest.mark.parametrize("strategy", ["fsdp", "deepspeed_stage_2", {"class_path": "a.ModelParallelStrategy"}])
def test_other_ways_to_share_out_weights_are_refused(strategy: Any) -> None:
    with pytest.raises(ValueError, match="has not been shown to train as one process does; use ddp, or fsdp2"):
        check_trainer({"strategy": strategy})
