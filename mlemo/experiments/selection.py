"""Rules that choose an epoch, scored on the recorded outputs of every epoch of the study ``selection``.

``mlemo selection FOLDER`` prints one row for each rule.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import Tensor

from mlemo.callbacks.monitoring import breaks_tie
from mlemo.callbacks.trajectory import FOLDER
from mlemo.experiments.engine import run_folder_of
from mlemo.experiments.records import read_record
from mlemo.labels import LabelSpace
from mlemo.metrics import MultiLabelMetrics
from mlemo.thresholds import FixedThreshold, PerClassThreshold, ThresholdRule, cross_fitted_decisions

__all__ = ["MONITORS", "Trajectory", "compare", "epoch_table", "finished_trainings", "kept_epoch", "read_trajectory"]

#: Candidate monitors: name -> column of `epoch_table`, and whether lower is better.
MONITORS: dict[str, bool] = {
    "val/macro_ap": False,
    "val/cross_fitted_macro_f1": False,
    "val/loss": True,
    "val/macro_f1": False,
    "val/jaccard": False,
    "val/tuned_macro_f1": False,
}
SCORES = ("macro_f1", "jaccard", "micro_f1", "macro_ap")
PATIENCE = 5
WARMUP = 0.1


@dataclass(frozen=True)
class Trajectory:
    """Outputs of every epoch of one training.

    Args:
        val: ``(E, N, C)`` validation probabilities.
        test: ``(E, M, C)`` test probabilities.
        losses: ``(E,)`` validation losses.
        targets: For ``"val"`` and ``"test"`` the gold labels and the mask, each ``(rows, C)`` bool.
    """

    val: Tensor
    test: Tensor
    losses: tuple[float, ...]
    targets: dict[str, tuple[Tensor, Tensor]]


def read_trajectory(run: Path) -> Trajectory:
    """What the callback ``Trajectory`` wrote into a run's folder.

    Raises:
        FileNotFoundError: The run has no recorded epochs.
    """
    folder = run / FOLDER
    epochs = [np.load(path) for path in sorted(folder.glob("epoch_*.npz"))]
    if not epochs:
        raise FileNotFoundError(f"no recorded epochs in {folder}; train with --trainer.callbacks+=Trajectory")
    gold = np.load(folder / "targets.npz")
    return Trajectory(
        torch.from_numpy(np.stack([epoch["val"] for epoch in epochs])),
        torch.from_numpy(np.stack([epoch["test"] for epoch in epochs])),
        tuple(float(epoch["val_loss"]) for epoch in epochs),
        {
            split: (torch.from_numpy(gold[f"{split}_targets"]), torch.from_numpy(gold[f"{split}_mask"]))
            for split in ("val", "test")
        },
    )


def epoch_table(trajectory: Trajectory, rule: Callable[[], ThresholdRule]) -> pd.DataFrame:
    """Every candidate monitor after each epoch, and the test scores of that epoch.

    Args:
        trajectory: Outputs of every epoch.
        rule: Makes the decision rule, which is fitted on the validation outputs of each epoch.

    Returns:
        A row for each epoch, a column for each of `MONITORS`, and ``test/<metric>`` for each of `SCORES`; those of
        decisions are under the fitted rule.
    """
    rows = []
    val, test = trajectory.targets["val"], trajectory.targets["test"]
    for scores, test_scores, loss in zip(trajectory.val, trajectory.test, trajectory.losses, strict=True):
        fitted = rule().fit(scores, *val)
        at_half = _metrics(scores, *val, FixedThreshold(0.5).predict(scores))
        row = {"val/loss": loss, **{f"val/{name}": at_half[name] for name in ("macro_ap", "macro_f1", "jaccard")}}
        row["val/tuned_macro_f1"] = _metrics(scores, *val, fitted.predict(scores))["macro_f1"]
        row["val/cross_fitted_macro_f1"] = _metrics(scores, *val, cross_fitted_decisions(rule(), scores, *val))[
            "macro_f1"
        ]
        on_test = _metrics(test_scores, *test, fitted.predict(test_scores))
        rows.append(row | {f"test/{name}": on_test[name] for name in SCORES})
    return pd.DataFrame(rows)


def _metrics(probabilities: Tensor, targets: Tensor, mask: Tensor, decisions: Tensor) -> dict[str, float]:
    labels = LabelSpace(tuple(str(column) for column in range(probabilities.shape[1])))
    metrics = MultiLabelMetrics(labels, sync_on_compute=False)
    metrics.update(probabilities, targets.float(), decisions=decisions, mask=mask)
    return {name: float(value) for name, value in metrics.compute().items()}


def kept_epoch(
    values: Sequence[float],
    losses: Sequence[float],
    *,
    minimize: bool = False,
    patience: int | None = PATIENCE,
    warmup: float = WARMUP,
) -> int:
    """The epoch that ``BestCheckpoint`` keeps where ``EarlyStopping`` ends the training.

    Args:
        values: The monitor after each epoch.
        losses: The validation loss after each epoch; it decides between equal values.
        minimize: Whether lower values are better.
        patience: Epochs without an improvement, behind the warm-up, after which later epochs do not count; ``None`` to
            count all.
        warmup: Share of all epochs in which the patience is not counted.

    Returns:
        Index of the epoch.
    """
    kept, waited = 0, 0
    keys = [-math.inf if math.isnan(value) else -value if minimize else value for value in values]
    for epoch in range(1, len(keys)):
        better = keys[epoch] > keys[kept]
        tie = keys[epoch] == keys[kept]
        improved = better or (tie and losses[epoch] < losses[kept])
        if better or (tie and breaks_tie(losses[epoch], losses[kept])):
            kept = epoch
        waited = 0 if improved or epoch + 1 <= warmup * len(keys) else waited + 1
        if patience is not None and waited >= patience:
            break
    return kept


def compare(tables: dict[tuple[str, str, int], pd.DataFrame], patience: int | None = PATIENCE) -> pd.DataFrame:
    """Test scores of the epoch that each monitor keeps, over all trainings.

    Args:
        tables: ``(corpus, model, seed)`` -> `epoch_table`.
        patience: As in `kept_epoch`.

    Returns:
        A row for each monitor and one for the best epoch on test (``oracle``, for each score its own). For each score
        its mean over the trainings; for macro-F1 also the mean regret against the oracle, the greatest regret, and the
        mean difference to ``val/macro_ap`` with the ends of its 95 % interval (paired t over the cells of corpus and
        model, seeds averaged first).
    """
    cells = []
    for (corpus, model, seed), table in tables.items():
        chosen = {
            name: kept_epoch(table[name].tolist(), table["val/loss"].tolist(), minimize=minimize, patience=patience)
            for name, minimize in MONITORS.items()
        }
        chosen["last epoch"] = len(table) - 1
        for name, epoch in chosen.items():
            cells.append({"rule": name, "corpus": corpus, "model": model, "seed": seed, "epoch": epoch + 1,
                          **{score: table[f"test/{score}"][epoch] for score in SCORES}})  # fmt: skip
        best = {score: table[f"test/{score}"].max() for score in SCORES}
        cells.append({"rule": "oracle", "corpus": corpus, "model": model, "seed": seed, **best})
    every = pd.DataFrame(cells)
    wide = every.pivot_table(index=["corpus", "model", "seed"], columns="rule", values="macro_f1")
    regret = wide.rsub(wide["oracle"], axis=0)
    by_cell = wide.groupby(["corpus", "model"]).mean()
    rows = {}
    for rule in [*MONITORS, "last epoch", "oracle"]:
        own = every[every["rule"] == rule]
        row = {score: own[score].mean() for score in SCORES}
        row |= {"regret": regret[rule].mean(), "greatest regret": regret[rule].max()}
        difference = by_cell[rule] - by_cell["val/macro_ap"]
        half = stats.t.ppf(0.975, len(difference) - 1) * difference.std(ddof=1) / math.sqrt(len(difference))
        row |= {"difference": difference.mean(), "low": difference.mean() - half, "high": difference.mean() + half}
        rows[rule] = row | {"mean epoch": own["epoch"].mean()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("monitor")


def finished_trainings(folder: Path, scale: str) -> dict[tuple[str, str, int], pd.DataFrame]:
    """Read the finished trainings of the study ``selection``.

    Args:
        folder: Folder of ``mlemo reproduce selection``.
        scale: Scale of the study.

    Returns:
        ``(corpus, model, seed)`` -> `epoch_table`.

    Raises:
        FileNotFoundError: The folder has no runs of the study at this scale.
        ValueError: No training is finished.
    """
    path = folder / f"selection_{scale}.json"
    tables = {}
    for run in json.loads(path.read_text(encoding="utf-8")):
        place = run_folder_of(folder, run["address"])
        if read_record(place) is not None:
            key = (run["labels"]["corpus"], run["labels"]["model"], run["seed"])
            tables[key] = epoch_table(read_trajectory(place), lambda: PerClassThreshold(cross_fit=5))
    if not tables:
        raise ValueError(f"no training of {path} is finished")
    return tables
