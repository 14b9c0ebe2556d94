"""What a run leaves behind: predictions of each sample, a result table, and the paths of everything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
from lightning.pytorch import LightningModule, Trainer
from rich.console import Console
from rich.table import Table

from mlemo.callbacks.outputs import Outputs, OutputsCallback, Stage
from mlemo.callbacks.threshold_tuning import ThresholdTuning, tuned_rule

__all__ = ["Results"]

SHOWN = ("jaccard", "micro_f1", "macro_f1", "samples_f1", "micro_precision", "micro_recall", "hamming_loss", "macro_ap",
         "label_ranking_ap", "ranking_loss", "coverage_error", "loss")  # fmt: skip


class Results(OutputsCallback):
    """Writes the predictions of test and predict, and prints a table at the end of validate and test.

    In the run's folder: ``predictions_<stage>.csv`` with id, gold labels, decided labels and the probability of every
    label; ``thresholds.json``; ``results_<stage>.json`` with every metric.

    Args:
        predictions: Whether the predictions are written.
    """

    def __init__(self, predictions: bool = True) -> None:
        super().__init__()
        self.predictions = predictions
        self._paths: dict[str, Path] = {}

    def on_outputs(self, trainer: Trainer, pl_module: LightningModule, stage: Stage, outputs: Outputs) -> None:
        """Write the predictions and the thresholds."""
        if stage == "val" or not trainer.is_global_zero or trainer.log_dir is None:
            return
        folder = Path(trainer.log_dir)
        folder.mkdir(parents=True, exist_ok=True)
        tuning = tuned_rule(trainer)
        if tuning is not None:
            self._paths["thresholds"] = _write_thresholds(folder, tuning, pl_module.label_space.names)
        if self.predictions:
            path = folder / f"predictions_{stage}.csv"
            self._table(trainer, pl_module, outputs, tuning).to_csv(path, index=False)
            self._paths["predictions"] = path

    @staticmethod
    def _table(
        trainer: Trainer, pl_module: LightningModule, outputs: Outputs, tuning: ThresholdTuning | None
    ) -> pd.DataFrame:
        space = pl_module.label_space
        probabilities = outputs.probabilities
        decisions = probabilities >= 0.5 if tuning is None else tuning.decide(probabilities)
        corpus = trainer.datamodule.corpus("test")  # type: ignore[attr-defined]  # every mlemo datamodule has it
        gold = outputs.targets.bool() & outputs.mask
        columns: dict[str, Any] = {
            "id": [corpus.ids[row] for row in outputs.index.tolist()],
            "gold": [" ".join(space.decode(row)) for row in gold.tolist()],
            "decided": [" ".join(space.decode(row)) for row in decisions.tolist()],
        }
        if not bool(outputs.mask.all()):
            columns["not_annotated"] = [" ".join(space.decode(row)) for row in (~outputs.mask).tolist()]
        columns |= {name: probabilities[:, column].tolist() for column, name in enumerate(space.names)}
        return pd.DataFrame(columns)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the table of ``mlemo validate``; in training the progress bar says enough."""
        if trainer.state.fn == "validate":
            self._report(trainer, "val")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the result table."""
        self._report(trainer, "test")

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say where the predictions are."""
        if trainer.is_global_zero:
            self._print_paths(Console())

    def _report(self, trainer: Trainer, stage: str) -> None:
        if not trainer.is_global_zero:
            return
        values = {
            name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith(f"{stage}/")
        }
        tuning = tuned_rule(trainer)
        rule = "" if tuning is None else tuning.rule.describe()
        table = Table(title=f"{stage}: {type(trainer.datamodule).__name__}, {type(trainer.lightning_module).__name__}")  # type: ignore[attr-defined]
        table.add_column("metric")
        table.add_column("at 0.5", justify="right")
        if rule:
            table.add_column(rule, justify="right")
        for name in SHOWN:
            if f"{stage}/{name}" in values:
                cells = [f"{values[f'{stage}/{name}']:.4f}"]
                if rule:
                    tuned = values.get(f"{stage}/tuned_{name}")
                    cells.append("" if tuned is None else f"{tuned:.4f}")
                table.add_row(name, *cells)
        console = Console()
        console.print(table)
        if trainer.log_dir is not None:
            path = Path(trainer.log_dir, f"results_{stage}.json")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"rule": rule or "fixed 0.5", **values}, indent=1) + "\n", encoding="utf-8")
            self._paths["results"] = path
        checkpoint = trainer.ckpt_path or getattr(trainer.checkpoint_callback, "best_model_path", "")
        if checkpoint:
            self._paths["checkpoint"] = Path(checkpoint)
        self._print_paths(console)

    def _print_paths(self, console: Console) -> None:
        for name, path in sorted(self._paths.items()):
            console.print(f"{name + ':':<13}{_relative(path)}", soft_wrap=True, highlight=False)
        if "checkpoint" in self._paths:
            command = f'mlemo classify --ckpt {_relative(self._paths["checkpoint"])} "your own sentence"'
            console.print(f"classify:    {command}", soft_wrap=True, highlight=False)


def _write_thresholds(folder: Path, tuning: ThresholdTuning, names: tuple[str, ...]) -> Path:
    path = folder / "thresholds.json"
    content: dict[str, Any] = {"rule": tuning.rule.describe()}
    cuts = tuning.rule.thresholds()
    if cuts is not None:
        content["thresholds"] = dict(zip(names, cuts.expand(len(names)).tolist()))
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def _relative(path: Path) -> Path:
    try:
        return path.resolve().relative_to(Path.cwd())
    except ValueError:
        return path
