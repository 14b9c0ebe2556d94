"""The manifest of a run: what it says, and who follows it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback

import mlemo
from mlemo.callbacks.run_manifest import data_fingerprint
from mlemo.cli import main
from mlemo.data import Corpus, SyntheticEmotions
from mlemo.runs.loading import find_checkpoint
from mlemo.runs.manifest import Manifest, is_tested, manifest_checkpoint, read_manifest, sha256, write_manifest
from mlemo.runs.predictions import read_predictions

BEST = "checkpoints/best.ckpt"


def change(folder: Path, **values: Any) -> None:
    """Change entries of a manifest, or remove them where the value is ``...``."""
    content = json.loads((folder / "run.json").read_text()) | values
    content = {name: value for name, value in content.items() if value is not ...}
    (folder / "run.json").write_text(json.dumps(content))


def test_a_finished_run_says_what_it_is_and_which_checkpoint_was_tested(made: Path) -> None:
    manifest = read_manifest(made)
    assert (manifest.state, manifest.name, manifest.error, manifest.format) == ("finished", "first", None, 1)
    assert manifest.command[0] == "fit"
    assert manifest.command[-1] == "--name=first"
    assert manifest.tested == {"file": BEST, "sha256": sha256(made / BEST)}
    assert manifest.config == sha256(made / "config.yaml")
    assert manifest.started <= manifest.ended
    assert manifest.versions["mlemo"] == mlemo.__version__
    assert {"python", "torch", "lightning", "transformers"} < manifest.versions.keys()
    assert manifest.data["class"] == "mlemo.data.SyntheticEmotions"
    assert manifest.data["settings"]["size"] == 32
    assert {name: split["rows"] for name, split in manifest.data["splits"].items()} == {
        "train": 32,
        "val": 16,
        "test": 16,
    }
    encoder = manifest.model.pop("encoder")
    assert manifest.model["class"] == "mlemo.models.BertWDL"
    assert manifest.model["parameters"] == manifest.model["trained"] > encoder["parameters"] > 0
    assert (encoder["name"], encoder["pretrained"], encoder["type"], encoder["layers"]) == (
        "FromScratch",
        False,
        "bert",
        1,
    )
    assert "name: first" not in (made / "config.yaml").read_text(), "a run from this config is another one"


def test_a_folder_gives_the_model_that_its_predictions_are_of(finished: Path) -> None:
    shutil.copy(finished / BEST, finished / "checkpoints" / "other.ckpt")
    change(finished, tested={"file": "checkpoints/other.ckpt", "sha256": sha256(finished / BEST)})
    assert find_checkpoint(finished) == manifest_checkpoint(finished) == finished / "checkpoints" / "other.ckpt"
    texts = SyntheticEmotions(size=32, val_size=16, test_size=16).corpus("test").texts
    saved = read_predictions(finished / "predictions_test.csv").probabilities
    torch.testing.assert_close(mlemo.load(finished).probabilities(texts), saved, atol=1e-5, rtol=0)


def test_a_checkpoint_that_has_changed_since_the_test_is_refused_and_can_be_given_by_its_file(finished: Path) -> None:
    shutil.copy(finished / "checkpoints" / "last.ckpt", finished / BEST)
    for read in (mlemo.load, find_checkpoint):
        with pytest.raises(
            ValueError, match=r"best\.ckpt is not the checkpoint .* has changed since the test\n.*mlemo test"
        ):
            read(finished)
    assert find_checkpoint(finished / BEST) == finished / BEST
    for command in (["classify", "a text", "--ckpt"], ["explain", "a text", "--ckpt"]):
        with pytest.raises(SystemExit):
            main([*command, str(finished)])
    (finished / BEST).unlink()
    with pytest.raises(FileNotFoundError, match=r"best\.ckpt is not there, which run\.json names"):
        find_checkpoint(finished)


def test_a_folder_without_a_manifest_or_a_test_gives_its_best_checkpoint(finished: Path) -> None:
    change(finished, tested=None)
    shutil.copy(finished / "checkpoints" / "last.ckpt", finished / BEST)
    assert find_checkpoint(finished) == finished / BEST
    assert not is_tested(finished)
    (finished / "run.json").unlink()
    assert find_checkpoint(finished) == finished / BEST
    assert is_tested(finished), "nothing says otherwise"
    (finished / BEST).unlink()
    assert find_checkpoint(finished) == finished / "checkpoints" / "last.ckpt"


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"format": 2}, r"a later version of mlemo wrote it \(format 2, known: 1\)"),
        ({"format": None}, "it has no format"),
        ({"state": ...}, "missing .* 'state'"),
        ({"tested": {"file": 3, "sha256": ""}}, "expected text as name"),
        ({"tested": {"file": BEST}}, "expected file and sha256"),
        ({"tested": [1]}, "expected file and sha256"),
        ({"name": {"a": 1}}, "expected text as name"),
    ],
)
def test_a_manifest_that_cannot_be_understood_is_named(tmp_path: Path, values: dict[str, Any], problem: str) -> None:
    write_manifest(tmp_path, Manifest("running", "2026-01-01", ["fit"]))
    change(tmp_path, **values)
    with pytest.raises(ValueError, match=rf"run\.json is not the manifest of a run: .*{problem}"):
        find_checkpoint(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, "\udcff"])
def test_a_manifest_that_is_no_json_object_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text, errors="surrogateescape")
    with pytest.raises(ValueError, match=r"run\.json is not the manifest of a run"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("name", ["../outside.ckpt", "/etc/passwd", "link.ckpt"])
def test_a_manifest_names_no_file_outside_of_its_folder(tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside.ckpt"
    outside.write_bytes(b"x")
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "link.ckpt").symlink_to(outside)
    tested = {"file": name, "sha256": sha256(outside)}
    write_manifest(folder, Manifest("finished", "2026-01-01", ["fit"], tested=tested))
    with pytest.raises(ValueError, match="is not in the folder"):
        find_checkpoint(folder)


def test_later_additions_to_the_format_are_passed_over(tmp_path: Path) -> None:
    write_manifest(tmp_path, Manifest("running", "2026-01-01", ["fit", "\udcff"]))
    change(tmp_path, new=1)
    assert read_manifest(tmp_path) == Manifest("running", "2026-01-01", ["fit", "\udcff"])


def test_rows_of_a_comparison_are_called_as_the_runs_and_a_stale_test_is_noted(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = shutil.copytree(finished, finished.parent / "second")
    change(other, name=None)
    copy = shutil.copytree(finished, finished.parent / "copy")
    rows = main(["compare", "--resamples=10", *map(str, (finished, other, copy))])
    assert list(dict.fromkeys(row.system for row in rows)) == ["first", str(other), str(copy)], "no name twice"
    assert "trained further since" not in capsys.readouterr().out
    change(other, tested=None)
    main(["compare", "--resamples=10", *map(str, (finished, other))])
    assert capsys.readouterr().out.count("trained further since") == 1


class Fail(Callback):
    """Ends the training in its first batch."""

    def on_train_batch_start(self, *args: Any) -> None:
        raise ValueError("the first batch failed")


def test_a_training_that_failed_says_so(words: list[str], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the first batch failed"):
        main([*words, "--name=failing", f"--trainer.callbacks+={__name__}.Fail"])
    manifest = read_manifest(tmp_path / "failing")
    assert (manifest.state, manifest.error) == ("failed", "ValueError: the first batch failed")
    assert manifest.tested is None


def test_the_test_of_a_folder_is_that_of_its_checkpoint_and_writes_into_another_one(finished: Path) -> None:
    before = (finished / "run.json").read_bytes()
    logger = ["--trainer.logger=CSVLogger", f"--trainer.logger.save_dir={finished.parent}", "--trainer.logger.name="]
    cli = main(["test", f"--ckpt_path={finished}", *logger, "--results.resamples=0"])
    assert Path(cli.trainer.ckpt_path) == finished / BEST
    assert (finished / "run.json").read_bytes() == before
    new = finished.parent / "version_0"
    assert (new / "results_test.json").read_text() == (finished / "results_test.json").read_text()
    assert not (new / "run.json").exists()


def test_the_fingerprint_of_data_follows_ids_labels_and_annotation() -> None:
    def fingerprint(split: str, **changes: Any) -> Any:
        data = SyntheticEmotions(size=32, val_size=16, test_size=16)
        for name, value in changes.items():
            corpus = data.corpus("val")
            parts = {"labels": corpus.labels, "ids": corpus.ids, "mask": corpus.mask} | {name: value(corpus)}
            data._corpora["val"] = Corpus(corpus.label_space, texts=corpus.texts, **parts)
        return data_fingerprint(data, {})["splits"][split]

    def flipped(corpus: Corpus) -> Any:
        mask = corpus.mask.clone()
        mask[0, corpus.labels[0] == 0] = False
        return mask

    before = fingerprint("val")
    assert before == fingerprint("val")
    assert fingerprint("train", ids=lambda corpus: ["x", *corpus.ids[1:]]) == fingerprint("train")
    changed = [
        fingerprint("val", ids=lambda corpus: ["x", *corpus.ids[1:]]),
        fingerprint("val", labels=lambda corpus: corpus.labels.flip(0)),
        fingerprint("val", mask=flipped),
    ]
    assert len({one["sha256"] for one in [before, *changed]}) == 4
