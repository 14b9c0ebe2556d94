"""The config that a command line means, without running it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import redirect_stderr
from functools import cache
from typing import Any

import yaml
from lightning.pytorch.cli import LightningArgumentParser

from mlemo.training import MlemoCLI, make_cli

__all__ = ["resolve"]


class _ParserMade(Exception):
    """Carries the parser out of the constructor of a command that is not run."""

    def __init__(self, parser: LightningArgumentParser) -> None:
        super().__init__()
        self.parser = parser


class _ParserOnly(MlemoCLI):
    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        raise _ParserMade(self._subcommand_parsers["fit"])


@cache
def _fit_parser() -> LightningArgumentParser:
    """The parser of ``mlemo fit``, made once per process."""
    try:
        make_cli([], run=True, command=["fit"], kind=_ParserOnly)
    except _ParserMade as made:
        return made.parser
    raise AssertionError


def resolve(words: Sequence[str]) -> dict[str, Any]:
    """The whole config that a command line of ``mlemo fit`` means, with every default.

    Args:
        words: The command line behind ``mlemo fit``.

    Raises:
        ValueError: The command line cannot be understood.
    """
    parser, errors = _fit_parser(), io.StringIO()
    try:
        with redirect_stderr(errors):
            config = parser.parse_args(list(words))
    except SystemExit:
        raise ValueError(errors.getvalue().strip()) from None
    content: dict[str, Any] = yaml.safe_load(parser.dump(config, skip_none=False))
    return content
