from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from sklearn.metrics import f1_score

from mlemo.callbacks import EMAWeights, ThresholdTuning
from mlemo.callbacks.evaluation import OutputsCallback
from mlemo.metrics.outputs import Outputs
from mlemo.thresholds import (
    AtLeastOne,
    Calibrated,
    FixedThreshold,
    GlobalThreshold,
    PerClassThreshold,
    TopK,
    rule_from_dict,
)

Maker = Callable[..., Any]

# the second trainer of these tests leaves out the checkpoint callback on purpose
pytestmark = pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`.*")


class Seen(OutputsCallback):
    """Keeps the last validation's outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.last: dict[str, Outputs] = {}

    def on_outputs(self, trainer: Any, pl_module: Any, stage: str, outputs: Outputs) -> None:
        self.last[stage] = outputs


@pytest.mark.parametrize("averaged", [False, True])
def test_the_rule_is_fitted_on_what_was_validated_and_lies_in_the_checkpoint(
    averaged: bool, classifier: Maker, data: Maker, trainer: Maker, tmp_path: Path
) -> None:
    tuning, seen = ThresholdTuning(), Seen()
    callbacks = [tuning, seen, ModelCheckpoint(dirpath=tmp_path, filename="end")]
    callbacks += [EMAWeights(decay=0.5)] if averaged else []
    run = trainer(callbacks=callbacks, max_epochs=2, enable_checkpointing=True)
    model, module = classifier(), data()
    run.fit(model, datamodule=module)
    outputs = seen.last["val"]
    expected = PerClassThreshold(cross_fit=5).fit(outputs.probabilities, outputs.targets, outputs.mask)
    saved = torch.load(tmp_path / "end.ckpt", weights_only=True)["thresholds"]
    assert torch.equal(rule_from_dict(saved).thresholds(), expected.thresholds())
    assert not torch.equal(expected.thresholds(), torch.full_like(expected.thresholds(), 0.5))
    # a fresh trainer takes the rule from the file, fits nothing on test, and logs the decisions under it
    again, test = ThresholdTuning(), Seen()
    run = trainer(callbacks=[again, test])
    run.test(classifier(), datamodule=module, ckpt_path=tmp_path / "end.ckpt", verbose=False, weights_only=True)
    assert torch.equal(again.rule.thresholds(), expected.thresholds())
    outputs = test.last["test"]
    decided = expected.predict(outputs.probabilities)
    scores = [
        f1_score(outputs.targets[rows, label], decided[rows, label], zero_division=0)
        for label in range(outputs.targets.shape[1])
        for rows in [outputs.mask[:, label]]
    ]
    assert float(run.callback_metrics["test/tuned_macro_f1"]) == pytest.approx(sum(scores) / len(scores), abs=1e-6)


def test_a_rule_around_a_rule_comes_back_from_the_checkpoint(
    classifier: Maker, data: Maker, trainer: Maker, tmp_path: Path
) -> None:
    tuning = ThresholdTuning(AtLeastOne(Calibrated(PerClassThreshold("jaccard"), per_class=True)))
    module, seen = data(), Seen()
    callbacks = [tuning, ModelCheckpoint(dirpath=tmp_path, filename="end")]
    trainer(callbacks=callbacks, enable_checkpointing=True).fit(classifier(), datamodule=module)
    again = ThresholdTuning()
    run = trainer(callbacks=[again, seen])
    run.test(classifier(), datamodule=module, ckpt_path=tmp_path / "end.ckpt", verbose=False, weights_only=True)
    assert again.rule.state_dict() == tuning.rule.state_dict()
    assert again.rule.describe() == tuning.rule.describe()
    probabilities = seen.last["test"].probabilities
    assert torch.equal(again.decide(probabilities), tuning.decide(probabilities))
    assert again.decide(probabilities).any(dim=1).all()


def test_another_rule_than_the_checkpoints_takes_its_place_or_is_refused(
    classifier: Maker, data: Maker, trainer: Maker, tmp_path: Path
) -> None:
    model, module, seen = classifier(), data(), Seen()
    callbacks = [ThresholdTuning(GlobalThreshold()), ModelCheckpoint(dirpath=tmp_path, filename="end")]
    trainer(callbacks=callbacks, enable_checkpointing=True).fit(model, datamodule=module)
    stored = callbacks[0].rule.state_dict()

    def again(rule: Any, evaluate: str) -> ThresholdTuning:
        tuning = ThresholdTuning(rule)
        run = trainer(callbacks=[tuning, seen])
        getattr(run, evaluate)(
            model, datamodule=module, ckpt_path=tmp_path / "end.ckpt", verbose=False, weights_only=True
        )
        return tuning

    for evaluate in ("validate", "test"):
        for rule in (None, GlobalThreshold()):  # not given, and given as it was
            assert again(rule, evaluate).rule.state_dict() == stored
        for other in (FixedThreshold(0.123), TopK(2), AtLeastOne(TopK(2))):  # nothing to fit
            tuning = again(other, evaluate)
            outputs = seen.last["val" if evaluate == "validate" else "test"]
            assert torch.equal(tuning.decide(outputs.probabilities), other.predict(outputs.probabilities))
    fitted = again(PerClassThreshold(), "validate").rule
    outputs = seen.last["val"]
    expected = PerClassThreshold().fit(outputs.probabilities, outputs.targets, outputs.mask)
    assert fitted.state_dict() == expected.state_dict()
    with pytest.raises(
        ValueError, match=r"the checkpoint holds “one threshold .*, requested is “a threshold per class"
    ):
        again(PerClassThreshold(), "test")


def test_a_checkpoint_without_thresholds_is_decided_at_one_half_and_says_so(
    classifier: Maker, data: Maker, trainer: Maker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model, module = classifier(), data()
    run = trainer(callbacks=ModelCheckpoint(dirpath=tmp_path, filename="end"), enable_checkpointing=True)
    run.fit(model, datamodule=module)
    run = trainer(callbacks=ThresholdTuning())
    with caplog.at_level(logging.WARNING):
        run.test(model, datamodule=module, ckpt_path=tmp_path / "end.ckpt", verbose=False, weights_only=True)
    assert "no thresholds" in caplog.text
    values = run.callback_metrics
    assert float(values["test/tuned_macro_f1"]) == float(values["test/macro_f1"])


def test_an_unfitted_rule_decides_nothing() -> None:
    with pytest.raises(ValueError, match="has not been fitted"):
        ThresholdTuning().decide(torch.rand(2, 3))
