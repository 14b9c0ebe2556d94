"""What a sweep leaves behind: a table of its trials, Optuna's pictures, and the best trial to be run."""

from __future__ import annotations

import io
import shlex
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import optuna
import pandas as pd
import yaml
from matplotlib import pyplot as plt
from optuna.trial import TrialState
from optuna.visualization import matplotlib as pictures
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from mlemo.experiments.search import best_trial, counted, place_of, show
from mlemo.experiments.sweep_file import Sweep
from mlemo.runs.atomic import write_atomically
from mlemo.training.resolve import resolve
from mlemo.utils.messages import cell, visible
from mlemo.utils.tables import markdown_table

__all__ = ["trial_table", "write_results"]


def trial_table(study: optuna.Study, sweep: Sweep) -> pd.DataFrame:
    """A row a trial: number, state, the metric, the searched settings, seconds, and why it failed.

    The metric of a pruned trial is the last that it reported.
    """
    return pd.DataFrame(
        [
            {"trial": place_of(trial), "state": trial.state.name.lower(), sweep.metric: trial.value}
            | {key: trial.params.get(key) for key in sweep.space}
            | {"seconds": trial.user_attrs.get("seconds"), "error": trial.user_attrs.get("error")}
            for trial in counted(study)
        ]
    )


def write_results(study: optuna.Study, sweep: Sweep, folder: Path, console: Console) -> None:
    """Write ``trials.csv``, ``trials.md``, ``best.yaml`` and the pictures; print the table and the best trial."""
    frame = trial_table(study, sweep)
    write_atomically(folder / "trials.csv", frame.to_csv(index=False))
    head = [column for column in frame.columns if column != "error"]
    rows = [["" if pd.isna(cell) else show(cell) for cell in row] for row in frame[head].astype(object).to_numpy()]
    head = [sweep.short_names.get(name, name) for name in head]
    write_atomically(folder / "trials.md", markdown_table(head, rows, 0) + "\n")
    table = Table(box=SIMPLE_HEAD, padding=0)
    for name in head:
        table.add_column(cell(name), justify="right", overflow="fold")
    for row in rows:
        table.add_row(*map(cell, row))
    console.print(table)

    def say(text: str) -> None:
        console.print(visible(text), highlight=False, markup=False, soft_wrap=True)

    if best := best_trial(study):
        words = sweep.command(best.params)
        config = folder / "best.yaml"
        write_atomically(config, yaml.safe_dump(resolve(words), allow_unicode=True))
        say(f"best: trial {place_of(best)}, {sweep.metric} {best.value:.4f} on validation")
        say(f"  mlemo fit {shlex.join(words)}")
        say(f"  mlemo fit --config {config}")
    if sum(trial.state == TrialState.COMPLETE for trial in counted(study)) > 1:
        _draw(study, sweep, folder)
    say(f"table and pictures: {folder}")


def _draw(study: optuna.Study, sweep: Sweep, folder: Path) -> None:
    drawings: dict[str, Any] = {"history": pictures.plot_optimization_history, "slices": pictures.plot_slice}
    if len(sweep.space) > 1:  # of one setting there is nothing to compare or to cross
        drawings |= {"importances": pictures.plot_param_importances, "contour": pictures.plot_contour}
    plt.switch_backend("agg")
    for name, draw in drawings.items():
        with mpl.rc_context():  # Optuna changes the style of everything
            axes = np.atleast_2d(draw(study, target_name=sweep.metric))
            figure = axes[0, 0].figure
            if axes.size > 1:
                figure.set_size_inches(3.5 * axes.shape[1] + 1, 3 * axes.shape[0] + 1)
                for axis in axes.flat:
                    axis.label_outer()
                    axis.tick_params(axis="x", which="both", labelrotation=30)
                    for label in (axis.xaxis.label, axis.yaxis.label):
                        label.set_text(sweep.short_names.get(label.get_text(), label.get_text()))
            for kind in ("png", "svg"):
                picture = io.BytesIO()
                figure.savefig(picture, format=kind, bbox_inches="tight", dpi=150)
                write_atomically(folder / f"{name}.{kind}", picture.getbuffer())
            plt.close(figure)
