"""Loading of the corpus of a checkpoint, from the config in the checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser

from mlemo.data import Corpus, EmotionDataModule, Split
from mlemo.runs.stored_config import only_known_imports, stored_config

__all__ = ["configured_corpus", "corpus_of", "datamodule_of"]


def corpus_of(checkpoint: dict[str, Any], split: Split, trust: Iterable[str] = ()) -> Corpus:
    """Load one split of the corpus that a checkpoint was trained on.

    Args:
        checkpoint: A loaded checkpoint of ``mlemo fit``.
        split: Name of the split.
        trust: Modules trusted by the user, which may define the data.

    Raises:
        FileNotFoundError: The files of the corpus are not at the paths in the config.
        ValueError: The checkpoint has no config, its data cannot be created, or the files are invalid.
    """
    trusted = tuple(trust)
    config = stored_config(checkpoint, ("data",), trusted)
    if not config:
        raise ValueError("the checkpoint does not say what it was trained on; only those of `mlemo fit` do")
    with only_known_imports(config, trusted):
        return configured_corpus(config["data"], split)


def configured_corpus(settings: Mapping[str, Any] | str, split: Split) -> Corpus:
    """One split of the corpus that settings describe; see `datamodule_of`.

    Raises:
        FileNotFoundError: The files of the corpus are not where the settings have them.
        ValueError: The datamodule cannot be made, or the files have a fault.
    """
    return datamodule_of(settings).corpus(split)


def datamodule_of(settings: Mapping[str, Any] | str) -> EmotionDataModule:
    """Create the datamodule that settings describe.

    Args:
        settings: ``class_path`` and ``init_args`` of a datamodule, or its class alone.

    Raises:
        ValueError: The datamodule cannot be made.
    """
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(EmotionDataModule, "data")
    try:
        content = dict(settings) if isinstance(settings, Mapping) else settings  # a class by its name alone
        made = parser.instantiate_classes(parser.parse_object({"data": content}))
    except ArgumentError as error:
        raise ValueError(f"the data cannot be made: {error}") from error
    data: EmotionDataModule = made.data
    return data
