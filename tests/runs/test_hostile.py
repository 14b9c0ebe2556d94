"""Checkpoints of a stranger: none runs code, leaves a file or grows without bound, and each ends in one line."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from strangers import ALL, DAMAGES, MODULE, PASSED_OVER, REFUSED, STRANGE, Touch

import mlemo
from mlemo.cli import main, script
from mlemo.nn.features import features_from_dict
from mlemo.reporting.explanations.corpora import corpus_of
from mlemo.runs.loading import read_checkpoint

#: Environment variable with which each stranger goes through each command, which takes minutes.
EVERY_COMMAND = "MLEMO_HOSTILE_EVERY_COMMAND" in os.environ

#: One stranger of each kind, which goes through each command that refuses it; the others go through the first.
THROUGH_EVERY_COMMAND = {
    "pickled call", "file beside", "model of the stranger", "tag of YAML", "shared lists", "wrong shape",
}  # fmt: skip


@pytest.fixture
def received(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the checkpoint in a folder with a module beside it, from which commands are run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(logging, "raiseExceptions", False)  # handlers that hold the captured stderr of another test
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / f"{STRANGE}.py").write_text(MODULE)
    shutil.copy(good, tmp_path / "received.ckpt")
    yield tmp_path / "received.ckpt"
    assert STRANGE not in sys.modules
    assert "antigravity" not in sys.modules


def change(path: Path, changed: Callable[[dict[str, Any]], Any]) -> None:
    content = torch.load(path, weights_only=True)
    changed(content)
    torch.save(content, path)


def words(command: str, path: Path) -> list[str]:
    if command in ("classify", "explain"):
        return [command, f"--ckpt={path.name}", "a good day", *(["--neighbors=0"] if command == "explain" else [])]
    quiet = ["--trainer.logger=false", "--trainer.enable_progress_bar=false"] if command != "fit" else []
    return [command, f"--ckpt_path={path.name}", "--trainer.accelerator=cpu", *quiet]


def files(folder: Path) -> dict[Path, int]:
    """Files with the times of their changes; folders with 0."""
    return {path: path.stat().st_mtime_ns if path.is_file() else 0 for path in folder.rglob("*")}


def refuses(command: str, path: Path, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = files(path.parent)
    with pytest.raises(SystemExit) as caught:
        script(words(command, path))
    assert caught.value.code == 2
    output = capsys.readouterr().err
    assert "Traceback" not in output
    lines = output.splitlines()
    first = next(place for place, line in enumerate(lines) if line.startswith("mlemo"))
    assert len(lines) - first <= 2, output
    assert re.search(message, lines[first]), lines[first]
    assert files(path.parent) == before, "a file was left or changed"


@pytest.mark.parametrize("stranger", REFUSED)
def test_a_stranger_is_refused_in_one_line(stranger: str, received: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changed, commands, message = REFUSED[stranger]
    change(received, changed)
    if not EVERY_COMMAND and stranger not in THROUGH_EVERY_COMMAND:
        refuses(commands[0], received, message, capsys)
        return
    for command in ALL:
        if command in commands:
            refuses(command, received, message, capsys)
        elif command == "classify" or EVERY_COMMAND:
            script(words(command, received))
            assert not (received.parent / "canary").exists()


@pytest.mark.parametrize("stranger", PASSED_OVER)
def test_a_training_does_not_go_on_with_callbacks_loggers_and_losses_of_a_stranger(
    stranger: str, received: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed, message = PASSED_OVER[stranger]
    change(received, changed)
    refuses("fit", received, message, capsys)


def test_callbacks_loggers_and_losses_of_a_stranger_are_passed_over_and_never_built(
    received: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = mlemo.load(received)("a good day")
    for changed, _ in PASSED_OVER.values():
        change(received, changed)
    change(received, lambda content: content["state_dict"].update({"loss.weights_of_its_own": torch.ones(3)}))
    assert main(words("classify", received))[0] == expected
    cli = main([*words("test", received)[:3], "--trainer.logger.save_dir=own"])
    assert type(cli.model.loss).__name__ == "BinaryCrossEntropy"
    assert type(cli.trainer.logger).__name__ == "CurveLogger"
    assert "model.loss is left out (the loss that is shown is that of the default one)" in caplog.text
    assert {path.name for path in received.parent.iterdir()} == {received.name, f"{STRANGE}.py", "temporary", "own"}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_refused_in_one_line(damage: str, received: Path, capsys: pytest.CaptureFixture[str]) -> None:
    DAMAGES[damage](received)
    for command in (*ALL, "predict", "fit"):
        refuses(command, received, r"received\.ckpt .*cannot be read as a checkpoint", capsys)


def test_code_and_other_places_that_the_encoders_files_name_are_left_out(received: Path) -> None:
    def changed(content: dict[str, Any]) -> None:
        for name in ("config.json", "tokenizer_config.json"):
            settings = json.loads(content["encoder"][name])
            settings["auto_map"] = {kind: f"{STRANGE}.Any" for kind in ("AutoConfig", "AutoModel", "AutoTokenizer")}
            settings |= {"attn_implementation": "stranger/kernel", "tokenizer_file": "/dev/zero"}
            content["encoder"][name] = json.dumps(settings)

    expected = mlemo.load(received)("a good day")
    change(received, changed)
    assert mlemo.load(received)("a good day") == expected


def test_a_trusted_module_is_imported_and_found(received: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = mlemo.load(received)("a good day")
    (received.parent / "my_models_of_test.py").write_text(
        "from mlemo.models import TransformerClassifier\nclass Mine(TransformerClassifier):\n    '''A model.'''\n"
    )
    change(received, lambda content: content.update(model_class="my_models_of_test.Mine"))
    refuses("classify", received, "add --trust my_models_of_test", capsys)
    refuses("explain", received, "add --trust my_models_of_test", capsys)
    trusted = ["--trust", "my_models_of_test"]
    assert main([*words("classify", received), *trusted])[0] == expected
    assert mlemo.load(received, trust=("my_models_of_test",))("a good day") == expected
    assert type(mlemo.load(received).model).__name__ == "Mine", "it is imported now"
    with pytest.raises(ValueError, match="trusted module 'no_such_module' cannot be imported"):
        mlemo.load(received, trust=["no_such_module"])


def test_the_data_of_a_stranger_are_not_built_to_explain(received: Path) -> None:
    for stranger in ("data of the stranger", "data by name alone", "data in a text", "data that is a process"):
        change(received, REFUSED[stranger][0])
        with pytest.raises(ValueError, match=r"--trust|not allowed|no class that"):
            corpus_of(read_checkpoint(received), "train")


def test_features_are_built_of_trusted_classes_and_write_to_no_place_of_the_file(received: Path) -> None:
    stored = {"class_path": f"{STRANGE}.Features", "init_args": {}, "state": {}}
    with pytest.raises(ValueError, match=f"--trust {STRANGE}"):
        features_from_dict(stored)
    stored = {"class_path": "mlemo.nn.tfidf.Tfidf", "init_args": {"cache_dir": "canary", "width": 3}, "state": {}}
    assert vars(features_from_dict(stored))["width"] == 3


def test_the_tests_have_teeth(received: Path) -> None:
    torch.save({"state_dict": {}, "extra": Touch()}, received)
    torch.load(received, weights_only=False)
    assert (received.parent / "canary").exists()
