"""The prompt against the tokenizer itself, on the prompt written out as a string."""

from typing import Any, get_args

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from mlemo.batch import PromptLayout, TextInput
from mlemo.data import Corpus, Prompt, TokenizedCorpus
from mlemo.data.prompt import special_tokens
from mlemo.nn.prompt_order import reorder_prompt

LAYOUTS = get_args(PromptLayout)


@pytest.fixture(params=["bert", "roberta"])
def any_tokenizer(request: pytest.FixtureRequest, tokenizer: Any, roberta: Any) -> Any:
    return {"bert": tokenizer, "roberta": roberta}[request.param]


def written(tokenizer: Any, names: list[str], layout: str) -> str:
    """The prompt as a string."""
    words = "" if layout == "masks" else " {}"
    mask = "" if layout == "words" else tokenizer.mask_token
    return "".join(words.format(name.replace("_", " ")) + mask for name in names)


def readouts(tokenizer: Any, names: list[str], layout: str) -> list[int]:
    """Where the read-out of each label stands in the whole input, behind ``[CLS]`` or ``<s>``, label by label."""
    positions = []
    for place in range(len(names)):
        before = tokenizer(written(tokenizer, names[:place], layout), add_special_tokens=False)["input_ids"]
        upto = tokenizer(written(tokenizer, names[: place + 1], layout), add_special_tokens=False)["input_ids"]
        positions.append(1 + (len(before) if layout == "words" else len(upto) - 1))
    return positions


def test_special_tokens(tokenizer: Any, roberta: Any) -> None:
    cls, sep = tokenizer.cls_token_id, tokenizer.sep_token_id
    assert special_tokens(tokenizer, pair=False) == ([cls], [], [sep])
    assert special_tokens(tokenizer, pair=True) == ([cls], [sep], [sep])
    bos, eos = roberta.bos_token_id, roberta.eos_token_id
    assert special_tokens(roberta, pair=False) == ([bos], [], [eos])
    assert special_tokens(roberta, pair=True) == ([bos], [eos, eos], [eos])
    bare = tokenizer.backend_tokenizer.__class__.from_str(tokenizer.backend_tokenizer.to_str())
    bare.post_processor = None
    assert special_tokens(PreTrainedTokenizerFast(tokenizer_object=bare), pair=True) == ([], [], [])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_prompt_is_what_the_tokenizer_makes_of_its_text(any_tokenizer: Any, corpus: Corpus, layout: str) -> None:
    names = list(corpus.label_space.names)
    prompt = Prompt(any_tokenizer, names, layout)
    whole = any_tokenizer(written(any_tokenizer, names, layout), "we had a day")
    text = any_tokenizer("we had a day", add_special_tokens=False)["input_ids"]
    assert prompt.ids.tolist() == whole["input_ids"][: -len(text) - 1]
    assert len(prompt) == len(whole["input_ids"]) - len(text) - 1
    assert prompt.positions.tolist() == readouts(any_tokenizer, names, layout)
    assert prompt.order.tolist() == list(range(len(names)))
    if layout == "words_masks":
        assert len(prompt) > 2 * len(names) + 4, "no label word has several pieces: the test would not show their use"
    if layout != "words":
        assert (prompt.ids[prompt.positions] == any_tokenizer.mask_token_id).all()
        assert (prompt.ids == any_tokenizer.mask_token_id).sum() == len(names)
    else:
        assert not (prompt.ids == any_tokenizer.mask_token_id).any()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("token_types", [False, True])
def test_permuted_prompt_is_the_one_written_in_that_order(
    any_tokenizer: Any, corpus: Corpus, layout: str, token_types: bool
) -> None:
    dataset = TokenizedCorpus(corpus, TextInput(any_tokenizer, 128, layout, token_types))
    batch = dataset.__getitems__([3, 0, 7, 7, 12, 1])
    original = {key: value.clone() for key, value in batch.items()}
    order = torch.rand(6, len(corpus.label_space), generator=torch.Generator().manual_seed(1)).argsort(1)
    assert len(order.unique(dim=0)) == 6
    permuted = reorder_prompt(batch, order)
    for row, places in enumerate(order.tolist()):
        names = [corpus.label_space.names[label] for label in places]
        text = corpus.texts[int(batch["index"][row])]
        expected = any_tokenizer(written(any_tokenizer, names, layout), text)["input_ids"]
        length = int(batch["attention_mask"][row].sum())
        assert permuted["input_ids"][row, :length].tolist() == expected
        assert (permuted["input_ids"][row, length:] == any_tokenizer.pad_token_id).all()
        by_place = readouts(any_tokenizer, names, layout)
        assert permuted["label_positions"][row].tolist() == [
            by_place[places.index(label)] for label in range(len(names))
        ]
    assert torch.equal(permuted["label_order"], order)
    assert batch.keys() == permuted.keys()
    for key in batch.keys() - {"input_ids", "label_positions", "label_order", "prompt_segments"}:
        assert torch.equal(permuted[key], original[key])
    for key, value in original.items():
        assert torch.equal(batch[key], value), f"{key} of the given batch was changed"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_permuting_back_is_the_identity_and_the_last_order_counts(
    any_tokenizer: Any, corpus: Corpus, layout: str
) -> None:
    dataset = TokenizedCorpus(corpus, TextInput(any_tokenizer, 128, layout, True))
    batch = dataset.__getitems__(range(8))
    first, second = torch.rand(2, 8, len(corpus.label_space), generator=torch.Generator().manual_seed(2)).argsort(-1)
    once = reorder_prompt(batch, first)
    twice = reorder_prompt(once, second)
    direct = reorder_prompt(batch, second)
    back = reorder_prompt(twice, batch["label_order"])
    assert layout == "masks" or not torch.equal(once["input_ids"], batch["input_ids"])
    for key, value in batch.items():
        assert torch.equal(back[key], value), key
        assert torch.equal(twice[key], direct[key]), key


def test_label_words_stand_for_the_names(tokenizer: Any) -> None:
    prompt = Prompt(tokenizer, ["happy day", "sea"], "words_masks")
    expected = tokenizer("happy day [MASK] sea [MASK]", "a")["input_ids"][:-2]
    assert prompt.ids.tolist() == expected


def test_a_tokenizer_without_mask_is_refused_unless_the_words_are_read_out(tokenizer: Any) -> None:
    bare = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer, pad_token="[PAD]")
    for layout in ("words_masks", "masks"):
        with pytest.raises(ValueError, match=f"prompt layout '{layout}' needs a mask token .* or layout 'words'"):
            Prompt(bare, ["joy"], layout)
    assert len(Prompt(bare, ["joy"], "words")) == 3


def test_a_label_word_without_a_piece_is_refused(tokenizer: Any) -> None:
    for layout in ("words_masks", "words"):
        with pytest.raises(ValueError, match="no word piece in the label words '_'"):
            Prompt(tokenizer, ["joy", "_"], layout)
    assert Prompt(tokenizer, ["joy", "_"], "masks").positions.tolist() == [1, 2]
