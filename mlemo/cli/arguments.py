"""The parser of the commands that are not training."""

from __future__ import annotations

import argparse
from typing import NoReturn

__all__ = ["CommandParser"]


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
            SystemExit: Always, with status 2.
        """
        from mlemo.cli.errors import two_lines

        self.exit(2, f"{self.prog}: {two_lines(message)}\n`{self.prog} --help` lists the options\n")
