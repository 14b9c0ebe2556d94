"""A run as an object: its settings, scores, predictions and texts, and its model as a classifier."""

from __future__ import annotations

import json
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from mlemo.data import Split
from mlemo.inference import Classifier, load
from mlemo.reporting.explanations.corpora import configured_corpus
from mlemo.runs.files import PREDICTIONS, RECORD, RESULTS
from mlemo.runs.manifest import read_manifest
from mlemo.runs.predictions import Predictions, read_predictions
from mlemo.runs.stored_config import own_modules

__all__ = ["TrainedRun"]

SHOWN = ("jaccard", "micro_f1", "macro_f1")


class TrainedRun:
    """A run of ``mlemo fit``, of a study or of an ablation, whose files are read when they are asked for.

    Args:
        folder: Its folder.
        config: Every setting with its value.
        name: Its name.

    Attributes:
        folder: As given.
        config: As given.
        name: As given.
    """

    def __init__(self, folder: Path, config: dict[str, Any], name: str) -> None:
        self.folder, self.config, self.name = folder, config, name

    @property
    def is_done(self) -> bool:
        """Whether it is trained and tested."""
        if RECORD.path(self.folder).is_file():
            return True
        manifest = read_manifest(self.folder)
        return manifest is not None and manifest.tested is not None

    def results(self, split: str = "test") -> dict[str, Any]:
        """Every metric by name; ``tuned_…`` by the fitted decision rule, the others at the threshold 0.5.

        Args:
            split: ``val`` or ``test``.

        Raises:
            FileNotFoundError: The run is not finished.
        """
        content: dict[str, Any] = json.loads(self._existing(RESULTS.path(self.folder, split)).read_text("utf-8"))
        return content

    def predictions(self, split: str = "test") -> pd.DataFrame:
        """Gold labels, decisions and probabilities, a row per sample.

        Args:
            split: ``val`` or ``test``.

        Returns:
            Columns ``(gold, label)``, ``(decided, label)`` and ``(probability, label)``; gold is missing where the
            label is not annotated. The index is the sample's id.

        Raises:
            FileNotFoundError: The run is not finished.
        """
        found = self.read_predictions(split)
        index = pd.Index(found.ids, name="id")
        names = list(found.label_space.names)
        gold = pd.DataFrame(found.gold.numpy(), index, names).astype("boolean").mask(~found.mask.numpy())
        decided = pd.DataFrame(found.decided.numpy(), index, names)
        probability = pd.DataFrame(found.probabilities.numpy(), index, names)
        return pd.concat({"gold": gold, "decided": decided, "probability": probability}, axis=1)

    def read_predictions(self, split: str = "test") -> Predictions:
        """The same as tensors.

        Args:
            split: ``val`` or ``test``.

        Raises:
            FileNotFoundError: The run is not finished.
        """
        return read_predictions(self._existing(PREDICTIONS.path(self.folder, split)))

    @cached_property
    def classifier(self) -> Classifier:
        """The trained model with its decision rule: call it with a text, or with a list of texts.

        Raises:
            FileNotFoundError: The run is not finished.
        """
        self._existing(RESULTS.path(self.folder, "test"))
        return load(self.folder, trust=own_modules(self.config))

    def texts(self, split: Split = "test") -> pd.Series[str] | None:
        """The texts of the corpus by the sample's id; ``None`` for a tabular corpus.

        Args:
            split: ``train``, ``val`` or ``test``.

        Raises:
            FileNotFoundError: The files of the corpus are not where they were.
        """
        return _texts(json.dumps(self.config["data"], sort_keys=True), split)

    def _existing(self, path: Path) -> Path:
        if not path.is_file():
            raise FileNotFoundError(f"{self.name} is not finished: {path} is not there")
        return path

    def __repr__(self) -> str:
        """Name, scores of the test, and the folder."""
        if not self.is_done:
            return f"{self.name}: not finished ({self.folder})"
        results = self.results()
        found = {name: results.get(f"tuned_{name}", results.get(name)) for name in SHOWN}
        scores = ", ".join(f"{name} {value:.4f}" for name, value in found.items() if value is not None)
        return f"{self.name}: {scores} ({self.folder})"


@lru_cache(maxsize=2)  # runs that differ in the seed alone have other settings of the data, and are asked in turn
def _texts(settings: str, split: Split) -> pd.Series[str] | None:
    corpus = configured_corpus(json.loads(settings), split)
    return None if corpus.texts is None else pd.Series(corpus.texts, pd.Index(corpus.ids, name="id"), name="text")
