from collections.abc import Callable
from functools import partialmethod
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.loggers import TensorBoardLogger

from mlemo.callbacks import EvaluationFigures, Results, ThresholdTuning
from mlemo.callbacks.evaluation import OutputsCallback
from mlemo.data import Corpus, TokenizedCorpus
from mlemo.losses import BinaryCrossEntropy
from mlemo.metrics import outputs, values
from mlemo.metrics.outputs import Outputs
from mlemo.models.evaluation import Evaluation
from mlemo.runs.predictions import read_predictions
from mlemo.thresholds import PerClassThreshold

Maker = Callable[..., Any]


class Keep(OutputsCallback):
    """Keeps what it is handed."""

    def __init__(self) -> None:
        super().__init__()
        self.handed: list[tuple[str, Outputs]] = []

    def on_outputs(self, trainer: Any, pl_module: Any, stage: str, outputs: Outputs) -> None:
        self.handed.append((stage, outputs))


def check(found: Outputs, model: Any, module: Any, split: str) -> None:
    corpus = module.corpus(split)
    assert found.index.tolist() == list(range(len(corpus)))
    assert torch.equal(found.targets, corpus.labels)
    assert torch.equal(found.mask, corpus.mask)
    with torch.no_grad():
        logits = model.eval()(TokenizedCorpus(corpus, model.data_input).__getitems__(range(len(corpus))))
    torch.testing.assert_close(found.probabilities, logits.sigmoid(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", ["classifier", "bert_wdl"])
def test_each_epoch_is_handed_over_whole_and_in_corpus_order(
    kind: str, request: pytest.FixtureRequest, data: Maker, trainer: Maker
) -> None:
    model, module, keep = request.getfixturevalue(kind)(), data(eval_batch_size=4), Keep()
    run = trainer(callbacks=keep)
    run.validate(model, datamodule=module, verbose=False)
    run.test(model, datamodule=module, verbose=False)
    run.predict(model, datamodule=module)
    assert [stage for stage, _ in keep.handed] == ["val", "test", "predict"]
    for stage, found in keep.handed:
        check(found, model, module, "val" if stage == "val" else "test")


def test_each_training_epoch_hands_over_its_validation_and_the_trial_before_it_nothing(
    classifier: Maker, data: Maker, trainer: Maker
) -> None:
    model, module, keep = classifier(), data(eval_batch_size=4), Keep()
    trainer(callbacks=keep, max_epochs=3, num_sanity_val_steps=2).fit(model, datamodule=module)
    assert [stage for stage, _ in keep.handed] == ["val"] * 3
    assert all(len(found.index) == 9 for _, found in keep.handed)
    check(keep.handed[-1][1], model, module, "val")


def test_batches_of_an_epoch_that_was_broken_off_are_forgotten(classifier: Maker, data: Maker, trainer: Maker) -> None:
    model, module, keep = classifier(), data(eval_batch_size=4), Keep()

    class Fail(Callback):
        broken = False

        def on_validation_batch_end(self, *args: Any) -> None:
            if not self.broken:
                self.broken = True
                raise RuntimeError("stop")

    run = trainer(callbacks=[keep, Fail()])
    with pytest.raises(RuntimeError, match="stop"):
        run.validate(model, datamodule=module, verbose=False)
    run.validate(model, datamodule=module, verbose=False)
    assert len(keep.handed) == 1
    check(keep.handed[0][1], model, module, "val")


def test_processes_are_joined(classifier: Maker, data: Maker, trainer: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each process has every second row; here they run one after another, and the second one joins both."""
    model, module, first, second = classifier(), data(eval_batch_size=2), Keep(), Keep()
    monkeypatch.setattr(module, "_processes", lambda: (2, 0))
    trainer(callbacks=first).validate(model, datamodule=module, verbose=False)
    share = first.handed[0][1]
    assert len(share.index) == 5
    others = iter([share.index, share.probabilities, share.targets, share.mask])

    monkeypatch.setattr(module, "_processes", lambda: (2, 1))
    run = trainer(callbacks=second)
    monkeypatch.setattr(type(run), "world_size", property(lambda self: 2))
    monkeypatch.setattr("mlemo.models.evaluation.gather_all_tensors", lambda part: [next(others), part])
    run.validate(model, datamodule=module, verbose=False)
    check(second.handed[0][1], model, module, "val")


def test_a_process_without_rows_takes_part_in_gathering(
    classifier: Maker, data: Maker, trainer: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, module, keep = classifier(), data(), Keep()
    run = trainer(callbacks=keep)
    run.validate(model, datamodule=module, verbose=False)
    share = keep.handed[0][1]
    others = iter([share.index, share.probabilities, share.targets, share.mask])

    def gather(part: torch.Tensor) -> list[torch.Tensor]:
        other = next(others)
        assert (part.dtype, part.shape) == (other.dtype, (0, *other.shape[1:]))
        return [other, part]

    monkeypatch.setattr(type(run), "world_size", property(lambda self: 2))
    monkeypatch.setattr("mlemo.models.evaluation.gather_all_tensors", gather)
    joined = Evaluation().outputs(model, "val")
    assert joined is not None
    check(joined, model, module, "val")


class Received(BinaryCrossEntropy):
    """A loss that keeps the ``intensities`` it is handed."""

    def forward(self, logits: torch.Tensor, targets: torch.Tensor, mask: Any = None, **context: Any) -> torch.Tensor:
        self.last = context["intensities"], context["index"]
        return super().forward(logits, targets, mask, **context)


def test_extras_of_the_corpus_reach_the_loss_and_the_outputs(
    classifier: Maker, data: Maker, trainer: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, keep, loss = data(eval_batch_size=4, map_from=1), Keep(), Received()
    read = type(module).read

    def with_intensities(self: Any, split: Any) -> Corpus:
        corpus = read(self, split)
        corpus.extras["intensities"] = 3 * torch.rand(corpus.labels.shape)
        return corpus

    monkeypatch.setattr(type(module), "read", with_intensities)
    model, run = classifier(loss=loss), trainer(callbacks=keep)
    run.fit(model, datamodule=module)
    levels, index = loss.last
    assert torch.equal(levels, module.corpus("val").extras["intensities"][index])
    run.test(model, datamodule=module, verbose=False)
    for stage, found in keep.handed:
        assert torch.equal(found.extras["intensities"], module.corpus(stage).extras["intensities"])

    # a process without rows has the same columns
    found = keep.handed[-1][1]
    parts = iter([found.index, found.probabilities, found.targets, found.mask, found.extras["intensities"]])
    monkeypatch.setattr(type(run), "world_size", property(lambda self: 2))
    monkeypatch.setattr("mlemo.models.evaluation.gather_all_tensors", lambda part: [next(parts), part])
    joined = Evaluation().outputs(model, "test")
    assert joined is not None
    assert torch.equal(joined.extras["intensities"], found.extras["intensities"])


def test_what_to_do_with_them_must_be_defined(classifier: Maker, data: Maker, trainer: Maker) -> None:
    with pytest.raises(NotImplementedError, match="OutputsCallback must define on_outputs"):
        trainer(callbacks=OutputsCallback()).validate(classifier(), datamodule=data(), verbose=False)


class Counted:
    """Counts the calls of a function that it replaces."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function, self.calls = function, 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        return self.function(*args, **kwargs)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)], ids=["tuning first", "tuning last"])
def test_an_epoch_is_gathered_decided_and_scored_once(
    order: tuple[int, ...],
    classifier: Maker,
    data: Maker,
    trainer: Maker,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    rule = PerClassThreshold()
    callbacks = [ThresholdTuning(rule), EvaluationFigures(), Results()]
    run = trainer(callbacks=[callbacks[place] for place in order], logger=TensorBoardLogger(tmp_path, name=""))
    model, module = classifier(), data()
    monkeypatch.setattr(rule, "fit", fit := Counted(rule.fit))
    run.validate(model, datamodule=module, verbose=False)
    assert fit.calls == 1
    table = pd.read_csv(Path(run.log_dir) / "per_class_val.csv")
    seen = read_predictions(Path(run.log_dir) / "predictions_val.csv")
    expected = PerClassThreshold().fit(seen.probabilities, seen.gold, seen.mask).predict(seen.probabilities)
    assert torch.equal(seen.decided, expected)
    assert "tuned_f1" in table

    monkeypatch.setattr(rule, "predict", predict := Counted(rule.predict))
    gather = Counted(Evaluation._gather)
    monkeypatch.setattr(Evaluation, "_gather", partialmethod(gather))
    counted = {}
    for name in ("decision_values", "label_values", "probability_values", "label_average_precision"):
        counted[name] = Counted(getattr(values, name))
        monkeypatch.setattr(outputs, name, counted[name])
    run.test(model, datamodule=module, verbose=False)
    assert (predict.calls, gather.calls, fit.calls) == (1, 1, 1)
    # of decisions at 0.5 and of tuned ones; of probabilities there are no others
    assert {name: count.calls for name, count in counted.items()} == {
        "decision_values": 2, "label_values": 2, "probability_values": 1, "label_average_precision": 1,
    }  # fmt: skip


def test_a_rule_that_is_fitted_again_decides_again() -> None:
    generator = torch.Generator().manual_seed(0)
    probabilities, targets = torch.rand(40, 3, generator=generator), torch.rand(40, 3, generator=generator) < 0.3
    given = Outputs(torch.arange(40), probabilities, targets.float(), torch.ones(40, 3, dtype=torch.bool))
    rule = PerClassThreshold().fit(probabilities, targets)
    first = given.decided(rule)
    assert given.decided(rule) is first
    assert torch.equal(first.decisions, rule.predict(probabilities))
    rule.fit(1 - probabilities, targets)
    again = given.decided(rule).decisions
    assert torch.equal(again, rule.predict(probabilities))
    assert not torch.equal(again, first.decisions)
