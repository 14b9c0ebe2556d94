"""Every file of a run folder: what it is, its format, who writes and who reads it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

__all__ = ["FILES", "RunFile", "known", "of_a_run"]

SPLITS = ("val", "test", "predict")


@dataclass(frozen=True)
class RunFile:
    """A file of a run folder, or several that differ in the split or a number.

    Args:
        name: Path in the run folder; ``{split}`` stands for ``val``, ``test`` or ``predict``, ``*`` for any text.
        what: What it holds.
        format: Kind of the file.
        version: Number of its form, which grows when readers of the form before cannot read it.
        writer: Who writes it.
        readers: Who reads it, apart from people.
        training: Whether it shows that a training has begun in the folder; a log of a worker, for one, does not.

    Example:
        >>> RESULTS.path("runs/first", "test").as_posix()
        'runs/first/results_test.json'
    """

    name: str
    what: str
    format: str
    version: int
    writer: str
    readers: tuple[str, ...] = ()
    training: bool = True

    def path(self, folder: str | Path, split: str = "") -> Path:
        """The file in a run folder, for a split where it has several."""
        return Path(folder, self.name.format(split=split))

    def matches(self, name: str) -> bool:
        """Whether a path in a run folder is such a file."""
        return any(pattern.count("/") == name.count("/") and fnmatchcase(name, pattern) for pattern in self.patterns)

    @property
    def patterns(self) -> tuple[str, ...]:
        """The name for each split, where it has several."""
        return tuple(dict.fromkeys(self.name.format(split=split) for split in SPLITS))


MANIFEST = RunFile(
    "run.json", "What the run is, how far it has come, and which checkpoint was tested", "JSON", 1,
    "`fit`, `ensemble`, and `test` of its own checkpoint",
    ("`mlemo.load`", "`classify`", "`explain`", "`compare`", "`test`"),
)  # fmt: skip
CONFIG = RunFile(
    "config.yaml",
    "Every setting of the run",
    "YAML",
    1,
    "`fit`, `validate`, `test`, `predict`",
    ("`--config`", "`resume`"),
)
BEST = RunFile(
    "checkpoints/best.ckpt", "Checkpoint of the best epoch", "checkpoint", 1, "`checkpoint`",
    ("`classify`", "`explain`", "`test`", "`mlemo.load`"),
)  # fmt: skip
LAST = RunFile(
    "checkpoints/last.ckpt",
    "Latest checkpoint",
    "checkpoint",
    1,
    "`last_checkpoint`, `interruption`",
    ("`resume`", "`fit --ckpt_path`"),
)
PREVIOUS = RunFile(
    "checkpoints/last-previous.ckpt", "The one before it, used where the latest cannot be read", "checkpoint", 1,
    "`last_checkpoint`, `interruption`", ("`resume`", "`fit --ckpt_path`"),
)  # fmt: skip
OTHER_CHECKPOINTS = RunFile(
    "checkpoints/*.ckpt", "Checkpoints of callbacks of your own", "checkpoint", 1, "`trainer.callbacks`"
)
RESULTS = RunFile(
    "results_{split}.json", "Every metric, with intervals on the test", "JSON", 1, "`results`, `ensemble`",
    ("`reproduce`", "`report`", "`sweep`", "`compare`"),
)  # fmt: skip
PREDICTIONS = RunFile(
    "predictions_{split}.csv", "Gold labels, decisions and probabilities of each sample", "CSV", 2,
    "`results`, `ensemble`",
    ("`compare`", "`explain`", "`report`"),
)  # fmt: skip
PER_CLASS = RunFile(
    "per_class_{split}.csv", "Precision, recall, F1 and more of each label", "CSV", 1, "`results`, `ensemble`"
)
RULES = RunFile("rules_{split}.csv", "Scores under several decision rules", "CSV", 1, "`results`, `ensemble`")
THRESHOLDS = RunFile("thresholds.json", "The fitted decision rule", "JSON", 1, "`results`, `ensemble`")
COST = RunFile("cost.json", "Parameters, speed and memory", "JSON", 1, "`cost`", ("`reproduce`", "`report`"))
ENSEMBLE = RunFile(
    "ensemble.json", "Members of an ensemble with their weights, and its decision rule", "JSON", 1, "`ensemble`",
    ("`mlemo.load`", "`classify`", "`explain`", "`fit`"),
)  # fmt: skip
LOSS_WEIGHTS = RunFile(
    "loss_weights.csv", "Components of the loss and their weights at each step", "CSV", 1, "`loss_weights`",
    ("`explain`",),
)  # fmt: skip
TRAJECTORY = RunFile("trajectory/*.npz", "Outputs of each epoch", "NumPy", 1, "`Trajectory`", ("study `selection`",))
SELECTION_LOSSES = RunFile(
    "selection_losses.npz", "Losses of all samples after some epochs", "NumPy", 1, "`BatchSelection`"
)
EVENTS = RunFile(
    "events.out.tfevents.*", "Curves and pictures", "TensorBoard", 1, "`TensorBoardLogger`", ("TensorBoard",), False
)
HPARAMS = RunFile("hparams.yaml", "Settings, as loggers write them", "YAML", 1, "loggers", (), False)
METRICS = RunFile("metrics.csv", "Curves", "CSV", 1, "`CSVLogger`")
EARLIER_METRICS = RunFile("metrics.*.csv", "Curves from before the training was continued", "CSV", 1, "`CSVLogger`")
LOG = RunFile(
    "log.txt", "What the training printed", "text", 1, "`reproduce`, `sweep`", ("`reproduce`", "`sweep`"), False
)
RECORD = RunFile("record.json", "What makes a result of a study trusted later", "JSON", 1, "`reproduce`", ("`report`",))
FAILURE = RunFile(
    "failure.txt", "Why a run of a study failed", "text", 1, "`reproduce`", ("`reproduce`", "`report`"), False
)
EPOCHS = RunFile(
    "epochs.jsonl", "Metrics of each epoch of a run of a study or a sweep", "JSON lines", 1, "`EpochLog`",
    ("`reproduce`", "`sweep`"),
)  # fmt: skip
PARTS = RunFile("*.part", "What a killed process left while it wrote a file; of no use", "any", 1, "all", (), False)

#: All of them; of two that match a name the first is meant.
FILES = (
    MANIFEST, CONFIG, BEST, LAST, PREVIOUS, OTHER_CHECKPOINTS, RESULTS, PREDICTIONS, PER_CLASS, RULES, THRESHOLDS, COST,
    ENSEMBLE, LOSS_WEIGHTS, TRAJECTORY, SELECTION_LOSSES, EVENTS, HPARAMS, METRICS, EARLIER_METRICS, LOG, RECORD,
    FAILURE, EPOCHS, PARTS,
)  # fmt: skip


def known(name: str) -> RunFile | None:
    """What a file of a run folder is, by its path in the folder; ``None`` where it is none of a run.

    Example:
        >>> known("predictions_test.csv").writer
        '`results`, `ensemble`'
        >>> known("notes.txt")
    """
    return next((file for file in FILES if file.matches(name)), None)


def of_a_run(folder: Path) -> Iterator[tuple[Path, RunFile]]:
    """The files of a run in a folder, with what they are; other files of the folder are passed over."""
    for file in FILES:
        for pattern in file.patterns:
            for path in sorted(folder.glob(pattern)):
                if path.is_file() and known(path.relative_to(folder).as_posix()) is file:
                    yield path, file
