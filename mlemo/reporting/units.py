"""Units and formats of numbers: measured and published values of a metric in one unit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import isnan

from mlemo.experiments.published import PublishedRow
from mlemo.experiments.study import Labels, Study
from mlemo.reporting.results import own_metric
from mlemo.reporting.scores import COLLECTION

__all__ = ["Unit", "class_unit", "number", "published_rows", "unit_of"]

NOT_SHARES = ("coverage_error", "coverage_error_base0", "skipped_classes")  # the others are between 0 and 1
LOWER_IS_BETTER = ("hamming_loss", "ranking_loss", "one_error", "coverage_error", "coverage_error_base0", "loss",
                   "skipped_classes", "calibration_error")  # fmt: skip


@dataclass(frozen=True)
class Unit:
    """The unit of a metric in a report.

    Args:
        factor: Factor of measured values.
        decimals: Number of decimals; ``None`` for numbers of any size, such as
            costs.
        head: Column heading of the metric.
    """

    factor: float
    decimals: int | None
    head: str

    def show(self, value: float, sign: str = "") -> str:
        """Format a measured value."""
        return number(value * self.factor, self.decimals, sign)

    def interval(self, low: float, high: float, sign: str = "") -> str:
        """Format two measured values as an interval."""
        return "–" if isnan(low) or isnan(high) else f"[{self.show(low, sign)}, {self.show(high, sign)}]"

    def mean(self, mean: float, sd: float) -> str:
        """Format mean and standard deviation; the mean alone for one run."""
        return self.show(mean) if isnan(sd) else f"{self.show(mean)} ± {self.show(sd)}"

    def published(self, row: PublishedRow, value: float) -> float:
        """Convert a number of a published row to the scale of measured values before multiplication."""
        printed_in_percent = row.unit == "percent" and self.decimals is not None
        return value / 100 if printed_in_percent else value

    def printed(self, row: PublishedRow, name: str) -> str:
        """Format a published number with its ± and its mark."""
        text = self.show(self.published(row, row.values[name]))
        if name in row.plus_minus:
            text += f" ± {self.show(self.published(row, row.plus_minus[name]))}"
        return text + ("*" if name in row.marked else "")


def number(value: float, decimals: int | None, sign: str = "") -> str:
    """Format a number.

    Example:
        >>> number(51.587, 2), number(-0.5, 2, "+"), number(109_486_092, None), number(float("nan"), 2)
        ('51.59', '−0.50', '109,486,092', '–')
    """
    if isnan(value):
        return "–"
    if decimals is not None:
        value = round(value, decimals) + 0.0  # no minus before zero
        text = f"{value:{sign}.{decimals}f}"
    elif abs(value) >= 1000:
        text = f"{value:{sign},.0f}"
    else:
        text = f"{value:{sign}.4g}"
    return text.replace("-", "−")


def unit_of(study: Study, name: str) -> Unit:
    """Return the unit of one of the study's metrics: for shares, that of the papers' tables."""
    key = study.metrics[name]
    metric = own_metric(key)[0]
    worse = metric in LOWER_IS_BETTER or (key.startswith("cost.") and not key.endswith("per_second"))
    head = f"{name} ↓" if worse else name
    if metric not in COLLECTION or metric in NOT_SHARES:
        return Unit(1, None, head)
    return _share(head, (row for row in study.published if not row.of_class), name)


def class_unit(study: Study, name: str) -> Unit:
    """Return the unit of one of the study's metrics of single classes."""
    head = f"{name} ↓" if study.class_metrics[name].endswith(LOWER_IS_BETTER) else name
    return _share(head, (row for row in study.published if row.of_class), name)


def _share(head: str, rows: Iterable[PublishedRow], name: str) -> Unit:
    rows = list(rows)
    units = [row.unit for row in rows if name in row.values] or [row.unit for row in rows]
    return Unit(100, 2, f"{head} (%)") if "percent" in units else Unit(1, 4, head)


def published_rows(study: Study, labels: Labels, of_class: str = "") -> Iterator[PublishedRow]:
    """Select published rows of these labels; a row without a setting applies to all of its labels."""
    own: Mapping[str, str] = dict(labels)
    for row in study.published:
        if row.of_class == of_class and all(own.get(setting) == label for setting, label in row.labels):
            yield row
