"""The entry point of the command line: dispatch to a command. A command's imports happen when it is called."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from mlemo.utils.messages import visible

__all__ = ["main", "script"]

HELP = """usage: mlemo COMMAND ...

Multi-label emotion classification of text.

train and measure (each takes --config FILE and any setting on the command line; `mlemo fit --help` lists them)
  fit         train a model, validate after each epoch, test the best checkpoint
  resume      continue an interrupted run
  validate    score a checkpoint on the validation split
  test        score a checkpoint on the test split; `--ckpt_path FILE` alone is enough
  predict     write the predictions of a checkpoint for the test split

begin
  init        look at a file of texts and labels, and write an experiment for it
  describe    labels, lengths, repeated texts and label conflicts of a corpus, as a page; needs no model

use
  classify    label sentences, or the rows of a file, with a trained checkpoint
  export      write a trained model as a folder that others use, with a model card
  serve       answer requests for labels over HTTP, with a page to try it
  explain     explain predictions, and show correct and wrong decisions of a run, as a folder of pages
  compare     metrics of runs side by side, with intervals and tests against a baseline
  reproduce   run a study: a published table or figure, at a chosen scale
  report      verdicts on a study's claims, its numbers beside the published ones, with intervals and figures
  leaderboard results of many runs, also of others, on one page
  sweep       search for good settings
  ensemble    several trained runs as one, with the decision rule fitted again
  rules       decision rules fitted on the saved predictions of runs
  selection   test scores of the epochs that validation scores choose
  list        list classes, studies and config files

  mlemo init messages.csv
  mlemo fit --config configs/experiment/synthetic.yaml
  mlemo fit --data SemEval2018 --data.data_dir DIR --model BertWDL --model.encoder bert-base-uncased
  mlemo describe --data TextFiles --data.labels "[joy, anger]" --data.train mine.csv
  mlemo resume runs/version_0
  mlemo test --ckpt_path runs/version_0/checkpoints/best.ckpt
  mlemo classify --ckpt runs/version_0/checkpoints/best.ckpt "I did not see that coming, how lovely!"
  mlemo explain --ckpt runs/version_0 "I did not see that coming, how lovely!"
  mlemo compare runs/version_0 runs/version_1 --output comparison.md
  mlemo ensemble runs/version_0 runs/version_1 --name both
  mlemo reproduce wdl-losses --scale tiny
  mlemo report wdl-losses --scale tiny

options
  -h, --help     show this text
  --version      show the version
  --debug        show the traceback of an error, after any command
"""

TRAINING_HELP = """usage: mlemo {command} [--config FILE ...] [--KEY VALUE ...]

Settings come from files, left to right, and from the command line; a later one replaces an earlier one.

  --config FILE                a YAML file of settings; configs/experiment has complete ones
  --data CLASS                 a corpus: GoEmotions, SemEval2018, SemEval2025, NLPCC2018, ExaAEC, TextFiles, Mulan ...
  --data.data_dir DIR          folder of its files
  --model CLASS                a model: TransformerClassifier, BertWDL, GTHLEmo, KimCNN, FrozenHead ...
  --model.encoder NAME|DIR     a pretrained encoder, for models that read texts with one
  --model.loss CLASS           a loss: BinaryCrossEntropy, FocalLoss, AsymmetricLoss, WeightedDifferenceLoss ...
  --model.optimization.KEY     learning_rate, weight_decay, warmup, schedule ...
  --thresholds.rule CLASS      a decision rule: PerClassThreshold, GlobalThreshold, FixedThreshold, ExpectedF1 ...
  --trainer.KEY                a setting of Lightning's Trainer: max_epochs, devices, precision, callbacks ...
  --seed_everything N          seed of weights, order of the batches and dropout
  --ckpt_path FILE             a checkpoint, or the folder of a run
  --trust MODULE               a module of yours with a class named by the checkpoint (can be repeated)
  --name NAME                  name of the run and of its folder, runs/NAME

more
  --model.help CLASS           the settings of a class; likewise --data.help, --model.loss.help, --thresholds.rule.help
  --print_config               print all settings with their values, without running
  --help-all                   all settings of all parts, several hundred lines
"""

HELP_WORDS = ("-h", "--help")
TRAINING = ("fit", "validate", "test", "predict")
READERS = ("classify", "export", "serve", "explain", "compare")  #: commands without classes of the user, unless trusted
#: Commands with a module of their own in this package, which has the functions `parser` and `main`.
TOOLS = (
    "init",
    "resume",
    "describe",
    "classify",
    "export",
    "serve",
    "explain",
    "compare",
    "reproduce",
    "report",
    "leaderboard",
    "sweep",
    "ensemble",
    "rules",
    "selection",
    "list",
)
COMMANDS = (*TRAINING, *TOOLS)


def main(args: Sequence[str] | None = None) -> object:
    """Run a command of mlemo.

    Args:
        args: Arguments without the program's name; ``None`` for ``sys.argv``.

    Returns:
        The result of the command: the ``MlemoCLI`` with its trainer, model and datamodule, the classified sentences,
        the index page of the explanation, the rows of the comparison, the state of the study, the page of the report,
        the result of the search, or the ensemble.

    Raises:
        SystemExit: The arguments are invalid (status 2), or help was requested (status 0).
    """
    words = list(sys.argv[1:] if args is None else args)
    if not words or words[0] in ("-h", "--help"):
        sys.stdout.write(HELP)
        return None
    if words[0] == "--version":
        from mlemo import __version__

        sys.stdout.write(f"mlemo {__version__}\n")
        return None
    command, rest = words[0], words[1:]
    options = rest[: rest.index("--")] if "--" in rest else rest
    if command in COMMANDS and any(word in HELP_WORDS for word in options):
        _help(command)
        return None
    if command not in COMMANDS:
        from difflib import get_close_matches

        near = get_close_matches(command, COMMANDS, n=1, cutoff=0.4)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        sys.stderr.write(f"mlemo: unknown command {command!r}{hint} The commands are {', '.join(COMMANDS)}.\n")
        raise SystemExit(2)
    log = logging.getLogger("mlemo")
    log.setLevel(logging.INFO)
    if not log.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(_VisibleFormatter())
        log.addHandler(handler)
    if os.getcwd() not in sys.path and (command not in READERS or any(word.startswith("--trust") for word in rest)):
        # classes of the user are named by dotted path from the current folder; after installed packages, since the
        # folder of a foreign checkpoint may contain modules with the names of libraries
        sys.path.append(os.getcwd())
    if command in TRAINING:
        from mlemo.training import run

        return run(command, ["--help" if word == "--help-all" else word for word in rest])
    return _tool(command)(rest)


class _VisibleFormatter(logging.Formatter):
    """Escape control characters of messages, which may be from texts and label names."""

    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))


def _help(command: str) -> None:
    """Print the options of a command without importing heavy libraries."""
    if command in TRAINING:
        sys.stdout.write(TRAINING_HELP.format(command=command))
        return
    import_module(f"mlemo.cli.{command}").parser().print_help()


def _tool(command: str) -> Callable[[Sequence[str]], object]:
    """Import the function of a command that is not training."""
    function: Callable[[Sequence[str]], object] = import_module(f"mlemo.cli.{command}").main
    return function


def script(args: Sequence[str] | None = None) -> None:
    """Run a command as a program: errors of the user are printed in at most three lines, with status 2.

    The return value of `main` is for callers in Python, not an exit status.

    Args:
        args: Arguments without the program's name; ``None`` for ``sys.argv``. ``--debug`` anywhere before ``--`` shows
            the traceback of an error.

    Raises:
        SystemExit: The command failed; the status is 2 if settings, files or data are wrong, and 1 otherwise.
    """
    words = list(sys.argv[1:] if args is None else args)
    end = words.index("--") if "--" in words else len(words)
    debug = "--debug" in words[:end]
    words = [word for place, word in enumerate(words) if word != "--debug" or place >= end]
    try:
        main(words)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of the output has ended, as `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at its end
    except KeyboardInterrupt:  # in training, `Interruption` saves a checkpoint first
        sys.stderr.write("mlemo: interrupted\n")
        raise SystemExit(130) from None
    except Exception as error:
        if debug or not _of_the_user(error):
            raise
        from mlemo.utils.errors import short_error

        command = " ".join(["mlemo", *words[:1]])
        sys.stderr.write(f"mlemo: {short_error(error)}\nmlemo: `{command} --debug …` shows where it was raised\n")
        raise SystemExit(2) from error


def _of_the_user(error: Exception) -> bool:
    """Return whether an exception is of a type raised for wrong settings, files and data."""
    kinds: tuple[type[Exception], ...] = (ValueError, OSError, ImportError, MemoryError)
    if isinstance(error, kinds):
        return True
    # raised by Lightning for settings of the trainer, which may not have been imported
    return type(error).__name__ == "MisconfigurationException"
