"""The parser of the commands that are not training, and the option that all commands with a checkpoint share."""

from __future__ import annotations

import argparse
import sys
from typing import NoReturn

__all__ = ["CommandParser", "add_trust"]


class CommandParser(argparse.ArgumentParser):
    """A parser whose description keeps its line breaks, and whose errors take two lines in place of the usage.

    Args:
        command: Name of the command.
        description: What it does.
    """

    def __init__(self, command: str, description: str) -> None:
        super().__init__(
            prog=f"mlemo {command}", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
        )

    def error(self, message: str) -> NoReturn:
        """Exit with the message and where help is.

        Raises:
            SystemExit: Always, with status 2, but where the error is that the reader of the output has ended.
            BrokenPipeError: In that case.
        """
        if isinstance(found := sys.exc_info()[1], BrokenPipeError):
            raise found
        from mlemo.utils.errors import two_lines

        self.exit(2, f"{self.prog}: {two_lines(message)}\n`{self.prog} --help` lists the options\n")


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Add ``--trust MODULE``, which can be repeated, to the options of a command."""
    parser.add_argument(
        "--trust",
        action="append",
        default=[],
        metavar="MODULE",
        help="a module of yours that holds a class which the checkpoint names; it is imported (can be repeated)",
    )
