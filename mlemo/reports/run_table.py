"""The numbers behind a report, a row a run: ``report.csv``."""

from __future__ import annotations

import pandas as pd

from mlemo.reports.results import Results
from mlemo.reports.scores import Scores

__all__ = ["run_table"]


def run_table(results: Results, scores: Scores) -> pd.DataFrame:
    """Every value that a report averages, for tests and figures of one's own.

    Args:
        results: The runs.
        scores: Their scores.

    Returns:
        A row a finished run, and a row a decision rule where the study decides after the fact. Columns are the study's
        settings, ``seed`` (or fold), ``run`` (its address), and the study's metrics, shares as numbers from 0 to 1;
        what a run has not is left empty.
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
