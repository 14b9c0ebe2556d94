"""``mlemo describe``: a page about a corpus, before any model."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mlemo.cli.arguments import CommandParser

__all__ = ["main", "parser"]

DESCRIPTION = """\
Describe a corpus: labels, label sets, labels that go together, imbalance, lengths of texts, entries that are not
annotated, repeated texts within and across splits, and equal texts with different labels; as a table here, a page that
opens without a network, and a JSON file.

The corpus is named as for `mlemo fit`: --config FILE, or --data CLASS with its settings --data.KEY. A model is not
needed; that of a config file is not made.

  mlemo describe --config configs/experiment/synthetic.yaml
  mlemo describe --data TextFiles --data.labels "[joy, anger]" --data.train mine.csv --encoder xlm-roberta-base
  mlemo describe --data SemEval2018 --data.data_dir DIR --output semeval"""


def parser() -> CommandParser:
    """Create the parser of ``mlemo describe``; the words that it does not know name the corpus."""
    result = CommandParser("describe", DESCRIPTION)
    result.allow_abbrev = False
    add = result.add_argument
    add("--encoder", metavar="NAME|DIR", help="also count the tokens of a pretrained encoder")
    add("--max_length", type=int, default=512, metavar="N",
        help="longest input in tokens, with special tokens (default: 512)")  # fmt: skip
    add("--similarity", type=_share, default=0.8, metavar="S", help="smallest share of common character 5-grams of "
        "similar texts; 0 to look for equal texts alone (default: 0.8)")  # fmt: skip
    add("--output", type=Path, default=Path("description"), metavar="FOLDER",
        help="folder to write (default: description)")  # fmt: skip
    return result


def main(words: Sequence[str]) -> Path:
    """Describe a corpus.

    Args:
        words: Arguments after ``describe``.

    Returns:
        The page, ``description.html`` in the folder.

    Raises:
        SystemExit: The arguments are invalid, or the corpus cannot be read.
    """
    own = parser()
    options, named = own.parse_known_args(list(words))
    if not any(word.partition("=")[0] in ("--config", "--data") for word in named):
        own.error("no corpus is named: give --config FILE, or --data CLASS and its settings")
    from rich.console import Console
    from rich.table import Table

    from mlemo.reporting.description.describe import describe
    from mlemo.reporting.description.page import repeat_lines, split_table, write_description
    from mlemo.reporting.explanations.corpora import datamodule_of
    from mlemo.training.resolve import resolve
    from mlemo.utils.messages import cell, visible

    try:
        # any model: the parser of `mlemo fit` needs one
        settings = resolve(["--model=Linear", *named])["data"]
        data = datamodule_of(settings)
        found = describe(data, settings["init_args"], options.encoder, options.max_length, options.similarity or None)
        page = write_description(found, data, options.output)
    except (OSError, ValueError) as error:
        own.error(str(error))
    content = split_table(found)
    table = Table(*content.head, title=found.corpus)
    for row in content.rows:
        table.add_row(*map(cell, row))
    console = Console()
    console.print(table)
    for line in (*repeat_lines(found), *(f"warning: {line}" for line in found.warnings), *found.notes):
        console.print(visible(line), markup=False, highlight=False)
    sys.stdout.write(visible(f"open {page}\n"))
    return page


def _share(word: str) -> float:
    value = float(word)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a share between 0 and 1, found {word}")
    return value
