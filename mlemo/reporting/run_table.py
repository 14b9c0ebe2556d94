"""The numbers of a report, one row per run: ``report.csv``."""

from __future__ import annotations

import pandas as pd

from mlemo.reporting.results import Results
from mlemo.reporting.scores import Scores

__all__ = ["run_table"]


def run_table(results: Results, scores: Scores) -> pd.DataFrame:
    """Create a table of every value that a report averages, for further tests and figures.

    Args:
        results: The runs.
        scores: Scores of the runs.

    Returns:
        One row per finished run, and per decision rule if the study applies rules after training. Columns are the
        study's settings, ``seed`` (or fold), ``run`` (its address), and the study's metrics, shares as numbers from 0
        to 1; missing values are empty.
    """
    rows = []
    for combination in results.combinations:
        for run in combination.runs:
            own = {
                metric: scores.by[combination.labels, metric].values.get(run.seed)
                for metric in results.study.metrics
                if (combination.labels, metric) in scores.by
            }
            rows.append({**dict(combination.labels), "seed": run.seed, "run": run.folder.name, **own})
    return pd.DataFrame(rows, columns=[*results.settings, "seed", "run", *results.study.metrics])
