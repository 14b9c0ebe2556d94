"""Texts as feature vectors: the frozen encoder with its cache, TF-IDF, and how a checkpoint stores them."""

import copy
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from transformers import AutoModel, AutoTokenizer, RobertaConfig, RobertaModel

from mlemo.data import Corpus
from mlemo.nn import frozen_encoder
from mlemo.nn.features import TextFeatures, features_from_dict, features_to_dict
from mlemo.nn.frozen_encoder import FrozenEncoder
from mlemo.nn.tfidf import TOKEN, Tfidf
from mlemo.text import Tweets
from mlemo.utils.cache import user_cache

Maker = Callable[..., FrozenEncoder]


@pytest.fixture
def encoder(pretrained: Path, tmp_path: Path) -> Maker:
    """Maker of frozen encoders in float32 with a cache of their own."""
    settings = {"batch_size": 4, "bf16": False, "cache_dir": str(tmp_path / "cache")}
    return lambda folder=pretrained, **more: FrozenEncoder(str(folder), **settings | more)


@pytest.fixture
def unloadable(monkeypatch: pytest.MonkeyPatch) -> None:
    """No encoder can be loaded."""

    def refuse(*args: Any) -> None:
        raise AssertionError("the encoder was loaded")

    monkeypatch.setattr(FrozenEncoder, "_load", refuse)


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


# what the vectors are -------------------------------------------------------------------------------------------


def by_hand(folder: Path, texts: list[str], pooling: str, max_length: int) -> torch.Tensor:
    """One text at a time, without padding."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    encoder = AutoModel.from_pretrained(folder).eval()
    rows = []
    for text in texts:
        ids = tokenizer(text, truncation=True, max_length=max_length, return_tensors="pt")
        with torch.no_grad():
            states = encoder(**ids).last_hidden_state[0]
        rows.append({"cls": states[0], "mean": states.mean(0), "max": states.amax(0)}[pooling])
    return torch.stack(rows)


@pytest.mark.parametrize("max_length", [6, 512])
@pytest.mark.parametrize("pooling", ["cls", "mean", "max"])
def test_a_vector_is_the_pooled_states_of_a_text(
    pooling: str, max_length: int, encoder: Maker, pretrained: Path, corpus: Corpus
) -> None:
    texts = [*corpus.texts, "", "never again " * 100]
    features = encoder(pooling=pooling, max_length=max_length)(texts)
    assert features.dtype == torch.float32
    assert not features.is_inference()
    assert not features.requires_grad
    expected = by_hand(pretrained, texts, pooling, min(max_length, 128))
    torch.testing.assert_close(features, expected, atol=1e-5, rtol=0)
    assert features.std(0).min() > 1e-3


def test_a_text_has_the_same_vector_alone_and_in_any_batch(encoder: Maker, corpus: Corpus) -> None:
    together = encoder(batch_size=7)(corpus.texts)
    for batch_size in (1, 3, 100):
        other = encoder(batch_size=batch_size, cache=False)
        torch.testing.assert_close(other(corpus.texts[::-1]).flip(0), together, atol=1e-5, rtol=0)
    alone = encoder()
    for row, text in enumerate(corpus.texts):
        torch.testing.assert_close(alone([text])[0], together[row], atol=1e-5, rtol=0)


def test_encoders_of_another_family(roberta: Any, tmp_path: Path, encoder: Maker, corpus: Corpus) -> None:
    """Positions are counted from behind the padding id, and there are no token types."""
    folder = tmp_path / "roberta"
    config = RobertaConfig(
        vocab_size=len(roberta), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=66, type_vocab_size=1, pad_token_id=roberta.pad_token_id,
    )  # fmt: skip
    torch.manual_seed(0)
    RobertaModel(config, add_pooling_layer=False).save_pretrained(folder)
    roberta.save_pretrained(folder)
    texts = [*corpus.texts, "never again " * 100]
    torch.testing.assert_close(encoder(folder)(texts), by_hand(folder, texts, "mean", 64), atol=1e-5, rtol=0)


def test_bf16_is_the_default_where_the_hardware_has_it(
    encoder: Maker, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact, rounded = encoder(cache=False)(corpus.texts), encoder(cache=False, bf16=True)(corpus.texts)
    difference = (exact - rounded).abs().max() / exact.abs().max()
    assert 0 < difference < 0.05
    for native, expected in ((False, exact), (True, rounded)):
        monkeypatch.setattr(frozen_encoder, "has_bf16", lambda native=native: native)
        assert torch.equal(encoder(cache=False, bf16=None)(corpus.texts), expected)


def test_texts_are_cleaned(encoder: Maker) -> None:
    cleaned = encoder(cleaning=Tweets())
    texts = ["SUCH A #good DAY", "@somebody never", "rain", "a house"]
    assert [Tweets()(text) for text in texts] != texts
    assert torch.equal(cleaned(texts), encoder()([Tweets()(text) for text in texts]))
    for cleaning, kept in ((None, True), (Tweets(urls=""), False)):
        tfidf = Tfidf(min_texts=1, cleaning=cleaning)
        tfidf.fit(["rain https://t.co/x", "sun"])
        assert ("https" in tfidf.state_dict()["words"]) == kept
        assert torch.equal(tfidf(["sun https://t.co/x"]), tfidf(["sun"])) != kept


def test_no_texts_give_no_rows(encoder: Maker) -> None:
    assert encoder()([]).shape == (0, 32)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pooling": "sum"}, r"FrozenEncoder.pooling is one of \('mean', 'cls', 'max', 'last'\), found 'sum'"),
        ({"max_length": 0}, "FrozenEncoder.max_length must be at least 1, found 0"),
        ({"batch_size": 0}, "FrozenEncoder.batch_size must be at least 1, found 0"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FrozenEncoder("somewhere", **settings)


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors", None])
def test_a_missing_encoder_is_named(missing: str | None, pretrained: Path, tmp_path: Path, corpus: Corpus) -> None:
    folder = tmp_path / "encoder"
    if missing is not None:
        shutil.copytree(pretrained, folder)
        (folder / missing).unlink()
    features = FrozenEncoder(str(folder), batch_size=4, cache_dir=str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"encoder '.*/encoder' is neither a local folder .* nor to be had"):
        features(corpus.texts)


# the cache ------------------------------------------------------------------------------------------------------


def test_features_are_read_from_the_cache_without_loading_the_encoder(
    encoder: Maker, corpus: Corpus, tmp_path: Path, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    first = encoder()
    assert first.cache_hit is None
    with caplog.at_level(logging.INFO, "mlemo"):
        features = first(corpus.texts)
    assert first.cache_hit is False
    assert "23 texts encoded in" in caplog.text
    assert len(files(tmp_path / "cache")) == 1
    request.getfixturevalue("unloadable")
    second = encoder()
    with caplog.at_level(logging.INFO, "mlemo"):
        assert torch.equal(second(corpus.texts), features)
    assert second.cache_hit is True
    assert f"features of 23 texts read from {tmp_path / 'cache'}" in caplog.text
    with pytest.raises(AssertionError, match="the encoder was loaded"):
        second(corpus.texts[1:])


@pytest.mark.parametrize(
    "change",
    [
        {"pooling": "max"},
        {"max_length": 7},
        {"bf16": True},
        {"cleaning": Tweets()},
        {"texts": lambda texts: texts[::-1]},
        {"texts": lambda texts: [texts[0] + texts[1], "", *texts[2:]]},
    ],
    ids=lambda change: next(iter(change)),
)
def test_other_texts_and_settings_are_other_entries(
    change: dict[str, Any], encoder: Maker, corpus: Corpus, tmp_path: Path
) -> None:
    features = encoder()(corpus.texts)
    texts = change.pop("texts", list)(corpus.texts)
    other = encoder(**change)
    assert not torch.equal(other(texts), features) or "cleaning" in change
    assert other.cache_hit is False
    assert len(files(tmp_path / "cache")) == 2
    again = encoder()
    assert torch.equal(again(corpus.texts), features)
    assert again.cache_hit


@pytest.mark.parametrize("part", ["weights", "config", "tokenizer"])
def test_another_encoder_under_the_same_name_is_another_entry(
    part: str, encoder: Maker, pretrained: Path, corpus: Corpus, tmp_path: Path
) -> None:
    folder = tmp_path / "encoder"
    shutil.copytree(pretrained, folder)
    features = encoder(folder)(corpus.texts)
    spoil(folder, part)
    other = encoder(folder)
    assert not torch.equal(other(corpus.texts), features)
    assert other.cache_hit is False


def spoil(folder: Path, part: str) -> None:
    """Change one of the encoder's files such that its features change."""
    if part == "weights":
        model = AutoModel.from_pretrained(folder)
        model.embeddings.word_embeddings.weight.data += torch.randn(1, 32, generator=torch.Generator().manual_seed(0))
        model.save_pretrained(folder)
    elif part == "config":
        config = folder / "config.json"
        config.write_text(config.read_text().replace('"hidden_act": "gelu"', '"hidden_act": "relu"'))
    else:
        tokenizer = folder / "tokenizer.json"
        tokenizer.write_text(tokenizer.read_text().replace('"lowercase":true', '"lowercase": true').replace(
            '"day":', '"dayzz":'))  # fmt: skip


def test_the_same_encoder_in_another_place_is_the_same_entry(
    encoder: Maker, pretrained: Path, corpus: Corpus, tmp_path: Path
) -> None:
    encoder()(corpus.texts)
    folder = tmp_path / "moved"
    shutil.copytree(pretrained, folder)
    (folder / "README.md").write_text("a description")
    moved = encoder(folder, batch_size=5)
    moved(corpus.texts)
    assert moved.cache_hit


@pytest.mark.parametrize("damage", ["cut", "empty", "bit", "other", "folder"])
def test_a_damaged_file_is_computed_anew_with_a_warning(
    damage: str, encoder: Maker, corpus: Corpus, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    features = encoder()(corpus.texts)
    (path,) = files(tmp_path / "cache")
    content = bytearray(path.read_bytes())
    if damage == "cut":
        path.write_bytes(content[:-100])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "bit":
        content[1000] ^= 1
        path.write_bytes(content)
    elif damage == "other":  # whole, but not under its own name
        encoder()(corpus.texts[::-1])
        (other,) = set(files(tmp_path / "cache")) - {path}
        other.replace(path)
    else:
        path.unlink()
        path.mkdir()
    again = encoder()
    assert torch.equal(again(corpus.texts), features)
    assert again.cache_hit is False
    assert "computing them again" in caplog.text
    if damage != "folder":
        last = encoder()
        assert torch.equal(last(corpus.texts), features)
        assert last.cache_hit


def test_a_file_appears_whole_or_not_at_all(
    encoder: Maker, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write = Path.write_bytes

    def half(self: Path, data: bytes) -> int:
        write(self, data[: len(data) // 2])
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    features = encoder()(corpus.texts)
    assert features.shape == (23, 32)
    assert files(tmp_path / "cache") == []
    assert "not cached for the next run: no space left on device" in caplog.text
    monkeypatch.undo()
    replaced: list[tuple[Path, Path]] = []
    replace = Path.replace
    monkeypatch.setattr(Path, "replace", lambda self, target: replaced.append((self, target)) or replace(self, target))
    encoder()(corpus.texts)
    ((unfinished, path),) = replaced
    assert files(tmp_path / "cache") == [path]
    assert unfinished.parent == path.parent


def test_without_a_cache_nothing_is_written(encoder: Maker, corpus: Corpus, tmp_path: Path) -> None:
    off = encoder(cache=False)
    off(corpus.texts)
    few = encoder()
    few(corpus.texts[:3])  # less than a batch: what `mlemo classify` asks for
    assert off.cache_hit is few.cache_hit is None
    assert not (tmp_path / "cache").exists()


def test_the_cache_is_the_users_unless_another_is_given(
    pretrained: Path, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    FrozenEncoder(str(pretrained), batch_size=4)(corpus.texts)
    (path,) = files(tmp_path / "xdg" / "mlemo" / "features")
    assert np.load(path).shape == (23, 32)
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_cache() == tmp_path / ".cache" / "mlemo"


def test_random_numbers_do_not_depend_on_the_cache(encoder: Maker, corpus: Corpus) -> None:
    draws = []
    for _ in range(2):
        torch.manual_seed(3)
        encoder()(corpus.texts)
        draws.append(torch.rand(3))
    torch.manual_seed(3)
    assert torch.equal(draws[0], torch.rand(3))
    assert torch.equal(draws[0], draws[1])


def test_a_copy_leaves_the_loaded_encoder_out(encoder: Maker, corpus: Corpus) -> None:
    features = encoder(cache=False)
    vectors = features(corpus.texts)
    assert features._loaded is not None
    other = copy.deepcopy(features)
    assert other._loaded is None
    assert torch.equal(other(corpus.texts), vectors)


# TF-IDF ---------------------------------------------------------------------------------------------------------


def test_tfidf_is_that_of_scikit_learn(corpus: Corpus) -> None:
    features = Tfidf(width=5, terms=30)
    features.fit(corpus.texts)
    unseen = ["such a good rainy day", "Näver again", "never agaın", "海", ""]
    settings = {"sublinear_tf": True, "strip_accents": "unicode", "min_df": 2, "max_features": 30}
    words = TfidfVectorizer(analyzer="word", ngram_range=(1, 2), token_pattern=TOKEN, **settings)
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 5), **settings)
    weights = np.hstack([block.fit_transform(corpus.texts).toarray() for block in (words, characters)])
    assert weights.shape == (23, 60)
    _, _, v = np.linalg.svd(weights, full_matrices=False)
    other = np.hstack([block.transform(unseen).toarray() for block in (words, characters)])
    for texts, matrix in ((corpus.texts, weights), (unseen, other)):
        projected = matrix @ v[:5].T
        norms = np.linalg.norm(projected, axis=1, keepdims=True)
        expected = projected / np.where(norms == 0, 1, norms)
        found = features(texts).numpy()
        assert found.dtype == np.float32
        # singular vectors are unique but for their signs, which similarities do not see
        np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=2e-3)
    assert features(unseen)[4].abs().sum() == 0


def test_tfidf_without_a_width_is_the_weights_themselves(corpus: Corpus, tmp_path: Path) -> None:
    features = Tfidf(width=None, terms=None)
    features.fit(["Été 😀", "ete 😀 فَرَح", "فرح !"])
    unseen = ["ete 😀", "nothing known: zzz", ""]
    found = features(unseen)
    assert found.is_sparse
    assert found.is_coalesced()
    assert found.dtype == torch.float32
    assert features.state_dict()["words"] == ["ete", "ete 😀", "فرح", "😀"]
    assert {"e", " ete ", "😀", "فرح "} <= set(features.state_dict()["characters"])
    norms = found.to_dense().norm(dim=1)
    assert norms.tolist() == pytest.approx([2**0.5, norms[1].item(), 0])  # two blocks of length 1
    features.fit(corpus.texts)
    settings = {"sublinear_tf": True, "strip_accents": "unicode", "min_df": 2}
    words = TfidfVectorizer(analyzer="word", ngram_range=(1, 2), token_pattern=TOKEN, **settings)
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 5), **settings)
    weights = np.hstack([block.fit_transform(corpus.texts).toarray() for block in (words, characters)])
    np.testing.assert_allclose(features(corpus.texts).to_dense().numpy(), weights, atol=1e-6)
    restored = features_from_dict(through_a_file(features_to_dict(features), tmp_path))
    assert (restored.width, restored.terms) == (None, None)
    assert torch.equal(restored(corpus.texts).to_dense(), features(corpus.texts).to_dense())
    assert features([]).shape == (0, weights.shape[1])


def test_tfidf_is_the_same_each_time(corpus: Corpus) -> None:
    first, second = Tfidf(width=6), Tfidf(width=6)
    first.fit(corpus.texts)
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002  # the generator that scikit-learn would fall back on
    second.fit(corpus.texts)
    assert torch.equal(first(corpus.texts), second(corpus.texts))


def test_tfidf_of_a_text_does_not_depend_on_the_others(corpus: Corpus) -> None:
    features = Tfidf(width=6)
    features.fit(corpus.texts)
    together = features(corpus.texts)
    for row, text in enumerate(corpus.texts):
        torch.testing.assert_close(features([text])[0], together[row], atol=1e-6, rtol=0)
    assert features([]).shape == (0, 6)


def test_tfidf_has_no_more_features_than_texts_or_terms(corpus: Corpus) -> None:
    for settings, width in (({"terms": 2}, 4), ({"width": 9}, 9), ({}, 23)):
        features = Tfidf(**settings)
        features.fit(corpus.texts)
        assert features(["a day"]).shape == (1, width)


def test_tfidf_faults(corpus: Corpus) -> None:
    for name in ("width", "terms", "min_texts"):
        with pytest.raises(ValueError, match=f"Tfidf.{name} must be at least 1, found 0"):
            Tfidf(**{name: 0})
    with pytest.raises(ValueError, match=r"Tfidf is not fitted: call fit\(training_texts\) first"):
        Tfidf()(corpus.texts)


# as checkpoints store them --------------------------------------------------------------------------------------


def through_a_file(stored: dict[str, Any], folder: Path) -> dict[str, Any]:
    torch.save(stored, folder / "stored.pt")
    return torch.load(folder / "stored.pt", weights_only=True)


@pytest.mark.parametrize("cleaning", [None, Tweets(lowercase=False)])
def test_tfidf_is_stored_whole(cleaning: Any, corpus: Corpus, tmp_path: Path) -> None:
    features = Tfidf(width=6, terms=50, cleaning=cleaning)
    features.fit(corpus.texts)
    stored = features_to_dict(features)
    restored = features_from_dict(through_a_file(stored, tmp_path))
    assert isinstance(restored, Tfidf)
    assert (restored.width, restored.terms, restored.min_texts, restored.cleaning) == (6, 50, 2, cleaning)
    texts = [*corpus.texts, "unseen words", ""]
    assert torch.equal(restored(texts), features(texts))
    assert features.cleaning is cleaning
    again = features_to_dict(restored)
    assert again["state"].keys() == stored["state"].keys()
    assert again["state"]["words"] == stored["state"]["words"]


def test_tfidf_that_is_not_fitted_is_stored_so(tmp_path: Path) -> None:
    restored = features_from_dict(through_a_file(features_to_dict(Tfidf()), tmp_path))
    with pytest.raises(ValueError, match="Tfidf is not fitted"):
        restored(["a"])


def test_an_encoder_is_stored_by_name_and_content(encoder: Maker, corpus: Corpus, tmp_path: Path) -> None:
    features = encoder(pooling="max", max_length=9, cleaning=Tweets())
    vectors = features(corpus.texts)
    stored = through_a_file(features_to_dict(features), tmp_path)
    assert os.path.getsize(tmp_path / "stored.pt") < 10_000
    assert stored["class_path"] == "mlemo.nn.frozen_encoder.FrozenEncoder"
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= stored["state"].keys()
    restored = features_from_dict(stored)
    assert restored.cleaning == Tweets()
    assert restored.cache_dir is None, "nothing is written to a folder that a file names"
    restored.cache_dir = features.cache_dir
    assert torch.equal(restored(corpus.texts), vectors)
    assert restored.cache_hit


@pytest.mark.parametrize(
    ("part", "file"), [("weights", "model.safetensors"), ("config", "config.json"), ("tokenizer", "tokenizer.json")]
)
def test_an_encoder_that_differs_now_is_refused(
    part: str, file: str, encoder: Maker, pretrained: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "encoder"
    shutil.copytree(pretrained, folder)
    stored = features_to_dict(encoder(folder))
    spoil(folder, part)
    message = rf"trained on other features than those of encoder '.*/encoder': {file} was [0-9a-f]{{12}}… and is"
    with pytest.raises(ValueError, match=message):
        features_from_dict(stored)
    shutil.rmtree(folder)
    with pytest.raises(FileNotFoundError, match=r"encoder '.*/encoder' is neither a local folder"):
        features_from_dict(stored)


def test_other_settings_than_the_stored_ones_are_refused(encoder: Maker) -> None:
    state = encoder().state_dict()
    with pytest.raises(ValueError, match="pooling was mean and is cls; max_length was 512 and is 9; cleaning was none"):
        encoder(pooling="cls", max_length=9, cleaning=Tweets()).load_state_dict(state)
    encoder(bf16=True, batch_size=9, cache=False).load_state_dict(state)  # these change nothing that is learned


def test_only_features_are_restored() -> None:
    stored = {"class_path": "mlemo.labels.LabelSpace", "init_args": {}, "state": {}}
    with pytest.raises(ValueError, match=r"stored features 'mlemo.labels.LabelSpace' is not a TextFeatures"):
        features_from_dict(stored)
    stored = features_to_dict(Tfidf(cleaning=Tweets()))
    stored["init_args"]["cleaning"] = {"class_path": "subprocess.Popen", "init_args": {"args": "true"}}
    with pytest.raises(ValueError, match=r"stored cleaning 'subprocess.Popen' is not a TextCleaning"):
        features_from_dict(stored)


def test_features_with_nothing_to_fit_store_nothing(tmp_path: Path) -> None:
    features = Lengths(scale=2.0)
    features.fit(["a"])
    stored = features_to_dict(features)
    assert stored["state"] == {}
    assert features_from_dict(stored)(["abc"]).tolist() == [[6.0]]


class Lengths(TextFeatures):
    """The number of characters: a user's own features."""

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def __call__(self, texts: Any) -> torch.Tensor:
        return torch.tensor([[self.scale * len(text)] for text in texts])
