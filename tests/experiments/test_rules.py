from __future__ import annotations

from pathlib import Path

import pytest
import torch
from sklearn.metrics import average_precision_score, f1_score, jaccard_score

from mlemo.cli import main
from mlemo.experiments.rules import RULES, rule_optimism, rule_scores
from mlemo.experiments.study import Rule
from mlemo.labels import LabelSpace
from mlemo.runs.predictions import Predictions, write_predictions
from mlemo.thresholds import GlobalThreshold

NAMES = ("joy", "anger", "fear")


def write(folder: Path, seed: int) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Predictions of an invented run; the test split is noisier than the validation split."""
    folder.mkdir()
    parts = {}
    for split, noise in (("val", 0.2), ("test", 0.4)):
        generator = torch.Generator().manual_seed(seed)
        gold = (torch.rand(60, 3, generator=generator) < 0.4).float()
        gold[:, 0] += gold.sum(1) == 0  # no empty set, for which scikit-learn has another convention
        probabilities = (0.3 + 0.4 * gold + noise * torch.randn(60, 3, generator=generator)).clamp(0, 1)
        ids, on = [f"{split}-{row}" for row in range(60)], gold.bool()
        path = folder / f"predictions_{split}.csv"
        write_predictions(Predictions(path, LabelSpace(NAMES), ids, on, torch.ones_like(on), on, probabilities))
        parts[split] = (probabilities, gold)
    return parts


def test_rules_are_fitted_on_validation_and_scored_on_both(tmp_path: Path) -> None:
    parts = write(tmp_path / "run", seed=0)
    table = rule_optimism(tmp_path / "run")
    assert list(table.index) == list(RULES)
    rule = GlobalThreshold("jaccard").fit(*parts["val"])
    for split, (probabilities, gold) in parts.items():
        on = rule.predict(probabilities).numpy()
        expected = jaccard_score(gold.numpy(), on, average="samples", zero_division=0)
        assert table.loc["one cut, Jaccard", ("jaccard", split)] == pytest.approx(expected)
        assert table.loc["one cut, Jaccard", ("macro_f1", split)] == pytest.approx(
            f1_score(gold.numpy(), on, average="macro")
        )
    gap = table["jaccard"]["val"] - table["jaccard"]["test"]
    assert table["jaccard"]["optimism"].tolist() == pytest.approx(gap.tolist())
    assert gap["per class, Jaccard"] > 0.1  # the test split is noisier


def test_runs_are_averaged_and_a_missing_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in (0, 1):
        write(tmp_path / str(seed), seed)
    mean = main(["rules", str(tmp_path / "0"), str(tmp_path / "1")])
    each = [rule_optimism(tmp_path / name) for name in ("0", "1")]
    assert mean.to_numpy() == pytest.approx((each[0].to_numpy() + each[1].to_numpy()) / 2)
    assert "per class, F1, 5 folds" in capsys.readouterr().out
    with pytest.raises(FileNotFoundError, match=r"predictions_val\.csv does not exist"):
        rule_optimism(tmp_path)


def test_a_run_is_scored_under_a_rule_that_is_not_its_own(tmp_path: Path) -> None:
    parts = write(tmp_path / "run", seed=0)
    probabilities, gold = parts["test"]
    low = rule_scores(tmp_path / "run", Rule("FixedThreshold", {"threshold": 0.2}))
    fitted = rule_scores(tmp_path / "run", Rule("GlobalThreshold", {"metric": "macro_f1"}))
    cut = GlobalThreshold("macro_f1").fit(*parts["val"])
    for scores, on in ((low, probabilities >= 0.2), (fitted, cut.predict(probabilities))):
        for average in ("macro", "micro", "weighted"):
            expected = f1_score(gold.numpy(), on.numpy(), average=average)
            assert scores[f"{average}_f1"] == pytest.approx(expected)
    assert low["macro_f1"] != pytest.approx(fitted["macro_f1"])
    assert (
        low["macro_ap"]
        == fitted["macro_ap"]
        == pytest.approx(average_precision_score(gold.numpy(), probabilities.numpy(), average="macro"), abs=1e-6)
    )
