"""``mlemo init``: from a file of texts and labels to an experiment that can be run."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from mlemo.cli.arguments import CommandParser

__all__ = ["main", "parser"]

DESCRIPTION = """\
Look at a file of texts with labels (CSV, TSV, .txt, .xlsx, JSON lines, Parquet), print what is in it, and write an
experiment that trains a model on it. Nothing is trained, and nothing is fetched but the config of an encoder.

  mlemo init messages.csv
  mlemo init messages.xlsx --encoder sentence-transformers/all-MiniLM-L6-v2
  mlemo init messages.csv --text_column title body --labels anger joy --output experiment.yaml"""

#: Options that are settings of `TextFiles` by the same name.
SETTINGS = {
    "text_column": "column with the texts, or several that are joined (default: that with the longest cells)",
    "labels": "columns of one label each, or with --label_column the names of the labels (default: found in the file)",
    "label_column": "column with the names of all labels of a text",
    "separator": "text between the names in --label_column",
    "id_column": "column with ids (default: one of single words that are all different)",
    "group_column": "column, such as the author, whose equal cells stay on one side of a split",
    "encoding": "encoding of the file, such as cp1252",
    "delimiter": "character between the cells",
    "true_values": "cells that mean 1",
    "false_values": "cells that mean 0",
    "empty": "what an empty label cell means: no (as 0) or unknown (not annotated)",
}
SEVERAL = ("text_column", "labels", "true_values", "false_values")


def parser() -> CommandParser:
    """Create the parser of ``mlemo init``."""
    result = CommandParser("init", DESCRIPTION)
    result.add_argument("file", type=Path, metavar="FILE", help="file with texts and labels")
    result.add_argument("--encoder", metavar="NAME|DIR", help="pretrained encoder: a name on the hub, or a folder")
    result.add_argument("--output", type=Path, metavar="FILE", help="file to write (default: FILE's name with .yaml)")
    result.add_argument("--overwrite", action="store_true", help="replace the file to write if it exists")
    for name, words in SETTINGS.items():
        several = {"nargs": "+"} if name in SEVERAL else {}
        choices = {"choices": ("no", "unknown")} if name == "empty" else {}
        result.add_argument(f"--{name}", help=words, **several, **choices)  # type: ignore[arg-type]  # two kinds of values
    return result


def main(words: Sequence[str]) -> Path:
    """Print what is in the file, and write the experiment.

    Args:
        words: Arguments after ``init``.

    Returns:
        The file that was written.

    Raises:
        SystemExit: The arguments are invalid, the file cannot be read, or the output exists.
    """
    own = parser()
    options = own.parse_args(list(words))
    output = Path(f"{options.file.stem}.yaml") if options.output is None else options.output
    if output.exists() and not options.overwrite:
        own.error(f"{output} exists; give --overwrite to replace it, or another --output")
    given = {name: getattr(options, name) for name in SETTINGS if getattr(options, name) is not None}
    if len(given.get("text_column", ())) == 1:
        (given["text_column"],) = given["text_column"]
    from mlemo.data.inspection import inspect_file
    from mlemo.data.inspection_report import report_lines
    from mlemo.data.language import language_of
    from mlemo.experiments.starter import default_encoder, find_encoder, make_starter
    from mlemo.utils.messages import visible
    from mlemo.utils.program import program

    try:
        found = inspect_file(options.file, given)
        texts = found.corpus.texts or []
        language = language_of(texts)
        report = list(report_lines(found, language))
        name = options.encoder or default_encoder(language.name)
        try:
            encoder = find_encoder(name)
        except FileNotFoundError:
            if options.encoder is not None:
                raise
            encoder = None
        command = f"{program()} fit --config {shlex.quote(str(output))}"
        head = f"# {len(texts):,} rows of {options.file}. In the folder in which this file was written:\n#   {command}"
        starter = make_starter(found.settings, found.corpus, encoder, head)
        output.write_text(starter.content, encoding="utf-8")
    except (OSError, ValueError) as error:
        own.error(str(error))
    lines = {"": starter.length, "model": f"{starter.kind}: {starter.reason}", "time": starter.minutes}
    if encoder is None:
        lines["encoder"] = f"with a network or a folder of one, an encoder is usually better: --encoder {name}"
    for heading, line in [*report, *lines.items(), ("wrote", str(output)), ("next", command)]:
        if line:
            sys.stdout.write(visible(f"{heading:<12}{line}\n"))
    return output
