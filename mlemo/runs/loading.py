"""Reading checkpoints as data: tensors and plain values, of which a model is made without running code of the file."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
import torch
from jsonargparse import ArgumentParser
from lightning.fabric.plugins import TorchCheckpointIO
from torch import Tensor

from mlemo.models import MultiLabelModel
from mlemo.runs.files import BEST, ENSEMBLE, LAST
from mlemo.runs.latest import latest
from mlemo.runs.limits import check_archive, check_content, no_larger_than
from mlemo.runs.manifest import manifest_checkpoint
from mlemo.runs.stored_config import NOT_NEEDED, check_classes, only_known_imports
from mlemo.thresholds import rules_from_checkpoint
from mlemo.utils.serialization import class_path, import_trusted, stored_class

__all__ = ["ReadAlready", "find_checkpoint", "load_model", "read_checkpoint", "take_over"]

NAMES = (BEST.name, LAST.name, "best.ckpt", "last.ckpt")
INSTANTIATOR = "lightning.pytorch.cli.instantiate_module"  #: what LightningCLI writes, and no other is taken

#: Settings that a checkpoint holds beside those of the model's class, as what was fitted belongs to them.
RESTORED = (*NOT_NEEDED, "features", "cleaning")
LONGEST = 300  #: characters of a library's message


def find_checkpoint(path: str | Path) -> Path:
    """The checkpoint that a path names: the file itself, or that of a run's folder.

    Of a folder it is the one that was tested, as its manifest names it, else the best, else the last.
    A ``last.ckpt`` that cannot be read gives way to the checkpoint before it, see :func:`mlemo.runs.latest.latest`.

    Raises:
        FileNotFoundError: There is no such file or folder, or no checkpoint in the folder.
        ValueError: The checkpoint of the folder has changed since it was tested.
    """
    path = Path(path)
    if (file := latest(path)).is_file():
        return file
    if path.is_dir():
        if (tested := manifest_checkpoint(path)) is not None:
            return tested
        for name in NAMES:
            if (file := latest(path / name)).is_file():
                return file
        raise FileNotFoundError(f"no checkpoint in {path}; expected one of {', '.join(NAMES)}")
    raise FileNotFoundError(f"no checkpoint at {path}: there is no such file or folder")


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """A checkpoint on the CPU; only tensors and plain values are read, no code is run.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is cut short or damaged, holds other things than a checkpoint may, is no checkpoint of
            mlemo, or is that of an ensemble.
    """
    path = find_checkpoint(path)
    if path.name == ENSEMBLE.name:
        raise ValueError(f"{path} is an ensemble, which has no weights of its own; give one of its members")
    try:
        check_archive(path)
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        check_content(checkpoint)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} cannot be read as a checkpoint: it holds something else than tensors and plain values, which "
            "could run code and which mlemo never writes"
        ) from error
    except Exception as error:  # whatever a damaged or hostile file has the reader run into
        raise ValueError(
            f"{path} ({path.stat().st_size:,} bytes) cannot be read as a checkpoint; it may have been cut short while "
            f"it was written or copied. Use another checkpoint of the run. ({_line(error)})"
        ) from error
    weights = checkpoint.get("state_dict") if isinstance(checkpoint, dict) else None
    if not isinstance(weights, dict):
        raise ValueError(f"{path} holds no model weights (no 'state_dict'); it is no checkpoint of mlemo")
    if not all(isinstance(name, str) and isinstance(weight, Tensor) for name, weight in weights.items()):
        raise ValueError(f"{path} holds other things than tensors by name as its weights; it is no checkpoint of mlemo")
    return checkpoint


def load_model(checkpoint: dict[str, Any], source: str | Path, trust: Iterable[str] = ()) -> MultiLabelModel:
    """The trained model that a checkpoint holds, in evaluation mode on the CPU.

    Loss, optimization and the source of the encoder are not needed: the model has default ones in their place.

    Args:
        checkpoint: A checkpoint, read by `read_checkpoint`.
        source: Its file, for the errors.
        trust: Modules that the user has named, which are imported.

    Raises:
        FileNotFoundError: A frozen encoder that the checkpoint names is gone.
        ValueError: The checkpoint names a class that is not there or not trusted, or what it holds does not fit its
            class.
    """
    trusted = tuple(trust)
    import_trusted(trusted)
    name = checkpoint.get("model_class")
    if name is None:
        raise ValueError(f"{source} does not name its model class; it was not written by a model of mlemo")
    try:
        kind = stored_class(name, "model")
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error
    if not issubclass(kind, MultiLabelModel) or kind is MultiLabelModel:
        raise ValueError(f"{source} holds a {name}, which is no model of mlemo")
    with _errors_of(source, name), no_larger_than(checkpoint["state_dict"]):
        model = _make(kind, checkpoint.get("hyper_parameters", {}), trusted)
    take_over(model, checkpoint, source)
    return model.eval()


def take_over(model: MultiLabelModel, checkpoint: dict[str, Any], source: str | Path) -> None:
    """Give a model the weights of a checkpoint and what else it is made of there, and check the fitted rules.

    Args:
        model: A model that is not attached to a trainer that fits.
        checkpoint: A checkpoint, read by `read_checkpoint`.
        source: Its file, for the errors.

    Raises:
        FileNotFoundError: A frozen encoder that the checkpoint names is gone.
        ValueError: Something in the checkpoint does not fit the model.
    """
    with _errors_of(source, type(model).__name__):
        model.load_base(checkpoint)  # of the size that the user's own files have
    with _errors_of(source, type(model).__name__), no_larger_than(checkpoint["state_dict"]):
        content = {**checkpoint, "state_dict": dict(checkpoint["state_dict"])}  # a model may change both
        model.on_load_checkpoint(content)
        model.load_state_dict(content["state_dict"])
        rules_from_checkpoint(checkpoint, model.inferences[0])


class ReadAlready(TorchCheckpointIO):
    """Gives a trainer that only evaluates the checkpoint that has been read, without the states of a training.

    Args:
        checkpoint: A checkpoint, read by `read_checkpoint`.
        data: Name of the class of the data, of its state in training.
    """

    def __init__(self, checkpoint: Mapping[str, Any], data: str) -> None:
        super().__init__()
        training = {"callbacks", "loops", "optimizer_states", "lr_schedulers", data}
        self._content = {key: value for key, value in checkpoint.items() if key not in training}
        self._content["callbacks"] = {}  # without it Lightning shows the checkpoint to no callback
        self._content["pytorch-lightning_version"] = lightning.__version__  # nothing of the rest depends on it

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """The content, whatever the path is."""
        return {**self._content, "state_dict": dict(self._content["state_dict"])}  # a model may change both


def _make(kind: type[MultiLabelModel], stored: Mapping[str, Any], trust: tuple[str, ...]) -> MultiLabelModel:
    """A model of a class and its stored settings, which are objects' settings where the command line made it."""
    settings = dict(stored)
    instantiator = settings.pop("_instantiator", None)
    if instantiator not in (None, INSTANTIATOR):
        raise ValueError(f"its settings are to be built by {instantiator!r}, which mlemo never writes")
    by_command_line = settings.pop("_class_path", None) is not None
    parameters = inspect.signature(kind).parameters
    for name in RESTORED:
        if name not in parameters or parameters[name].default is not inspect.Parameter.empty:
            settings.pop(name, None)
    if not by_command_line:
        open_ended = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())
        return kind(**{name: value for name, value in settings.items() if open_ended or name in parameters})
    check_classes(settings, "model", trust)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(kind, "model", fail_untyped=False)
    config = {"class_path": class_path(kind), "dict_kwargs": settings}
    with only_known_imports(config, trust):
        made = parser.instantiate_classes(parser.parse_object({"model": config}))
    model: MultiLabelModel = made.model
    return model


@contextmanager
def _errors_of(source: str | Path, name: str) -> Iterator[None]:
    """Turn whatever a file's content makes of models and libraries into one line that names the file."""
    try:
        yield
    except FileNotFoundError:
        raise
    except Exception as error:  # the content is a stranger's: any code that reads it may fail in any way
        raise ValueError(f"{source} does not fit its {name}: {_line(error)}") from error


def _line(error: Exception) -> str:
    """Return an exception's message in one line without control characters, with its class if that is informative."""
    message = " ".join(str(error).split())
    message = "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in message)
    message = message if len(message) <= LONGEST else f"{message[: LONGEST - 1]}…"
    return message if isinstance(error, ValueError) and message else f"{type(error).__name__}: {message}"
