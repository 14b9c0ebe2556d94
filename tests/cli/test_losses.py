"""Losses on the command line: whole tiny runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from mlemo.callbacks import EvaluationFigures
from mlemo.cli import main

LOSSES = {
    "AsymmetricPolynomialLoss": [],
    "BinaryCrossEntropy": ["--model.loss.smoothing=0.1"],
    "DistributionBalancedLoss": [],
    "HillLoss": [],
    "LogitAdjustedLoss": ["--model.loss.tau=0.5"],
    "PairwiseAUCLoss": ["--model.loss.margin=2"],
    "RDropLoss": ["--model.loss.loss=FocalLoss", "--model.loss.loss.gamma=1"],
    "SPLCLoss": ["--model.loss.warmup_epochs=0"],
    "TwoWayLoss": [],
    "ZLPRLoss": ["--trainer.callbacks+=Mixup"],
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_run_with_each_loss(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EvaluationFigures, "on_outputs", lambda *args: None)  # pictures take most of the time
    cli = main(
        [
            *["fit", "--data=SyntheticEmotions", "--data.size=48", "--data.val_size=16", "--data.test_size=16"],
            *["--model=FrozenHead", "--model.features=Tfidf", "--model.features.width=8"],
            *[f"--model.loss={name}", *LOSSES[name], "--trainer.max_epochs=1", "--trainer.accelerator=cpu"],
            *["--trainer.precision=32-true", "--results.resamples=0"],
            *[f"--trainer.logger.save_dir={tmp_path}", f"--trainer.default_root_dir={tmp_path}"],
        ]
    )
    loss = cli.model.loss
    assert type(loss).__name__ == name
    results = json.loads((Path(cli.trainer.log_dir) / "results_test.json").read_text())
    assert 0 <= results["macro_ap"] <= 1
    if name in ("DistributionBalancedLoss", "LogitAdjustedLoss"):
        counts = cli.datamodule.corpus("train").labels.sum(0)
        torch.testing.assert_close(loss.rates, (counts + 1) / (48 + 2))
    if name == "SPLCLoss":
        assert loss.epochs.item() == 1
