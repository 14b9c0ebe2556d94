"""A run that is ended anywhere and resumed leaves what an unbroken run leaves, bit by bit."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import broken
import pytest
import torch

from mlemo.runs.manifest import read_manifest, write_manifest

STEPS = "--interruption.minutes=1e-9"  # a checkpoint after every step

#: Hook, and the call of it that ends the process. An epoch has six batches on texts; the validation that is tried
#: before the training has two, those of an epoch have four.
PLACES = [
    ("on_fit_start", 1), ("on_sanity_check_end", 1), ("on_train_start", 1),
    ("on_train_epoch_start", 1), ("on_train_epoch_start", 2), ("on_train_epoch_start", 3),
    ("on_train_batch_start", 1), ("on_train_batch_start", 6), ("on_train_batch_start", 7), ("on_train_batch_start", 10),
    ("on_before_zero_grad", 2), ("on_before_zero_grad", 5),
    ("on_before_backward", 3), ("on_before_backward", 9),
    ("on_after_backward", 4), ("on_after_backward", 11),
    ("on_before_optimizer_step", 2), ("on_before_optimizer_step", 5),
    ("on_train_batch_end", 2), ("on_train_batch_end", 6), ("on_train_batch_end", 8), ("on_train_batch_end", 12),
    ("on_validation_start", 2), ("on_validation_start", 3), ("on_validation_start", 4),
    ("on_validation_epoch_start", 3),
    ("on_validation_batch_start", 4), ("on_validation_batch_start", 7),
    ("on_validation_batch_end", 5), ("on_validation_batch_end", 8),
    ("on_validation_epoch_end", 2), ("on_validation_epoch_end", 3), ("on_validation_epoch_end", 4),
    ("on_validation_end", 2), ("on_validation_end", 3), ("on_validation_end", 4),
    ("on_train_epoch_end", 1), ("on_train_epoch_end", 2), ("on_train_epoch_end", 3),
    ("on_save_checkpoint", 1), ("on_save_checkpoint", 2), ("on_save_checkpoint", 3), ("on_save_checkpoint", 4),
    ("on_train_end", 1), ("on_fit_end", 1),
    ("on_test_start", 1), ("on_test_batch_end", 1), ("on_test_epoch_end", 1), ("on_test_end", 1),
]  # fmt: skip
LONG = "MLEMO_LONG" in os.environ
#: What runs without MLEMO_LONG: a step, a validation and a save, each of another system.
SHORT = [
    ("BertWDL", False, ("on_train_batch_start", 10)),
    ("GTHLEmo", False, ("on_validation_epoch_end", 3)),
    ("DELA", True, ("on_save_checkpoint", 3)),
]
EVERYWHERE = [(system, steps, place) for system in broken.SYSTEMS for steps in (False, True) for place in PLACES]
#: The second comes before the first step, in the validation that is tried.
SIGNALS = [
    (15, ("on_train_batch_start", 10)),
    (15, ("on_sanity_check_end", 1)),
    (10, ("on_validation_batch_start", 7)),
    (2, ("on_train_batch_end", 6)),
]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, Any]]:
    @cache
    def make(system: str) -> dict[str, Any]:
        folder = tmp_path_factory.mktemp(system)
        assert broken.run(words(system, folder), folder / "log") == 0, (folder / "log").read_text()
        return broken.remains(folder / "version_0")

    return make


def words(system: str, folder: Path, steps: bool = False) -> list[str]:
    place = f"--trainer.logger.init_args.save_dir={folder}"
    return ["fit", *broken.SYSTEMS[system], *broken.COMMON, place, *([STEPS] if steps else [])]


def resumed(folder: Path, *settings: str) -> dict[str, Any]:
    log = folder.parent / "log"
    assert broken.run(["resume", str(folder), *settings], log) == 0, log.read_text()
    return broken.remains(folder)


@pytest.mark.parametrize(("system", "steps", "place"), EVERYWHERE if LONG else SHORT)
def test_a_killed_run_that_is_resumed_equals_an_unbroken_one(
    system: str, steps: bool, place: tuple[str, int], unbroken: Callable[[str], dict[str, Any]], tmp_path: Path
) -> None:
    code = broken.run(words(system, tmp_path, steps), tmp_path / "log", place)
    if code == 0:
        pytest.skip(f"{place} is not reached by {system}")
    assert code == -9, (tmp_path / "log").read_text()
    assert broken.differences(resumed(tmp_path / "version_0"), unbroken(system)) == []


@pytest.mark.parametrize(("number", "place"), SIGNALS if LONG else SIGNALS[:2])
def test_a_signal_saves_at_the_next_step_and_exits_with_its_status(
    number: int, place: tuple[str, int], unbroken: Callable[[str], dict[str, Any]], tmp_path: Path
) -> None:
    code = broken.run(words("BertWDL", tmp_path), tmp_path / "log", place, number)
    log, folder = (tmp_path / "log").read_text(), tmp_path / "version_0"
    assert code == 128 + number, log
    assert f"continue with: mlemo resume {folder}" in log
    assert (folder / "checkpoints" / "last.ckpt").is_file()
    manifest = read_manifest(folder)
    assert (manifest.state, manifest.error, manifest.tested) == ("interrupted", None, None)
    moved = tmp_path / "elsewhere"
    shutil.move(folder, moved)
    assert broken.differences(resumed(moved), unbroken("BertWDL")) == []
    assert not folder.exists()
    assert "dirpath has changed" not in (tmp_path / "log").read_text()


def test_a_checkpoint_of_the_last_batch_of_an_epoch_makes_up_the_validation(
    unbroken: Callable[[str], dict[str, Any]], tmp_path: Path
) -> None:
    saver = [
        *["--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.every_n_train_steps=3"],
        *["--trainer.callbacks.filename=step", "--trainer.callbacks.enable_version_counter=false"],
    ]
    code = broken.run([*words("BertWDL", tmp_path), *saver], tmp_path / "log", ("on_validation_start", 3))
    assert code == -9, (tmp_path / "log").read_text()
    folder = tmp_path / "version_0"
    saved = folder / "checkpoints" / "step.ckpt"
    checkpoint = torch.load(saved, weights_only=True)
    assert checkpoint["global_step"] == 6, "three steps of two batches of two epochs"
    assert checkpoint["validation_owed"]
    (folder / "checkpoints" / "last.ckpt").unlink()
    place = f"--trainer.logger.init_args.save_dir={tmp_path}"
    log = tmp_path / "log"
    assert broken.run(["fit", f"--ckpt_path={saved}", place], log) == 0, log.read_text()
    found = broken.remains(folder)
    found["checkpoints"].remove("step.ckpt")
    assert broken.differences(found, unbroken("BertWDL")) == []


def test_a_run_that_was_stopped_early_is_only_tested(tmp_path: Path) -> None:
    settings = ["--early_stopping.monitor=val/loss", "--early_stopping.min_delta=10", "--trainer.max_epochs=9"]
    log, folder = tmp_path / "log", tmp_path / "version_0"
    assert broken.run([*words("DELA", tmp_path), *settings], log) == 0, log.read_text()
    whole = broken.remains(folder)
    assert whole["last.epoch"] == 2, "the first epoch is the best one, and the patience is 2"
    assert broken.differences(resumed(folder), whole) == []
    assert "the training is stopped early, and its best checkpoint is tested; nothing is left" in log.read_text()
    for path in folder.glob("*_test.*"):
        path.unlink()
    manifest = read_manifest(folder)
    assert manifest is not None
    write_manifest(folder, replace(manifest, tested=None))  # as after a kill in the test
    assert broken.differences(resumed(folder), whole) == []


def test_resume_names_a_folder_that_is_no_run(tmp_path: Path) -> None:
    assert broken.run(["resume", str(tmp_path)], tmp_path / "log") == 2
    assert "is no run to resume: it has neither checkpoints/last.ckpt nor config.yaml" in (tmp_path / "log").read_text()
