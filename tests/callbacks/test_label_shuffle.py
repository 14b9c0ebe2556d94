import math
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, get_args

import pytest
import torch
from lightning.pytorch import Callback
from torch import Tensor

from mlemo.batch import PromptLayout
from mlemo.callbacks import LabelShuffle
from mlemo.losses import BinaryCrossEntropy, WeightedDifferenceLoss
from mlemo.nn.prompt_order import reorder_prompt

Maker = Callable[..., Any]
LAYOUTS = get_args(PromptLayout)
ROWS = [5, 0, 22, 13]


@pytest.fixture(autouse=True)
def seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", "42")


def at(epoch: int = 0, rank: int = 0, datamodule: Any = None) -> Any:
    """A trainer at a place in training."""
    return SimpleNamespace(current_epoch=epoch, global_rank=rank, datamodule=datamodule)


def shuffled(callback: LabelShuffle, model: Any, module: Any, batch_idx: int = 0) -> tuple[Any, Any]:
    """A batch, before and after the callback."""
    batch = module.dataset("train", model.data_input).__getitems__(ROWS)
    before = {key: value.clone() for key, value in batch.items()}
    callback.on_train_batch_start(at(datamodule=module), model, batch, batch_idx)
    return before, batch


def drawn(k: int, rows: int, labels: int, epoch: int = 0, batch_idx: int = 0, rank: int = 0) -> Tensor:
    """Orders alone, ``(k, rows, labels)``."""
    batch = {"labels": torch.zeros(rows, labels)}
    LabelShuffle(k, level="loss").on_train_batch_start(at(epoch, rank), None, batch, batch_idx)
    return batch["label_order"]


@pytest.mark.parametrize("loss", [BinaryCrossEntropy(), WeightedDifferenceLoss(order=2, weighting="fixed")])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.usefixtures("unlogged")
def test_copies_in_one_pass_are_as_many_passes(layout: str, loss: Any, bert_wdl: Maker, data: Maker) -> None:
    model, module = bert_wdl(prompt=layout, loss=loss).eval(), data()
    original, batch = shuffled(LabelShuffle(k=3), model, module)
    together = model.training_step(batch, 0)
    assert together["logits"].shape == (12, 5)
    passes = [
        model.training_step(reorder_prompt(original, order), 0) for order in batch["label_order"].split(len(ROWS))
    ]
    logits = torch.cat([one["logits"] for one in passes])
    torch.testing.assert_close(together["logits"], logits, atol=1e-5, rtol=0)
    assert together["index"].tolist() == ROWS * 3
    torch.testing.assert_close(together["loss"], sum(one["loss"] for one in passes) / 3)
    targets = together["logits"], batch["labels"], batch["label_mask"]
    assert torch.equal(together["loss"], loss(*targets, label_order=batch["label_order"]))
    if isinstance(loss, WeightedDifferenceLoss):
        assert not torch.isclose(together["loss"], loss(*targets)), "the order does not reach the loss"
        assert len({round(one["loss"].item(), 5) for one in passes}) == 3, (
            "the orders make no difference: nothing is shown"
        )


def test_every_tensor_of_a_copy_belongs_to_its_sample(bert_wdl: Maker, data: Maker) -> None:
    model, module = bert_wdl(), data()
    original, batch = shuffled(LabelShuffle(k=4), model, module)
    for key in original.keys() - {"input_ids", "label_positions", "label_order", "prompt_segments"}:
        assert torch.equal(batch[key], torch.cat([original[key]] * 4)), key
    assert batch["label_order"].sort(1).values.tolist() == [[0, 1, 2, 3, 4]] * 16
    assert len(batch["label_order"].unique(dim=0)) > 8


@pytest.mark.parametrize("layout", LAYOUTS)
def test_level_loss_leaves_the_prompt_and_gives_the_loss_k_orders(layout: str, bert_wdl: Maker, data: Maker) -> None:
    model, module = bert_wdl(prompt=layout), data()
    original, batch = shuffled(LabelShuffle(k=3, level="loss"), model, module)
    for key in original.keys() - {"label_order"}:
        assert torch.equal(batch[key], original[key]), key
    order = batch["label_order"]
    assert order.shape == (3, 4, 5)
    assert (order.sort(-1).values == torch.arange(5)).all()
    loss = WeightedDifferenceLoss(order=2, weighting="fixed")
    logits = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    one_by_one = [loss(logits, batch["labels"], batch["label_mask"], label_order=each) for each in order]
    expected = torch.stack(one_by_one).mean()
    torch.testing.assert_close(loss(logits, batch["labels"], batch["label_mask"], label_order=order), expected)


def test_orders_are_uniform() -> None:
    """χ² over the 24 orders of four labels, and over pairs of orders of neighbouring rows for three labels."""
    counts = Counter(map(tuple, drawn(200, 60, 4).flatten(0, 1).tolist()))
    assert len(counts) == math.factorial(4)
    assert sum((count - 500) ** 2 / 500 for count in counts.values()) < 60  # 23 degrees of freedom: p = 4e-5

    orders = drawn(150, 48, 3)
    pairs = Counter(map(str, orders.reshape(-1, 6).tolist()))
    assert len(pairs) == 36
    assert sum((count - 100) ** 2 / 100 for count in pairs.values()) < 82  # 35 degrees of freedom


def test_orders_are_a_function_of_seed_epoch_batch_and_process(monkeypatch: pytest.MonkeyPatch) -> None:
    places = [(epoch, batch, rank) for epoch in range(3) for batch in range(3) for rank in range(2)]
    first = [drawn(2, 4, 6, *place) for place in places]
    torch.rand(10)  # of no influence
    assert all(torch.equal(drawn(2, 4, 6, *place), order) for place, order in zip(places, first))
    assert len({str(order.tolist()) for order in first}) == len(places)
    monkeypatch.setenv("PL_GLOBAL_SEED", "43")
    assert not torch.equal(drawn(2, 4, 6, *places[0]), first[0])


@pytest.mark.parametrize("level", ["input", "loss"])
def test_training_is_shuffled_and_evaluation_is_not(level: str, bert_wdl: Maker, data: Maker, trainer: Maker) -> None:
    seen: dict[str, list[tuple[int, bool]]] = {"train": [], "val": [], "test": []}

    class Watch(Callback):
        def note(self, stage: str, batch: Any) -> None:
            canonical = bool((batch["label_order"] == torch.arange(5)).all())
            seen[stage].append((len(batch["input_ids"]), canonical))

        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            assert len(outputs["logits"]) == len(batch["input_ids"])
            self.note("train", batch)

        def on_validation_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, *args: Any) -> None:
            self.note("val", batch)

        def on_test_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, *args: Any) -> None:
            self.note("test", batch)

    run = trainer(callbacks=[LabelShuffle(k=3, level=level), Watch()])
    model, module = bert_wdl(), data(batch_size=12)
    run.fit(model, datamodule=module)
    run.test(model, datamodule=module, verbose=False)
    copies = 3 if level == "input" else 1
    assert sorted(seen["train"]) == [(11 * copies, False), (12 * copies, False)]
    assert set(seen["val"]) == {(9, True)}
    assert seen["test"] == [(10, True)]


def test_a_model_without_prompt_is_refused_at_level_input(classifier: Maker, data: Maker, trainer: Maker) -> None:
    message = (
        r"LabelShuffle\(level='input'\) .* TransformerClassifier has no prompt; use level='loss', or a prompted model"
    )
    with pytest.raises(ValueError, match=message):
        trainer(callbacks=LabelShuffle()).fit(classifier(), datamodule=data())
    model = classifier(loss=WeightedDifferenceLoss())
    run = trainer(callbacks=LabelShuffle(level="loss"), limit_val_batches=0)
    run.fit(model, datamodule=data())
    assert run.global_step == 2


def test_an_order_free_prompt_is_refused_at_level_input(bert_wdl: Maker, data: Maker, trainer: Maker) -> None:
    with pytest.raises(ValueError, match=r"LabelShuffle\(level='input'\) has no effect on an order-free prompt"):
        trainer(callbacks=LabelShuffle()).fit(bert_wdl(prompt_order="free"), datamodule=data())
    run = trainer(callbacks=LabelShuffle(level="loss"), limit_val_batches=0)
    run.fit(bert_wdl(prompt_order="free"), datamodule=data())
    assert run.global_step == 2


def test_at_least_one_order() -> None:
    with pytest.raises(ValueError, match=r"LabelShuffle\.k must be at least 1, found 0"):
        LabelShuffle(0)
