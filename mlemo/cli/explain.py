"""``mlemo explain``: explanations of predictions, and correct and wrong decisions of a run."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mlemo.cli.arguments import CommandParser, add_trust

__all__ = ["main", "parser"]

DESCRIPTION = """Explain predictions of a checkpoint and show right and wrong decisions of a run, as a folder of pages.

For texts: heat maps of their words (pages and pictures), probabilities beside thresholds, and nearest training texts
with their gold labels. For a run: examples of correct and wrong decisions per label, the most confident mistakes,
suspected errors of gold labels, confusion between labels, correlation of labels in gold and predictions, and the
weights of the loss in training. Texts are read as in the checkpoint's config; without them, the parts that need them
are left out, which is noted on the index page."""


def parser() -> CommandParser:
    """Create the parser of ``mlemo explain``."""
    result = CommandParser("explain", DESCRIPTION)
    add = result.add_argument
    add("texts", nargs="*", metavar="TEXT", help="sentences")
    add("--ckpt", required=True, metavar="PATH", help="checkpoint file, or folder of a run")
    add("--file", type=Path, help="a text file, one text per line (UTF-8)")
    add("--run", type=Path, metavar="FOLDER", help="folder of a tested run (default: of the checkpoint, if tested)")
    add("--output", type=Path, default=Path("explanation"), metavar="FOLDER",
        help="folder to write, new or empty (default: explanation)")  # fmt: skip
    add("--neighbors", type=_count, default=3, metavar="K", help="nearest training texts, 0 for none (default: 3)")
    add("--examples", type=_count, default=3, metavar="N",
        help="examples and most confident mistakes per label and case, 0 for none (default: 3)")  # fmt: skip
    add("--suspects", type=_count, default=200, metavar="N",
        help="suspected label errors on the page, 0 for none (default: 200)")  # fmt: skip
    add("--folds", type=_folds, default=0, metavar="K", help="also look for label errors in the training split, with "
        "probabilities of K-fold cross-fitted logistic regressions (default: 0, off)")  # fmt: skip
    add("--seed", type=int, default=0, help="seed of all random draws (default: 0)")
    add("--device", default="cpu", help="device of the model, such as cuda (default: cpu)")
    add_trust(result)
    return result


def main(words: Sequence[str]) -> Path:
    """Write a folder of pages about texts, a run, or both.

    Args:
        words: Arguments after ``explain``.

    Returns:
        The index page, ``index.html`` in the folder.

    Raises:
        SystemExit: The arguments are invalid, a file cannot be read, or there is nothing to explain.
    """
    from mlemo.cli.texts import text_lines
    from mlemo.reporting.explanations.explain import explain
    from mlemo.utils.messages import visible

    own = parser()
    options = own.parse_args(list(words))
    try:
        texts = [*options.texts, *([] if options.file is None else text_lines(options.file))]
        report = explain(options, texts)
    except (OSError, ValueError) as error:
        own.error(str(error))
    first_page = report.write(options.output)
    for note in report.notes:
        sys.stderr.write(visible(f"note: {note}\n"))
    sys.stdout.write(visible(f"open {first_page}\n"))
    return first_page


def _count(word: str) -> int:
    number = int(word)
    if number < 0:
        raise argparse.ArgumentTypeError(f"expected 0 or more, found {number}")
    return number


def _folds(word: str) -> int:
    number = int(word)
    if number < 0 or number == 1:
        raise argparse.ArgumentTypeError(f"expected 0, or 2 or more, found {number}")
    return number
