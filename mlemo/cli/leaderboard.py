"""``mlemo leaderboard``: results of many runs, also of others, on one page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mlemo.cli.arguments import CommandParser

__all__ = ["main", "parser"]

DESCRIPTION = """\
Merge records of runs and show them as one page: a table per test set, with the systems that were scored on it. Records
are the `report.json` of `mlemo report`, files of others in the same form, which are checked against its schema, and
folders of tested runs.

  mlemo leaderboard results
  mlemo leaderboard results runs/version_0 runs/version_1 theirs.json --output leaderboard"""


def parser() -> CommandParser:
    """Create the parser of ``mlemo leaderboard``."""
    result = CommandParser("leaderboard", DESCRIPTION)
    add = result.add_argument
    add("paths", nargs="*", type=Path, default=[Path("results")], metavar="PATH",
        help="a file of records, a folder of such files, or a tested run (default: results)")  # fmt: skip
    add("--metrics", nargs="+", metavar="NAME", help="scores, as in a run's results; the first one orders the systems "
        "(default: tuned_macro_f1 macro_f1 tuned_micro_f1 tuned_jaccard macro_ap)")  # fmt: skip
    add(
        "--output", type=Path, default=Path("leaderboard"), metavar="DIR", help="folder to write (default: leaderboard)"
    )
    return result


def main(words: Sequence[str]) -> Path:
    """Write the page and the merged records.

    Args:
        words: Arguments after ``leaderboard``.

    Returns:
        The page, ``leaderboard.html`` in the folder.

    Raises:
        SystemExit: The arguments are invalid, or a file does not agree with the schema.
    """
    own = parser()
    options = own.parse_args(list(words))
    from rich.console import Console

    from mlemo.reporting.leaderboard import METRICS, leaderboard, merged, write_leaderboard
    from mlemo.utils.messages import visible

    try:
        content = merged(options.paths)
        page = write_leaderboard(leaderboard(content, options.metrics or METRICS), content, options.output)
    except (OSError, ValueError) as error:
        own.error(str(error))
    line = visible(f"{len(content['runs'])} runs; written: {page} (.md, .json)")
    Console().print(line, soft_wrap=True, highlight=False, markup=False)
    return page
