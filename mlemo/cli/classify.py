"""``mlemo classify``: the labels of sentences, or of the lines of a file."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlemo.cli.arguments import CommandParser, add_trust

if TYPE_CHECKING:
    from mlemo.inference import Classified

__all__ = ["main", "parser"]

DESCRIPTION = """Label sentences, or the lines of a file, with a trained checkpoint."""


def parser() -> CommandParser:
    """Create the parser of ``mlemo classify``."""
    result = CommandParser("classify", DESCRIPTION)
    add = result.add_argument
    add("texts", nargs="*", metavar="TEXT", help="sentences; if none, lines are read from standard input")
    add("--ckpt", required=True, metavar="PATH", help="checkpoint file, or folder of a run")
    add("--file", type=Path, help="a text file, one text per line (UTF-8)")
    add("--json", action="store_true", help="one JSON object per line instead of a table")
    add("--device", default="cpu", help="device of the model, such as cuda (default: cpu)")
    add_trust(result)
    return result


def main(words: Sequence[str]) -> list[Classified]:
    """Print the labels of sentences, or of the lines of a file.

    Args:
        words: Arguments after ``classify``.

    Raises:
        SystemExit: The arguments are invalid, or there is nothing to classify.
    """
    from mlemo.cli.texts import print_json, print_table, text_lines
    from mlemo.inference import load

    own = parser()
    options = own.parse_args(list(words))
    try:
        texts = [*options.texts, *([] if options.file is None else text_lines(options.file))]
        if not options.texts and options.file is None and not sys.stdin.isatty():
            texts = text_lines(None)
        if not texts:
            own.error("nothing to classify: give sentences, --file, or lines on standard input")
        results = load(options.ckpt, options.device, options.trust)(texts)
    except (FileNotFoundError, ValueError) as error:
        own.error(str(error))
    (print_json if options.json else print_table)(results)
    return results
