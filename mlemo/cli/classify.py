"""Options of ``mlemo classify``."""

from __future__ import annotations

from pathlib import Path

from mlemo.cli.arguments import CommandParser, add_trust

__all__ = ["parser"]

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
