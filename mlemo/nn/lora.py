"""Low-rank adapters on a pretrained encoder that is not trained, and checkpoints that hold the adapters alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import BitsAndBytesConfig

from mlemo.nn.encoder import EncoderSource, Pretrained, restore_encoder, save_encoder
from mlemo.nn.encoder_reference import commit_of, differences, file_hashes
from mlemo.utils.serialization import component_from_dict, component_to_dict

__all__ = ["Lora", "stored_source"]

#: What a checkpoint holds of an encoder with adapters: where the encoder is from, and the hashes of its files.
REFERENCE = "lora.json"
ALL_LINEAR: Literal["all-linear"] = "all-linear"
LARGEST_RANK = 4096


class Lora(EncoderSource):
    """A pretrained encoder whose weights stay as they are, with trained low-rank adapters on some linear layers.

        h = W x + (alpha / r) · B A x,   A (r, in), B (out, r); B = 0 at the start

    (Hu et al., LoRA, ICLR 2022, eq. 3), by the library peft. Optimizer states, gradients and checkpoints are those of
    the adapters and of the layers above the encoder. A checkpoint names the encoder with the hashes of its files and
    does not hold it: it is looked for where it was in training, and an encoder that is gone or differs is an error. One
    that was moved is given to the model: ``mlemo test --ckpt_path RUN --model.encoder.base PLACE``, or in Python
    ``TransformerClassifier.load_from_checkpoint(path, encoder=Lora(PLACE))``.

    Adapters need a learning rate of 2e-4 to 2e-3, many times that of fine-tuning.

    Args:
        base: The encoder: a name on the hub, a local folder in its layout, or a ``Pretrained``.
        r: Rank of the adapters.
        alpha: Scale of the adapters, divided by ``r``; ``None`` for ``2 r``.
        dropout: Dropout before the adapters, in training.
        target_modules: Names (ends of names) of the linear layers that get adapters; ``all-linear`` for all of them;
            ``None`` for those that peft has for the architecture (mostly the query and value projections), and for all
            where it has none.
        quantize: Load the encoder in 4 bits (NF4, Dettmers et al., QLoRA, NeurIPS 2023), for which bitsandbytes and a
            GPU are needed.

    Raises:
        ValueError: ``r`` outside 1 to 4096, ``alpha`` or ``dropout`` out of range; when training starts: there is no
            such linear layer, or ``quantize`` is set without bitsandbytes or GPU.
        FileNotFoundError: There is no such encoder (when training starts).
    """

    def __init__(
        self,
        base: Pretrained | str,
        r: int = 8,
        alpha: float | None = None,
        dropout: float = 0.05,
        *,
        target_modules: list[str] | Literal["all-linear"] | None = None,
        quantize: bool = False,
    ) -> None:
        if not 1 <= r <= LARGEST_RANK:
            raise ValueError(f"Lora.r must lie between 1 and {LARGEST_RANK}, found {r}")
        if alpha is not None and not alpha > 0:
            raise ValueError(f"Lora.alpha must be above 0, found {alpha}")
        if not 0 <= dropout < 1:
            raise ValueError(f"Lora.dropout must be at least 0 and below 1, found {dropout}")
        if isinstance(target_modules, str) and target_modules != ALL_LINEAR:
            raise ValueError(
                f"Lora.target_modules is a list of names of linear layers or {ALL_LINEAR!r}, found {target_modules!r}"
            )
        self.base = Pretrained(base) if isinstance(base, str) else base
        self.r, self.alpha, self.dropout = r, alpha, dropout
        self.target_modules, self.quantize = target_modules, quantize
        self._loaded: nn.Module | None = None

    @property
    def pretrained(self) -> Pretrained:
        """The encoder before the adapters are trained."""
        return self.base

    def tokenizer(self, texts: Callable[[], Sequence[str]]) -> Any:
        """The tokenizer that the encoder was trained with."""
        return self.base.tokenizer(texts)

    def load(self) -> None:
        """Load the encoder without adapters, which `encoder` or `restored` then takes."""
        if self._loaded is None:
            self._loaded = self.base.load(**self._quantization())

    def encoder(self, tokenizer: Any) -> nn.Module:
        """The encoder with adapters, its own weights frozen; its state dict holds the adapters alone."""
        from peft import LoraConfig, inject_adapter_in_model  # noqa: PLC0415  # its import takes seconds

        self.load()
        encoder, self._loaded = self._loaded, None
        assert encoder is not None
        alpha = 2 * self.r if self.alpha is None else self.alpha
        targets = self._targets(encoder)
        # peft divides any number by r, and its type hint says int
        config = LoraConfig(r=self.r, lora_alpha=alpha, lora_dropout=self.dropout, target_modules=targets)  # type: ignore[arg-type]
        try:
            inject_adapter_in_model(config, encoder)
        except ValueError as error:
            linear = sorted({name.rpartition(".")[2] for name, part in encoder.named_modules() if _is_linear(part)})
            raise ValueError(
                f"encoder {self.base.name!r} takes no adapters at Lora.target_modules={self.target_modules!r}; its "
                f"linear layers are {', '.join(linear)} ({error})"
            ) from error
        for parameter in encoder.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()  # the optimizer needs it, whatever the encoder has
        encoder.register_state_dict_post_hook(_leave_out_frozen)
        encoder.register_load_state_dict_pre_hook(_note_prefix)
        encoder.register_load_state_dict_post_hook(_keep_frozen)
        return encoder.train()

    def stored(self, encoder: Any, tokenizer: Any) -> dict[str, str]:
        """Where the encoder is from, the hashes of its files, and the settings of the adapters."""
        settings = component_to_dict(self, nested=EncoderSource)
        base = settings["init_args"]["base"]["init_args"]
        if Path(self.base.name).is_dir():
            base["name"] = str(Path(self.base.name).resolve())
        else:
            base["revision"] = commit_of(self.base.name, self.base.revision) or self.base.revision
        settings["init_args"]["target_modules"] = self._targets(encoder)
        content = {"source": settings, "files": file_hashes(self.base.name, self.base.revision)}
        return {REFERENCE: json.dumps(content, sort_keys=True)}

    def restored(self, files: Mapping[str, str]) -> tuple[nn.Module, Any]:
        """The encoder with adapters that are loaded later, and its tokenizer.

        Raises:
            FileNotFoundError: The encoder is not where it was, nor where this source has it.
            ValueError: Its files are others than in training.
        """
        tokenizer = self.base.tokenizer(list)
        if found := differences(_read(files)["files"], file_hashes(self.base.name, self.base.revision)):
            raise ValueError(f"the adapters were trained on another encoder than {self.base.name!r}: {found}")
        return self.encoder(tokenizer), tokenizer

    def merged(self, encoder: Any, tokenizer: Any) -> tuple[nn.Module, dict[str, str]]:
        """The encoder in float32 with the adapters added to its weights, ``W + (alpha / r) · B A``, and its files.

        Args:
            encoder: An encoder with adapters, of `encoder` or `restored`; its adapters are merged in place.
            tokenizer: Its tokenizer.

        Raises:
            ValueError: The encoder is quantized.
        """
        from peft.tuners.lora import LoraLayer  # noqa: PLC0415  # its import takes seconds

        if self.quantize:
            raise ValueError("adapters on a quantized encoder cannot be merged into its 4-bit weights")
        weights = {}
        layers = {name: layer for name, layer in encoder.float().named_modules() if isinstance(layer, LoraLayer)}
        for layer in layers.values():
            layer.merge()  # type: ignore[operator]  # defined by the layers of each kind
        for name, weight in [*encoder.named_parameters(), *encoder.named_buffers()]:
            owner, _, rest = name.partition(".base_layer.")
            if rest:
                weights[f"{owner}.{rest}"] = weight.detach()
            elif not any(name.startswith(f"{layer}.") for layer in layers):
                weights[name] = weight.detach()
        files = save_encoder(encoder, tokenizer)
        plain, _ = restore_encoder(files)
        plain.load_state_dict({name: weights[name] for name in plain.state_dict()})
        return plain, files

    def _targets(self, encoder: Any) -> list[str] | Literal["all-linear"]:
        from peft.utils.constants import (  # noqa: PLC0415  # its import takes seconds
            TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING,
        )

        if self.target_modules is not None:
            return self.target_modules
        known = TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING.get(encoder.config.model_type)
        return ALL_LINEAR if known is None else list(known)

    def _quantization(self) -> dict[str, Any]:
        if not self.quantize:
            return {}
        try:
            import bitsandbytes  # noqa: F401, PLC0415  # an extra that few have
        except ImportError:
            raise ValueError("Lora.quantize needs the library bitsandbytes: pip install bitsandbytes") from None
        if not torch.cuda.is_available():
            raise ValueError("Lora.quantize needs a GPU, and this machine has none that PyTorch can use")
        config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16)
        return {"quantization_config": config}

    def __getstate__(self) -> dict[str, Any]:
        """Without the encoder, so that a copy of a model is not a copy of it."""
        return {**self.__dict__, "_loaded": None}


def stored_source(files: Mapping[str, str], own: EncoderSource) -> EncoderSource:
    """The source that a checkpoint's encoder is restored with.

    Args:
        files: What the checkpoint holds of the encoder.
        own: The source that the model was made with.

    Returns:
        For adapters, those of the checkpoint on the encoder that ``own`` names, if it is a ``Lora``, else on the one
        that the checkpoint names; ``own`` for any other encoder.

    Raises:
        ValueError: The checkpoint's description of the adapters cannot be read.
    """
    if not isinstance(files, Mapping) or REFERENCE not in files:
        return own
    source = component_from_dict(_read(files)["source"], EncoderSource, "encoder")  # type: ignore[type-abstract]
    if not isinstance(source, Lora):
        raise ValueError(f"the checkpoint's {REFERENCE} describes a {type(source).__name__}, a Lora is expected")
    if isinstance(own, Lora):
        source.base = own.base
        if component_to_dict(source, EncoderSource) == component_to_dict(own, EncoderSource):
            return own
    return source


def _read(files: Mapping[str, str]) -> dict[str, Any]:
    try:
        content = json.loads(files[REFERENCE])
        if {"source": dict, "files": dict} != {name: type(value) for name, value in content.items()}:
            raise ValueError(f"it has {sorted(content)}, source and files are expected")
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(f"{REFERENCE} of the checkpoint's encoder cannot be read: {error}") from error
    return dict(content)


def _is_linear(part: nn.Module) -> bool:
    return isinstance(part, nn.Linear) or type(part).__name__ == "Conv1D"


def _leave_out_frozen(module: nn.Module, state: dict[str, Tensor], prefix: str, _: Any) -> None:
    trained = {prefix + name for name, parameter in module.named_parameters() if parameter.requires_grad}
    for name in [name for name in state if name.startswith(prefix) and name not in trained]:
        del state[name]


def _note_prefix(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """Keep the place of the encoder among the weights that are loaded, which the hook behind it is not given."""
    vars(module)["loaded_prefix"] = prefix


def _keep_frozen(module: nn.Module, incompatible: Any) -> None:
    """Take what is frozen, and so in no checkpoint, off the list of what is missing there."""
    trained = {name for name, parameter in module.named_parameters() if parameter.requires_grad}
    every = {*dict(module.named_parameters()), *dict(module.named_buffers())}
    prefix = vars(module).pop("loaded_prefix")
    frozen = {prefix + name for name in every - trained}
    incompatible.missing_keys[:] = [name for name in incompatible.missing_keys if name not in frozen]
