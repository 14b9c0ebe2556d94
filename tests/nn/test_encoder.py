import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModel, BertConfig, BertTokenizer, ModernBertConfig, RobertaConfig, RobertaModel

from mlemo.data import Corpus, SyntheticEmotions
from mlemo.nn.encoder import FromScratch, Pretrained, restore_encoder, save_encoder
from mlemo.nn.encoder_properties import max_length
from mlemo.nn.frozen_encoder import FrozenEncoder
from mlemo.utils.fetched import fetched

PROBES = ["I was so happy", "UNSEEN Café, words!", "joy [MASK] fear", "", "by  the\tsea 海"]


def no_texts() -> list[str]:
    raise AssertionError("a pretrained tokenizer needs no texts")


def states(encoder: Any, tokenizer: Any) -> torch.Tensor:
    batch = tokenizer(PROBES[:2], padding=True, return_tensors="pt", return_token_type_ids=False)
    with torch.no_grad():
        return encoder(**batch).last_hidden_state


def dropouts(encoder: nn.Module) -> set[float]:
    return {module.p for module in encoder.modules() if isinstance(module, nn.Dropout)}


# from scratch ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["english", "arabic", "chinese"])
@pytest.mark.parametrize("vocabulary", [90, 400])
def test_the_same_texts_give_the_same_vocabulary(language: str, vocabulary: int) -> None:
    texts = SyntheticEmotions(language, size=150).corpus("train").texts
    source = FromScratch(vocabulary=vocabulary)
    first = source.tokenizer(lambda: texts).get_vocab()
    second = source.tokenizer(lambda: texts[::-1]).get_vocab()
    assert first == second
    assert 0.4 * vocabulary < len(first) <= vocabulary
    assert sorted(first.values()) == list(range(len(first)))
    assert [token for token, _ in sorted(first.items(), key=lambda item: item[1])][:5] == [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
    ]


def test_frequent_words_are_whole_and_rare_ones_in_pieces(corpus: Corpus) -> None:
    tokenizer = FromScratch(vocabulary=150).tokenizer(lambda: corpus.texts)
    assert tokenizer.tokenize("never so HAPPY") == ["never", "so", "happy"]
    pieces = tokenizer.tokenize("saddest")
    assert len(pieces) > 1
    assert "".join(pieces).replace("##", "") == "saddest"
    assert tokenizer.decode(tokenizer("saddest day", add_special_tokens=False)["input_ids"]) == "saddest day"
    assert tokenizer.tokenize("海") == ["[UNK]"]


def test_pieces_of_ordinary_text_are_no_special_tokens(corpus: Corpus) -> None:
    tokenizer = FromScratch(vocabulary=150).tokenizer(lambda: corpus.texts)
    assert set(tokenizer.all_special_tokens) == {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
    assert tokenizer.tokenize("a ##y") == ["a", *["[UNK]"] * 2, *tokenizer.tokenize("y")]


def test_lowercase_is_a_choice(corpus: Corpus) -> None:
    lower, cased = (FromScratch(lowercase=choice).tokenizer(lambda: corpus.texts) for choice in (True, False))
    assert lower.tokenize("I") == lower.tokenize("i") == ["i"]
    assert cased.tokenize("I") == ["I"]


def test_sizes_are_those_of_the_config(source: FromScratch, corpus: Corpus) -> None:
    tokenizer = source.tokenizer(lambda: corpus.texts)
    encoder = FromScratch(layers=3, width=24, heads=4, max_positions=40, dropout=0.25).encoder(tokenizer)
    config = encoder.config
    assert (config.num_hidden_layers, config.hidden_size, config.num_attention_heads) == (3, 24, 4)
    assert (config.intermediate_size, config.max_position_embeddings, config.vocab_size) == (96, 40, len(tokenizer))
    assert dropouts(encoder) == {0.25}
    assert encoder.training
    assert encoder.pooler is None
    assert tokenizer.model_max_length == 128


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="encoder heads must divide the width, found 3 heads and width 32"):
        FromScratch(width=32, heads=3)


# pretrained -----------------------------------------------------------------------------------------------------


def test_pretrained_has_the_folders_weights_no_pooler_and_active_dropout(pretrained: Path) -> None:
    source = Pretrained(str(pretrained))
    tokenizer = source.tokenizer(no_texts)
    encoder = source.encoder(tokenizer)
    reference = AutoModel.from_pretrained(pretrained)
    assert encoder.pooler is None
    assert not any("pooler" in name for name in encoder.state_dict())
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, reference.state_dict()[name])
    assert all(module.training for module in encoder.modules())
    assert dropouts(encoder) == {0.1}
    assert not torch.equal(states(encoder, tokenizer), states(encoder, tokenizer))
    encoder.eval()
    torch.testing.assert_close(states(encoder, tokenizer), states(reference, tokenizer))


@pytest.mark.parametrize("frozen", [False, True])
def test_the_commit_of_an_encoder_on_the_hub_is_kept_for_the_record(
    frozen: bool, pretrained: Path, tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, commit = f"owner/{'frozen' if frozen else 'trained'}", "0123456789abcdef0123456789abcdef01234567"
    cached = tmp_path / f"models--{name.replace('/', '--')}"  # as the hub's client keeps what it has fetched
    shutil.copytree(pretrained, cached / "snapshots" / commit)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    if frozen:
        FrozenEncoder(name).state_dict()
    else:
        Pretrained(name).encoder(tokenizer)
    assert fetched()[name] == f"commit:{commit}"


def test_an_encoder_in_a_folder_has_no_commit(pretrained: Path, tokenizer: Any) -> None:
    Pretrained(str(pretrained)).encoder(tokenizer)
    assert str(pretrained) not in fetched()


def test_pretrained_is_float32_whatever_the_file_holds(pretrained: Path, tmp_path: Path, tokenizer: Any) -> None:
    half = AutoModel.from_pretrained(pretrained).bfloat16()
    half.save_pretrained(tmp_path)
    assert {p.dtype for p in AutoModel.from_pretrained(tmp_path).parameters()} == {torch.bfloat16}
    encoder = Pretrained(str(tmp_path)).encoder(tokenizer)
    assert {parameter.dtype for parameter in encoder.parameters()} == {torch.float32}


def test_dropout_can_be_set(pretrained: Path, tokenizer: Any) -> None:
    assert dropouts(Pretrained(str(pretrained), dropout=0.35).encoder(tokenizer)) == {0.35}
    assert dropouts(Pretrained(str(pretrained), dropout=0.0).encoder(tokenizer)) == {0.0}


def test_dropout_of_an_encoder_with_other_names_for_it(tmp_path: Path, tokenizer: Any) -> None:
    config = ModernBertConfig(
        vocab_size=60, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, pad_token_id=0,
        bos_token_id=2, eos_token_id=3, cls_token_id=2, sep_token_id=3,
    )  # fmt: skip
    AutoModel.from_config(config).save_pretrained(tmp_path)
    assert 0.2 in dropouts(Pretrained(str(tmp_path), dropout=0.2).encoder(tokenizer))


def test_dropout_that_cannot_be_set_is_refused(
    pretrained: Path, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlemo.nn.encoder.DROPOUTS", ("resid_pdrop",))
    with pytest.raises(ValueError, match=r"has no dropout that could be set to 0\.2"):
        Pretrained(str(pretrained), dropout=0.2).encoder(tokenizer)


@pytest.mark.parametrize("name", ["no/such", "nosuch", "/no/such/folder"])
def test_an_unknown_encoder_is_named(name: str, tokenizer: Any) -> None:
    message = f"encoder '{name}' is neither a local folder in the hub's layout nor to be had from it"
    with pytest.raises(FileNotFoundError, match=message):
        Pretrained(name).tokenizer(no_texts)
    with pytest.raises(FileNotFoundError, match=message):
        Pretrained(name).encoder(tokenizer)


# round trip through a checkpoint --------------------------------------------------------------------------------


def bert(tmp_path: Path, **settings: Any) -> tuple[Any, Any]:
    """A folder as released for bert-base: a tokenizer of BERT's own class."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "i", "was", "so", "ha", "##pp", "##y", "joy", "fear", "sea"]
    BertTokenizer(vocab={word: number for number, word in enumerate(words)}, **settings).save_pretrained(tmp_path)
    config = BertConfig(vocab_size=14, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    AutoModel.from_config(config).save_pretrained(tmp_path)
    source = Pretrained(str(tmp_path))
    tokenizer = source.tokenizer(no_texts)
    return source.encoder(tokenizer), tokenizer


@pytest.fixture(params=["scratch", "scratch cased", "bert", "bert cased", "roberta"])
def pair(request: pytest.FixtureRequest, source: FromScratch, corpus: Corpus, tmp_path: Path, roberta: Any) -> tuple:
    """An encoder with its tokenizer."""
    kind, _, cased = request.param.partition(" ")
    if kind == "roberta":
        return RobertaModel(roberta_config(roberta), add_pooling_layer=False), roberta
    if kind == "bert":
        return bert(tmp_path, do_lower_case=not cased)
    source.lowercase = not cased
    tokenizer = source.tokenizer(lambda: corpus.texts)
    return source.encoder(tokenizer), tokenizer


def roberta_config(tokenizer: Any) -> RobertaConfig:
    return RobertaConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=66, type_vocab_size=1, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip


def test_a_saved_encoder_is_restored_with_its_tokenizer(pair: tuple[Any, Any]) -> None:
    encoder, tokenizer = pair
    files = save_encoder(encoder, tokenizer)
    assert all(isinstance(content, str) for content in files.values())
    assert not any("safetensors" in name for name in files), "weights do not belong here"
    restored, again = restore_encoder(json.loads(json.dumps(files)))
    own, back = (part.config.to_dict() for part in (encoder, restored))
    for config in (own, back):  # where a config was read from, and what AutoModel notes down
        del config["_name_or_path"], config["dtype"]
    assert own == back
    assert restored.training
    assert restored.pooler is None
    assert again.model_max_length == tokenizer.model_max_length
    assert again.mask_token_id == tokenizer.mask_token_id
    for first in PROBES:
        for second in (None, *PROBES):
            assert again(first, second)["input_ids"] == tokenizer(first, second)["input_ids"]
    restored.load_state_dict(encoder.state_dict())
    assert torch.equal(states(restored.eval(), again), states(encoder.eval(), tokenizer))


def test_binary_files_survive(source: FromScratch, corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = source.tokenizer(lambda: corpus.texts)
    encoder = source.encoder(tokenizer)
    content = bytes(range(256))
    plain = type(tokenizer).save_pretrained

    def save(self: Any, folder: str) -> None:
        plain(self, folder)
        Path(folder, "spiece.model").write_bytes(content)

    written: list[bytes] = []
    monkeypatch.setattr(type(tokenizer), "save_pretrained", save)
    files = save_encoder(encoder, tokenizer)
    load = restore_encoder.__globals__["AutoTokenizer"].from_pretrained
    monkeypatch.setattr(
        "mlemo.nn.encoder.AutoTokenizer.from_pretrained",
        lambda folder, **settings: written.append(Path(folder, "spiece.model").read_bytes()) or load(folder),
    )
    restore_encoder(files)
    assert written == [content]


def test_a_tokenizer_with_a_file_that_a_checkpoint_may_not_hold_is_refused(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        type(tokenizer), "save_pretrained", lambda self, folder: Path(folder, "tokenization_own.py").write_text("x")
    )
    encoder = FromScratch(layers=1, width=32, heads=2, max_positions=128).encoder(tokenizer)
    with pytest.raises(ValueError, match=r"no file named 'tokenization_own\.py'"):
        save_encoder(encoder, tokenizer)


def test_an_encoder_without_config_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no config\.json; its files are \['tokenizer\.json'\]"):
        restore_encoder({"tokenizer.json": "{}"})


# longest input --------------------------------------------------------------------------------------------------


def test_longest_input_is_the_smallest_of_all_limits(source: FromScratch, corpus: Corpus) -> None:
    tokenizer = source.tokenizer(lambda: corpus.texts)
    encoder = source.encoder(tokenizer)
    assert max_length(encoder, tokenizer, 512) == 128
    assert max_length(encoder, tokenizer, 100) == 100
    tokenizer.model_max_length = 90
    assert max_length(encoder, tokenizer, 512) == 90
    tokenizer.model_max_length = int(1e30)
    assert max_length(encoder, tokenizer, 512) == 128


def test_roberta_counts_positions_from_behind_the_padding_id(roberta: Any) -> None:
    encoder = RobertaModel(roberta_config(roberta), add_pooling_layer=False).eval()
    longest = max_length(encoder, roberta, 512)
    assert longest == 64
    ids = torch.full((1, longest), 5)
    assert encoder(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state.shape == (1, 64, 32)
    ids = torch.full((1, longest + 1), 5)
    with pytest.raises((IndexError, RuntimeError)):
        encoder(input_ids=ids, attention_mask=torch.ones_like(ids))
