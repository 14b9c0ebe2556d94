"""``mlemo classify``: the labels of sentences, or of the rows of a file."""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlemo.cli.arguments import CommandParser, add_trust

if TYPE_CHECKING:
    from mlemo.classification import Job, Source, Summary
    from mlemo.classification.formats import JsonLines
    from mlemo.inference import Classified, Classifier

__all__ = ["main", "parser"]

DESCRIPTION = """Label sentences, the rows of a file, or lines of the standard input with a trained checkpoint.

  mlemo classify --ckpt runs/version_0 "how lovely!" "not again"
  mlemo classify --ckpt runs/version_0 --file comments.csv --text_column comment --output labeled.csv
  cut -f2 tweets.tsv | mlemo classify --ckpt runs/version_0 | head

A file has a text per line (.txt), or is a table (.csv, .tsv), JSON lines (.jsonl, .ndjson) or Parquet. The output has
all of its rows and columns in their order, and beside them labels, probabilities, and the problem of a row that was
not classified. A job that was interrupted continues with the same command; --shard divides it among machines.
Without --output, JSON lines are printed, or a table for a few sentences on a terminal."""

#: Most sentences of which a table is printed.
FEW = 20


def parser() -> CommandParser:
    """Create the parser of ``mlemo classify``."""
    result = CommandParser("classify", DESCRIPTION)
    add = result.add_argument
    add("texts", nargs="*", metavar="TEXT", help="sentences; without them and --file, lines of the standard input")
    add("--ckpt", required=True, metavar="PATH", help="checkpoint file, or folder of a run or of `mlemo export`")
    add("--runtime", choices=["torch", "onnx", "int8"], default="torch",
        help="what computes; the others need an export with --onnx or --int8 (default: torch)")  # fmt: skip
    add("--device", default="cpu", help="device of the model, such as cuda (default: cpu)")
    add("--precision", choices=["32", "bf16"], default="32",
        help="bf16: multiply in bfloat16, which is faster where the hardware can (default: 32)")  # fmt: skip
    add("--threshold-rule", "--threshold_rule", metavar="RULE",
        help="a number, as threshold of every label, or the inference mode whose fitted rule decides "
        "(default: the rule of the checkpoint)")  # fmt: skip
    add("--json", action="store_true", help="print JSON lines, also on a terminal")
    add_trust(result)

    reading = result.add_argument_group("input")
    add = reading.add_argument
    add("--file", type=Path, metavar="IN", help=".txt, .csv, .tsv, .jsonl, .ndjson or .parquet")
    add("--text_column", "--text-column", action="append", metavar="NAME[,NAME]",
        help="column with the text; several are joined by line breaks (can be repeated; default: text)")  # fmt: skip
    add("--delimiter", help="character between the cells of a table, such as ';', or tab (default: by the suffix)")
    add("--encoding", default="utf-8", help="encoding of a text file, such as cp1252 (default: utf-8)")
    add("--no-quotes", "--no_quotes", action="store_true", help="quotes in a table are characters as any other")

    writing = result.add_argument_group("output")
    add = writing.add_argument
    add("--output", type=Path, metavar="OUT", help=".csv, .tsv, .jsonl, .ndjson or .parquet")
    add("--probabilities", choices=["all", "decided", "none"], default="all",
        help="of which labels probabilities are written (default: all)")  # fmt: skip
    add("--separator", default=", ", help="text between the decided labels in a table (default: ', ')")
    add("--shard", type=_shard, default=(1, 1), metavar="I/N",
        help="only the I-th of N parts of the rows; the outputs of all shards in order have all rows")  # fmt: skip
    add("--overwrite", action="store_true", help="replace the output, and what another command has left of it")
    return result


def main(words: Sequence[str]) -> list[Classified] | Summary:
    """Print the labels of sentences or lines, or write those of the rows of a file.

    Args:
        words: Arguments after ``classify``.

    Returns:
        The classified sentences; of rows and lines, how many there were.

    Raises:
        SystemExit: The arguments are invalid, or there is nothing to classify.
    """
    from mlemo.utils.messages import visible

    own = parser()
    options = own.parse_args(list(words))
    if options.texts and options.file is not None:
        own.error("expected sentences or --file, found both")
    if options.output is not None and options.file is None:
        own.error("--output needs --file")
    if options.shard != (1, 1) and options.output is None:
        own.error("--shard needs --output")
    if not options.texts and options.file is None and sys.stdin.isatty():
        own.error("nothing to classify: give sentences, --file, or lines on standard input")
    try:
        source = None if options.texts else _source(options)
        classifier = _classifier(options)
        if source is None:
            return _sentences(classifier, options)
        if options.output is not None:
            summary = _job(classifier, source, options).run()
        else:
            summary = _stream(classifier, source, options)
    except (OSError, ValueError, ImportError) as error:
        own.error(str(error))
    if options.output is not None or summary.faulty or summary.without_text:
        sys.stderr.write(visible("".join(f"{line}\n" for line in summary.lines())))
    return summary


def _source(options: argparse.Namespace) -> Source:
    from mlemo.classification import Source

    columns = [name.strip() for word in options.text_column or ["text"] for name in word.split(",")]
    delimiter = {"tab": "\t", "\\t": "\t"}.get(options.delimiter, options.delimiter)
    return Source(options.file, columns, delimiter=delimiter, encoding=options.encoding, quoted=not options.no_quotes)


def _classifier(options: argparse.Namespace) -> Classifier:
    """The classifier with the precision and the rule that are asked for."""
    import torch

    from mlemo.inference import load
    from mlemo.thresholds import FixedThreshold

    classifier = load(options.ckpt, options.device, options.trust, options.runtime)
    classifier.accelerate(torch.bfloat16 if options.precision == "bf16" else torch.float32)
    name = options.threshold_rule
    if name in classifier.rules:
        classifier.rule = classifier.rules[name]
    elif name is not None:
        try:
            classifier.rule = FixedThreshold(float(name))
        except ValueError:
            stored = ", ".join(classifier.rules) or "none"
            raise ValueError(
                f"--threshold-rule {name}: expected a number within [0, 1], or a rule of the checkpoint ({stored})"
            ) from None
    return classifier


def _sentences(classifier: Classifier, options: argparse.Namespace) -> list[Classified]:
    """Print the labels of the sentences of the command line."""
    from mlemo.classification.results import Result
    from mlemo.classification.source import Row
    from mlemo.cli.texts import print_table

    found = classifier(options.texts)
    if sys.stdout.isatty() and len(found) <= FEW and not options.json:
        print_table(found)
    else:
        rows = [Row({"text": one.text}) for one in found]
        results = [Result.of(one, options.probabilities) for one in found]
        _print([_json_lines(classifier, ["text"], options).encode(rows, results)])
    return found


def _stream(classifier: Classifier, source: Source, options: argparse.Namespace) -> Summary:
    """Print the rows of a file, or lines of the standard input, as JSON lines."""
    from mlemo.classification import Summary, stream

    summary = Summary()
    _print(stream(classifier, source, _json_lines(classifier, source.columns, options), options.probabilities, summary))
    if not summary.rows:
        raise ValueError("nothing to classify: give sentences, --file, or lines on standard input")
    return summary


def _json_lines(classifier: Classifier, columns: Sequence[str], options: argparse.Namespace) -> JsonLines:
    from mlemo.classification.formats import JsonLines
    from mlemo.classification.results import ResultColumns

    # terminals and pipes with another encoding than UTF-8 get escapes
    ascii_only = (sys.stdout.encoding or "utf-8").lower().replace("-", "") != "utf8"
    names = ResultColumns.beside(columns, classifier.labels)
    return JsonLines(names, options.probabilities, ascii_only=ascii_only)


def _print(parts: Iterable[bytes]) -> None:
    """Print each part as soon as it is there."""
    for part in parts:
        sys.stdout.write(part.decode())
        sys.stdout.flush()


def _job(classifier: Classifier, source: Source, options: argparse.Namespace) -> Job:
    from mlemo import __version__
    from mlemo.classification import Job

    settings = {
        "checkpoint": _checksum(Path(options.ckpt)),
        "precision": options.precision,
        "runtime": options.runtime,
        "threshold rule": options.threshold_rule,
        "device": options.device,
        "mlemo": __version__,
    }
    return Job(
        classifier,
        source,
        options.output,
        probabilities=options.probabilities,
        separator=options.separator,
        shard=options.shard,
        settings=settings,
        overwrite=options.overwrite,
    )


def _checksum(path: Path) -> str:
    """SHA-256 of a checkpoint; of a folder without one, of all of its files."""
    from mlemo.runs.loading import find_checkpoint
    from mlemo.runs.manifest import sha256

    try:
        return sha256(find_checkpoint(path))
    except FileNotFoundError:
        files = sorted(file for file in path.rglob("*") if file.is_file())
        return hashlib.sha256("".join(map(sha256, files)).encode()).hexdigest()


def _shard(word: str) -> tuple[int, int]:
    shard, slash, shards = word.partition("/")
    if not (slash and shard.isdecimal() and shards.isdecimal() and 1 <= int(shard) <= int(shards)):
        raise argparse.ArgumentTypeError(f"expected I/N with I from 1 to N, such as 2/8, found {word!r}")
    return int(shard), int(shards)
