"""A run that was killed and resumed ends with the weights of a run that was not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mlemo.cli import main

CALLBACKS = [
    *["--trainer.callbacks+=LabelShuffle", "--trainer.callbacks.k=2"],
    *["--trainer.callbacks+=EMAWeights", "--trainer.callbacks.decay=0.9"],
    *["--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.every_n_train_steps=4"],
    *["--trainer.callbacks.filename=step", "--trainer.callbacks.enable_version_counter=false"],
]
KILLER = ["--trainer.callbacks+=kill.KillAt"]
WORDS = [
    "fit",
    "--data=SyntheticEmotions",
    *["--data.size=76", "--data.val_size=16", "--data.test_size=16", "--data.batch_size=8"],
    "--model=BertWDL",
    *["--model.encoder=FromScratch", "--model.encoder.layers=1", "--model.encoder.width=32"],
    *["--model.encoder.heads=2", "--model.encoder.vocabulary=300", "--model.optimization.learning_rate=1e-3"],
    "--model.loss=CompositeLoss",
    "--model.loss.terms.wdl={class_path: WeightedDifferenceLoss, init_args: {weighting: monotone, order: 2}}",
    "--model.loss.terms.ranking={class_path: PairwiseRankingLoss}",
    "--model.loss.controller=DynamicWeightAverage",
    *CALLBACKS,
    *["--trainer.precision=32-true", "--trainer.accelerator=cpu", "--trainer.max_epochs=3"],
    "--test_after_fit=false",
]


def folder(path: Path) -> str:
    return f"--trainer.logger.init_args.save_dir={path}"


def last(path: Path) -> dict:
    return torch.load(path / "version_0" / "checkpoints" / "last.ckpt", weights_only=True)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> dict:
    path = tmp_path_factory.mktemp("unbroken")
    main([*WORDS, folder(path)])
    return last(path)


# ten batches an epoch; the last save before the kill is in mid-epoch, at an epoch's last batch, and right behind it
@pytest.mark.parametrize("step", [18, 20, 23])
def test_killed_and_resumed_equals_unbroken(step: int, unbroken: dict, tmp_path: Path) -> None:
    killed = subprocess.run(
        [sys.executable, "-m", "mlemo", *WORDS, folder(tmp_path), *KILLER, f"--trainer.callbacks.step={step}"],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert killed.returncode == -9, killed.stderr
    saved = tmp_path / "version_0" / "checkpoints" / "step.ckpt"
    assert torch.load(saved, weights_only=True)["global_step"] == step // 4 * 4
    # the config of the killed run comes from the checkpoint; only the killer is left out
    words = ["fit", f"--ckpt_path={saved}", "--trust=kill", "--trainer.callbacks=null", *CALLBACKS, folder(tmp_path)]
    main(words)
    resumed = last(tmp_path)
    assert resumed["global_step"] == unbroken["global_step"] == 30
    for part in ("state_dict", "current_model_state", "averaging_state"):  # EMA's average, the weights, the counter
        assert resumed[part].keys() == unbroken[part].keys()
        for name, tensor in unbroken[part].items():
            assert torch.equal(resumed[part][name], tensor), (part, name)
    assert any(name.startswith("loss.terms.") for name in unbroken["state_dict"])
    assert (unbroken["state_dict"]["loss.controller.multipliers"] != 1).all(), "set at the start of the third epoch"
    assert resumed["thresholds"] == unbroken["thresholds"]
    rates = [scheduler["_last_lr"] for scheduler in unbroken["lr_schedulers"]]
    assert [scheduler["_last_lr"] for scheduler in resumed["lr_schedulers"]] == rates


def test_truncated_checkpoint_is_refused(tmp_path: Path) -> None:
    main([*WORDS, folder(tmp_path), "--trainer.max_epochs=1"])
    whole = tmp_path / "version_0" / "checkpoints" / "last.ckpt"
    for share in (0.0, 0.5, 0.99):
        cut = tmp_path / "cut.ckpt"
        content = whole.read_bytes()
        cut.write_bytes(content[: int(share * len(content))])
        for command in ("fit", "test"):
            with pytest.raises(ValueError, match=r"cut\.ckpt \([\d,]+ bytes\) cannot be read as a checkpoint"):
                main([command, f"--ckpt_path={cut}"])
