"""The sections of a report on a study, in order, without figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mlemo.experiments.part import part_as_text
from mlemo.experiments.study import Labels
from mlemo.reporting.document import Block, Bullets, Heading, Paragraph, Table
from mlemo.reporting.overall import FEWEST_PAIRS, Overall
from mlemo.reporting.results import Combination, Results
from mlemo.reporting.scores import Scores
from mlemo.reporting.units import Unit, number, published_rows, unit_of

__all__ = [
    "introduction",
    "metric_sections",
    "notes",
    "overall_section",
    "overview",
    "published_alone",
    "what_is_missing",
]

SCALES = {
    "tiny": "Scale tiny is for tests: an invented corpus and a network trained for seconds. Differences of its numbers "
    "from published ones are not meaningful.",
    "small": "Scale small: real corpora, with smaller networks, fewer rows or less training than published, as the "
    "notes state. Differences from published numbers are due to the setting as much as to the method.",
    "paper": "Scale paper: the published setting, as far as it is known; the notes state what is not.",
}


def introduction(results: Results, scores: Scores) -> Iterator[Block]:
    """Describe the study, its scale and the notation of the numbers."""
    study, done = results.study, sum(run.record is not None for run in results.runs)
    unfinished = len(results.runs) - done
    state = f"{done} of {len(results.runs)} runs are finished"
    part = f" A part of it: {part_as_text(results.part)}." if results.part else ""
    yield Paragraph(
        f"Study {study.name}, after {study.paper}, at scale {results.scale}.{part} {state}"
        + (f"; what is not ({unfinished}) is named under “What is missing”." if unfinished else ".")
    )
    if results.scale in SCALES:
        yield Paragraph(SCALES[results.scale])
    ways = {own.over for own in scores.by.values()}
    lines = ["Ours: mean ± standard deviation (n − 1) over the seeds, which may be folds; one run has no ±."]
    if "samples" in ways:
        lines.append(
            f"[a, b]: 95 % interval, from {scores.resamples} resamples of the test samples and, where there are "
            "several seeds, the variance between them, with Student's t. One seed has no variance between seeds."
        )
    if "folds" in ways:
        lines.append(
            "[a, b] t: each seed is a fold with other test samples, so that samples cannot be paired across seeds; the "
            "95 % interval is from Student's t over the folds. Folds share training samples, so it is too narrow."
        )
    if any(row.values for row in study.published):
        lines.append(
            "Published: the number that the paper prints, in our unit, with its table; ours − published beside it."
        )
    if any(row.plus_minus for row in study.published):
        lines.append("± of a published number: half the width of the interval that the paper prints.")
    if any(row.marked for row in study.published):
        lines.append("*: the paper marks the number as significant.")
    if any("↓" in unit_of(study, name).head for name in study.metrics):
        lines.append("↓: lower is better.")
    lines.append(
        "–: not known; the reason is under “What is missing”, unless the number has no spread, interval or counterpart."
    )
    yield Bullets(tuple(lines))


def overview(results: Results, scores: Scores) -> Iterator[Block]:
    """Show all metrics side by side, one line per combination of labels."""
    units = {name: unit_of(results.study, name) for name in results.study.metrics}
    rows = []
    for combination in results.combinations:
        cells = [_mean(scores, combination.labels, name, unit) for name, unit in units.items()]
        rows.append((*_names(combination.labels), seeds(combination), *cells))
    yield Heading("All metrics")
    head = (*results.settings, "seeds", *(unit.head for unit in units.values()))
    yield Table(f"{results.study.title} Scale {results.scale}.", head, tuple(rows), len(results.settings))


def metric_sections(results: Results, scores: Scores) -> Iterator[Block]:
    """Show per metric a table of measured and published numbers, and one of differences between labels."""
    for name in results.study.metrics:
        unit = unit_of(results.study, name)
        rows, with_published = [], False
        for combination in results.combinations:
            own = scores.by.get((combination.labels, name))
            interval = "–" if own is None else unit.interval(own.low, own.high) + (" t" if own.over == "folds" else "")
            line = [*_names(combination.labels), seeds(combination), _mean(scores, combination.labels, name, unit)]
            mean = None if own is None else own.mean
            published = published_cells(results, combination.labels, name, unit, mean)
            with_published |= bool(published[0])
            rows.append((*line, interval, *(cell or "–" for cell in published)))
        head = (*results.settings, "seeds", "ours", "95 % interval", "published", "ours − published", "table")
        cut = len(head) if with_published else -3
        yield Heading(unit.head.removesuffix(" (%)"))
        caption = f"{unit.head}, scale {results.scale}"
        remarks = ("See “Notes on the numbers” for remarks on these numbers.",)
        shown = remarks if with_published and results.study.notes else ()
        yield Table(caption, head[:cut], tuple(row[:cut] for row in rows), len(results.settings), shown)
        yield from _differences(results, scores, name, unit)


def overall_section(results: Results, scores: Scores) -> Iterator[Block]:
    """Show Wilcoxon's test of the compared setting over combinations of the others: measured and published."""
    if not scores.overall and not scores.published:
        return
    compare = results.study.compare
    yield Heading(f"{compare}: each label against {scores.first}, over combinations")
    caption = f"Differences from {compare} {scores.first}, Wilcoxon's signed-rank test"
    yield from _overall_tables(results, scores.first, scores.overall, f"{caption}, scale {results.scale}")
    yield from _overall_tables(results, scores.first, scores.published, f"{caption}, from the published numbers")


def _overall_tables(results: Results, first: str, tests: Sequence[Overall], caption: str) -> Iterator[Block]:
    """Show one table over all combinations, and one per setting with enough combinations within its labels."""
    compare = results.study.compare
    tables: dict[str, list[tuple[str, ...]]] = {}
    for found in tests:
        setting, *within = found.within or ("",)
        unit = unit_of(results.study, found.metric)
        values = (found.test.p, found.p_holm, found.test.effect)
        shown = (str(found.test.pairs), unit.show(found.difference, "+"), *(number(value, 4) for value in values))
        printed = _published_p(results, first, found)
        tables.setdefault(setting, []).append((*within, unit.head, found.label, *shown, *printed))
    for setting, rows in tables.items():
        names = (setting, "metric", compare) if setting else ("metric", compare)
        head = (*names, "pairs", "mean difference", "p", "p Holm", "effect", "published p", "table")
        cut = len(head) if any(row[-1] != "–" for row in rows) else -2
        corrected = "of this table" if setting else "of one metric"
        yield Table(
            f"{caption}, for each {setting}" if setting else caption,
            head[:cut],
            tuple(row[:cut] for row in rows),
            len(names),
            (
                "One pair for each combination of the other settings, ours of means over seeds; pairs without a "
                f"difference are left out. Two-sided; at least {FEWEST_PAIRS} pairs. Holm: over the comparisons "
                f"{corrected}. Effect: rank-biserial correlation, 1 where the label is larger in every pair. "
                "Combinations that share a corpus are not independent.",
            ),
        )


def _published_p(results: Results, first: str, found: Overall) -> tuple[str, str]:
    """Return the published p-value of a test, and its table."""
    wanted = (results.study.compare, first, found.label, found.within)
    for row in results.study.published_tests:
        if (row.compare, row.first, row.label, row.within) == wanted and found.metric in row.p:
            return number(row.p[found.metric], 4), row.table
    return "–", "–"


def published_alone(results: Results) -> Iterator[Block]:
    """List published rows without a shown combination."""
    shown = {id(row) for own in results.combinations for row in results.study.published
             if not row.of_class and row in published_rows(results.study, own.labels)}  # fmt: skip
    tables: dict[str, list[str]] = {}
    for row in results.study.published:
        if not row.of_class and id(row) not in shown:
            tables.setdefault(row.table, []).append(", ".join(label for _, label in row.labels))
    if tables:
        yield Heading(f"Published numbers without a finished run at scale {results.scale}")
        yield Bullets(tuple(f"{table}: {'; '.join(rows)}" for table, rows in tables.items()))


def notes(results: Results) -> Iterator[Block]:
    """List the study's notes on its numbers."""
    if results.study.notes:
        yield Heading("Notes on the numbers")
        yield Bullets(results.study.notes, numbered=True)


def what_is_missing(lines: Sequence[str]) -> Iterator[Block]:
    """List everything that is missing."""
    yield Heading("What is missing")
    if lines:
        yield Bullets(tuple(dict.fromkeys(lines)))
    else:
        yield Paragraph("Nothing: every run is finished and complete.")


def seeds(combination: Combination) -> str:
    """Return the number of finished seeds, and of planned ones if more."""
    done = len(combination.runs)
    return str(done) if done == combination.planned else f"{done} of {combination.planned}"


def published_cells(
    results: Results, labels: Labels, name: str, unit: Unit, mean: float | None, *, of_class: str = ""
) -> tuple[str, str, str]:
    """Return the published numbers, the differences of the measured number from them, and their tables."""
    rows = [row for row in published_rows(results.study, labels, of_class) if name in row.values]
    differences = [
        "–" if mean is None else unit.show(mean - unit.published(row, row.values[name]), "+") for row in rows
    ]
    return (
        "; ".join(unit.printed(row, name) for row in rows),
        "; ".join(differences),
        "; ".join(row.table for row in rows),
    )


def _differences(results: Results, scores: Scores, name: str, unit: Unit) -> Iterator[Block]:
    rows, ways = [], set()
    for found in scores.differences:
        if found.metric == name:
            ways.add(found.over)
            result = found.result
            interval = unit.interval(result.low, result.high, "+") + (" t" if found.over == "folds" else "")
            numbers = (unit.show(result.difference, "+"), interval, number(result.p, 4), number(found.p_holm, 4))
            rows.append((*_names(found.labels), *numbers))
    compare = results.study.compare
    if rows:
        remarks = {
            "samples": "Paired by test sample; the variance between seeds, if there are several, by Student's t.",
            "folds": "t: paired by fold, with the paired t-test.",
        }
        yield Table(
            f"{unit.head}: difference from {compare} {scores.first}, scale {results.scale}",
            (*results.settings, "difference", "95 % interval", "p", "p Holm"),
            tuple(rows),
            len(results.settings),
            (" ".join(remarks[way] for way in sorted(ways)) + f" p: two-sided; Holm: over the labels of {compare} "
             "beside the same other labels.",),
        )  # fmt: skip


def _names(labels: Labels) -> list[str]:
    return [label for _, label in labels]


def _mean(scores: Scores, labels: Labels, name: str, unit: Unit) -> str:
    own = scores.by.get((labels, name))
    return "–" if own is None else unit.mean(own.mean, own.sd)
