"""The corpus that a checkpoint was trained on, read again through the config in the checkpoint."""

from __future__ import annotations

from typing import Any

import yaml
from jsonargparse import ArgumentError, ArgumentParser

from mlemo.data import Corpus, EmotionDataModule, Split

__all__ = ["corpus_of"]


def corpus_of(checkpoint: dict[str, Any], split: Split) -> Corpus:
    """One split of the corpus that a checkpoint was trained on.

    Args:
        checkpoint: A checkpoint that ``mlemo fit`` wrote, read.
        split: Which split.

    Raises:
        FileNotFoundError: The files of the corpus are not where the config has them.
        ValueError: The checkpoint holds no config, its data cannot be made, or the files have a fault.
    """
    if "config" not in checkpoint:
        raise ValueError("the checkpoint does not say what it was trained on; only those of `mlemo fit` do")
    data = yaml.safe_load(checkpoint["config"])["data"]
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(EmotionDataModule, "data")
    try:
        made = parser.instantiate_classes(parser.parse_object({"data": data}))
    except ArgumentError as error:
        raise ValueError(f"the checkpoint's data cannot be made: {error}") from error
    return made.data.corpus(split)
