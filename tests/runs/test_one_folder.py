"""A folder has one run: another one is refused, replaces it, or has a folder of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.loggers import Logger, TensorBoardLogger

from mlemo.callbacks.run_folder import root_folder
from mlemo.cli import main
from mlemo.runs.manifest import read_manifest
from mlemo.runs.place import check_name, claim, clear, next_version, traces
from mlemo.training import instantiate


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_another_training_in_the_folder_is_refused_before_it_begins(finished: Path, words: list[str]) -> None:
    before = content(finished)
    with pytest.raises(ValueError, match=r"first holds a run already \(run\.json, config\.yaml, checkpoints") as raised:
        main([*words, "--trainer.logger.version=first"])
    for choice in (f"mlemo resume {finished}", "--name", "--overwrite"):
        assert choice in str(raised.value)
    assert content(finished) == before


def test_a_checkpoint_belongs_to_the_folder_of_its_own_run(finished: Path) -> None:
    own = finished / "checkpoints" / "last.ckpt"
    claim(finished, own)
    for other in (finished.parent / "other" / "checkpoints" / "last.ckpt", finished / "last.ckpt"):
        with pytest.raises(ValueError, match="first holds a run already"):
            claim(finished, other)
    with pytest.raises(ValueError, match=r"--overwrite would delete .*last\.ckpt"):
        clear(finished, own)
    assert own.is_file()


def test_a_training_from_its_own_checkpoint_goes_on_in_the_folder(finished: Path) -> None:
    started = read_manifest(finished).started
    curves = (finished / "metrics.csv").read_bytes()
    words = ["--trainer.max_epochs=2", f"--trainer.logger.save_dir={finished.parent}"]
    cli = main(["fit", f"--ckpt_path={finished}", *words])
    assert cli.trainer.current_epoch == 2
    assert [path.name for path in finished.parent.iterdir()] == ["first"]
    names = {path.name for path in (finished / "checkpoints").iterdir()}
    assert names == {"best.ckpt", "last.ckpt", "last-previous.ckpt"}, "no best-v1.ckpt"
    assert (finished / "metrics.1.csv").read_bytes() == curves, "CSVLogger alone would delete them"
    manifest = read_manifest(finished)
    assert (manifest.state, manifest.started, manifest.name) == ("finished", started, "first")
    assert manifest.command == ["fit", f"--ckpt_path={finished}", *words]
    assert manifest.tested is not None


def test_overwriting_leaves_the_files_of_the_new_run_alone(finished: Path, words: list[str]) -> None:
    (finished / "notes.txt").write_text("mine")
    (finished / "events.out.tfevents.1").touch()
    before = content(finished)
    main([*words, "--name=first", "--overwrite", "--seed_everything=7"])
    after = content(finished)
    assert before.keys() - after.keys() >= {"predictions_test.csv", "results_test.json", "events.out.tfevents.1"}
    assert all(after[name] != before[name] for name in ("checkpoints/best.ckpt", "checkpoints/last.ckpt", "run.json"))
    assert after["notes.txt"] == b"mine"
    assert read_manifest(finished).tested is None


def test_without_a_name_every_run_has_the_next_number_even_one_that_another_takes_in_between(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "version_0").mkdir()
    numbers = iter([0, 1])  # the first answer is late
    monkeypatch.setattr(TensorBoardLogger, "_get_next_version", lambda self: next(numbers))
    logger = ["--trainer.logger=TensorBoardLogger", f"--trainer.logger.save_dir={tmp_path}", "--trainer.logger.name="]
    cli = main(["fit", f"--config={made / 'config.yaml'}", *logger, "--test_after_fit=false"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["version_0", "version_1"]
    assert not list((tmp_path / "version_0").iterdir())
    assert Path(cli.trainer.log_dir) == tmp_path / "version_1"
    assert set(traces(tmp_path / "version_1")) > {"run.json", "config.yaml", "checkpoints/best.ckpt"}


def test_a_folder_that_is_empty_or_has_only_other_files_is_free(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    claim(folder)
    folder.mkdir()
    for name in ("notes.txt", "log.txt", "events.out.tfevents.1"):
        (folder / name).touch()
    claim(folder)
    (folder / "cost.json").touch()
    with pytest.raises(ValueError, match=r"holds a run already \(cost\.json\)"):
        claim(folder)
    clear(folder)
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_a_notebook_trains_on_in_its_own_folder_and_not_in_that_of_another_run(
    words: list[str], tmp_path: Path
) -> None:
    cli = instantiate([*words[1:], "--name=notebook"])
    for epochs in (1, 2):
        cli.trainer.fit_loop.max_epochs = epochs
        cli.trainer.fit(cli.model, datamodule=cli.datamodule)
    assert cli.trainer.current_epoch == 2
    before = content(tmp_path / "notebook")
    other = instantiate([*words[1:], "--name=notebook"])
    with pytest.raises(ValueError, match="notebook holds a run already"):
        other.trainer.fit(other.model, datamodule=other.datamodule)
    assert content(tmp_path / "notebook") == before


class Remote(Logger):
    """A logger that has no folder, as those of web services, with the same name and version in every run."""

    name, version = "project", "0.1"

    def log_metrics(self, *args: Any, **kwargs: Any) -> None:
        pass

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        pass


def test_a_logger_without_a_folder_has_one_for_each_run(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "version_0").mkdir(parents=True)
    words = [word for word in words if not word.startswith("--trainer.logger")]
    main([*words, f"--trainer.logger={__name__}.Remote"])
    main(["fit", "--ckpt_path=runs/version_1/checkpoints/last.ckpt", "--trainer.max_epochs=2"])
    checkpoints = {"checkpoints/best.ckpt", "checkpoints/last.ckpt", "checkpoints/last-previous.ckpt"}
    files = {"run.json", "config.yaml", "cost.json", "loss_weights.csv"} | checkpoints
    assert set(content(tmp_path)) == {f"runs/version_1/{name}" for name in files}


@pytest.mark.parametrize("logger", [False, Remote(), [Remote(), True]])
def test_the_folder_where_no_logger_has_one(logger: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "version_3").mkdir(parents=True)
    checkpoint = "elsewhere/first/checkpoints/last.ckpt"
    for root, name, continued, expected in (
        (None, None, None, "runs/version_4"),
        (None, None, checkpoint, "elsewhere/first"),
        (None, "named", checkpoint, "runs/named"),
        ("root", None, None, "root"),
        ("root", None, checkpoint, "root"),
        ("root", "named", None, "root/named"),
    ):
        assert root_folder({"logger": logger, "default_root_dir": root}, name, continued) == expected


@pytest.mark.parametrize("logger", [None, True, TensorBoardLogger("anywhere"), [TensorBoardLogger("anywhere")]])
def test_a_logger_with_a_folder_leaves_the_root_folder_alone(logger: Any) -> None:
    assert root_folder({"logger": logger, "default_root_dir": None}, "named", None) is None


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../a", "-a", ".a", "a b", "a,b", "a=b", "a\nb", "x" * 101])
def test_a_name_that_is_no_name_of_a_folder_or_not_one_for_compare_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="--name: expected up to 100 letters, digits"):
        check_name(name)


def test_a_bad_name_is_refused_before_anything_is_made(words: list[str], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"--name: .* found 'a/b'"):
        main([*words, "--name=a/b"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a", "wdl-3e-5", "فرح", "快乐_2", "v1.0+x"])
def test_good_names(name: str) -> None:
    assert check_name(name) == name


def test_folders_are_numbered_behind_the_last_one(tmp_path: Path) -> None:
    assert next_version(tmp_path / "new") == tmp_path / "new" / "version_0"
    for name in ("version_0", "version_11", "version_x", "other_99"):
        (tmp_path / name).mkdir()
    assert next_version(tmp_path) == tmp_path / "version_12"
