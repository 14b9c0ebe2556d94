"""Options of ``mlemo explain``."""

from __future__ import annotations

import argparse
from pathlib import Path

from mlemo.cli.arguments import CommandParser, add_trust

__all__ = ["parser"]

DESCRIPTION = """Explain what a checkpoint makes of texts, and what a run got right and wrong, as a folder of pages.

Of texts: heat maps of their words (pages and pictures) and the nearest training texts with their gold labels. Of a run:
examples of right and wrong decisions for each label, how labels go together in gold and in prediction, and the weights
of the loss in training. Training and test texts are read as the checkpoint's config says; without them what needs them
is left out, and the first page says so."""


def parser() -> CommandParser:
    """The options of ``mlemo explain``."""
    result = CommandParser("explain", DESCRIPTION)
    add = result.add_argument
    add("texts", nargs="*", metavar="TEXT", help="sentences")
    add("--ckpt", required=True, metavar="PATH", help="checkpoint file, or folder of a run")
    add("--file", type=Path, help="a text file, one text a line (UTF-8)")
    add("--run", type=Path, metavar="FOLDER", help="folder of a tested run (default: that of the checkpoint, if it is)")
    add("--output", type=Path, default=Path("explanation"), metavar="FOLDER",
        help="folder to write, new or empty (default: explanation)")  # fmt: skip
    add("--neighbors", type=_count, default=3, metavar="K", help="nearest training texts, 0 for none (default: 3)")
    add("--examples", type=_count, default=3, metavar="N",
        help="examples of each label's right and wrong decisions, 0 for none (default: 3)")  # fmt: skip
    add("--seed", type=int, default=0, help="seed of all that is drawn (default: 0)")
    add("--device", default="cpu", help="where to compute, such as cuda (default: cpu)")
    add_trust(result)
    return result


def _count(word: str) -> int:
    number = int(word)
    if number < 0:
        raise argparse.ArgumentTypeError(f"expected 0 or more, found {number}")
    return number
