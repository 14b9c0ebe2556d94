"""Checkpoints that a full disk and a kill leave as they were, on the disk and on another file system."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import signal
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from lightning.fabric.plugins import TorchCheckpointIO

from mlemo.cli import main
from mlemo.runs.checkpoint_io import AtomicCheckpointIO
from mlemo.runs.loading import find_checkpoint, read_checkpoint
from mlemo.training import instantiate

SHARED = Path("/dev/shm")  # a file system of its own, which is what Lightning's way of writing does not survive
WORDS = [
    *["--data=SyntheticEmotions", "--data.size=32", "--data.val_size=16", "--data.test_size=16", "--data.batch_size=8"],
    *["--model=BertWDL", "--model.encoder=FromScratch", "--model.encoder.layers=1", "--model.encoder.width=32"],
    *["--model.encoder.heads=2", "--model.encoder.vocabulary=300", "--trainer.precision=32-true"],
    *["--trainer.accelerator=cpu", "--figures.every_n_epochs=0", "--test_after_fit=false"],
]


@pytest.fixture(params=["disk", "tmpfs"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A run folder on the file system of the temporary folder, or on another one."""
    if request.param == "disk":
        yield tmp_path
        return
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is not there")
    path = Path(tempfile.mkdtemp(dir=SHARED))
    yield path
    shutil.rmtree(path)


class Own(TorchCheckpointIO):
    """A user's own plugin for checkpoints, which writes as Lightning does."""


def checkpoint(value: float) -> dict:
    return {"state_dict": {"weight": torch.full((1000,), value)}}


def value(path: Path) -> float:
    weight = torch.load(path, weights_only=True)["state_dict"]["weight"]
    assert (weight == weight[0]).all()
    return float(weight[0])


def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing more fits on the disk."""

    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)


@pytest.mark.parametrize("name", ["last.ckpt", "best.ckpt"])
def test_a_full_disk_leaves_the_checkpoint_as_it_was(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = AtomicCheckpointIO()
    for number in (1.0, 2.0):
        writer.save_checkpoint(checkpoint(number), folder / "checkpoints" / name)
    before = sorted(folder.rglob("*.ckpt"))
    full_disk(monkeypatch)
    with pytest.raises(OSError, match="No space left on device"):
        writer.save_checkpoint(checkpoint(3.0), folder / "checkpoints" / name)
    assert value(find_checkpoint(folder)) == 2.0
    assert sorted(path for path in folder.rglob("*") if path.is_file()) == before


def die_at(function: str, count: int) -> None:
    """Let this process be killed in the n-th call of a function."""
    owner, name = {"fsync": (os, "fsync"), "replace": (Path, "replace")}[function]
    real, calls = getattr(owner, name), []

    def die(*args: object) -> object:
        calls.append(args)
        if len(calls) == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args)

    setattr(owner, name, die)


# in the writing, and before and after the checkpoint before has been put aside
@pytest.mark.parametrize(("function", "count"), [("fsync", 1), ("replace", 1), ("replace", 2)])
def test_a_kill_leaves_a_checkpoint_that_is_found(
    folder: Path, function: str, count: int, caplog: pytest.LogCaptureFixture
) -> None:
    path = folder / "checkpoints" / "last.ckpt"
    writer = AtomicCheckpointIO()
    for number in (1.0, 2.0):
        writer.save_checkpoint(checkpoint(number), path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python's warning about forks beside threads: this child computes nothing
        child = os.fork()
    if not child:
        die_at(function, count)
        writer.save_checkpoint(checkpoint(3.0), path)
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == 9
    assert len(list(folder.rglob("*.part"))) == 1
    with caplog.at_level(logging.WARNING):
        assert value(find_checkpoint(folder)) == value(find_checkpoint(path)) == 2.0
    assert bool(caplog.messages) == (not path.exists()) == (count == 2)
    writer.save_checkpoint(checkpoint(4.0), path)
    assert value(find_checkpoint(folder)) == 4.0
    assert not list(folder.rglob("*.part")), "what the kill left is removed by the next writing"


def test_the_latest_checkpoint_gives_way_to_the_one_before_it_where_it_is_damaged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "checkpoints" / "last.ckpt"
    writer = AtomicCheckpointIO()
    for number in (1.0, 2.0, 3.0):
        writer.save_checkpoint(checkpoint(number), path)
    previous = path.with_name("last-previous.ckpt")
    assert (value(path), value(previous)) == (3.0, 2.0)
    assert find_checkpoint(path) == find_checkpoint(tmp_path) == path
    content = path.read_bytes()
    middle = content.index(torch.full((1000,), 3.0).numpy().tobytes())
    for damaged in (b"", content[:-10], content[:middle] + b"\1" + content[middle + 1 :]):
        path.write_bytes(damaged)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert float(read_checkpoint(path)["state_dict"]["weight"][0]) == 2.0
        (line,) = set(caplog.messages)
        assert line.endswith(
            "last.ckpt cannot be read, it is damaged; last-previous.ckpt, the checkpoint before it, is used"
        )
    previous.write_bytes(b"")
    assert find_checkpoint(path) == path, "nothing better is there: the reader says what is wrong with it"


def test_other_plugins_for_checkpoints_are_kept_and_every_training_has_this_one(tmp_path: Path) -> None:
    place = f"--trainer.logger.save_dir={tmp_path}"
    own = instantiate([*WORDS, place, f"--trainer.plugins+={__name__}.Own"]).trainer.strategy.checkpoint_io
    assert isinstance(own, Own)
    assert type(instantiate([*WORDS, place]).trainer.strategy.checkpoint_io) is AtomicCheckpointIO


@pytest.mark.parametrize("folder", ["tmpfs"], indirect=True)
def test_a_training_whose_disk_is_full_ends_and_goes_on_from_the_checkpoint_before(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = f"--trainer.logger.save_dir={folder}"
    main(["fit", *WORDS, place, "--trainer.max_epochs=2"])
    last = folder / "version_0" / "checkpoints" / "last.ckpt"
    assert {path.name for path in last.parent.iterdir()} == {"best.ckpt", "last.ckpt", "last-previous.ckpt"}
    steps = [
        torch.load(path, weights_only=True)["global_step"] for path in (last.with_name("last-previous.ckpt"), last)
    ]
    assert steps == [4, 8]
    with monkeypatch.context() as patch:
        full_disk(patch)
        with pytest.raises(OSError, match="No space left on device"):
            main(["fit", f"--ckpt_path={last}", place, "--trainer.max_epochs=3"])
    assert torch.load(last, weights_only=True)["global_step"] == 8
    last.write_bytes(last.read_bytes()[:1000])
    cli = main(["fit", f"--ckpt_path={last}", place, "--trainer.max_epochs=3"])
    assert cli.trainer.global_step == 12
    assert torch.load(last, weights_only=True)["global_step"] == 12
