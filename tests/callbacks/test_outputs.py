from collections.abc import Callable
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback

from mlemo.callbacks.outputs import Outputs, OutputsCallback
from mlemo.data import TokenizedCorpus

Maker = Callable[..., Any]


class Keep(OutputsCallback):
    """Keeps what it is handed."""

    def __init__(self) -> None:
        super().__init__()
        self.handed: list[tuple[str, Outputs]] = []

    def on_outputs(self, trainer: Any, pl_module: Any, stage: str, outputs: Outputs) -> None:
        self.handed.append((stage, outputs))


def check(outputs: Outputs, model: Any, module: Any, split: str) -> None:
    corpus = module.corpus(split)
    assert outputs.index.tolist() == list(range(len(corpus)))
    assert torch.equal(outputs.targets, corpus.labels)
    assert torch.equal(outputs.mask, corpus.mask)
    with torch.no_grad():
        logits = model.eval()(TokenizedCorpus(corpus, model.data_input).__getitems__(range(len(corpus))))
    torch.testing.assert_close(outputs.probabilities, logits.sigmoid(), atol=1e-6, rtol=0)


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
    for stage, outputs in keep.handed:
        check(outputs, model, module, "val" if stage == "val" else "test")


def test_each_training_epoch_hands_over_its_validation_and_the_trial_before_it_nothing(
    classifier: Maker, data: Maker, trainer: Maker
) -> None:
    model, module, keep = classifier(), data(eval_batch_size=4), Keep()
    trainer(callbacks=keep, max_epochs=3, num_sanity_val_steps=2).fit(model, datamodule=module)
    assert [stage for stage, _ in keep.handed] == ["val"] * 3
    assert all(len(outputs.index) == 9 for _, outputs in keep.handed)
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
    monkeypatch.setattr("mlemo.callbacks.outputs.gather_all_tensors", lambda part: [next(others), part])
    run.validate(model, datamodule=module, verbose=False)
    check(second.handed[0][1], model, module, "val")


def test_what_to_do_with_them_must_be_defined(classifier: Maker, data: Maker, trainer: Maker) -> None:
    with pytest.raises(NotImplementedError, match="OutputsCallback must define on_outputs"):
        trainer(callbacks=OutputsCallback()).validate(classifier(), datamodule=data(), verbose=False)
