"""Rules with calibration, costs and a guarantee in whole runs: fitted, stored, loaded and used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from mlemo.cli import main
from mlemo.inference import load
from mlemo.runs.predictions import read_predictions
from mlemo.thresholds import Calibrated, ConformalRiskControl, CostSensitive, ThresholdRule

CALIBRATED = ["Calibrated", "--thresholds.rule.method=platt", "--thresholds.rule.per_class=true"]
COSTS = ["--thresholds.rule.rule=CostSensitive", "--thresholds.rule.rule.false_negative=5"]
FIT = ["fit", "--data=SyntheticEmotions", "--data.size=80", "--data.val_size=60", "--data.test_size=20"]
FIT += ["--model=Linear", "--model.regularization=1.0", "--trainer.max_epochs=1", "--trainer.accelerator=cpu"]
FIT += ["--figures.every_n_epochs=0"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([*CALIBRATED, *COSTS], Calibrated(CostSensitive(false_negative=5.0), per_class=True, method="platt")),
        (["ConformalRiskControl", "--thresholds.rule.alpha=0.2"], ConformalRiskControl(0.2)),
    ],
)
def test_a_run_fits_stores_and_uses_the_rule(words: list[str], expected: ThresholdRule, tmp_path: Path) -> None:
    folders = [f"--trainer.default_root_dir={tmp_path}", f"--trainer.logger.init_args.save_dir={tmp_path}"]
    cli = main([*FIT, *folders, "--thresholds.rule", *words])
    folder = Path(cli.trainer.log_dir)
    val, test = (read_predictions(folder / f"predictions_{split}.csv") for split in ("val", "test"))
    expected.fit(val.probabilities, val.gold, val.mask)
    assert torch.equal(test.decided, expected.predict(test.probabilities))
    classifier = load(folder)
    assert classifier.rule.describe() == expected.describe()
    assert classifier.rule.state_dict().keys() == expected.state_dict().keys()
    assert torch.equal(classifier.rule.predict(test.probabilities), test.decided)
    assert expected.describe() in json.dumps(json.loads((folder / "thresholds.json").read_text(encoding="utf-8")))
