"""Checkpoints in the form of mlemo 0.1.0."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import mlemo
from mlemo.runs.loading import read_checkpoint
from mlemo.runs.stored_config import INFERENCE, stored_config
from mlemo.thresholds import PerClassThreshold


@pytest.fixture
def former(good: Path, tmp_path: Path) -> Path:
    """The good checkpoint as 0.1.0 wrote it: one rule, defaults that are null, and no settings that came later."""
    content = torch.load(good, weights_only=True)
    del content["thresholds_by_inference"]
    rule = {"metric": "f1", "method": "exact", "shrinkage": 0.0, "cross_fit": 5, "grid": None}
    content["thresholds"] |= {"class_path": "mlemo.thresholds.PerClassThreshold", "init_args": rule}
    content["hyper_parameters"] |= {"loss": None, "optimization": None}
    config: dict[str, Any] = yaml.safe_load(content["config"])
    config["model"]["init_args"] |= {"loss": None, "optimization": None}
    config["thresholds"]["rule"] = {"class_path": "mlemo.thresholds.PerClassThreshold", "init_args": rule}
    for key in ("finite_loss", "summary"):
        del config[key]
    del config["early_stopping"]["check_finite"]
    content["config"] = "# lightning.pytorch==2.6.6\n" + yaml.safe_dump(config, sort_keys=False)
    path = tmp_path / "former.ckpt"
    torch.save(content, path)
    return path


def test_a_checkpoint_of_0_1_0_gives_the_same_labels(former: Path, good: Path) -> None:
    texts = ["a good day", "the sea"]
    loaded = mlemo.load(former)
    assert isinstance(loaded.rule, PerClassThreshold)
    assert loaded.rule.folds == 5
    assert loaded(texts) == mlemo.load(good)(texts)


def test_the_config_of_0_1_0_is_read(former: Path) -> None:
    content = read_checkpoint(former)
    assert set(stored_config(content, INFERENCE)) == {"data", "model", "thresholds", "trainer"}
    assert stored_config(content, INFERENCE)["trainer"] == {"precision": "32-true"}
    assert stored_config(content)["trainer"]["max_epochs"] == 1
