from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

from mlemo.callbacks import BatchSelection, ThresholdTuning
from mlemo.cli import main
from mlemo.experiments.runs import address_of
from mlemo.losses import CompositeLoss, HybridLoss
from mlemo.models import BertWDL, FrozenHead, TransformerClassifier
from mlemo.thresholds import CrossFittedThreshold, PerClassThreshold
from mlemo.training import default_precision, instantiate

QUIET = ["--trainer.logger=false", "--trainer.accelerator=cpu"]


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> dict:
    """What ``--print_config`` shows."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        main(["fit", *words, "--print_config"])
    assert not caught.value.code
    return yaml.safe_load(capsys.readouterr().out)


def rule(*words: str) -> PerClassThreshold:
    cli = instantiate(["--model=TransformerClassifier", *QUIET, *words])
    return next(one for one in cli.trainer.callbacks if isinstance(one, ThresholdTuning)).rule


def test_a_rule_that_is_named_has_none_of_the_settings_of_the_default(tmp_path: Path) -> None:
    assert type(rule()) is CrossFittedThreshold
    assert rule().folds == 5
    assert rule("--thresholds.rule.metric=jaccard").folds == 5
    for words in (["--thresholds.rule=PerClassThreshold"], ["--config={file}"]):
        (tmp_path / "rule.yaml").write_text("thresholds: {rule: {class_path: PerClassThreshold}}\n")
        found = rule(*[word.format(file=tmp_path / "rule.yaml") for word in words])
        assert type(found) is PerClassThreshold
        assert vars(found) == vars(PerClassThreshold())


@pytest.mark.parametrize(
    ("words", "loss", "optimizer"),
    [
        (["--model=TransformerClassifier"], "BinaryCrossEntropy", "adamw"),
        (["--model=BertWDL"], "WeightedDifferenceLoss", "adamw"),
        (["--model=GTHLEmo"], "HybridLoss", "adamw"),
        (["--model=KimCNN"], "BinaryCrossEntropy", "adamw"),
        (["--model=FrozenHead", "--model.features=Tfidf"], "BinaryCrossEntropy", "adam"),
        (["--model=C2AE"], "PairwiseExponentialLoss", "adam"),
        (["--model=BertWDL", "--model=TransformerClassifier"], "BinaryCrossEntropy", "adamw"),
    ],
)
def test_the_printed_config_holds_the_parts_that_run(
    words: list[str], loss: str, optimizer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = printed(capsys, *words)["model"]["init_args"]
    assert settings["loss"]["class_path"].endswith(f".{loss}")
    assert settings["optimization"]["optimizer"] == optimizer
    if words == ["--model=KimCNN"]:
        assert settings["encoder"]["class_path"].endswith(".WordVectors")


def test_settings_of_a_default_part_can_be_given_alone(capsys: pytest.CaptureFixture[str]) -> None:
    loss = printed(capsys, "--model=BertWDL", "--model.loss.order=2")["model"]["init_args"]["loss"]
    assert (loss["class_path"], loss["init_args"]["order"]) == ("mlemo.losses.WeightedDifferenceLoss", 2)
    loss = printed(capsys, "--model=GTHLEmo", "--model.loss.focal=0.2")["model"]["init_args"]["loss"]
    assert (loss["class_path"], loss["init_args"]["focal"]) == ("mlemo.losses.HybridLoss", 0.2)


def test_the_printed_config_builds_what_was_printed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["--model=FrozenHead", "--model.features=Tfidf", *QUIET]
    config = printed(capsys, *words)
    (tmp_path / "whole.yaml").write_text(yaml.safe_dump(config))
    assert printed(capsys, f"--config={tmp_path / 'whole.yaml'}") == config


def test_two_models_share_no_default_part() -> None:
    first, second = TransformerClassifier(["joy"]), TransformerClassifier(["joy"])
    assert first.loss is not second.loss
    assert first.optimization is not second.optimization
    assert FrozenHead(["joy"]).optimization.optimizer == "adam"
    assert BertWDL(["joy"]).loss.order == 1
    assert HybridLoss().controller is not HybridLoss().controller
    assert BatchSelection().strategy is not BatchSelection().strategy


def test_a_class_has_one_address_whatever_path_names_it(capsys: pytest.CaptureFixture[str]) -> None:
    addresses = set()
    for path in ("batch_selection.Adaptive", "selection_strategies.Adaptive"):
        words = ["--model=FrozenHead", "--model.features=Tfidf", "--trainer.callbacks+=BatchSelection"]
        config = printed(capsys, *words, f"--trainer.callbacks.strategy=mlemo.callbacks.{path}")
        addresses.add(address_of(config, {}))
    assert len(addresses) == 1
    other = printed(capsys, *words, "--trainer.callbacks.strategy=mlemo.callbacks.batch_selection.Hard")
    assert address_of(other, {}) not in addresses


def test_the_printed_config_and_the_address_hold_what_follows_other_settings(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["--model=FrozenHead", "--model.features=Tfidf", "--seed_everything=7"]
    config = printed(capsys, *words)
    assert config["data"]["init_args"]["seed"] == 7
    assert config["checkpoint"]["monitor"] == config["early_stopping"]["monitor"]
    assert address_of(config, {}) == address_of(printed(capsys, *words, "--data.seed=7"), {})


def test_weights_of_a_composite_loss_name_every_term(tmp_path: Path) -> None:
    terms = "model: {class_path: TransformerClassifier, init_args: {loss: {class_path: CompositeLoss, init_args: "
    terms += "{terms: {bce: {class_path: BinaryCrossEntropy}, asl: {class_path: AsymmetricLoss}}, weights: "
    (tmp_path / "first.yaml").write_text(terms + "{bce: 2, asl: 3}}}}}\n")
    (tmp_path / "second.yaml").write_text("model: {init_args: {loss: {init_args: {weights: {bce: 7}}}}}\n")
    whole = instantiate([f"--config={tmp_path / 'first.yaml'}", *QUIET]).model.loss
    assert isinstance(whole, CompositeLoss)
    assert whole.weights() == {"bce": pytest.approx(2), "asl": pytest.approx(3)}
    with pytest.raises(ValueError, match="expected bce, asl; found bce"):
        instantiate([f"--config={tmp_path / 'first.yaml'}", f"--config={tmp_path / 'second.yaml'}", *QUIET])


def test_one_seed_seeds_the_data_too_and_stands_in_the_saved_config(tmp_path: Path) -> None:
    def made(*words: str) -> int:
        return instantiate(["--model=BertWDL", *QUIET, *words]).datamodule.seed

    assert made() == 42
    assert made("--seed_everything=7") == 7
    assert made("--seed_everything=7", "--data.seed=3") == 3
    words = ["--data.size=24", "--data.val_size=12", "--data.test_size=12", "--model=FrozenHead"]
    words += ["--model.features=Tfidf", "--trainer.max_epochs=1", "--test_after_fit=false", "--seed_everything=7"]
    cli = main(["fit", *words, "--trainer.accelerator=cpu", f"--trainer.logger.init_args.save_dir={tmp_path}"])
    saved = yaml.safe_load((Path(cli.trainer.log_dir) / "config.yaml").read_text())
    assert saved["data"]["init_args"]["seed"] == 7


@pytest.mark.parametrize("schedule", ["cosine", "torch.optim.lr_scheduler.CosineAnnealingLR"])
def test_optimizer_and_schedule_by_class_from_the_command_line(schedule: str, tmp_path: Path) -> None:
    words = ["--data.size=24", "--data.val_size=12", "--data.test_size=12", "--model=FrozenHead"]
    words += ["--model.features=Tfidf", "--trainer.max_epochs=2", "--test_after_fit=false", *QUIET]
    words += ["--model.loss=WeightedDifferenceLoss", "--model.optimization.warmup=0.25"]
    words += ["--model.optimization.optimizer=torch.optim.Adafactor", "--model.optimization.optimizer.d=2"]
    words += [f"--model.optimization.schedule={schedule}", "--model.optimization.learning_rate=0.01"]
    words += ["--model.optimization.schedule.T_max=-1"] if "." in schedule else []
    cli = main(["fit", *words, f"--trainer.default_root_dir={tmp_path}"])
    adafactor, sgd = cli.trainer.optimizers[0].parts
    assert type(adafactor) is torch.optim.Adafactor
    assert adafactor.param_groups[0]["d"] == 2
    assert adafactor.param_groups[0]["lr"] == pytest.approx(0, abs=1e-9)
    assert sgd.param_groups[0]["lr"] == 0.01


def test_fit_starts_with_what_it_is_about_to_do(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    words = ["--data.size=24", "--data.val_size=12", "--data.test_size=12", "--data.batch_size=4"]
    words += ["--model=FrozenHead", "--model.features=Tfidf", "--trainer.max_epochs=1", *QUIET]
    words += ["--trainer.accumulate_grad_batches=3", "--trainer.callbacks+=BatchSelection", "--seed_everything=7"]
    words += ["--trainer.callbacks+=EMAWeights", "--trainer.precision=32-true", "--test_after_fit=false"]
    caplog.set_level("INFO", logger="mlemo")
    main(["fit", *words, f"--trainer.default_root_dir={tmp_path}"])
    text = caplog.text
    for shown in (
        "model FrozenHead on SyntheticEmotions, loss BinaryCrossEntropy",
        "5 folds",
        "is kept; stop after 5 epochs",
        "batches: Adaptive; 12 rows per step (4 rows × 3 accumulated batches)",
        "callbacks: EMAWeights\n",
        "precision 32-true",
        "seed 7",
    ):
        assert shown in text
    assert text.index("model FrozenHead") < text.index("epoch 1/1")


@pytest.mark.parametrize(
    ("gpu", "gpu_bf16", "avx512_bf16", "amx", "expected"),
    [
        (True, True, False, False, "bf16-mixed"),
        (True, False, True, True, "16-mixed"),
        (False, False, True, False, "bf16-mixed"),
        (False, False, False, True, "bf16-mixed"),
        (False, False, False, False, "32-true"),
    ],
)
def test_precision_follows_the_hardware(
    gpu: bool, gpu_bf16: bool, avx512_bf16: bool, amx: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: gpu_bf16)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert default_precision() == expected


def test_null_switches_off_a_setting_of_a_part_of_a_part() -> None:
    words = ["--data=SyntheticEmotions", "--model=TransformerClassifier", "--trainer.logger=false"]
    words += ["--trainer.accelerator=cpu", "--model.cleaning=ArabicTweets"]
    assert instantiate([*words, "--model.cleaning.urls=URL"]).model.cleaning.urls == "URL"
    for name in ("urls", "mentions", "repeated_letters", "unicode_form"):
        found = instantiate([*words, f"--model.cleaning.{name}", "null"]).model.cleaning
        assert getattr(found, name) is None
