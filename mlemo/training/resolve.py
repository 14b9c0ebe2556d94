"""The config that a command line means, without running it."""

from __future__ import annotations

import io
from bisect import bisect_left
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from functools import cache
from typing import Any

import yaml
from lightning.pytorch.cli import LightningArgumentParser

from mlemo.training.lightning_cli import MlemoCLI, make_cli

__all__ = ["first_refused", "resolve"]


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
        mistake, *_ = errors.getvalue().strip().rpartition("\n")  # the last line describes how to get help
        raise ValueError(mistake.removeprefix("mlemo: ")) from None
    content: dict[str, Any] = yaml.safe_load(parser.dump(config, skip_none=False))
    return content


def first_refused(words: Sequence[str], check: Callable[[Sequence[str]], object]) -> int | None:
    """The place of the word for which a command line is refused; ``None`` where it is not the fault of one.

    Args:
        words: The command line.
        check: Raises ``ValueError`` for it.
    """

    def refusal(count: int) -> str:
        try:
            check(words[:count])
        except ValueError as error:
            return str(error)
        return ""

    whole = refusal(len(words))
    # without the words behind the wrong one the refusal is the same
    count = bisect_left(range(len(words) + 1), True, key=lambda count: refusal(count) == whole)
    return count - 1 if whole and count and refusal(count) == whole else None
