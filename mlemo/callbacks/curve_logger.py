"""Lightning's TensorBoard logger with curves of the training alone, tables of evaluations, and settings with scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from torch.utils.tensorboard.summary import hparams

__all__ = ["SCORES", "CurveLogger", "curves", "flat_settings", "markdown_table"]

#: Test scores beside the settings in the HPARAMS tab, which reads them from scalars.
SCORES = tuple(
    f"test/{name}"
    for name in ("jaccard", "micro_f1", "macro_f1", "macro_ap", "tuned_jaccard", "tuned_micro_f1", "tuned_macro_f1")
)
COLUMNS = {"": "at 0.5", "tuned_": "tuned", "cross_fitted_": "cross-fitted"}
#: Parts of a config that are shown; loss and optimization are shown without ``model.`` before them.
PARTS, SHORT = ("data", "model", "trainer", "thresholds", "seed_everything"), ("loss", "optimization")
TRAINER = (
    "max_epochs", "max_steps", "precision", "accumulate_grad_batches", "gradient_clip_val", "devices", "strategy",
    "callbacks",
)  # fmt: skip


class CurveLogger(TensorBoardLogger):
    """Writes curves in training, and a table of each validation and test outside of it.

    A test has one value per metric, so a chart of each would have one point, and a validation of the best checkpoint
    after the training would add a point to the curves at the last step, with the weights of an earlier one. Both are
    Markdown tables in the TEXT tab, named ``val`` and ``test``. The scores of `SCORES` are scalars too, which the
    HPARAMS tab shows beside the settings of the run (`log_settings`).

    Args:
        save_dir: Folder of the runs.
        name: Folder between ``save_dir`` and that of the run; none by default.
        version: Name of the run, or its number.
        default_hp_metric: Whether Lightning's own placeholder of a score, −1, is written beside the scores.
        kwargs: Further settings of Lightning's logger.
    """

    def __init__(
        self,
        save_dir: str = "runs",
        name: str | None = "",
        version: int | str | None = None,
        *,
        default_hp_metric: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(save_dir, name, version, default_hp_metric=default_hp_metric, **kwargs)
        self.in_training = False

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write scalars in training, and a table elsewhere."""
        if self.in_training:
            super().log_metrics(metrics, step)
            return
        super().log_metrics({name: value for name, value in metrics.items() if name in SCORES}, step)
        for stage in ("val", "test"):
            prefix = f"{stage}/"
            values = {k.removeprefix(prefix): float(v) for k, v in metrics.items() if k.startswith(prefix)}
            if values:
                self.experiment.add_text(stage, markdown_table(values), step)

    @rank_zero_only
    def log_settings(self, config: Mapping[str, Any]) -> None:
        """Write the settings of a run, and the names of its scores, for the HPARAMS tab."""
        writer = self.experiment._get_file_writer()
        for summary in hparams(flat_settings(config), dict.fromkeys(SCORES)):
            writer.add_summary(summary)


@contextmanager
def curves(loggers: Sequence[Logger]) -> Iterator[None]:
    """Have loggers write curves while a training runs."""
    own = [logger for logger in loggers if isinstance(logger, CurveLogger)]
    for logger in own:
        logger.in_training = True
    try:
        yield
    finally:
        for logger in own:
            logger.in_training = False


def markdown_table(values: Mapping[str, float]) -> str:
    """Create a table with a row per metric and a column per kind of decision.

    Example:
        >>> print(markdown_table({"macro_f1": 0.25, "macro_ap": 0.5, "tuned_macro_f1": 0.75}))
        | metric | at 0.5 | tuned |
        |---|--:|--:|
        | macro_f1 | 0.2500 | 0.7500 |
        | macro_ap | 0.5000 |  |
    """
    rows: dict[str, dict[str, float]] = {}
    for name, value in values.items():
        prefix = next((prefix for prefix in COLUMNS if prefix and name.startswith(prefix)), "")
        rows.setdefault(name.removeprefix(prefix), {})[prefix] = value
    shown = [prefix for prefix in COLUMNS if any(prefix in row for row in rows.values())]
    lines = [["metric", *(COLUMNS[prefix] for prefix in shown)], ["---", *["--:"] * len(shown)]]
    lines += [[name, *(f"{row[p]:.4f}" if p in row else "" for p in shown)] for name, row in rows.items()]
    head, rule, *body = lines
    return "\n".join([_row(head), f"|{'|'.join(rule)}|", *map(_row, body)])


def flat_settings(config: Mapping[str, Any]) -> dict[str, float | str | bool]:
    """Settings of a run by short keys: a part by its class, and what is set in it behind a dot.

    Left out are settings that are not set, and those of the trainer that have no effect on a score.

    Args:
        config: The resolved config of a command, as plain values.

    Example:
        >>> loss = {"class_path": "mlemo.losses.FocalLoss", "init_args": {"gamma": 2.0}}
        >>> flat_settings({"model": {"class_path": "mlemo.models.BertWDL", "init_args": {"loss": loss}}})
        {'model': 'BertWDL', 'loss': 'FocalLoss', 'loss.gamma': 2.0}
    """
    found: dict[str, float | str | bool] = {}
    trainer = config.get("trainer") or {}
    shown = {**config, "trainer": {name: trainer[name] for name in TRAINER if name in trainer}}
    for part in PARTS:
        _flatten(part, shown.get(part), found)
    short = {}
    for key, value in found.items():
        inner = key.removeprefix("model.")
        short[inner if inner.split(".")[0] in SHORT else key] = value
    return short


def _flatten(key: str, value: Any, found: dict[str, float | str | bool]) -> None:
    if value is None or key == "model.label_space":
        return
    if isinstance(value, Mapping):
        inner = value
        if "class_path" in value:
            found[key] = str(value["class_path"]).rsplit(".", 1)[-1]
            inner = {**(value.get("init_args") or {}), **(value.get("dict_kwargs") or {})}
        for name, part in inner.items():
            _flatten(f"{key}.{name}", part, found)
    elif isinstance(value, list | tuple):
        found[key] = ", ".join(_class_or_value(item) for item in value)
    else:
        found[key] = value if isinstance(value, bool | int | float) else str(value)


def _class_or_value(item: Any) -> str:
    if isinstance(item, Mapping) and "class_path" in item:
        return str(item["class_path"]).rsplit(".", 1)[-1]
    return str(item)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
