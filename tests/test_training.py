from __future__ import annotations

import pytest
import torch

from mlemo.training import default_precision, instantiate


@pytest.mark.parametrize(
    ("gpu", "gpu_bf16", "avx512_bf16", "amx", "expected"),
    [
        (True, True, False, False, "bf16-mixed"),
        (True, False, True, True, "16-mixed"),
        (False, False, True, False, "bf16-mixed"),
        (False, False, False, True, "bf16-mixed"),
        (False, False, False, False, "32-true"),
    ],
)
def test_precision_follows_the_hardware(
    gpu: bool, gpu_bf16: bool, avx512_bf16: bool, amx: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: gpu_bf16)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert default_precision() == expected


def test_null_switches_off_a_setting_of_a_part_of_a_part() -> None:
    words = ["--data=SyntheticEmotions", "--model=TransformerClassifier", "--trainer.logger=false"]
    words += ["--trainer.accelerator=cpu", "--model.cleaning=ArabicTweets"]
    assert instantiate([*words, "--model.cleaning.urls=URL"]).model.cleaning.urls == "URL"
    for name in ("urls", "mentions", "repeated_letters", "unicode_form"):
        found = instantiate([*words, f"--model.cleaning.{name}", "null"]).model.cleaning
        assert getattr(found, name) is None
