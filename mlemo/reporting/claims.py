"""Verdicts on the claims of a study, from paired differences of its runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from math import isnan, nan
from typing import Any

from mlemo.experiments.published import Claim
from mlemo.experiments.study import Labels
from mlemo.metrics.compare import Comparison, holm
from mlemo.reporting.document import Block, Heading, Table, Verdict
from mlemo.reporting.results import Results, apart
from mlemo.reporting.scores import Scores, paired
from mlemo.reporting.units import number, published_rows, unit_of

__all__ = ["VERDICTS", "Finding", "as_data", "claim_table", "findings", "overall_verdict", "verdicts"]

#: Verdicts, each with its meaning.
VERDICTS = {
    "holds": "the 95 % interval of every difference lies on the stated side of 0, or within the margin of equality",
    "partly": "some of the intervals do",
    "contradicted": "an interval lies on the other side of 0, or outside the margin, and none supports the claim",
    "not shown": "the intervals include both possibilities",
    "open": "no runs of both settings are finished",
}
UNKNOWN = Comparison(nan, nan, nan, nan)


@dataclass(frozen=True)
class Finding:
    """What the runs show about a claim, for one metric and one combination of the other settings.

    Args:
        claim: The claim.
        metric: Name among the study's metrics.
        others: Labels of the other settings.
        result: Metric of ``claim.label`` minus that of ``claim.against``, with its interval; NaN without runs.
        p_holm: P-value corrected for all findings of the study.
        published: The same difference of published numbers; NaN if the paper does not print both.
        source: Table of the published numbers.
        over: Units that were paired: ``samples``, ``folds``, or empty without runs.
    """

    claim: Claim
    metric: str
    others: Labels
    result: Comparison = UNKNOWN
    p_holm: float = nan
    published: float = nan
    source: str = ""
    over: str = ""

    @property
    def verdict(self) -> str:
        """One of `VERDICTS` other than ``partly``."""
        low, high = self.result.low, self.result.high
        if isnan(low):
            return "open"
        if self.claim.expected == "equal":
            if -self.claim.margin <= low and high <= self.claim.margin:
                return "holds"
            return "contradicted" if low > self.claim.margin or high < -self.claim.margin else "not shown"
        if self.claim.expected == "lower":
            low, high = -high, -low
        return "holds" if low > 0 else "contradicted" if high < 0 else "not shown"

    @property
    def name(self) -> str:
        """Both labels, and those of the other settings."""
        return ", ".join([f"{self.claim.label} − {self.claim.against}", *(label for _, label in self.others)])


def overall_verdict(found: Iterable[Finding]) -> str:
    """Combine the verdicts of the findings on one claim.

    Returns:
        One of `VERDICTS`.
    """
    verdicts = {finding.verdict for finding in found} - {"open"}
    if verdicts == {"holds"}:
        return "holds"
    for verdict, combined in (("holds", "partly"), ("contradicted", "contradicted"), ("not shown", "not shown")):
        if verdict in verdicts:
            return combined
    return "open"


def findings(results: Results, scores: Scores, seed: int = 0) -> list[Finding]:
    """Compare the labels of each claim of a study.

    Args:
        results: The runs.
        scores: Scores of the runs, of which comparisons with the first label are used.
        seed: Seed of the draws of other comparisons.
    """
    known: dict[tuple[str, str], Scores] = {(results.study.compare, scores.first): scores}
    found = []
    for claim in results.study.claims:
        pair = (claim.setting, claim.against)
        if pair not in known:
            known[pair] = paired(_part(results, claim), claim.against, scores.resamples, seed, bounded=scores.bounded)
        found += list(_findings(claim, results, known[pair]))
    corrected = holm([finding.result.p for finding in found])
    return [replace(finding, p_holm=p) for finding, p in zip(found, corrected)]


def _part(results: Results, claim: Claim) -> Results:
    """Select the runs of all claims against one label, and their metrics."""
    alike = [own for own in results.study.claims if (own.setting, own.against) == (claim.setting, claim.against)]
    labels, names = {claim.against, *(own.label for own in alike)}, {name for own in alike for name in own.metrics}
    metrics = {name: key for name, key in results.study.metrics.items() if name in names}
    chosen = tuple(own for own in results.combinations if dict(own.labels)[claim.setting] in labels)
    return replace(results, study=replace(results.study.comparing(claim.setting), metrics=metrics), combinations=chosen)


def _findings(claim: Claim, results: Results, scores: Scores) -> Iterator[Finding]:
    differences = {(own.labels, own.metric): own for own in scores.differences}
    places = [
        own.labels
        for own in results.combinations
        if dict(own.labels)[claim.setting] == claim.label
        and all(dict(own.labels)[setting] in labels for setting, labels in claim.where.items())
    ]
    for metric in claim.metrics:
        for labels in places:
            own = differences.get((labels, metric))
            published, source = _published(claim, results, labels, metric)
            result, over = (UNKNOWN, "") if own is None else (own.result, own.over)
            yield Finding(claim, metric, apart(labels, claim.setting)[1], result, nan, published, source, over)
        if not places:
            yield Finding(claim, metric, ())


def _published(claim: Claim, results: Results, labels: Labels, metric: str) -> tuple[float, str]:
    """Return the difference of two published numbers of one table, and the table."""
    unit = unit_of(results.study, metric)
    base = tuple((setting, claim.against if setting == claim.setting else label) for setting, label in labels)
    printed = [
        {row.table: unit.published(row, row.values[metric]) for row in rows if metric in row.values}
        for rows in (published_rows(results.study, labels), published_rows(results.study, base))
    ]
    table = next((name for name in printed[0] if name in printed[1]), "")
    return (printed[0][table] - printed[1][table], table) if table else (nan, "")


def verdicts(results: Results, found: Sequence[Finding]) -> Iterator[Block]:
    """Show the verdict on each claim."""
    if found:
        yield Heading("Verdicts")
    for claim, group in groupby(found, key=lambda finding: finding.claim):
        own = list(group)
        source = f" ({claim.source})" if claim.source else ""
        yield Verdict(overall_verdict(own), f"{claim.text}{source}", "; ".join(_in_words(results, one) for one in own))


def claim_table(results: Results, found: Sequence[Finding]) -> Iterator[Block]:
    """Show the differences that the verdicts are from."""
    if not found:
        return
    head = ("claim", "compared", "metric", "published", "difference", "95 % interval", "p", "p Holm", "verdict")
    yield Table(
        f"Differences that the verdicts are from, scale {results.scale}",
        head,
        tuple(_row(results, one) for one in found),
        3,
        (
            "; ".join(f"{name}: {meaning}" for name, meaning in VERDICTS.items()) + ".",
            "Published: the difference of the paper's numbers. Paired by test sample, with the variance between seeds; "
            "t: paired by fold. p: two-sided; Holm: over this table.",
        ),
    )


def as_data(results: Results, found: Iterable[Finding]) -> list[dict[str, Any]]:
    """Convert findings to entries of a file of records; missing numbers are ``None``."""
    counts = {own.labels: len(own.runs) for own in results.combinations}
    entries = []
    for one in found:
        claim, result = one.claim, one.result
        numbers = {"difference": result.difference, "low": result.low, "high": result.high, "p": result.p}
        numbers |= {"p_holm": one.p_holm, "published": one.published}
        labels = dict(one.others)
        seeds = [
            counts.get(tuple((name, labels.get(name, label)) for name in results.settings), 0)
            for label in (claim.label, claim.against)
        ]
        entries.append(
            {
                "study": results.study.name,
                "scale": results.scale,
                "text": claim.text,
                "source": claim.source,
                "setting": claim.setting,
                "label": claim.label,
                "against": claim.against,
                "others": labels,
                "metric": results.study.metrics[one.metric],
                **{name: None if isnan(value) else float(value) for name, value in numbers.items()},
                "seeds": seeds,
                "verdict": one.verdict,
            }
        )
    return entries


def _in_words(results: Results, found: Finding) -> str:
    unit = unit_of(results.study, found.metric)
    place = ", ".join([unit.head, *(label for _, label in found.others)])
    if found.verdict == "open":
        return f"{place}: no comparison"
    interval = unit.interval(found.result.low, found.result.high, "+")
    return f"{place}: {unit.show(found.result.difference, '+')} {interval}, p {number(found.result.p, 4)}"


def _row(results: Results, found: Finding) -> tuple[str, ...]:
    unit, result = unit_of(results.study, found.metric), found.result
    published = "–" if isnan(found.published) else f"{unit.show(found.published, '+')} ({found.source})"
    interval = unit.interval(result.low, result.high, "+") + (" t" if found.over == "folds" else "")
    numbers = (unit.show(result.difference, "+"), interval, number(result.p, 4), number(found.p_holm, 4))
    return (found.claim.text, found.name, unit.head, published, *numbers, found.verdict)
