"""``mlemo ensemble``: several trained runs as one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlemo.cli.arguments import CommandParser

if TYPE_CHECKING:
    from mlemo.experiments.ensemble import Combined

__all__ = ["main", "parser"]

DESCRIPTION = """\
Combine tested runs of one corpus: average their probabilities, fit the decision rule again on validation, and write the
result as the folder of a run, which classify, compare, rules, leaderboard and explain read. Nothing is trained.

  mlemo ensemble runs/seed42 runs/seed43 runs/seed44 --name three-seeds"""


def parser() -> CommandParser:
    """Create the parser of ``mlemo ensemble``."""
    result = CommandParser("ensemble", DESCRIPTION)
    add = result.add_argument
    add("runs", nargs="+", type=Path, metavar="RUN", help="folder of a tested run")
    add("--weights", choices=("mean", "fitted"), default="mean",
        help="weights of the members: equal, or with the least log loss on validation (default: mean)")  # fmt: skip
    add("--rule", metavar="NAME", help="decision rule, by its name in the table of `mlemo rules`, such as "
        "\"per class, F1\" (default: that of the members)")  # fmt: skip
    place = result.add_mutually_exclusive_group()
    place.add_argument("--name", metavar="NAME", help="name of the ensemble and of its folder, runs/NAME")
    place.add_argument(
        "--output", type=Path, metavar="FOLDER", help="folder to write (default: the next runs/version_N)"
    )
    return result


def main(words: Sequence[str]) -> Combined:
    """Write the ensemble and print its scores.

    Args:
        words: Arguments after ``ensemble``.

    Raises:
        SystemExit: The arguments are invalid, or the runs cannot be read or combined.
    """
    own = parser()
    options = own.parse_args(list(words))
    from copy import deepcopy

    from rich.console import Console

    from mlemo.callbacks.result_table import print_results
    from mlemo.callbacks.run_folder import ROOT
    from mlemo.experiments.ensemble import combine
    from mlemo.experiments.rules import RULES
    from mlemo.runs.place import check_name, next_version
    from mlemo.utils.messages import visible

    if options.rule not in (None, *RULES):
        own.error(f"--rule: unknown rule {options.rule!r}; expected one of {', '.join(map(repr, RULES))}")
    try:
        if options.name is not None:
            folder = Path(ROOT, check_name(options.name))
        else:
            folder = options.output or next_version(Path(ROOT))
        combined = combine(
            options.runs,
            folder,
            weighting=options.weights,
            rule=deepcopy(RULES.get(options.rule)),
            name=options.name,
            command=["ensemble", *words],
        )
    except (OSError, ValueError) as error:
        own.error(str(error))
    title = f"ensemble of {len(options.runs)} runs"
    print_results(title, [f"tuned: {combined.rule.describe()}"], combined.scores, combined.intervals)
    lines = [f"weight {weight:.3f}: {run}" for run, weight in zip(options.runs, combined.weights)]
    lines += [
        f"{name} on the test: {gain.difference:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}] from the mean of the members"
        for name, gain in combined.gains.items()
    ]
    lines += ["95 %: over the texts of the test, for these members", f"written: {folder}"]
    for line in lines:
        Console().print(visible(line), soft_wrap=True, highlight=False, markup=False)
    return combined
