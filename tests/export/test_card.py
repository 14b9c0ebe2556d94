"""The model card of an export: what is known of data, scores and use."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from mlemo.cli import main

WORDS = [
    *["fit", "--data=SyntheticEmotions", "--data.size=32", "--data.val_size=16", "--data.test_size=16"],
    *["--model=TransformerClassifier", "--model.encoder=FromScratch", "--model.encoder.layers=1"],
    *["--model.encoder.width=16", "--model.encoder.heads=2", "--model.encoder.vocabulary=200"],
    *["--trainer.max_epochs=1", "--trainer.accelerator=cpu", "--trainer.precision=32-true"],
    *["--trainer.logger=CSVLogger", "--trainer.logger.name=", "--trainer.num_sanity_val_steps=0"],
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tested run."""
    folder = tmp_path_factory.mktemp("runs")
    main([*WORDS, f"--trainer.logger.save_dir={folder}", "--name=joyful_run"])
    return folder / "joyful_run"


def test_scores_labels_data_license_and_citation_are_those_of_the_run(run: Path, tmp_path: Path) -> None:
    card = (
        main(["export", str(run), "--output", str(tmp_path / "out"), "--license", "CC-BY-4.0"]) / "README.md"
    ).read_text()
    results = json.loads((run / "results_test.json").read_text())
    low, high = results["intervals"]["tuned_macro_f1"]
    assert f"| macro F1 | {results['tuned_macro_f1']:.3f} | {low:.3f} to {high:.3f} |" in card
    assert f"| macro AP | {results['macro_ap']:.3f} |" in card
    classes = pd.read_csv(run / "per_class_test.csv")
    for row in classes.itertuples():
        scores = f"{row.tuned_precision:.3f} | {row.tuned_recall:.3f} | {row.tuned_f1:.3f}"
        assert f"| {row.label} | {row.support:g} | {scores} |" in card
    assert "SyntheticEmotions: 32 texts in train, 16 texts in val, 16 texts in test." in card
    assert card.startswith("---\nlibrary_name: mlemo\n")
    assert "license: cc-by-4.0\n" in card
    assert "@software{mlemo," in card
    assert "# joyful_run" in card
    assert str(run.parent) not in card
    assert results["rule"] in card


def test_a_license_is_an_identifier(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["export", str(run), "--output", str(tmp_path / "out"), "--license", "mit\ntags: []"])
    assert r"must be an SPDX identifier such as cc-by-4.0, found 'mit\ntags: []'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_alone_has_no_scores(run: Path, tmp_path: Path) -> None:
    checkpoint = run / "checkpoints" / "best.ckpt"
    card = (main(["export", str(checkpoint), "--output", str(tmp_path / "out")]) / "README.md").read_text()
    assert "exported without results of a test" in card
    assert "license was not stated" in card
    assert "license:" not in card


def test_scores_from_before_the_training_went_on_are_left_out(run: Path, tmp_path: Path) -> None:
    import shutil

    copy = Path(shutil.copytree(run, tmp_path / "run"))
    manifest = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps({**manifest, "tested": None}))
    card = (main(["export", str(copy), "--output", str(tmp_path / "out")]) / "README.md").read_text()
    assert "trained on after its latest test" in card
    assert "macro F1" not in card
