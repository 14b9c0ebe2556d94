"""Batches against the tokenizer itself, called row by row."""

from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from mlemo.batch import Batch, TextInput
from mlemo.data import Corpus, TokenizedCorpus
from mlemo.nn.words import WordVectors

ROWS = [5, 0, 22, 5, 13]


@pytest.fixture(params=["bert", "roberta"])
def any_tokenizer(request: pytest.FixtureRequest, tokenizer: Any, roberta: Any) -> Any:
    return {"bert": tokenizer, "roberta": roberta}[request.param]


def padded(tokenizer: Any, encoded: list[Any]) -> Any:
    return tokenizer.pad({key: [row[key] for row in encoded] for key in encoded[0]}, return_tensors="pt")


@pytest.mark.parametrize("max_length", [128, 13])
def test_batch_without_prompt_is_the_tokenizers_own(any_tokenizer: Any, corpus: Corpus, max_length: int) -> None:
    dataset = TokenizedCorpus(corpus, TextInput(any_tokenizer, max_length))
    batch = dataset.__getitems__(ROWS)
    expected = padded(
        any_tokenizer, [any_tokenizer(corpus.texts[row], truncation=True, max_length=max_length) for row in ROWS]
    )
    assert torch.equal(batch["input_ids"], expected["input_ids"])
    assert torch.equal(batch["attention_mask"], expected["attention_mask"])
    assert (batch["input_ids"].shape[1] == max_length) == (max_length == 13), "truncation is or is not seen"
    assert batch.keys() == {"input_ids", "attention_mask", "labels", "label_mask", "index"}
    assert dataset.prompt is None


@pytest.mark.parametrize("token_types", [False, True])
@pytest.mark.parametrize("room", [100, 9])
def test_batch_with_prompt_is_the_tokenizers_pair_with_only_the_text_cut(
    any_tokenizer: Any, corpus: Corpus, token_types: bool, room: int
) -> None:
    mask = any_tokenizer.mask_token
    prompt = "".join(f" {name.replace('_', ' ')}{mask}" for name in corpus.label_space.names)
    one = len(any_tokenizer("and", add_special_tokens=False)["input_ids"])
    max_length = len(any_tokenizer(prompt, "and")["input_ids"]) - one + room
    dataset = TokenizedCorpus(corpus, TextInput(any_tokenizer, max_length, "words_masks", token_types))
    batch = dataset.__getitems__(ROWS)
    settings = {"truncation": "only_second", "max_length": max_length, "return_token_type_ids": True}
    expected = padded(any_tokenizer, [any_tokenizer(prompt, corpus.texts[row], **settings) for row in ROWS])
    assert torch.equal(batch["input_ids"], expected["input_ids"])
    assert torch.equal(batch["attention_mask"], expected["attention_mask"])
    assert (batch["input_ids"].shape[1] == max_length) == (room == 9), "truncation is or is not seen"
    assert ("token_type_ids" in batch) == token_types
    if token_types and any_tokenizer.mask_token == "[MASK]":  # RoBERTa has one segment type
        assert torch.equal(batch["token_type_ids"], expected["token_type_ids"])
    assert (batch["input_ids"].gather(1, batch["label_positions"]) == any_tokenizer.mask_token_id).all()
    assert batch["label_order"].tolist() == [list(range(len(corpus.label_space)))] * len(ROWS)


def test_token_types_without_prompt_are_0(tokenizer: Any, corpus: Corpus) -> None:
    batch = TokenizedCorpus(corpus, TextInput(tokenizer, 64, token_types=True)).__getitems__(ROWS)
    assert batch["token_type_ids"].shape == batch["input_ids"].shape
    assert not batch["token_type_ids"].any()


def test_labels_mask_and_index_are_those_of_the_rows(tokenizer: Any, corpus: Corpus) -> None:
    dataset = TokenizedCorpus(corpus, TextInput(tokenizer, 64))
    assert len(dataset) == len(corpus)
    for rows in (ROWS, torch.tensor(ROWS)):
        batch = dataset.__getitems__(rows)
        assert batch["index"].tolist() == ROWS
        assert torch.equal(batch["labels"], corpus.labels[ROWS])
        assert torch.equal(batch["label_mask"], corpus.mask[ROWS])
        assert not batch["label_mask"].all()
        dtypes = {key: value.dtype for key, value in batch.items()}
        assert dtypes == {
            "input_ids": torch.long,
            "attention_mask": torch.long,
            "labels": torch.float32,
            "label_mask": torch.bool,
            "index": torch.long,
        }
    single = dataset[4]
    assert single["index"].tolist() == [4]
    assert single["attention_mask"].all()


def test_lengths_are_the_tokens_behind_the_prompt(tokenizer: Any, corpus: Corpus) -> None:
    lengths = TokenizedCorpus(corpus, TextInput(tokenizer, 128, "words_masks")).lengths
    expected = [len(tokenizer(text, add_special_tokens=False)["input_ids"]) + 1 for text in corpus.texts]
    assert lengths.tolist() == expected


def test_empty_text_is_the_special_tokens_alone(tokenizer: Any, corpus: Corpus) -> None:
    corpus.texts[2] = ""
    plain = TokenizedCorpus(corpus, TextInput(tokenizer, 64)).__getitems__([2])
    assert plain["input_ids"].tolist() == [[tokenizer.cls_token_id, tokenizer.sep_token_id]]
    prompted = TokenizedCorpus(corpus, TextInput(tokenizer, 64, "masks")).__getitems__([2, 0])
    assert prompted["attention_mask"][0].sum() == 1 + 5 + 1 + 1


def test_a_loader_makes_a_batch_in_one_call(tokenizer: Any, corpus: Corpus) -> None:
    dataset = TokenizedCorpus(corpus, TextInput(tokenizer, 64, "words"))
    calls: list[list[int]] = []
    gather = dataset.__getitems__

    class Counted(TokenizedCorpus):
        def __init__(self) -> None:
            self.__dict__ |= dataset.__dict__

        def __getitems__(self, rows: Any) -> Batch:
            calls.append(list(rows))
            return gather(rows)

    batches = list(DataLoader(Counted(), batch_sampler=[[3, 1], [8]], collate_fn=lambda batch: batch))
    assert calls == [[3, 1], [8]]
    assert torch.equal(batches[0]["input_ids"], gather([3, 1])["input_ids"])


def test_label_words_replace_the_names(tokenizer: Any, corpus: Corpus) -> None:
    words = ("happy", "good day", "rain", "never", "sea")
    batch = TokenizedCorpus(corpus, TextInput(tokenizer, 128, "words_masks", label_words=words)).__getitems__([4])
    prompt = " ".join(f"{word} [MASK]" for word in words)
    assert batch["input_ids"][0].tolist() == tokenizer(prompt, corpus.texts[4])["input_ids"]
    with pytest.raises(ValueError, match="2 label words for 5 labels: one phrase a label is expected"):
        TokenizedCorpus(corpus, TextInput(tokenizer, 128, "words_masks", label_words=words[:2]))


def test_too_little_room_for_the_text_is_refused_and_just_enough_is_not(tokenizer: Any, corpus: Corpus) -> None:
    around = 1 + 5 + 1 + 1  # [CLS], five [MASK], [SEP], [SEP]
    enough = TokenizedCorpus(corpus, TextInput(tokenizer, around + 8, "masks"))
    assert enough.__getitems__(range(len(corpus)))["input_ids"].shape[1] == around + 8
    message = "max_length 15 leaves 7 tokens to the text beside 8 of prompt and special tokens; at least 8 are expected"
    with pytest.raises(ValueError, match=message):
        TokenizedCorpus(corpus, TextInput(tokenizer, around + 7, "masks"))


def test_texts_are_cleaned_once_before_they_are_tokenized(tokenizer: Any, corpus: Corpus) -> None:
    calls: list[str] = []

    def clean(text: str) -> str:
        calls.append(text)
        return text.upper().replace("A", "the sea")

    dataset = TokenizedCorpus(corpus, TextInput(tokenizer, 128, cleaning=clean))
    assert calls == corpus.texts
    batch = dataset.__getitems__(ROWS)
    expected = padded(tokenizer, [tokenizer(clean(corpus.texts[row])) for row in ROWS])
    assert torch.equal(batch["input_ids"], expected["input_ids"])
    assert len(calls) == len(corpus) + len(ROWS), "batches clean nothing"


def test_prompts_are_not_cleaned(tokenizer: Any, corpus: Corpus) -> None:
    dataset = TokenizedCorpus(corpus, TextInput(tokenizer, 128, "words", cleaning=lambda text: ""))
    plain = TokenizedCorpus(corpus, TextInput(tokenizer, 128, "words"))
    assert torch.equal(dataset.prefix, plain.prefix)
    assert dataset[0]["input_ids"].tolist() == [[*plain.prefix.tolist(), tokenizer.sep_token_id]]


@pytest.mark.parametrize("length", [12, 60])
def test_a_fixed_length_pads_every_text_at_its_start(any_tokenizer: Any, corpus: Corpus, length: int) -> None:
    dataset = TokenizedCorpus(corpus, TextInput(any_tokenizer, length, fixed_length=True))
    first, last = any_tokenizer("a")["input_ids"][0], any_tokenizer("a")["input_ids"][-1]
    whole = dataset.__getitems__(range(len(corpus)))
    cut = 0
    for row, text in enumerate(corpus.texts):
        tokens = any_tokenizer(text, add_special_tokens=False)["input_ids"]
        cut += len(tokens) > length - 2
        tokens = [*tokens[: length - 2], last]
        padding = length - 1 - len(tokens)
        ids, mask = [first, *[any_tokenizer.pad_token_id] * padding, *tokens], [1, *[0] * padding, *[1] * len(tokens)]
        assert whole["input_ids"][row].tolist() == ids
        assert whole["attention_mask"][row].tolist() == mask
        assert torch.equal(dataset[row]["input_ids"][0], whole["input_ids"][row]), "the same alone"
    assert (cut > 0) == (length == 12)


def test_a_fixed_length_for_a_text_without_tokens_is_all_padding(corpus: Corpus) -> None:
    tokenizer = WordVectors(width=2).tokenizer(lambda: corpus.texts)
    corpus.texts[0] = " "
    batch = TokenizedCorpus(corpus, TextInput(tokenizer, 9, fixed_length=True)).__getitems__([0])
    assert batch["input_ids"].tolist() == [[tokenizer.pad_token_id] * 9]
    assert not batch["attention_mask"].any()


def test_a_fixed_length_and_a_prompt_are_refused(tokenizer: Any, corpus: Corpus) -> None:
    with pytest.raises(ValueError, match="padded to a fixed length at their start, where a prompt would be"):
        TokenizedCorpus(corpus, TextInput(tokenizer, 64, "words", fixed_length=True))


def test_a_tabular_corpus_is_refused(tokenizer: Any, corpus: Corpus) -> None:
    tabular = Corpus(corpus.label_space, corpus.labels, corpus.ids, features=torch.zeros(len(corpus), 3))
    with pytest.raises(ValueError, match="needs a corpus with texts; this one has features only"):
        TokenizedCorpus(tabular, TextInput(tokenizer, 64))
