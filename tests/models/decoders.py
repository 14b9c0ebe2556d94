"""Tiny random decoder language models of three families, in the hub's layout, with tokenizers like theirs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoModelForCausalLM, Gemma2Config, LlamaConfig, PreTrainedTokenizerFast, Qwen3Config

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
}
#: Special tokens, what begins each text, and the class of the config.
FAMILIES: dict[str, tuple[list[str], str | None, Any]] = {
    "qwen": (["<|endoftext|>"], None, Qwen3Config),  # nothing is added to a text
    "llama": (["<s>", "</s>"], "<s>", LlamaConfig),  # no token for padding
    "gemma": (["<pad>", "<eos>", "<bos>"], "<bos>", Gemma2Config),
}


def decoder(family: str, folder: Path, texts: Sequence[str]) -> Path:
    """Write a random language model and a tokenizer that is trained on texts; returns the folder."""
    special, begin, config = FAMILIES[family]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    if begin is not None:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{begin} $A",
            pair=f"{begin} $A {begin}:1 $B:1",
            special_tokens=[(begin, tokenizer.token_to_id(begin))],
        )
    names = {
        "qwen": {"eos_token": special[0], "pad_token": special[0]},
        "llama": {"bos_token": "<s>", "eos_token": "</s>"},
        "gemma": {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>"},
    }
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, padding_side="left", **names[family])
    fast.save_pretrained(folder)
    torch.manual_seed(3)
    settings = SIZES | {"vocab_size": len(fast), "pad_token_id": fast.pad_token_id, "initializer_range": 0.3}
    AutoModelForCausalLM.from_config(config(**settings)).save_pretrained(folder)
    return folder
