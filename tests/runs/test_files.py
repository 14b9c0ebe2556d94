"""One place knows every file of a run folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlemo.cli import main
from mlemo.runs.files import BEST, FILES, LAST, LOG, OTHER_CHECKPOINTS, RESULTS, known, of_a_run

WORDS = [
    *["--data=SyntheticEmotions", "--data.size=48", "--data.val_size=16", "--data.test_size=16", "--data.batch_size=8"],
    *["--model=BertWDL", "--model.encoder=FromScratch", "--model.encoder.layers=1", "--model.encoder.width=32"],
    *["--model.encoder.heads=2", "--model.encoder.vocabulary=300", "--trainer.precision=32-true"],
    *["--trainer.accelerator=cpu", "--trainer.max_epochs=2", "--trainer.callbacks+=Trajectory"],
    *["--trainer.callbacks+=EpochLog"],
    *["--trainer.callbacks+=BatchSelection", "--trainer.callbacks.record_epochs=[1]", "--results.resamples=0"],
]


def test_a_run_leaves_only_files_that_are_known(tmp_path: Path) -> None:
    main(["fit", *WORDS, f"--trainer.logger.save_dir={tmp_path}"])
    (folder,) = tmp_path.iterdir()
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    assert [name for name in names if known(name) is None] == []
    written = {file.name for _, file in of_a_run(folder)}
    assert {path for path, _ in of_a_run(folder)} == {folder / name for name in names}
    elsewhere = {
        "checkpoints/*.ckpt",
        "metrics.csv",
        "metrics.*.csv",
        "log.txt",
        "record.json",
        "failure.txt",
        "ensemble.json",
        "*.part",
    }
    assert written == {file.name for file in FILES} - elsewhere


def test_names_are_of_one_file_each_and_of_this_folder_alone(tmp_path: Path) -> None:
    assert len({file.name for file in FILES}) == len(FILES)
    assert known("checkpoints/best.ckpt") is BEST
    assert known("checkpoints/last.ckpt") is LAST
    assert known("checkpoints/step.ckpt") is OTHER_CHECKPOINTS
    assert known("results_val.json") is RESULTS
    for name in (
        "results_all.json",
        "sub/config.yaml",
        "checkpoints/sub/best.ckpt",
        "notes.txt",
        "predictions_test.csv.bak",
    ):
        assert known(name) is None, name


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_file_is_described(file: object) -> None:
    assert known(file.name.format(split="test").replace("*", "x")) in (
        file,
        *([LAST] if file is OTHER_CHECKPOINTS else []),
    )
    assert file.what
    assert file.format
    assert file.writer
    assert file.version >= 1


def test_other_files_of_a_folder_are_passed_over(tmp_path: Path) -> None:
    for name in ("notes.txt", "sub/config.yaml", "log.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert list(of_a_run(tmp_path)) == [(tmp_path / "log.txt", LOG)]


def test_the_page_on_run_folders_has_every_file() -> None:
    page = (Path(__file__).parents[2] / "docs" / "runs.md").read_text(encoding="utf-8")
    rows = [
        f"| `{file.name}` | {file.what} | {file.format} ({file.version}) | {file.writer} | {', '.join(file.readers)} |"
        for file in FILES
    ]
    assert "\n".join(["| --- | --- | --- | --- | --- |", *rows, ""]) in page
