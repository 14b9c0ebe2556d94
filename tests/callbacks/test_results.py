from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlemo.callbacks import Results
from mlemo.callbacks.results import _program

Maker = Callable[..., Any]


def test_the_printed_command_can_be_run_as_printed() -> None:
    done = subprocess.run([*shlex.split(_program()), "--version"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("mlemo ")


@pytest.mark.parametrize(("found", "expected"), [(None, "-m mlemo"), ("/elsewhere/bin/mlemo", "-m mlemo")])
def test_a_name_that_is_not_this_environments_is_not_printed(
    found: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: found)
    assert _program().endswith(expected)
    monkeypatch.setattr(shutil, "which", lambda name: str(Path(sys.executable).parent / "mlemo"))
    assert _program() == "mlemo"


def test_validation_alone_is_printed_and_after_training_it_waits_for_the_test(
    classifier: Maker, data: Maker, trainer: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    model, module = classifier(), data()
    run = trainer(callbacks=Results())
    run.validate(model, datamodule=module, verbose=False)
    alone = capsys.readouterr().out
    assert "val at 0.5" in alone
    assert "test at 0.5" not in alone
    run.fit(model, datamodule=module)
    run.validate(model, datamodule=module, verbose=False)
    assert "val at 0.5" not in capsys.readouterr().out
    run.test(model, datamodule=module, verbose=False)
    together = capsys.readouterr().out
    assert "val at 0.5" in together
    assert "test at 0.5" in together
