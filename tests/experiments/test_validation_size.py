"""How much rules overfit, by the number of rows that they are fitted on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import f1_score, jaccard_score

from mlemo.experiments.rules import RULES
from mlemo.experiments.validation_size import optimism_by_validation_size
from mlemo.labels import LabelSpace
from mlemo.runs.predictions import Predictions, write_predictions

NAMES = ("joy", "anger", "fear", "trust", "pride")
Arrays = tuple[np.ndarray, np.ndarray]


def write(folder: Path, rows: int = 400) -> dict[str, Arrays]:
    """Predictions of an invented run: both splits are alike."""
    parts: dict[str, Arrays] = {}
    for number, split in enumerate(("val", "test")):
        draw = np.random.default_rng(number)
        gold = draw.random((rows, 5)) < (0.4, 0.3, 0.2, 0.1, 0.05)
        probabilities = (0.6 * draw.random((rows, 5)) + 0.25 * gold).astype(np.float32)
        ids, on = [f"{split}-{row}" for row in range(rows)], torch.from_numpy(gold)
        tensors = (on, torch.ones_like(on), on, torch.from_numpy(probabilities))
        write_predictions(Predictions(folder / f"predictions_{split}.csv", LabelSpace(NAMES), ids, *tensors))
        parts[split] = probabilities, gold
    return parts


def test_optimism_shrinks_with_the_rows_and_a_fixed_cut_has_none(tmp_path: Path) -> None:
    write(tmp_path)
    table = optimism_by_validation_size(tmp_path, sizes=(25, 100, 400, 800), draws=30)
    assert table.index.get_level_values("validation rows").unique().tolist() == [25, 100, 400]
    assert (table["val"] - table["test"]).tolist() == pytest.approx(table["optimism"].tolist())
    own = table.loc["per class, F1", "optimism"]
    assert own[25] > own[100] > own[400] > -0.03
    assert own[25] > 0.05
    assert table.loc["per class, F1", "test"].is_monotonic_increasing
    assert table.loc["0.5", "test"].nunique() == 1
    assert abs(table.loc[("0.5", 100), "optimism"]) < 0.05
    assert table.loc["one cut, macro-F1", "optimism"][25] < own[25]


def test_all_rows_give_the_scores_of_scikit_learn(tmp_path: Path) -> None:
    parts = write(tmp_path)
    for metric in ("jaccard", "micro_f1", "macro_f1"):
        found = optimism_by_validation_size(tmp_path, metric, rules=["one cut, macro-F1"], sizes=[400], draws=1)
        tensors = [torch.from_numpy(part) for part in parts["val"]]
        rule = RULES["one cut, macro-F1"].fit(*tensors)
        for split, (probabilities, gold) in parts.items():
            on = rule.predict(torch.from_numpy(probabilities)).numpy()
            if metric == "jaccard":
                expected = jaccard_score(gold[gold.any(1) | on.any(1)], on[gold.any(1) | on.any(1)], average="samples")
                empty = (~gold.any(1) & ~on.any(1)).mean()
                expected = expected * (1 - empty) + empty
            else:
                expected = f1_score(gold, on, average=metric[:5], zero_division=0.0)
            assert found.loc[("one cut, macro-F1", 400), split] == pytest.approx(expected)


def test_draws_are_repeated_and_wrong_settings_named(tmp_path: Path) -> None:
    write(tmp_path, rows=60)
    first, again, other = (optimism_by_validation_size(tmp_path, sizes=[25], draws=3, seed=seed) for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(first, again)
    assert not np.allclose(first["val"], other["val"])
    with pytest.raises(ValueError, match=r"no rule 'best'; there are 0\.5, 0\.05"):
        optimism_by_validation_size(tmp_path, rules=["best"])
    with pytest.raises(ValueError, match="has 60 rows, fewer than any of 100, 200"):
        optimism_by_validation_size(tmp_path, sizes=(100, 200))
    with pytest.raises(FileNotFoundError, match=r"predictions_val\.csv does not exist"):
        optimism_by_validation_size(tmp_path / "none")
