"""One training as a value: settings from files, keys, classes and objects, with which ``mlemo fit`` is run."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeAlias

from lightning.pytorch import Callback, Trainer

from mlemo.api.settings import words_of
from mlemo.api.trained_run import TrainedRun
from mlemo.callbacks.run_folder import run_folder
from mlemo.data import EmotionDataModule
from mlemo.labels import LabelSpace
from mlemo.losses import Loss
from mlemo.models import MultiLabelModel
from mlemo.thresholds import ThresholdRule
from mlemo.training import run
from mlemo.training.resolve import resolve
from mlemo.utils.config_files import with_configs
from mlemo.utils.yaml_files import read_settings

__all__ = ["Base", "Experiment", "fit"]

#: What an experiment begins with: a configuration file, its content, or another experiment.
Base: TypeAlias = "str | Path | Mapping[str, Any] | Experiment"
#: How a part is given: an object, a class or its name, a class with arguments, or ``class_path`` and ``init_args``.
Part: TypeAlias = "str | type | partial[Any] | Mapping[str, Any]"

#: Arguments of Lightning's trainer.
TRAINER = tuple(name for name in inspect.signature(Trainer).parameters if name != "callbacks")


class Experiment:
    """The settings of one training, as ``mlemo fit`` takes them: base, then ``settings``, then the named arguments.

    An object represents the arguments that it was created with: training creates its own from them, seeded as on the
    command line. Later changes of the object have no effect.

    Args:
        base: A configuration file, also one of mlemo such as ``configs/experiment/synthetic.yaml``, its content as a
            mapping, or another experiment.
        settings: Values by dotted key, such as ``{"model.san": "none"}``; see `mlemo.api.settings.words_of`.
        data: A corpus of `mlemo.data`.
        model: A model of `mlemo.models`; the label space of an object has to be that of the data.
        loss: A loss of `mlemo.losses`.
        rule: A decision rule of `mlemo.thresholds`, fitted on validation data.
        callbacks: Callbacks of the trainer beside those of the base.
        seed: Seed of weights, order of the batches and dropout, and of the data where it has none of its own.
        trainer: Arguments of Lightning's trainer, such as ``max_epochs``.

    Attributes:
        words: The command line behind ``mlemo fit``.

    Raises:
        FileNotFoundError: There is no such configuration file.
        TypeError: The trainer has no such argument.
        ValueError: A value cannot be written as a setting, or model and data have different labels.

    Example:
        >>> from mlemo.losses import FocalLoss
        >>> Experiment(model="BertWDL", loss=FocalLoss, max_epochs=4).words
        ('--model=BertWDL', '--model.loss=mlemo.losses.FocalLoss', '--trainer.max_epochs=4')
    """

    def __init__(
        self,
        base: Base | None = None,
        settings: Mapping[str, Any] | None = None,
        *,
        data: EmotionDataModule | Part | None = None,
        model: MultiLabelModel | Part | None = None,
        loss: Loss | Part | None = None,
        rule: ThresholdRule | Part | None = None,
        callbacks: Sequence[Callback | Part] = (),
        seed: int | None = None,
        **trainer: Any,
    ) -> None:
        for name in trainer:
            if name not in TRAINER:
                near = get_close_matches(name, TRAINER, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise TypeError(f"the trainer has no argument {name!r}{hint}")
        if isinstance(data, EmotionDataModule) and isinstance(model, MultiLabelModel):
            _check_labels(data, model)
        parts = {"data": data, "model": model, "model.loss": loss, "thresholds.rule": rule, "seed_everything": seed}
        words = _words_of_base(base) + words_of(settings or {})
        words += words_of({key: value for key, value in parts.items() if value is not None})
        words += [word for callback in callbacks for word in words_of({"trainer.callbacks+": callback})]
        words += words_of({f"trainer.{name}": value for name, value in trainer.items()})
        self.words = tuple(words)

    @cached_property
    def config(self) -> dict[str, Any]:
        """Every setting with its value, as the run folder's ``config.yaml`` holds it.

        Raises:
            ValueError: A setting is not known or has a wrong value; the message has the nearest existing name.
        """
        return resolve(self.words)

    def fit(self, name: str | None = None, *, overwrite: bool = False) -> TrainedRun:
        """Train, fit the decision rule, and test the best checkpoint, in this process, as ``mlemo fit`` does.

        Args:
            name: Name of the run and of its folder; by default ``version_0``, ``version_1`` and so on.
            overwrite: Delete the files of the run that is in the folder.

        Raises:
            ValueError: A setting is wrong, or another run is in the folder.
        """
        config = self.config  # wrong settings end here, and not as the exit of a command
        named = [] if name is None else [f"--name={name}"]
        made = run("fit", [*self.words, *named, *(["--overwrite"] if overwrite else [])])
        folder = run_folder(made.trainer)
        return TrainedRun(folder, config, folder.name if name is None else name)

    def __repr__(self) -> str:
        """The settings that differ from the defaults of ``mlemo fit``, as they were given."""
        return f"Experiment: mlemo fit {' '.join(self.words)}".rstrip()


def fit(
    base: Base | None = None,
    settings: Mapping[str, Any] | None = None,
    *,
    data: EmotionDataModule | Part | None = None,
    model: MultiLabelModel | Part | None = None,
    loss: Loss | Part | None = None,
    rule: ThresholdRule | Part | None = None,
    callbacks: Sequence[Callback | Part] = (),
    seed: int | None = None,
    name: str | None = None,
    overwrite: bool = False,
    **trainer: Any,
) -> TrainedRun:
    """Train and test a model as ``mlemo fit`` does: a run folder, fitted thresholds, intervals, and the same scores.

    Args:
        base: As for `Experiment`, like all arguments that are not listed here.
        settings: Values by dotted key.
        data: A corpus.
        model: A model.
        loss: A loss.
        rule: A decision rule.
        callbacks: Callbacks beside those of the base.
        seed: The seed.
        name: Name of the run and of its folder in ``runs``.
        overwrite: Delete the files of the run that is in the folder.
        trainer: Arguments of Lightning's trainer.

    Returns:
        The finished run.

    Raises:
        FileNotFoundError: There is no such configuration file.
        TypeError: The trainer has no such argument.
        ValueError: A setting is wrong, or another run is in the folder.
    """
    parts: dict[str, Any] = {"data": data, "model": model, "loss": loss, "rule": rule}
    experiment = Experiment(base, settings, **parts, callbacks=callbacks, seed=seed, **trainer)
    return experiment.fit(name, overwrite=overwrite)


def _words_of_base(base: Base | None) -> list[str]:
    if base is None:
        return []
    if isinstance(base, Experiment):
        return list(base.words)
    if isinstance(base, Mapping):
        return words_of(base)
    path = Path(with_configs([str(base)])[0])
    if not path.is_file():
        near = get_close_matches(path.name, [file.name for file in path.parent.glob("*.yaml")], n=1)
        hint = f"; did you mean {path.parent / near[0]}?" if near else f", looked for from {Path.cwd()}"
        raise FileNotFoundError(f"no configuration file {path}{hint}")
    content = read_settings(path)
    if not isinstance(content, Mapping):
        raise ValueError(f"{path}: expected settings by key, found {type(content).__name__}")
    try:
        return words_of(content)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _check_labels(data: EmotionDataModule, model: MultiLabelModel) -> None:
    known: LabelSpace = data.label_space
    if known.names != model.label_space.names:
        raise ValueError(
            f"{type(model).__name__} was made for the labels {', '.join(model.label_space.names)}, and "
            f"{type(data).__name__} has {', '.join(known.names)}"
        )
