"""The datamodule that all corpora share: reading, checking and reporting splits, and making batches of them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_only
from torch.utils.data import DataLoader

from mlemo.batch import Batch, DataInput, FeatureInput
from mlemo.data.checks import check_positives, split_warnings
from mlemo.data.collate import BatchedCorpus, batched
from mlemo.data.corpus import Corpus
from mlemo.data.few_rows import some_rows
from mlemo.data.io.arrow_cache import ArrowCache
from mlemo.data.kept import keep
from mlemo.data.loader import ResumableLoader, TrainingSampler, as_is
from mlemo.data.on_device import OnDevice
from mlemo.data.split_report import short_texts, split_report
from mlemo.data.unlabeled import unlabeled_texts
from mlemo.labels import LabelSpace
from mlemo.samplers import ShuffledBatchSampler
from mlemo.utils.serialization import Recorded

__all__ = ["EmotionDataModule", "Split", "TrainingSampler"]

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
DEFAULT_SEED = 42

log = logging.getLogger(__name__)


class EmotionDataModule(Recorded, LightningDataModule):
    """Base of all corpora. A corpus overrides ``label_space`` and ``read``; everything else is here.

    Args:
        data_dir: Folder with the official files as released; ``None`` to fetch them where that is allowed.
        batch_size: Samples per training batch (in each process).
        global_batch_size: Samples per optimizer step, over all processes and accumulated batches, among which it is
            divided; ``batch_size`` then has no effect. ``None`` to have it follow from ``batch_size``.
        eval_batch_size: Samples a batch in validation, test and prediction; changes speed, never a score.
        group_by_length: Put samples of like length in one training batch, so that little is padded.
        train_rows: Use a seeded random part of the training split, of this many rows.
        rows_per_label: Use a seeded part of the training split with at least this many rows of each label (`few_rows`).
        min_words: Drop training texts with fewer words (between blanks, before any cleaning). Those of validation and
            test are counted in the report and kept, as a benchmark has them.
        unlabeled: A UTF-8 file with one text per line; they join the training split as rows that are not annotated.
        on_device: Hold the tokens (or features) and labels in the memory of the device that trains, and make batches
            there: ``True`` where they fit into what is free of it, ``auto`` where they take at most a tenth of that. A
            line is logged where they do not fit. Changes speed, never a batch.
        map_from: Rows from which a split of texts lies in files of ``cache_dir``, which are made once per machine and
            mapped by all its processes; a smaller one is in the memory of each. ``None`` for every one. Changes memory,
            never a batch.
        cache_dir: Folder of these files; ``None`` for ``$XDG_CACHE_HOME/mlemo/corpora``, by default
            ``~/.cache/mlemo/corpora``.
        seed: Seed of everything random in the data: order of the batches, splits that are not official, ``train_rows``,
            ``rows_per_label``; 42 if left out, and on the command line ``--seed_everything``.

    Raises:
        ValueError: A size below one, or both ``train_rows`` and ``rows_per_label``.
    """

    def __init__(
        self,
        data_dir: str | Path | None = None,
        *,
        batch_size: int = 16,
        global_batch_size: int | None = None,
        eval_batch_size: int = 64,
        group_by_length: bool = True,
        train_rows: int | None = None,
        rows_per_label: int | None = None,
        min_words: int | None = None,
        unlabeled: str | Path | None = None,
        on_device: bool | Literal["auto"] = False,
        map_from: int | None = 100_000,
        cache_dir: str | Path | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        sizes = {"batch_size": batch_size, "global_batch_size": global_batch_size, "eval_batch_size": eval_batch_size,
                 "train_rows": train_rows, "rows_per_label": rows_per_label, "min_words": min_words,
                 "map_from": map_from}  # fmt: skip
        for name, value in sizes.items():
            if value is not None and value < 1:
                raise ValueError(f"data.{name} must be at least 1, found {value}")
        if train_rows is not None and rows_per_label is not None:
            raise ValueError(f"set data.train_rows ({train_rows}) or data.rows_per_label ({rows_per_label}), not both")
        self.data_dir = None if data_dir is None else Path(data_dir)
        self.batch_size, self.eval_batch_size, self.global_batch_size = batch_size, eval_batch_size, global_batch_size
        self.group_by_length, self.train_rows, self.rows_per_label = group_by_length, train_rows, rows_per_label
        self.seed = DEFAULT_SEED if seed is None else seed
        self.unlabeled = None if unlabeled is None else Path(unlabeled)
        self.on_device = OnDevice(on_device)
        self.min_words, self.map_from, self.cache_dir = min_words, map_from, cache_dir
        self._corpora: dict[str, Corpus] = {}
        self._datasets: dict[tuple[str, DataInput], BatchedCorpus] = {}
        self._reported = False
        self._train_loader: ResumableLoader | None = None
        self._place: dict[str, Any] | None = None
        #: Makes the training sampler, ``(dataset, world_size, rank)``; batch selection puts its own here.
        self.make_sampler: Callable[[BatchedCorpus, int, int], TrainingSampler] = self.shuffled

    # what a corpus overrides ------------------------------------------------------------------------------------

    @property
    def label_space(self) -> LabelSpace:
        """The labels in official order, known without reading a file (but those of `TextFiles` may be found in one)."""
        raise NotImplementedError(f"{type(self).__name__} must define label_space")

    def found_settings(self) -> dict[str, Any]:
        """Settings that were not given and are found in the files; a checkpoint stores them."""
        return {}

    def read(self, split: Split) -> Corpus:
        """One split, read from ``data_dir`` or fetched."""
        raise NotImplementedError(f"{type(self).__name__} must define read")

    # corpora ----------------------------------------------------------------------------------------------------

    def corpus(self, split: Split | Literal["all"]) -> Corpus:
        """One split (read at the first call), or all splits joined in memory.

        Raises:
            ValueError: An unknown split, or a split without rows.
        """
        if split == "all":
            return Corpus.concatenate([self.corpus(part) for part in SPLITS])
        if split not in SPLITS:
            raise ValueError(f"unknown split {split!r}; expected one of {(*SPLITS, 'all')}")
        if split not in self._corpora:
            corpus = self.read(split)
            if split == "train" and self.min_words is not None:
                short = short_texts(corpus, self.min_words)
                corpus = corpus.select((~short).nonzero().flatten())
                corpus.dropped[f"fewer than {self.min_words} words"] = int(short.sum())
            if not len(corpus):
                raise ValueError(f"{type(self).__name__}: the {split} split has no rows")
            if split == "train":
                corpus = some_rows(corpus, self.train_rows, self.rows_per_label, self.seed)
                if self.unlabeled is not None:
                    corpus = Corpus.concatenate([corpus, unlabeled_texts(self.unlabeled, corpus.label_space)])
            self._corpora[split] = corpus if (cache := self._cache_of(len(corpus))) is None else keep(corpus, cache)
        return self._corpora[split]

    def setup(self, stage: str) -> None:
        """Read all splits, so that a fault in any file is found before training starts, and report them once.

        Raises:
            ValueError: A fault in a file, or at ``"fit"`` a training or validation split without a positive; one
                without an annotated row only where the model needs labels.
        """
        for split in SPLITS:
            corpus = self.corpus(split)
            if stage == "fit" and split != "test" and (corpus.mask.any() or self._needs_labels()):
                check_positives(split, corpus)
        if not self._reported:
            self._reported = True
            rank_zero_only(lambda: log.info(self.report()))()  # made by the process that logs it alone
            for line in self.warnings():
                rank_zero_only(log.warning)(f"warning: {line}")

    def warnings(self) -> list[str]:
        """What makes scores of this corpus doubtful, one line each (see ``mlemo.data.checks``)."""
        parts = {split: self.corpus(split) for split in SPLITS}
        lines = [[*corpus.warnings, *split_warnings(split, corpus)] for split, corpus in parts.items()]
        return list(dict.fromkeys(chain.from_iterable(lines)))  # those of a file that is cut into splits once

    def report(self) -> str:
        """Rows, labels a row, rows without a label, dropped rows and repeated texts, as a few lines of text."""
        splits = {split: self.corpus(split) for split in SPLITS}
        head = f"{type(self).__name__}: {len(self.label_space)} labels"
        return "\n".join([head, *split_report(splits, self.min_words)])

    # batches ----------------------------------------------------------------------------------------------------

    def dataset(self, split: Split, data_input: DataInput) -> BatchedCorpus:
        """One split in the form that a model needs (``model.data_input``), made once and kept."""
        key = (split, data_input)
        if key not in self._datasets:
            corpus = self.corpus(split)
            if corpus.texts is not None:
                verb = "encoding" if isinstance(data_input, FeatureInput) else "tokenizing"
                rank_zero_only(log.info)(f"{verb} {len(corpus):,} {split} texts")
            self._datasets[key] = batched(corpus, data_input, self._cache_of(len(corpus)))
        return self._datasets[key]

    def _cache_of(self, rows: int) -> ArrowCache | None:
        """Where a split with as many rows is kept; ``None`` for in memory."""
        return None if self.map_from is None or rows < self.map_from else ArrowCache(self.cache_dir)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Shuffled batches, the same for the same seed and epoch, resumable in mid-epoch."""
        dataset = self.dataset("train", self._data_input())
        world_size, rank = self._processes()
        sampler = self.make_sampler(dataset, world_size, rank)
        dataset = self.on_device.place("train", dataset, self.trainer)
        if self._place is not None:
            sampler.load_state_dict(self._place)
            self._place = None
        self._train_loader = ResumableLoader(
            dataset, batch_sampler=sampler, collate_fn=as_is, generator=torch.Generator()
        )
        return self._train_loader

    def rows_per_batch(self, processes: int, accumulated: int | None = None) -> int:
        """Samples per training batch in each process.

        Args:
            processes: Number of processes.
            accumulated: Batches per optimizer step; ``None`` for those of the trainer.

        Raises:
            ValueError: ``global_batch_size`` is not a multiple of the number of batches per step.
        """
        if self.global_batch_size is None:
            return self.batch_size
        if accumulated is None:
            accumulated = 1 if self.trainer is None else self.trainer.accumulate_grad_batches
        if self.global_batch_size % (processes * accumulated):
            raise ValueError(
                f"data.global_batch_size={self.global_batch_size} cannot be divided among {processes} processes with "
                f"{accumulated} accumulated batches each; expected a multiple of {processes * accumulated}"
            )
        return self.global_batch_size // (processes * accumulated)

    def shuffled(self, dataset: BatchedCorpus, world_size: int, rank: int) -> ShuffledBatchSampler:
        """The batches of plain training: shuffled, and grouped by length where texts are padded to their longest."""
        grouped = self.group_by_length and int(dataset.lengths.max()) > 1
        return ShuffledBatchSampler(
            len(dataset),
            self.rows_per_batch(world_size),
            dataset.lengths if grouped else None,
            seed=self.seed,
            world_size=world_size,
            rank=rank,
        )

    def state_dict(self) -> dict[str, Any]:
        """Place in the training epoch, for Lightning's checkpoints."""
        return {} if self._train_loader is None else self._train_loader.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Remember the place for the training loader that is made next.

        Lightning hands a loader its state only if the loader is made after the loops are restored, and a schedule that
        needs the number of steps has it created before.
        """
        if self.trainer is None or self.trainer.state.fn == TrainerFn.FITTING:  # not where a checkpoint is evaluated
            self._place = state_dict

    def val_dataloader(self) -> DataLoader[Batch]:
        """The validation split, each row once."""
        return self._evaluation_loader("val")

    def test_dataloader(self) -> DataLoader[Batch]:
        """The test split, each row once."""
        return self._evaluation_loader("test")

    def predict_dataloader(self) -> DataLoader[Batch]:
        """The test split, each row once."""
        return self._evaluation_loader("test")

    def _evaluation_loader(self, split: Split) -> DataLoader[Batch]:
        dataset = self.dataset(split, self._data_input())
        world_size, rank = self._processes()
        if len(dataset) < world_size:
            raise ValueError(
                f"the {split} split has {len(dataset)} rows for {world_size} processes; use fewer processes"
            )
        # Each row once, in whichever process: a distributed sampler would repeat rows and bend the scores. The rows are
        # the `sampler`, since that is what Lightning keeps when it makes the loader of `predict` anew.
        rows = dataset.lengths.argsort(descending=True, stable=True)[rank::world_size].tolist()
        return DataLoader(
            self.on_device.place(split, dataset, self.trainer),
            batch_size=self.eval_batch_size,
            sampler=rows,
            collate_fn=as_is,
            generator=torch.Generator(),
        )

    def _needs_labels(self) -> bool:
        model = None if self.trainer is None else self.trainer.lightning_module
        return model is None or bool(model.needs_labels)

    def _data_input(self) -> DataInput:
        if self.trainer is None or self.trainer.lightning_module is None:
            raise RuntimeError(
                "batches depend on what the model needs, such as its tokenizer: run through a Trainer, or call "
                "dataset(split, model.data_input)"
            )
        return self.trainer.lightning_module.data_input  # type: ignore[return-value]  # every mlemo model has it

    def _processes(self) -> tuple[int, int]:
        return (1, 0) if self.trainer is None else (self.trainer.world_size, self.trainer.global_rank)
