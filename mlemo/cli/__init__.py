"""The command line: which command was requested, and how its errors are shown."""

from mlemo.cli.entry import main, script

__all__ = ["main", "script"]
