from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback

from mlemo.callbacks import Mixup
from mlemo.losses import RDropLoss
from mlemo.models import FrozenHead, KimCNN, Linear
from mlemo.nn.tfidf import Tfidf
from mlemo.nn.words import WordVectors

Maker = Callable[..., Any]
ROWS = [5, 0, 22, 13, 7]


@pytest.fixture(autouse=True)
def seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", "42")


def at(epoch: int = 0, rank: int = 0) -> Any:
    """A trainer at a place in training."""
    return SimpleNamespace(current_epoch=epoch, global_rank=rank)


def mixed(callback: Mixup, model: Any, module: Any, batch_idx: int = 0) -> tuple[Any, Any]:
    """A batch, before and after the callback."""
    batch = module.dataset("train", model.data_input).__getitems__(ROWS)
    before = {key: value.clone() for key, value in batch.items()}
    callback.on_train_batch_start(at(), model, batch, batch_idx)
    return before, batch


def test_labels_features_and_masks_by_a_loop() -> None:
    callback = Mixup(alpha=1.0)
    generator = torch.Generator().manual_seed(1)
    features, labels = torch.randn(5, 3, generator=generator), torch.eye(5)[:, :4]
    mask = torch.rand(5, 4, generator=generator) < 0.7
    batch = {"features": features, "labels": labels, "label_mask": mask}
    callback.on_train_batch_start(at(), None, batch, 0)  # type: ignore[arg-type]
    share, partners = callback._share, callback._partners
    assert 0 < share < 1
    assert partners is not None
    assert sorted(partners.tolist()) == list(range(5))
    for i, j in enumerate(partners.tolist()):
        for key, rows in (("features", features), ("labels", labels)):
            assert batch[key][i].tolist() == pytest.approx((share * rows[i] + (1 - share) * rows[j]).tolist())
        known = [a and b for a, b in zip(mask[i].tolist(), mask[j].tolist())]
        assert batch["label_mask"][i].tolist() == known


def test_shares_follow_a_beta_distribution_and_the_place_in_training() -> None:
    callback, shares = Mixup(alpha=0.5), []
    for step in range(2000):
        batch = {"labels": torch.zeros(2, 1), "label_mask": torch.ones(2, 1, dtype=torch.bool)}
        callback.on_train_batch_start(at(), None, batch, step)  # type: ignore[arg-type]
        shares.append(callback._share)
    assert np.mean(shares) == pytest.approx(0.5, abs=0.03)
    assert np.var(shares) == pytest.approx(1 / 8, abs=0.01)  # 1 / (4 (2α + 1))
    callback.on_train_batch_start(at(), None, batch, 7)  # type: ignore[arg-type]
    assert callback._share == shares[7], "the same draw at the same place"
    callback.on_train_batch_start(at(epoch=1), None, batch, 7)  # type: ignore[arg-type]
    assert callback._share != shares[7]


@pytest.mark.parametrize("kind", ["transformer", "words"])
def test_embeddings_of_texts_are_mixed_in_training_alone(kind: str, classifier: Maker, data: Maker) -> None:
    module = data()
    if kind == "transformer":
        model = classifier().eval()
    else:
        model = KimCNN(module.label_space, WordVectors(width=8, min_count=1), heights=[1], filters=2).eval()
        model.build(lambda: module.corpus("train").texts)
    callback = Mixup(alpha=5.0)
    callback.on_fit_start(at(), model)
    before, batch = mixed(callback, model, module)
    table = model.encoder.get_input_embeddings()
    partners, share = callback._partners, callback._share
    ids = batch["input_ids"] if kind == "transformer" else model.encoder.row[batch["input_ids"]]
    found, plain = table(ids), table.weight[ids]
    assert partners is not None
    torch.testing.assert_close(found, share * plain + (1 - share) * plain[partners])
    lengths = before["attention_mask"].sum(1)
    assert batch["attention_mask"].sum(1).tolist() == torch.maximum(lengths, lengths[partners]).tolist()
    logits = model(batch)
    callback.on_train_batch_end(at(), model, None, batch, 0)
    assert torch.equal(table(ids), plain)
    assert not torch.allclose(model(batch), logits)
    callback.on_fit_end(at(), model)
    assert not table._forward_hooks


def test_copies_for_a_loss_are_each_mixed(classifier: Maker) -> None:
    model, callback = classifier(), Mixup(alpha=5.0)
    callback.on_fit_start(at(), model)
    batch = {"labels": torch.zeros(3, 1), "label_mask": torch.ones(3, 1, dtype=torch.bool)}
    callback.on_train_batch_start(at(), model, batch, 0)
    ids = torch.arange(6).view(3, 2)
    table = model.encoder.get_input_embeddings()
    assert torch.equal(table(ids.repeat(2, 1)), table(ids).repeat(2, 1, 1))


@pytest.mark.parametrize("loss", [None, RDropLoss()])
def test_models_train_with_it(loss: Any, classifier: Maker, data: Maker, trainer: Maker) -> None:
    seen = []

    class Labels(Callback):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            seen.append((batch["labels"], outputs["logits"], outputs["loss"]))

    module = data(batch_size=8)
    for model in (classifier(loss=loss), FrozenHead(module.label_space, Tfidf(width=4), loss=loss)):
        seen.clear()
        trainer(callbacks=[Mixup(alpha=1.0), Labels()]).fit(model, datamodule=module)
        for labels, logits, value in seen:
            assert len(labels) == len(logits)
            assert value.isfinite()
        assert any(((labels > 0) & (labels < 1)).any() for labels, _, _ in seen)


def test_wrong_settings_and_models_are_refused(bert_wdl: Maker) -> None:
    with pytest.raises(ValueError, match=r"Mixup\.alpha must be positive, found 0"):
        Mixup(0)
    for model in (bert_wdl(), Linear(["joy"])):
        with pytest.raises(ValueError, match=f"{type(model).__name__} has a prompt or no training by batches"):
            Mixup().on_fit_start(at(), model)
