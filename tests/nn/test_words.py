"""Word vectors as an encoder: which words are known, and what each of them stands for."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import pre_tokenizers

from mlemo.models import TransformerClassifier
from mlemo.nn.encoder import restore_encoder, save_encoder
from mlemo.nn.lexicon import Lexicon
from mlemo.nn.words import WordVectors

TEXTS = ["Good day , good sea", "a good #day :)", "the sea the Sea", "rare"]
COUNTS = {"good": 3, "sea": 3, "day": 1, "the": 2, "a": 1, "#day": 1, ":)": 1, ",": 1, "rare": 1}

Maker = Callable[..., Any]


def made(texts: list[str] = TEXTS, **settings: Any) -> tuple[Any, Any]:
    torch.manual_seed(0)
    source = WordVectors(**{"width": 5, **settings})
    tokenizer = source.tokenizer(lambda: texts)
    return source.encoder(tokenizer), tokenizer


def states(encoder: Any, tokenizer: Any, *texts: str) -> torch.Tensor:
    batch = tokenizer(list(texts), padding=True, return_tensors="pt")
    with torch.no_grad():
        return encoder(**batch).last_hidden_state


def vector(encoder: Any, tokenizer: Any, word: str) -> list[float]:
    found = states(encoder, tokenizer, word)
    assert found.shape[:2] == (1, 1), f"{word} is one token"
    return found[0, 0].tolist()


@pytest.fixture
def vectors(tmp_path: Path) -> Path:
    """Most frequent first; "rare", "a" and "," have no vector."""
    path = tmp_path / "vectors.txt"
    path.write_text(
        "The 1 1 1\n</s> 2 2 2\nSea 3 3 3\nin_the 4 4 4\nocean 5 5 5\nunknown 6 6 6\n:) 7 7 7\nsea 8 8 8\n"
        "two-words 9 9 9\nship 10 10 10\nGOOD 11 11 11\n#day 12 12 12\n"
    )
    return path


@pytest.fixture
def lexicon(tmp_path: Path) -> Path:
    path = tmp_path / "lexicon.tsv"
    path.write_text("word\tjoy\tfear\nGood\t0.75\t0\nstorm\t0\t1\nlife-long\t1\t0\n[UNK]\t9\t9\nrare\t-1\t2\n")
    return path


# which words ----------------------------------------------------------------------------------------------------


def test_from_scratch_words_are_known_from_their_second_time_on() -> None:
    encoder, tokenizer = made()
    assert tokenizer.get_vocab() == {"[PAD]": 0, "[UNK]": 1, "good": 2, "sea": 3, "the": 4}
    assert tokenizer("GOOD rare sea")["input_ids"] == [2, 1, 3]
    assert encoder.config.hidden_size == 5
    assert set(made(min_count=1)[1].get_vocab()) == {*COUNTS, "[PAD]", "[UNK]"}
    assert set(made(min_count=1, vocabulary=2)[1].get_vocab()) == {"[PAD]", "[UNK]", "good", "sea"}


def test_the_same_texts_in_any_order_give_the_same_words() -> None:
    assert made(min_count=1)[1].get_vocab() == made(TEXTS[::-1], min_count=1)[1].get_vocab()


def test_case_accents_and_splitting_are_choices() -> None:
    assert {"Good", "good", "Sea"} <= set(made(min_count=1, lowercase=False)[1].get_vocab())
    texts = ["El Niño y el niño", "فَرَح فرح"]
    assert "niño" in made(texts)[1].get_vocab()
    assert {"nino", "فرح"} <= set(made(texts, strip_accents=True)[1].get_vocab())
    by_blanks = made(["end. end. end"], pre_tokenizer=pre_tokenizers.WhitespaceSplit())[1]
    assert set(by_blanks.get_vocab()) == {"[PAD]", "[UNK]", "end."}
    assert by_blanks.tokenize("end. end") == ["end.", "[UNK]"]


def test_texts_that_hold_the_names_of_special_tokens_give_no_second_ones() -> None:
    tokenizer = made(["[UNK] [PAD] sea"] * 2, lowercase=False)[1]
    assert tokenizer.get_vocab() == {"[PAD]": 0, "[UNK]": 1, "sea": 2}


# vectors --------------------------------------------------------------------------------------------------------


def test_padding_is_zero_and_stays_zero() -> None:
    encoder, tokenizer = made()
    found = states(encoder, tokenizer, "good", "sea the good")
    assert not found[0, 1:].any()
    assert (found[1] != 0).all()
    assert 0 not in vector(encoder, tokenizer, "never")
    optimizer = torch.optim.SGD(encoder.parameters(), lr=1.0)
    batch = tokenizer(["good", "sea the good"], padding=True, return_tensors="pt")
    encoder(**batch).last_hidden_state.sum().backward()
    optimizer.step()
    after = states(encoder, tokenizer, "good", "sea the good")
    assert not after[0, 1:].any()
    assert (after[0, 0] != found[0, 0]).all()


def test_vectors_of_a_file_and_of_words_without_one(vectors: Path) -> None:
    encoder, tokenizer = made(file=vectors)
    expected = {"sea": 8, "the": 1, "good": 11, ":)": 7, "#day": 12, "rare": 6, "never": 6, "ocean": 5, "ship": 10}
    for word, number in expected.items():
        assert vector(encoder, tokenizer, word) == [number] * 3
    assert [token for token, _ in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])] == [
        *["[PAD]", "[UNK]", "good", "sea", "the", "#day", ":)"],  # those of the texts, the most frequent first
        *["in_the", "ocean", "ship"],  # and those of the file that can be tokens
    ]
    assert [p for p in encoder.parameters() if p.requires_grad] == []


def test_training_words_come_before_those_of_the_file_where_few_may_have_a_vector(vectors: Path) -> None:
    assert set(made(file=vectors, vocabulary=4)[1].get_vocab()) == {"[PAD]", "[UNK]", "good", "sea", "the", "#day"}
    assert set(made(["ship"], file=vectors, vocabulary=3)[1].get_vocab()) == {"[PAD]", "[UNK]", "ship", "the", "sea"}


def test_without_a_vector_for_the_unknown_word_it_is_zero(vectors: Path) -> None:
    encoder, tokenizer = made(file=vectors, unknown="no-such-word")
    assert vector(encoder, tokenizer, "never") == [0, 0, 0]
    encoder, tokenizer = made(file=vectors, unknown="OCEAN")
    assert vector(encoder, tokenizer, "never") == [5, 5, 5]


def test_the_vectors_of_a_file_can_be_trained_on(vectors: Path) -> None:
    encoder, tokenizer = made(file=vectors, freeze=False)
    assert vector(encoder, tokenizer, "sea") == [8, 8, 8]
    assert [tuple(p.shape) for p in encoder.parameters() if p.requires_grad] == [(10, 3)]


def test_accents_are_stripped_from_the_file_too(tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_text("año 1 2\n")
    encoder, tokenizer = made(["ano"], file=tmp_path / "v.txt", strip_accents=True)
    assert vector(encoder, tokenizer, "Año") == [1, 2]


def test_a_file_of_other_words_is_refused(tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_text("two-words 1 2\n")
    with pytest.raises(ValueError, match=r"v\.txt has a vector for no word of the training texts, such as \['good'"):
        made(file=tmp_path / "v.txt")


def test_coverage_is_told(vectors: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="mlemo"):
        made()
        made(file=vectors)
    told = [record.getMessage() for record in caplog.records]
    total, known = sum(COUNTS.values()), sum(COUNTS[word] for word in ("good", "sea", "the", "#day", ":)"))
    assert told[0] == f"3 words have a vector: {100 * 8 / total:.1f} % of all words of the training texts"
    assert told[1] == f"8 words have a vector: {100 * known / total:.1f} % of all words of the training texts"


# lexicons -------------------------------------------------------------------------------------------------------


def test_lexicon_values_stand_behind_the_vector(lexicon: Path, tmp_path: Path, vectors: Path) -> None:
    other = tmp_path / "other.tsv"
    other.write_text("word\tpolarity\nstorm\t-3\n")
    encoder, tokenizer = made(file=vectors, lexicons=[Lexicon(lexicon), Lexicon(other)])
    assert encoder.config.hidden_size == 3 + 3
    expected = {
        "good": [11, 11, 11, 0.75, 0, 0],
        "storm": [6, 6, 6, 0, 1, -3],  # no vector, not in the training texts
        "rare": [6, 6, 6, -1, 2, 0],  # no vector
        "sea": [8, 8, 8, 0, 0, 0],
        "never": [6, 6, 6, 0, 0, 0],
    }
    for word, values in expected.items():
        assert vector(encoder, tokenizer, word) == values
    assert "life-long" not in tokenizer.get_vocab()
    assert not states(encoder, tokenizer, "good", "a b")[0, 1].any()


def test_from_scratch_a_word_of_the_lexicon_alone_has_the_vector_of_the_unknown_word(lexicon: Path) -> None:
    encoder, tokenizer = made(lexicons=[Lexicon(lexicon)])
    unknown = vector(encoder, tokenizer, "never")[:5]
    assert vector(encoder, tokenizer, "storm") == [*unknown, 0, 1]
    assert vector(encoder, tokenizer, "rare") == [*unknown, -1, 2]
    assert vector(encoder, tokenizer, "good")[:5] != unknown
    encoder, tokenizer = made(lexicons=[Lexicon(lexicon)], lowercase=False)
    assert vector(encoder, tokenizer, "never")[5:] == [0, 0], "the lexicon's [UNK] is a word"
    assert [tuple(p.shape) for p in encoder.parameters()] == [(5, 5)], "lexicon values are no parameters"


# the encoder's life ---------------------------------------------------------------------------------------------


def test_a_saved_encoder_is_restored_with_its_tokenizer(lexicon: Path, vectors: Path) -> None:
    for settings in ({}, {"file": vectors}, {"file": vectors, "freeze": False}):
        encoder, tokenizer = made(lexicons=[Lexicon(lexicon)], **settings)
        files = save_encoder(encoder, tokenizer)
        restored, again = restore_encoder(json.loads(json.dumps(files)))
        restored.load_state_dict(encoder.state_dict())
        texts = ["GOOD storm, never", ":) #day", ""]
        assert again(texts)["input_ids"] == tokenizer(texts)["input_ids"]
        assert torch.equal(states(restored, again, *texts), states(encoder, tokenizer, *texts))
        trained = [name for name, parameter in restored.named_parameters() if parameter.requires_grad]
        assert trained == ([] if settings == {"file": vectors} else ["vectors.weight"])


def test_an_encoder_needs_its_tokenizer(tokenizer: Any) -> None:
    source = WordVectors()
    with pytest.raises(ValueError, match="word vectors need their tokenizer"):
        source.encoder(tokenizer)
    source.tokenizer(lambda: TEXTS)
    with pytest.raises(ValueError, match="word vectors need their tokenizer"):
        source.encoder(tokenizer)


@pytest.mark.parametrize("name", ["width", "vocabulary", "min_count"])
def test_sizes_below_one_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=rf"model\.encoder\.{name} must be at least 1, found 0"):
        WordVectors(**{name: 0})


def test_a_bag_of_words_is_trained(data: Maker, trainer: Maker) -> None:
    """Mean pooling over word vectors: the logits do not depend on the order of the words."""
    model = TransformerClassifier(data().label_space, WordVectors(width=8), dropout=0.0)
    trainer().fit(model, datamodule=data(batch_size=4))
    texts = ["fear of the old house", "house old the of fear"]
    batch = model.tokenizer(texts, return_tensors="pt")
    with torch.no_grad():
        first, second = model.eval()(batch)
    torch.testing.assert_close(first, second)
    assert batch["input_ids"].unique().numel() == 5
