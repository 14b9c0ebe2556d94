"""Feature vectors from a frozen pretrained encoder: computed once, cached on disk."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm

from mlemo.nn.encoder import Pretrained
from mlemo.nn.encoder_properties import is_causal, max_length
from mlemo.nn.encoder_reference import differences, file_hashes
from mlemo.nn.feature_cache import read_features, write_features
from mlemo.nn.features import TextFeatures
from mlemo.nn.pooling import Pooling, pool
from mlemo.text import TextCleaning, cleaning_to_dict
from mlemo.utils.cache import user_cache
from mlemo.utils.hardware import has_bf16

__all__ = ["FrozenEncoder"]

log = logging.getLogger(__name__)


class FrozenEncoder(TextFeatures):
    """``f(text) = pool(encoder(text))``, with the encoder in evaluation mode and never trained.

    The features of a corpus are cached in ``cache_dir``, one file per split, under a key that is the hash of the
    (cleaned) texts, of the encoder's config, weights and tokenizer, of pooling and maximum length, and of the
    precision; so cached features equal computed ones, and the files may be deleted at any time. The encoder is loaded
    only without cached features. Fewer texts than one batch, as in `mlemo classify`, are not cached.

    A checkpoint has the encoder's name, settings and file hashes but not its weights: the encoder is many times the
    size of the head, and one encoder serves many heads. It is loaded from its location in training, and loading a
    checkpoint whose encoder is missing or different is an error. Pass a moved encoder to the model:
    ``FrozenHead.load_from_checkpoint(path, features=FrozenEncoder("new/path"))``.

    Args:
        encoder: Name on the hub, or a local folder in its layout.
        pooling: Pooling of a text's token states to one vector.
        max_length: Longest input in tokens (less if the encoder has fewer positions).
        batch_size: Texts per forward pass.
        bf16: Compute in bfloat16 (mixed), where features depend slightly on the other texts of a batch (about 1 %),
            instead of float32; ``None`` if the hardware supports it.
        cache: Cache the features on disk.
        cache_dir: Folder of the cache; ``None`` for ``$XDG_CACHE_HOME/mlemo/features``, by default
            ``~/.cache/mlemo/features``.
        cleaning: Cleaning of each text.
        revision: Branch, tag or commit on the hub.

    Attributes:
        cache_hit: Whether the latest features were read from the cache; ``None`` before the first, or without a cache.

    Raises:
        ValueError: The pooling is unknown, or a size is below one.
        FileNotFoundError: The encoder does not exist (when features are computed).
    """

    def __init__(
        self,
        encoder: str = "bert-base-uncased",
        pooling: Pooling = "mean",
        max_length: int = 512,
        batch_size: int = 64,
        *,
        bf16: bool | None = None,
        cache: bool = True,
        cache_dir: str | None = None,
        cleaning: TextCleaning | None = None,
        revision: str | None = None,
    ) -> None:
        if pooling not in get_args(Pooling):
            raise ValueError(f"FrozenEncoder.pooling is one of {get_args(Pooling)}, found {pooling!r}")
        for name, value in (("max_length", max_length), ("batch_size", batch_size)):
            if value < 1:
                raise ValueError(f"FrozenEncoder.{name} must be at least 1, found {value}")
        self.encoder, self.pooling, self.max_length, self.batch_size = encoder, pooling, max_length, batch_size
        self.bf16, self.cache, self.cache_dir = bf16, cache, None if cache_dir is None else str(cache_dir)
        self.cleaning, self.revision = cleaning, revision
        self.cache_hit: bool | None = None
        self._source = Pretrained(encoder, revision)
        self._files: dict[str, str] | None = None
        self._loaded: tuple[Any, Any] | None = None

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Convert ``N`` texts to ``(N, F)`` float32 on the CPU: from the cache, or else encoded and cached."""
        cleaned = self._cleaned(texts)
        if not self.cache or len(cleaned) < self.batch_size:
            self.cache_hit = None
            return self._encode(cleaned)
        folder = user_cache() / "features" if self.cache_dir is None else Path(self.cache_dir)
        key = self._key(cleaned)
        features = read_features(folder, key)
        self.cache_hit = features is not None
        if features is not None:
            log.info("features of %s texts read from %s", f"{len(cleaned):,}", folder)
            return features
        start = time.perf_counter()
        features = self._encode(cleaned)
        seconds = time.perf_counter() - start
        if write_features(folder, key, features) is not None:
            log.info("%s texts encoded in %.0f s, their features cached in %s", f"{len(cleaned):,}", seconds, folder)
        return features

    # what the features depend on --------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, str]:
        """Return what the features depend on: the hash of each of the encoder's files, and the settings.

        Raises:
            FileNotFoundError: The encoder does not exist.
        """
        if self._files is None:
            self._files = file_hashes(self.encoder, self.revision)
        cleaning = "none" if self.cleaning is None else json.dumps(cleaning_to_dict(self.cleaning), sort_keys=True)
        return {**self._files, "pooling": self.pooling, "max_length": str(self.max_length), "cleaning": cleaning}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Check that the features of the encoder are those of the state.

        Raises:
            ValueError: The encoder's files or the settings differ from those of the model's training.
            FileNotFoundError: The encoder does not exist.
        """
        if found := differences(dict(state), self.state_dict()):
            raise ValueError(f"the model was trained on other features than those of encoder {self.encoder!r}: {found}")

    def _key(self, texts: Sequence[str]) -> str:
        content = {"texts": texts, "encoder": self.state_dict(), "bf16": self._bf16()}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    # encoding ---------------------------------------------------------------------------------------------------

    def _bf16(self) -> bool:
        return has_bf16() if self.bf16 is None else self.bf16

    def _load(self) -> tuple[Any, Any]:
        if self._loaded is None:
            # creating the encoder draws random numbers, and the network must not depend on the cache
            with torch.random.fork_rng(devices=[]):
                tokenizer = self._source.tokenizer(list)
                encoder = self._source.encoder(tokenizer).eval()
            if self.pooling == "cls" and is_causal(encoder):
                raise ValueError(
                    f"FrozenEncoder.pooling is 'cls', and the first token of {type(encoder).__name__}, a causal model, "
                    "depends on no other: use last or mean"
                )
            self._loaded = tokenizer, encoder.to("cuda" if torch.cuda.is_available() else "cpu")
        return self._loaded

    def _encode(self, texts: list[str]) -> Tensor:
        tokenizer, encoder = self._load()
        features = torch.empty(len(texts), encoder.config.hidden_size)
        if not texts:
            return features
        longest = max_length(encoder, tokenizer, self.max_length)
        tokens = tokenizer(texts, truncation=True, max_length=longest, return_attention_mask=True)
        # a text without words has no token where the tokenizer adds none, and would have no state to be pooled
        filler = {"input_ids": tokenizer.eos_token_id or 0, "attention_mask": 1}
        inputs = {name: [torch.tensor(row or [filler.get(name, 0)]) for row in rows] for name, rows in tokens.items()}
        padding = {"input_ids": tokenizer.pad_token_id or 0}
        lengths = torch.tensor([len(row) for row in inputs["input_ids"]])
        batches = lengths.argsort(descending=True, stable=True).split(self.batch_size)
        with torch.inference_mode(), torch.autocast(encoder.device.type, torch.bfloat16, enabled=self._bf16()):
            for rows in tqdm(batches, "encoding", unit="batch", leave=False, disable=None):
                batch = {
                    name: pad_sequence([values[row] for row in rows.tolist()], True, padding.get(name, 0))
                    for name, values in inputs.items()
                }
                batch = {name: value.to(encoder.device) for name, value in batch.items()}
                states = encoder(**batch).last_hidden_state.float()
                features[rows] = pool(states, batch["attention_mask"], self.pooling).cpu()
        return features

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the encoder, which copies of a model share."""
        return {**self.__dict__, "_loaded": None}
