"""`mlemo ensemble`: tested runs as one, which behaves like a run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import f1_score

import mlemo
from mlemo.cli import main
from mlemo.experiments.ensemble import combine, fitted_weights
from mlemo.inference import EnsembleClassifier
from mlemo.runs.files import known
from mlemo.runs.manifest import read_manifest, write_manifest
from mlemo.runs.predictions import read_predictions
from mlemo.thresholds import CrossFittedThreshold, PerClassThreshold

WORDS = [
    *["--data=SyntheticEmotions", "--data.size=32", "--data.val_size=20", "--data.test_size=16"],
    *["--model=TransformerClassifier", "--model.encoder=FromScratch", "--model.encoder.layers=1"],
    *["--model.encoder.width=16", "--model.encoder.heads=2", "--model.encoder.vocabulary=200"],
    *["--model.optimization.learning_rate=1e-2", "--trainer.max_epochs=1", "--trainer.accelerator=cpu"],
    *["--trainer.precision=32-true", "--trainer.num_sanity_val_steps=0", "--results.resamples=0"],
    *["--trainer.logger=CSVLogger", "--trainer.logger.name="],
]
TEXTS = ["what a lovely day", "I am afraid of tomorrow"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the runs ``a`` and ``b``, of two seeds."""
    root = tmp_path_factory.mktemp("trained")
    for seed, name in enumerate("ab"):
        main(["fit", *WORDS, f"--seed_everything={seed}", f"--trainer.logger.save_dir={root}", f"--name={name}"])
    return root


@pytest.fixture
def runs(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of them, ``runs`` in the folder of the test, which is the current one."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(trained, tmp_path / "runs")).relative_to(tmp_path)


def probabilities(run: Path, split: str = "test") -> np.ndarray:
    table = pd.read_csv(run / f"predictions_{split}.csv")
    return table.filter(regex="^probability:").to_numpy(np.float64)


def gold(run: Path, split: str = "test") -> np.ndarray:
    return pd.read_csv(run / f"predictions_{split}.csv").filter(regex="^gold:").to_numpy()


def test_predictions_are_the_mean_of_the_members_and_the_rule_is_fitted_on_validation(runs: Path) -> None:
    main(["ensemble", str(runs / "a"), str(runs / "b"), "--name", "both"])
    folder = runs / "both"
    for split in ("val", "test"):
        expected = (probabilities(runs / "a", split) + probabilities(runs / "b", split)) / 2
        np.testing.assert_allclose(probabilities(folder, split), expected, atol=1e-6)
    val = read_predictions(folder / "predictions_val.csv")
    rule = CrossFittedThreshold().fit(val.probabilities, val.gold, val.mask)
    stored = json.loads((folder / "thresholds.json").read_text())
    assert stored["rule"] == rule.describe()
    np.testing.assert_allclose(list(stored["thresholds"].values()), rule.thresholds(), atol=1e-6)
    test = read_predictions(folder / "predictions_test.csv")
    assert torch.equal(test.decided, rule.predict(test.probabilities))
    results = json.loads((folder / "results_test.json").read_text())
    expected_f1 = f1_score(test.gold.numpy(), test.decided.numpy(), average="macro", zero_division=0)
    assert results["tuned_macro_f1"] == pytest.approx(expected_f1, abs=1e-6)
    low, high = results["intervals"]["tuned_macro_f1"]
    assert low <= expected_f1 <= high


def test_the_gain_is_the_difference_from_the_mean_score_of_the_members(runs: Path) -> None:
    combined = combine([runs / "a", runs / "b"], runs / "both")
    members = [json.loads((runs / name / "results_test.json").read_text()) for name in "ab"]
    for name, gain in combined.gains.items():
        mean = np.mean([member[name] for member in members])
        assert gain.difference == pytest.approx(combined.scores["test"][name] - mean, abs=1e-5), name
        assert gain.low <= gain.difference <= gain.high
    written = json.loads((runs / "both" / "results_test.json").read_text())["gain_over_members"]
    assert written["macro_ap"]["low"] == combined.gains["macro_ap"].low


def test_the_folder_has_the_files_of_a_tested_run_and_every_reader_takes_it(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["ensemble", str(runs / "a"), str(runs / "b"), "--name", "both"])
    assert "weight 0.500: runs/a" in capsys.readouterr().out
    folder = runs / "both"
    ours = {path.name for path in folder.iterdir()}
    assert all(known(name) for name in ours)
    of_a_run = {path.name for path in (runs / "a").iterdir() if path.suffix in (".csv", ".json")}
    assert of_a_run - ours == {"cost.json", "metrics.csv"}
    for name in ("results_val.json", "results_test.json"):
        keys = set(json.loads((runs / "a" / name).read_text()))
        assert keys - set(json.loads((folder / name).read_text())) == {"loss"}
    columns = [list(pd.read_csv(runs / run / "per_class_test.csv").columns) for run in ("a", "both")]
    assert columns[0] == columns[1]
    manifest = read_manifest(folder)
    assert manifest is not None
    assert manifest.data == read_manifest(runs / "a").data  # type: ignore[union-attr]
    assert manifest.name == "both"

    rows = main(["compare", "members=runs/a,runs/b", "runs/both", "--resamples", "50"])
    assert {row.system for row in rows} == {"members", "both"}  # type: ignore[attr-defined]
    assert len(main(["rules", "runs/both"])) > 5  # type: ignore[arg-type]
    main(["leaderboard", "runs/a", "runs/both", "--output", "page"])
    board = Path("page/leaderboard.md").read_text()
    assert "SyntheticEmotions english, 16 test texts" in board
    assert "| both |" in board


def test_a_loaded_ensemble_averages_the_probabilities_of_its_members(runs: Path) -> None:
    combine([runs / "a", runs / "b"], runs / "both", weighting="fitted")
    classifier = mlemo.load(runs / "both")
    assert isinstance(classifier, EnsembleClassifier)
    a, b = (mlemo.load(runs / name).probabilities(TEXTS).double() for name in "ab")
    first, second = (member["weight"] for member in json.loads((runs / "both/ensemble.json").read_text())["members"])
    assert first + second == pytest.approx(1)
    torch.testing.assert_close(classifier.probabilities(TEXTS), (first * a + second * b).float(), atol=1e-6, rtol=0)
    (found,) = main(["classify", "--ckpt", "runs/both", TEXTS[0]])  # type: ignore[misc]
    decided = classifier.rule.predict(classifier.probabilities(TEXTS[:1]))[0].tolist()
    assert found.labels == [name for name, yes in zip(classifier.labels, decided) if yes]


def test_an_ensemble_is_explained(runs: Path) -> None:
    combine([runs / "a", runs / "b"], runs / "both")
    main(["explain", "--ckpt", "runs/both", TEXTS[0], "--output", "explained", "--examples", "1"])
    page = Path("explained/index.html").read_text()
    assert "EnsembleClassifier" in page
    assert "first member of the ensemble" in page


def test_folders_moved_together_still_load(runs: Path) -> None:
    combine([runs / "a", runs / "b"], runs / "both")
    expected = mlemo.load(runs / "both").probabilities(TEXTS)
    runs.rename("moved")
    torch.testing.assert_close(mlemo.load("moved/both").probabilities(TEXTS), expected)


def test_another_rule_can_be_chosen(runs: Path) -> None:
    main(["ensemble", "runs/a", "runs/b", "--rule", "per class, F1", "--output", "runs/other"])
    results = json.loads((runs / "other" / "results_test.json").read_text())
    assert results["rule"] == PerClassThreshold("f1").describe()


# weights ----------------------------------------------------------------------------------------------------------


def mixture_loss(weights: np.ndarray, members: list[np.ndarray], truth: np.ndarray) -> float:
    mixed = sum(weight * member for weight, member in zip(weights, members))
    return float(-np.where(truth, np.log(mixed), np.log(1 - mixed)).mean())


def random_members(count: int, seed: int) -> tuple[list[np.ndarray], np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.random((40, 3)) < 0.3
    signal = 2.0 * truth - 1
    logits = [signal * rng.uniform(0, 2) + rng.normal(size=truth.shape) for _ in range(count)]
    return [1 / (1 + np.exp(-one)) for one in logits], truth


@pytest.mark.parametrize("seed", range(3))
def test_fitted_weights_of_two_are_the_best_of_a_grid(seed: int) -> None:
    members, truth = random_members(2, seed)
    found = fitted_weights([torch.tensor(one) for one in members], torch.tensor(truth), torch.ones(40, 3).bool())
    grid = np.linspace(0, 1, 1001)
    best = grid[np.argmin([mixture_loss(np.array([one, 1 - one]), members, truth) for one in grid])]
    assert found[0] == pytest.approx(best, abs=2e-3)


@pytest.mark.parametrize("seed", range(3))
def test_no_weights_near_the_fitted_ones_have_a_smaller_loss(seed: int) -> None:
    members, truth = random_members(4, seed)
    found = np.array(fitted_weights([torch.tensor(m) for m in members], torch.tensor(truth), torch.ones(40, 3).bool()))
    assert (found >= 0).all()
    assert found.sum() == pytest.approx(1)
    least = mixture_loss(found, members, truth)
    rng = np.random.default_rng(seed)
    for other in rng.dirichlet(np.ones(4), 200):
        assert mixture_loss(0.9 * found + 0.1 * other, members, truth) >= least - 1e-9


def test_entries_that_are_not_annotated_have_no_effect_on_the_weights() -> None:
    members, truth = random_members(2, 0)
    mask = torch.ones(40, 3).bool()
    mask[:10] = False
    changed = [torch.tensor(one) for one in members]
    expected = fitted_weights([one[10:] for one in changed], torch.tensor(truth)[10:], mask[10:])
    assert fitted_weights(changed, torch.tensor(truth), mask) == pytest.approx(expected, abs=1e-6)
    with pytest.raises(ValueError, match="there are none"):
        fitted_weights(changed, torch.tensor(truth), torch.zeros(40, 3).bool())


def test_weights_and_rule_depend_on_validation_alone(runs: Path) -> None:
    before = combine([runs / "a", runs / "b"], runs / "first", weighting="fitted")
    for name in "ab":  # other gold labels of the test
        path = runs / name / "predictions_test.csv"
        table = pd.read_csv(path)
        columns = [column for column in table if column.startswith("gold:")]
        table[columns] = 1 - table[columns]
        table.to_csv(path, index=False)
    after = combine([runs / "a", runs / "b"], runs / "second", weighting="fitted")
    assert after.weights == before.weights
    assert torch.equal(after.rule.thresholds(), before.rule.thresholds())
    assert after.scores["val"] == before.scores["val"]
    assert after.scores["test"] != before.scores["test"]


# failures ---------------------------------------------------------------------------------------------------------


def edited(name: str, edit: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Path], object]:
    def change(run: Path) -> None:
        table = pd.read_csv(run / name, dtype={"id": str})
        edit(table).to_csv(run / name, index=False)

    return change


def untested(run: Path) -> None:
    manifest = read_manifest(run)
    assert manifest is not None
    write_manifest(run, replace(manifest, tested=None))


def changed(run: Path) -> None:
    with (run / "checkpoints" / "best.ckpt").open("ab") as file:
        file.write(b"x")


FAULTS = {
    "other ids": (edited("predictions_val.csv", lambda table: table.assign(id="x")), "row 1: id 'x', but"),
    "other gold labels": (
        edited("predictions_test.csv", lambda table: table.assign(**{"gold:joy": 1 - table["gold:joy"]})),
        "row 1: gold",
    ),
    "fewer rows": (edited("predictions_test.csv", lambda table: table[:-1]), "has 15 rows"),
    "other labels": (
        edited("predictions_test.csv", lambda table: table.rename(columns=lambda name: name.replace("joy", "glee"))),
        "has the labels ['glee'",
    ),
    "no predictions": (lambda run: (run / "predictions_val.csv").unlink(), "`mlemo validate --ckpt_path FILE` writes"),
    "no test": (untested, "was trained further since its test"),
    "no checkpoint": (lambda run: (run / "checkpoints" / "best.ckpt").unlink(), "is not there"),
    "another checkpoint": (changed, "has changed since the test"),
    "no manifest": (lambda run: (run / "run.json").unlink(), "is not the folder of a tested run"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_members_that_do_not_belong_together_are_refused(
    fault: str, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, message = FAULTS[fault]
    change(runs / "b")
    with pytest.raises(SystemExit):
        main(["ensemble", "runs/a", "runs/b", "--name", "both"])
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (runs / "both").exists()


def test_wrong_arguments_are_refused(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    combine([runs / "a", runs / "b"], runs / "both")
    for words, message in {
        ("runs/a",): "at least two members, found 1",
        ("runs/a", "runs/a"): "are the same member",
        ("runs/a", "runs/both"): "is an ensemble, which has no weights of its own",
        ("runs/a", "runs/b", "--name", "a"): "runs/a holds a run already",
        ("runs/a", "runs/b", "--name", "both"): "runs/both holds a run already",
        ("runs/a", "runs/b", "--name", "a/b"): "--name: expected up to",
        ("runs/a", "runs/b", "--rule", "best"): "unknown rule 'best'; expected one of '0.5'",
    }.items():
        with pytest.raises(SystemExit):
            main(["ensemble", *words])
        assert message in " ".join(capsys.readouterr().err.split()), words


def test_members_with_different_rules_need_one_to_be_chosen(runs: Path) -> None:
    path = runs / "b" / "checkpoints" / "best.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["thresholds"]["init_args"]["folds"] = 3
    torch.save(checkpoint, path)
    manifest = read_manifest(runs / "b")
    assert manifest is not None
    write_manifest(runs / "b", manifest.test_of(runs / "b", path))
    with pytest.raises(ValueError, match=r"different decision rules; choose one with --rule.*5 folds.*3 folds"):
        combine([runs / "a", runs / "b"], runs / "both")
    combine([runs / "a", runs / "b"], runs / "both", rule=PerClassThreshold())


def test_an_ensemble_whose_member_changed_or_is_gone_is_not_loaded(runs: Path) -> None:
    combine([runs / "a", runs / "b"], runs / "both")
    with pytest.raises(ValueError, match="has no weights of its own"):
        main(["test", "--ckpt_path", "runs/both"])
    changed(runs / "b")
    with pytest.raises(ValueError, match="has changed since the ensemble"):
        mlemo.load(runs / "both")
    shutil.rmtree(runs / "b")
    with pytest.raises(FileNotFoundError, match="a member of the ensemble"):
        mlemo.load(runs / "both")


@pytest.mark.parametrize(
    ("entry", "value", "message"),
    [
        ("format", 99, "a later version of mlemo"),
        ("members", [], "it has no members"),
        ("members", [{"checkpoint": "x"}], "KeyError"),
        ("labels", None, "TypeError"),
    ],
)
def test_a_damaged_file_is_refused(runs: Path, entry: str, value: object, message: str) -> None:
    combine([runs / "a", runs / "b"], runs / "both")
    path = runs / "both" / "ensemble.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {entry: value}))
    with pytest.raises(ValueError, match=message):
        mlemo.load(path)
