"""``mlemo list``: classes that configs can name, studies and config files."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence

from mlemo.cli.arguments import CommandParser
from mlemo.utils.config_files import CONFIGS, config_folder

__all__ = ["KINDS", "main", "parser"]

#: Kind -> package or module of the listed public classes, and their base class.
CLASSES = {
    "corpora": ("mlemo.data", "EmotionDataModule"),
    "models": ("mlemo.models", "MultiLabelModel"),
    "encoders": ("mlemo.nn.encoder", "EncoderSource"),
    "features": ("mlemo.nn.features", "TextFeatures"),
    "losses": ("mlemo.losses", "Loss"),
    "controllers": ("mlemo.losses", "WeightController"),
    "rules": ("mlemo.thresholds", "ThresholdRule"),
    "cleanings": ("mlemo.text", "TextCleaning"),
    "selections": ("mlemo.callbacks.batch_selection", "SelectionStrategy"),
}
KINDS = (*CLASSES, "callbacks", "studies", "configs")

DESCRIPTION = """\
List the classes that configs can name, with their first lines, studies, and config files.

  mlemo list
  mlemo list losses
  mlemo fit --model.loss.help FocalLoss"""


def parser() -> CommandParser:
    """Create the parser of ``mlemo list``."""
    result = CommandParser("list", DESCRIPTION)
    result.add_argument("kind", nargs="*", metavar="KIND", help=f"one or more of {', '.join(KINDS)} (default: all)")
    return result


def main(words: Sequence[str]) -> dict[str, dict[str, str]]:
    """Print names and first lines by kind.

    Args:
        words: Arguments after ``mlemo list``.

    Returns:
        Kind -> name -> first line.

    Raises:
        SystemExit: The kind is unknown.
    """
    options = parser()
    kinds = options.parse_args(words).kind or KINDS
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        options.error(f"there is no kind {unknown[0]!r}; the kinds are {', '.join(KINDS)}")
    from rich.console import Console
    from rich.table import Table

    found = {kind: dict(_entries(kind)) for kind in kinds}
    console = Console()
    for kind, entries in found.items():
        table = Table(title=kind, title_justify="left", box=None, show_header=False, padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True)
        for name, line in entries.items():
            table.add_row(name, line)
        console.print(table)
        console.print()
    return found


def _entries(kind: str) -> Iterator[tuple[str, str]]:
    if kind == "studies":
        from mlemo.experiments.study_file import DEFINITIONS, load_study

        for path in sorted(DEFINITIONS.glob("*.yaml")):
            yield path.stem, load_study(path.stem).title
    elif kind == "configs":
        folder = config_folder()
        if folder is not None:
            for path in sorted(folder.rglob("*.yaml")):
                yield f"{CONFIGS}/{path.relative_to(folder).as_posix()}", ""
    elif kind == "callbacks":
        import mlemo.callbacks

        for name in sorted(mlemo.callbacks.__all__):
            yield name, _first_line(getattr(mlemo.callbacks, name))
    else:
        from importlib import import_module

        import mlemo.training.parser  # imports each module that has a class which a config can name

        module, base = CLASSES[kind]
        for one in sorted(_subclasses(getattr(import_module(module), base)), key=lambda one: one.__name__):
            yield one.__name__, _first_line(one)


def _subclasses(base: type) -> set[type]:
    """Return the public concrete subclasses of a class."""
    below: set[type] = set()
    waiting: list[type] = base.__subclasses__()
    while waiting:
        below.add(child := waiting.pop())
        waiting += child.__subclasses__()
    return {
        one
        for one in below
        if one.__module__.startswith("mlemo.") and not one.__name__.startswith("_") and not inspect.isabstract(one)
    }


def _first_line(one: object) -> str:
    return (inspect.getdoc(one) or "").partition("\n")[0]
