"""Trainings with a teacher, from the command line."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from processes import in_processes

import mlemo
import mlemo.training.teacher
from mlemo.cli import main
from mlemo.data import SyntheticEmotions
from mlemo.labels import LabelSpace
from mlemo.losses import DistillationLoss
from mlemo.runs.manifest import read_manifest, write_manifest
from mlemo.training.teacher import Teacher, teacher_logits

WORDS = [
    *["--data=SyntheticEmotions", "--data.size=32", "--data.val_size=20", "--data.test_size=16", "--data.batch_size=8"],
    *["--model=TransformerClassifier", "--model.encoder=FromScratch", "--model.encoder.layers=1"],
    *["--model.encoder.width=16", "--model.encoder.heads=2", "--model.encoder.vocabulary=200"],
    *["--model.optimization.learning_rate=1e-2", "--trainer.max_epochs=1", "--trainer.accelerator=cpu"],
    *["--trainer.precision=32-true", "--trainer.num_sanity_val_steps=0", "--results.resamples=0"],
    *["--trainer.logger=CSVLogger", "--trainer.logger.name="],
]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tested run, which no test changes."""
    root = tmp_path_factory.mktemp("made")
    main(["fit", *WORDS, f"--trainer.logger.save_dir={root}", "--name=teacher"])
    return root / "teacher"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of the test, empty; the teacher computes in float32."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(mlemo.training.teacher, "has_bf16", lambda: False)
    return tmp_path / "cache" / "mlemo" / "teachers"


def student(root: Path, name: str, teacher: Path, *words: str) -> Path:
    distilled = ["--model.loss=DistillationLoss", f"--model.loss.teacher={teacher}", "--model.loss.temperature=2"]
    main(
        [
            "fit",
            *WORDS,
            "--seed_everything=7",
            f"--trainer.logger.save_dir={root}",
            f"--name={name}",
            *distilled,
            *words,
        ]
    )
    return root / name


def last(run: Path) -> dict:
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)


def test_logits_are_those_of_the_probabilities_and_are_computed_once(
    made: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space, texts = SyntheticEmotions().label_space, ["what a day", "I am afraid", "why"]
    found = teacher_logits(made, texts, space, CPU)
    probabilities = mlemo.load(made).probabilities(texts).double().numpy()
    np.testing.assert_allclose(found, np.log(probabilities / (1 - probabilities)), atol=1e-4)
    assert len(list(cache.iterdir())) == 1
    generator = torch.random.get_rng_state()
    teacher_logits(made, texts[:2], space, CPU)  # other texts
    assert torch.equal(torch.random.get_rng_state(), generator)
    assert len(list(cache.iterdir())) == 2
    monkeypatch.setattr(mlemo.training.teacher, "load", lambda *args: pytest.fail("the teacher was loaded again"))
    assert torch.equal(teacher_logits(made / "checkpoints" / "best.ckpt", texts, space, CPU), found)


def test_a_student_says_what_it_keeps_of_the_score_of_its_teacher(
    made: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    run = student(tmp_path, "student", made)
    results, teacher = (json.loads((one / "results_test.json").read_text()) for one in (run, made))
    assert results["teacher_tuned_macro_f1"] == pytest.approx(teacher["tuned_macro_f1"])
    kept = results["tuned_macro_f1"] / teacher["tuned_macro_f1"]
    assert results["kept_tuned_macro_f1"] == pytest.approx(kept, abs=1e-6)
    assert f"the student keeps {kept:.1%} of the teacher's macro-F1" in caplog.text
    assert not any(name.startswith("loss.") for name in last(run)["state_dict"])
    logged = pd.read_csv(run / "loss_weights.csv")
    assert list(logged) == ["step", "loss/hard", "loss/soft", "weight/hard", "weight/soft"]
    assert (logged["weight/soft"] == 2.0).all()  # 1/2 · T²


def test_a_student_is_loaded_and_tested_without_its_teacher(made: Path, tmp_path: Path) -> None:
    teacher = Path(shutil.copytree(made, tmp_path / "teacher"))
    run = student(tmp_path, "student", teacher)
    scores = json.loads((run / "results_test.json").read_text())
    shutil.rmtree(teacher)
    assert mlemo.load(run).labels == mlemo.load(made).labels
    main(["test", f"--ckpt_path={run}", f"--trainer.logger.init_args.save_dir={tmp_path / 'again'}"])
    (path,) = (tmp_path / "again").rglob("results_test.json")
    again = json.loads(path.read_text())
    assert scores.keys() - again.keys() == {"teacher_tuned_macro_f1", "kept_tuned_macro_f1"}
    assert all(scores[name] == again[name] for name in scores.keys() & again.keys())


def test_the_weights_of_a_student_differ_from_those_learned_from_labels_alone(made: Path, tmp_path: Path) -> None:
    quick = ["--test_after_fit=false"]
    distilled = last(student(tmp_path, "a", made, *quick))["state_dict"]
    main(["fit", *WORDS, "--seed_everything=7", f"--trainer.logger.save_dir={tmp_path}", "--name=b", *quick])
    alone = last(tmp_path / "b")["state_dict"]
    assert not torch.equal(distilled["head.weight"], alone["head.weight"])


def test_a_resumed_student_equals_the_unbroken_one_also_where_weights_are_averaged(made: Path, tmp_path: Path) -> None:
    words = ["--trainer.callbacks+=EMAWeights", "--model.optimization.schedule=constant"]
    words += ["--model.optimization.warmup=0", "--test_after_fit=false"]
    whole = student(tmp_path, "whole", made, *words, "--trainer.max_epochs=2")
    part = student(tmp_path, "part", made, *words)
    shutil.rmtree(tmp_path / "cache")  # the logits are computed again
    main(["fit", f"--ckpt_path={part}", "--trainer.max_epochs=2"])
    first, second = last(whole), last(part)
    for key in ("state_dict", "current_model_state"):
        for name, value in first[key].items():
            assert torch.equal(value, second[key][name]), name


def test_texts_without_labels_are_rows_of_the_training(made: Path, tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("what a day\nI am afraid\n")
    run = student(tmp_path, "student", made, f"--data.unlabeled={tmp_path / 'more.txt'}", "--test_after_fit=false")
    manifest = read_manifest(run)
    assert manifest is not None
    assert manifest.data["splits"]["train"]["rows"] == 34


@pytest.mark.skipif("MLEMO_LONG" not in os.environ, reason="MLEMO_LONG=1 runs it: two processes, a minute")
def test_every_process_has_the_logits(made: Path, tmp_path: Path) -> None:
    words = ["fit", *WORDS, "--model.loss=DistillationLoss", f"--model.loss.teacher={made}", "--test_after_fit=false"]
    words += ["--trainer.devices=2", "--trainer.strategy=ddp", f"--trainer.logger.save_dir={tmp_path}", "--name=two"]
    log = in_processes(*words)
    assert log.count("computing the logits of the teacher") == 1
    assert (tmp_path / "two" / "checkpoints" / "last.ckpt").is_file()


# failures ---------------------------------------------------------------------------------------------------------


def test_a_teacher_over_other_labels_is_refused(made: Path) -> None:
    with pytest.raises(ValueError, match=r"has the labels joy, .*, the student joy, rage"):
        teacher_logits(made, ["a text"], LabelSpace(("joy", "rage")), CPU)


def test_a_teacher_that_is_gone_or_changed_is_refused(made: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        student(tmp_path, "a", tmp_path / "nowhere")
    teacher = Path(shutil.copytree(made, tmp_path / "teacher"))
    with (teacher / "checkpoints" / "best.ckpt").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ValueError, match="has changed since the test"):
        student(tmp_path, "b", teacher)


def test_texts_without_labels_and_without_a_teacher_are_refused(tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("what a day\n")
    with pytest.raises(ValueError, match="nothing is learned from the texts"):
        main(["fit", *WORDS, f"--data.unlabeled={tmp_path / 'more.txt'}", f"--trainer.logger.save_dir={tmp_path}"])


def test_features_cannot_be_given_to_a_teacher(made: Path, tmp_path: Path) -> None:
    class Data:
        unlabeled = None

        @staticmethod
        def corpus(split: str) -> object:
            return type("Corpus", (), {"texts": None})()

    model = type("Model", (), {"loss": DistillationLoss(made), "label_space": LabelSpace(("joy",))})()
    trainer = type("Trainer", (), {"datamodule": Data(), "is_global_zero": True})()
    with pytest.raises(ValueError, match="classifies texts, and the corpus has features"):
        Teacher().on_fit_start(trainer, model)


def test_scores_on_another_test_split_are_not_compared(
    made: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    teacher = Path(shutil.copytree(made, tmp_path / "teacher"))
    manifest = read_manifest(teacher)
    assert manifest is not None
    manifest.data["splits"]["test"]["sha256"] = "0"
    write_manifest(teacher, manifest)
    run = student(tmp_path, "student", teacher)
    assert "has no results on this test split" in caplog.text
    assert "kept_tuned_macro_f1" not in json.loads((run / "results_test.json").read_text())
