"""The average against a loop, and the guards around Lightning's callback."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule
from torch import Tensor, nn
from torch.utils.data import DataLoader

from mlemo.callbacks import EMAWeights, LabelShuffle

Maker = Callable[..., Any]
STEPS = 5  # an epoch


class Toy(LightningModule):
    """A linear map, a counter of its training steps, and a note of the weights at every validation and test."""

    position_ids: Tensor

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(3, 1)
        self.register_buffer("position_ids", torch.arange(7))
        self.register_buffer("counter", torch.zeros((), dtype=torch.long))
        self.trained: list[Tensor] = []
        self.validated: list[Tensor] = []
        self.tested: list[Tensor] = []
        self.fail = False

    def weights(self) -> Tensor:
        return self.linear.weight.detach().clone()

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        self.counter += 1
        return self.linear(batch).square().mean()

    def on_train_batch_end(self, *args: Any) -> None:
        self.trained.append(self.weights())

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.validated.append(self.weights())
        if self.fail and not self.trainer.sanity_checking:
            raise RuntimeError("in validation")

    def test_step(self, batch: Tensor, batch_idx: int) -> None:
        self.tested.append(self.weights())

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.2)

    def train_dataloader(self) -> Any:
        return DataLoader(torch.randn(STEPS, 3, generator=torch.Generator().manual_seed(1)))

    def val_dataloader(self) -> Any:
        return DataLoader(torch.zeros(1, 3))

    test_dataloader = val_dataloader


def averages(
    trained: list[Tensor], decay: float, every: int = 1, start: int = 0, warmup: bool = True
) -> list[Tensor | None]:
    """The average after each step, by the formula; the first weights taken up are the average."""
    result, average, updates = [], None, 0
    for step, weights in enumerate(trained):
        if step >= start and step % every == 0:
            share = min(decay, (1 + updates) / (10 + updates)) if warmup else decay
            average = weights if average is None else share * average + (1 - share) * weights
            updates += 1
        result.append(average)
    return result


@pytest.mark.parametrize(
    "settings",
    [{}, {"warmup": False}, {"every_n_steps": 3}, {"start_step": 3}, {"every_n_steps": 2, "start_step": 1}],
)
def test_average_by_loop_is_validated_kept_and_saved(settings: dict, trainer: Maker, tmp_path: Path) -> None:
    model = Toy()
    run = trainer(callbacks=EMAWeights(decay=0.4, **settings), max_epochs=3)  # reached by the warm-up in update 5
    run.fit(model)
    every, start = settings.get("every_n_steps", 1), settings.get("start_step") or 0
    expected = averages(model.trained, 0.4, every, start, settings.get("warmup", True))
    assert len(model.trained) == 3 * STEPS
    assert len(model.validated) == 4  # the first one is Lightning's trial before training
    for number, weights in enumerate(model.validated[1:], start=1):
        torch.testing.assert_close(weights, expected[number * STEPS - 1])
        assert not torch.allclose(weights, model.trained[number * STEPS - 1])
    torch.testing.assert_close(model.weights(), expected[-1])
    run.save_checkpoint(tmp_path / "last.ckpt")
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    torch.testing.assert_close(saved["linear.weight"], expected[-1])


@pytest.mark.parametrize(("warmup", "share"), [(True, 4.43e-18), (False, 0.999**447)])
def test_the_share_of_the_first_weights_after_an_epoch(warmup: bool, share: float, trainer: Maker) -> None:
    """448 steps are an epoch of a small corpus; without a warm-up, .64 of the validated weights are initial ones."""

    class Jump(Toy):
        """Weights of 1 in the first step and of 0 in every other, so that an average is the share of the first."""

        def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
            self.linear.weight.data.fill_(float(batch_idx == 0))
            return super().training_step(0 * batch, batch_idx)  # no gradient reaches the weights

        def train_dataloader(self) -> Any:
            return DataLoader(torch.zeros(448, 3))

    model = Jump()
    trainer(callbacks=EMAWeights(decay=0.999, warmup=warmup)).fit(model)
    assert model.validated[-1].flatten().tolist() == pytest.approx([share] * 3, rel=1e-2)


def test_training_goes_on_from_the_trained_weights(trainer: Maker) -> None:
    plain, averaged = Toy(), Toy()
    trainer(max_epochs=3).fit(plain)
    trainer(max_epochs=3, callbacks=EMAWeights(decay=0.8)).fit(averaged)
    torch.testing.assert_close(torch.stack(averaged.trained), torch.stack(plain.trained), atol=0, rtol=0)


def test_average_follows_optimizer_steps_not_batches(trainer: Maker) -> None:
    model = Toy()
    trainer(max_epochs=2, callbacks=EMAWeights(decay=0.8), accumulate_grad_batches=2).fit(model)
    steps = [model.trained[batch] for epoch in (0, STEPS) for batch in (epoch + 1, epoch + 3, epoch + 4)]
    torch.testing.assert_close(model.weights(), averages(steps, 0.8)[-1])


def test_buffers_are_not_averaged(trainer: Maker) -> None:
    model = Toy()
    callback = EMAWeights(decay=0.8)
    trainer(max_epochs=3, callbacks=callback).fit(model)
    for module in (model, callback._average_model.module):
        assert module.position_ids.dtype == torch.long
        assert module.position_ids.tolist() == list(range(7))
        assert module.counter.item() == 3 * STEPS


def test_nothing_is_swapped_before_the_first_update(trainer: Maker, tmp_path: Path) -> None:
    model = Toy()
    callback = EMAWeights(decay=0.8, start_step=1000)
    run = trainer(max_epochs=2, callbacks=callback)
    run.fit(model)
    assert not callback.updated
    assert torch.equal(model.validated[0], Toy().weights())
    assert torch.equal(model.validated[1], model.trained[STEPS - 1])
    assert torch.equal(model.weights(), model.trained[-1]), "an average that was never updated replaced the weights"
    run.save_checkpoint(tmp_path / "last.ckpt")
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert torch.equal(checkpoint["state_dict"]["linear.weight"], model.trained[-1])
    assert "averaging_state" not in checkpoint


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_exception_in_validation_leaves_the_trained_weights(error: type, trainer: Maker) -> None:
    model = Toy()

    class Fail(Callback):
        def on_validation_batch_end(self, trainer: Any, *args: Any) -> None:
            if trainer.current_epoch == 1:
                raise error("in validation")

    run = trainer(max_epochs=3, callbacks=[EMAWeights(decay=0.8), Fail()])
    with pytest.raises((error, SystemExit)):
        run.fit(model)
    assert not torch.allclose(model.validated[-1], model.trained[-1])
    assert torch.equal(model.weights(), model.trained[-1])


class KeepCheckpoint(Callback):
    """Saves a checkpoint in the middle of the second epoch."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_batch_end(self, trainer: Any, *args: Any) -> None:
        if trainer.global_step == STEPS + 2:
            trainer.save_checkpoint(self.path)


def test_a_test_after_training_has_the_averaged_weights_of_the_checkpoint(trainer: Maker, tmp_path: Path) -> None:
    model = Toy()
    run = trainer(max_epochs=3, callbacks=[EMAWeights(decay=0.8), KeepCheckpoint(tmp_path / "middle.ckpt")])
    run.fit(model)
    expected = averages(model.trained, 0.8)[STEPS + 1]
    held = torch.load(tmp_path / "middle.ckpt", weights_only=True)
    torch.testing.assert_close(held["state_dict"]["linear.weight"], expected)
    assert torch.equal(held["current_model_state"]["linear.weight"], model.trained[STEPS + 1])

    run.test(model, ckpt_path=tmp_path / "middle.ckpt", weights_only=True, verbose=False)
    torch.testing.assert_close(model.tested[-1], expected)
    model.validated.clear()
    run.validate(model, ckpt_path=tmp_path / "middle.ckpt", weights_only=True, verbose=False)
    torch.testing.assert_close(model.validated[-1], expected)
    torch.testing.assert_close(model.weights(), expected)
    other = Toy()
    trainer(callbacks=EMAWeights()).test(other, ckpt_path=tmp_path / "middle.ckpt", weights_only=True, verbose=False)
    torch.testing.assert_close(other.tested[-1], expected)


@pytest.mark.parametrize("start_step", [None, STEPS + 4])
def test_a_resumed_average_goes_on_as_the_unbroken_one(start_step: int | None, trainer: Maker, tmp_path: Path) -> None:
    def callback() -> EMAWeights:
        return EMAWeights(decay=0.8, start_step=start_step)

    class EndOfEpoch(Callback):
        def on_train_epoch_end(self, trainer: Any, *args: Any) -> None:
            if trainer.current_epoch == 0:
                trainer.save_checkpoint(tmp_path / "first.ckpt")

    unbroken, resumed = Toy(), Toy()
    trainer(max_epochs=3, callbacks=[callback(), EndOfEpoch()]).fit(unbroken)
    trainer(max_epochs=3, callbacks=callback()).fit(resumed, ckpt_path=tmp_path / "first.ckpt", weights_only=True)
    assert len(resumed.trained) == 2 * STEPS
    assert torch.equal(torch.stack(resumed.trained), torch.stack(unbroken.trained[STEPS:]))
    assert torch.equal(resumed.weights(), unbroken.weights())
    expected = averages(unbroken.trained, 0.8, start=start_step or 0)[-1]
    torch.testing.assert_close(resumed.weights(), expected)


def test_a_mlemo_model_is_averaged_without_a_warning(bert_wdl: Maker, data: Maker, trainer: Maker) -> None:
    model, callback = bert_wdl(), EMAWeights(decay=0.5)
    trainer(callbacks=[callback, LabelShuffle(k=2)], max_epochs=2).fit(model, datamodule=data())
    assert callback.updated
    average = dict(callback._average_model.module.named_parameters())
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, average[name])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"decay": 0.0}, r"EMAWeights\.decay must lie between 0 and 1, found 0\.0"),
        ({"decay": 1.0}, r"EMAWeights\.decay must lie between 0 and 1, found 1\.0"),
        ({"every_n_steps": 0}, r"EMAWeights\.every_n_steps must be at least 1, found 0"),
    ],
)
def test_faulty_settings_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EMAWeights(**settings)
