"""A page of the results of many runs, also of others: a table per test set, with the systems that were scored on it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isnan
from pathlib import Path
from typing import Any

from mlemo.metrics.compare import mean_and_sd
from mlemo.reporting.document import Block, Document, Heading, Paragraph, Table
from mlemo.reporting.html import as_html
from mlemo.reporting.markdown import as_markdown
from mlemo.reporting.run_records import FORMAT, check_records, encoder_of, read_records, run_record
from mlemo.runs.atomic import write_atomically
from mlemo.runs.files import RESULTS

__all__ = ["METRICS", "leaderboard", "merged", "write_leaderboard"]

#: Scores of the table, the first of which orders it.
METRICS = ("tuned_macro_f1", "macro_f1", "tuned_micro_f1", "tuned_jaccard", "macro_ap")

Record = Mapping[str, Any]


def merged(paths: Sequence[Path]) -> dict[str, Any]:
    """Merge records.

    Args:
        paths: Files of records, folders with such files, and folders of tested runs.

    Returns:
        Content of one file of records; equal entries are kept once.

    Raises:
        OSError: A file does not exist or cannot be read.
        ValueError: A file does not agree with the schema, or there is no record.
    """
    runs: dict[str, Any] = {}
    claims: dict[str, Any] = {}
    for path in paths:
        for content in _contents(path):
            for found, entries in ((runs, content["runs"]), (claims, content["claims"])):
                found |= {json.dumps(entry, sort_keys=True): entry for entry in entries}
    if not runs:
        raise ValueError(f"no records of runs in {', '.join(map(str, paths))}")
    return {"format": FORMAT, "runs": list(runs.values()), "claims": list(claims.values())}


def _contents(path: Path) -> Iterator[dict[str, Any]]:
    if RESULTS.path(path, "test").is_file():
        content = {"format": FORMAT, "runs": [run_record(path)], "claims": []}
        check_records(content, str(path))
        yield content
    elif path.is_dir():
        yield from map(read_records, sorted(path.glob("*.json")))
    else:
        yield read_records(path)


def leaderboard(content: Mapping[str, Any], metrics: Sequence[str] = METRICS) -> Document:
    """Create the page.

    Args:
        content: Content of a file of records.
        metrics: Names of scores, of which the first orders the systems of a test set.

    Raises:
        ValueError: No run has the first score.
    """
    if not any(metrics[0] in run["scores"] for run in content["runs"]):
        known = sorted({name for run in content["runs"] for name in run["scores"]})
        raise ValueError(f"no run has the score {metrics[0]!r}; there are {', '.join(known)}")
    groups: dict[str, list[Record]] = {}
    for run in content["runs"]:
        groups.setdefault(_test_set(run), []).append(run)
    blocks: list[Block] = [
        Paragraph(
            "Means over the seeds of a system ± standard deviation; for one seed, the 95 % interval over the texts. "
            "Scores from 0 to 1; `tuned`: labels decided by the run's fitted decision rule, else at 0.5. One table per "
            "test set, by the checksum of its ids and labels: systems of one table were scored on the same texts, and "
            "may have been trained on others."
        )
    ]
    for runs in sorted(groups.values(), key=lambda runs: _title(runs[0])):
        blocks += [Heading(_title(runs[0])), _table(runs, metrics)]
    blocks += _claims(content["claims"])
    return Document("Leaderboard", blocks)


def write_leaderboard(document: Document, content: Mapping[str, Any], folder: Path) -> Path:
    """Write ``leaderboard.html``, ``leaderboard.md`` and the merged records, ``leaderboard.json``.

    Args:
        document: The page.
        content: The merged records.
        folder: Folder of the files.

    Returns:
        The page.
    """
    write_atomically(folder / "leaderboard.json", json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    write_atomically(folder / "leaderboard.md", as_markdown(document, "figures"))
    write_atomically(folder / "leaderboard.html", as_html(document))
    return folder / "leaderboard.html"


def _test_set(run: Record) -> str:
    """Identify the test set of a run: by its checksum, else by class and settings of the corpus."""
    test = run["corpus"]["splits"].get("test")
    return test["sha256"] if test else json.dumps([run["corpus"]["class"], run["corpus"]["settings"]], sort_keys=True)


def _title(run: Record) -> str:
    corpus = run["corpus"]
    languages = corpus["settings"].get("language") or corpus["settings"].get("name") or ""
    name = " ".join(filter(None, [corpus["class"].rpartition(".")[2], languages if isinstance(languages, str) else ""]))
    test = corpus["splits"].get("test")
    return f"{name}, {test['rows']:,} test texts ({test['sha256'][:8]})" if test else name


def _table(runs: Iterable[Record], metrics: Sequence[str]) -> Table:
    systems: dict[tuple[str, str, str], list[Record]] = {}
    for run in runs:
        systems.setdefault((run["name"], run.get("scale", ""), encoder_of(run)), []).append(run)
    rows = []
    for (name, scale, encoder), own in systems.items():
        trained_on = dict.fromkeys(
            f"{split['rows']:,}" for run in own if (split := run["corpus"]["splits"].get("train")) is not None
        )
        means = [_mean(own, metric) for metric in metrics]
        shown = [_cell(own, metric) for metric in metrics]
        title = f"{name} ({scale})" if scale else name
        first = means[0] if means and not isnan(means[0]) else float("-inf")
        rows.append((-first, (title, encoder or "–", " / ".join(trained_on) or "–", str(len(own)), *shown)))
    rows.sort(key=lambda row: row[0])
    head = ("system", "encoder", "trained on", "seeds", *(metric.replace("_", " ") for metric in metrics))
    return Table("Systems", head, tuple(cells for _, cells in rows), 2)


def _mean(runs: Sequence[Record], metric: str) -> float:
    values = [run["scores"][metric] for run in runs if metric in run["scores"]]
    return mean_and_sd(values)[0] if values else float("nan")


def _cell(runs: Sequence[Record], metric: str) -> str:
    values = [run["scores"][metric] for run in runs if metric in run["scores"]]
    if not values:
        return "–"
    mean, sd = mean_and_sd(values)
    if len(values) > 1:
        return f"{mean:.3f} ± {sd:.3f}"
    low, high = runs[0]["intervals"].get(metric, (None, None))
    return f"{mean:.3f}" if low is None or high is None else f"{mean:.3f} [{low:.3f}, {high:.3f}]"


def _claims(claims: Sequence[Record]) -> Iterator[Block]:
    if not claims:
        return
    yield Heading("Claims")
    rows = []
    for claim in claims:
        interval = "–" if claim.get("low") is None else f"[{claim['low']:+.3f}, {claim['high']:+.3f}]"
        numbers = [
            "–" if claim.get(name) is None else f"{claim[name]:{form}}"
            for name, form in (("published", "+.3f"), ("difference", "+.3f"))
        ]
        place = ", ".join(claim.get("others", {}).values()) or "–"
        study = f"{claim['study']} ({claim['scale']})"
        values = (text.replace("-", "−") for text in (*numbers, interval))
        rows.append((study, claim["text"], place, claim["metric"], *values, claim["verdict"]))
    head = ("study", "claim", "place", "metric", "published", "difference", "95 % interval", "verdict")
    yield Table("Claims of the studies", head, tuple(rows), 4)
