"""What a paper prints about the runs of a study: rows of its tables, p-values, and claims."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Claim", "Labels", "PublishedRow", "PublishedTest"]

#: Setting and label, for each setting that varies.
Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class PublishedRow:
    """A row of a published table.

    Args:
        table: Its table in the paper.
        unit: ``percent`` or ``1``.
        labels: Setting and label, as for runs; a row that leaves out a setting holds for all of its labels.
        of_class: The class that it is about; empty for all together.
        values: The number printed for each metric (by the name that the study shows).
        plus_minus: Half the width of the printed interval.
        marked: Metrics whose number has a mark of significance.
    """

    table: str
    unit: str
    labels: Labels
    of_class: str
    values: Mapping[str, float]
    plus_minus: Mapping[str, float]
    marked: tuple[str, ...]


@dataclass(frozen=True)
class PublishedTest:
    """Published p-values of one label against another one over combinations of the other settings.

    Args:
        table: Their table in the paper.
        compare: Setting of the two labels.
        first: The label that is compared with.
        label: The other one.
        within: Setting and label to which the combinations are restricted; ``None`` for all of them.
        p: The p-value printed for each metric.
    """

    table: str
    compare: str
    first: str
    label: str
    within: tuple[str, str] | None
    p: Mapping[str, float]


@dataclass(frozen=True)
class Claim:
    """A claim that a study decides: one label of a setting against another.

    Args:
        text: The claim, such as ``WDL1 has a higher macro-F1 than BCE``.
        setting: Setting of the two labels.
        label: The label that the claim is about.
        against: The label that it is compared with.
        metrics: Names among the study's metrics; the claim is decided for each.
        expected: The metric of ``label`` in comparison with that of ``against``: ``higher``, ``lower`` or ``equal``.
        margin: Largest difference that counts as equal, a share from 0 to 1.
        source: Where the paper makes the claim; empty for one of ours.
        where: Setting -> labels that the claim is about; all of them for a setting that is left out.
    """

    text: str
    setting: str
    label: str
    against: str
    metrics: tuple[str, ...]
    expected: Literal["higher", "lower", "equal"] = "higher"
    margin: float = 0.0
    source: str = ""
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
