"""The corpus that a checkpoint was trained on, read again through the config in the checkpoint."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser

from mlemo.data import Corpus, EmotionDataModule, Split
from mlemo.runs.stored_config import only_known_imports, stored_config

__all__ = ["corpus_of"]


def corpus_of(checkpoint: dict[str, Any], split: Split, trust: Iterable[str] = ()) -> Corpus:
    """One split of the corpus that a checkpoint was trained on.

    Args:
        checkpoint: A checkpoint that ``mlemo fit`` wrote, read.
        split: Which split.
        trust: Modules that the user has named, of which the data may be.

    Raises:
        FileNotFoundError: The files of the corpus are not where the config has them.
        ValueError: The checkpoint holds no config, its data cannot be made, or the files have a fault.
    """
    trusted = tuple(trust)
    config = stored_config(checkpoint, ("data",), trusted)
    if not config:
        raise ValueError("the checkpoint does not say what it was trained on; only those of `mlemo fit` do")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(EmotionDataModule, "data")
    try:
        with only_known_imports(config, trusted):
            made = parser.instantiate_classes(parser.parse_object(config))
    except ArgumentError as error:
        raise ValueError(f"the checkpoint's data cannot be made: {error}") from error
    return made.data.corpus(split)
