"""Writing of exported folders: a trained model as safetensors and JSON, read by `mlemo.load`."""

from __future__ import annotations

import inspect
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from mlemo.models import FeatureModel, MultiLabelModel, TextModel, TransformerClassifier
from mlemo.nn.encoder import Pretrained, save_encoder
from mlemo.nn.encoder_files import write_files
from mlemo.nn.features import features_to_dict
from mlemo.nn.frozen_encoder import FrozenEncoder
from mlemo.nn.lora import Lora
from mlemo.nn.sequence_classification import LAYOUTS, to_sequence_classifier
from mlemo.runs.exported import CARD, CONFIG, ENCODER, ENTRY, FORMAT, MANIFEST, WEIGHTS
from mlemo.runs.loading import RESTORED
from mlemo.runs.manifest import sha256

__all__ = ["Part", "is_sequence_classifier", "write_folder"]

#: Writes a further file of the folder that is being made, which holds the model already.
Part = Callable[[Path], None]
UNCHECKED = (CARD,)  #: may be edited afterwards


def write_folder(
    model: MultiLabelModel,
    checkpoint: Mapping[str, Any],
    output: str | Path,
    parts: tuple[Part, ...] = (),
    *,
    adapter: bool = False,
) -> Path:
    """Write a trained model to a folder that `mlemo.load` reads.

    The folder is made under another name and renamed when it is whole.

    Args:
        model: The model of the checkpoint; low-rank adapters are merged into its encoder, unless ``adapter``.
        checkpoint: The checkpoint, read by `mlemo.runs.loading.read_checkpoint`.
        output: The folder, which must be absent or empty.
        parts: Functions that write further files.
        adapter: Write what was trained alone, and name the frozen encoder below it.

    Raises:
        FileExistsError: There is something in the folder.
        ValueError: ``adapter`` for a model without a frozen encoder, or a quantized encoder without ``adapter``.
    """
    output = Path(output)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise FileExistsError(f"{output} is there already; expected a folder that is absent or empty")
    if adapter and not _has_frozen_encoder(model):
        raise ValueError(
            f"this {type(model).__name__} has no frozen encoder that could be named in place of its weights; expected "
            "low-rank adapters (Lora) or a head on a FrozenEncoder"
        )
    part = output.with_name(f"{output.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        _write_model(model, checkpoint, part, adapter)
        for write in parts:
            write(part)
        files = sorted(path for path in part.rglob("*") if path.is_file() and path.name not in UNCHECKED)
        hashes = {path.relative_to(part).as_posix(): sha256(path) for path in files}
        _write_json(part / MANIFEST, {"format": FORMAT, "files": hashes})
        if output.exists():
            output.rmdir()
        part.rename(output)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return output


def is_sequence_classifier(model: MultiLabelModel) -> bool:
    """Whether a sequence classifier of transformers has the same logits for raw texts."""
    return (
        type(model) is TransformerClassifier
        and not isinstance(model.source, Lora)
        and model.pooling == "cls"
        and model.cleaning is None
        and model.encoder.config.model_type in LAYOUTS
    )


def _write_model(model: MultiLabelModel, checkpoint: Mapping[str, Any], folder: Path, adapter: bool) -> None:
    """Write config.json, the weights, and tokenizer or encoder."""
    if isinstance(model, TextModel) and not adapter:
        model.merge_adapters()
    rules = checkpoint.get("thresholds_by_inference", {})
    kept = "thresholds_by_inference" if len(rules) > 1 else "thresholds"  # the latter is the first of the former
    stored: dict[str, Any] = {kept: checkpoint[kept]} if kept in checkpoint else {}
    stored["hyper_parameters"] = _settings(model, checkpoint)
    model.on_save_checkpoint(stored)
    weights = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith("loss.")}
    entry: dict[str, Any] = {"format": FORMAT}
    config: dict[str, Any] = {}
    if isinstance(model, TextModel) and not adapter:
        files = stored.pop("encoder")
        write_files(files, folder)
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        prefix = getattr(model.encoder, "base_model_prefix", "") or "encoder"
        weights = {_hub_name(name, prefix): tensor for name, tensor in weights.items()}
        entry |= {"encoder_prefix": prefix, "sequence_classifier": is_sequence_classifier(model)}
        if entry["sequence_classifier"]:
            weights = to_sequence_classifier(weights, config["model_type"])
            config["architectures"] = [LAYOUTS[config["model_type"]].architecture]
    if isinstance(model, FeatureModel) and isinstance(model.features, FrozenEncoder) and not adapter:
        stored["features"]["from_texts"] = features_to_dict(_write_encoder(model.features, folder / ENCODER))
        stored["features"]["from_texts"]["init_args"]["encoder"] = ENCODER
        entry["frozen_encoder"] = True
    entry["model"] = _without_tensors(stored, "", weights)
    names = model.label_space.names
    config |= {
        "id2label": {str(column): name for column, name in enumerate(names)},
        "label2id": {name: column for column, name in enumerate(names)},
        "problem_type": "multi_label_classification",
        ENTRY: entry,
    }
    _write_json(folder / CONFIG, config)
    # copies, as tensors that share memory cannot be written
    weights = {name: tensor.clone(memory_format=torch.contiguous_format).cpu() for name, tensor in weights.items()}
    save_file(weights, folder / WEIGHTS, {"format": "pt"})
    shutil.copymode(folder / CONFIG, folder / WEIGHTS)  # which safetensors writes for its owner alone


def _has_frozen_encoder(model: MultiLabelModel) -> bool:
    if isinstance(model, TextModel):
        return isinstance(model.source, Lora)
    return isinstance(model, FeatureModel) and isinstance(model.features, FrozenEncoder)


def _settings(model: MultiLabelModel, checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that the trained model is made with, without those of its training and of what is fitted."""
    parameters = inspect.signature(type(model)).parameters
    required = {name for name, one in parameters.items() if one.default is inspect.Parameter.empty}
    left_out = set(RESTORED) - required
    return {name: value for name, value in checkpoint["hyper_parameters"].items() if name not in left_out}


def _write_encoder(features: FrozenEncoder, folder: Path) -> FrozenEncoder:
    """Write a frozen encoder to a folder, and return the features by the copy."""
    source = Pretrained(features.encoder, features.revision)
    tokenizer = source.tokenizer(list)
    encoder: Any = source.encoder(tokenizer)
    folder.mkdir()
    write_files(save_encoder(encoder, tokenizer), folder)
    weights = {name: weight.clone() for name, weight in encoder.state_dict().items()}
    save_file(weights, folder / WEIGHTS, {"format": "pt"})
    shutil.copymode(folder / CONFIG, folder / WEIGHTS)
    return FrozenEncoder(
        str(folder), features.pooling, features.max_length, features.batch_size,
        bf16=features.bf16, cache=features.cache, cleaning=features.cleaning,
    )  # fmt: skip


def _hub_name(name: str, prefix: str) -> str:
    """The name of a weight of the encoder as transformers has it, so that the folder serves as an encoder as well."""
    return f"{prefix}.{name.removeprefix('encoder.')}" if name.startswith("encoder.") else name


def _without_tensors(value: Any, place: str, tensors: dict[str, Tensor]) -> Any:
    """The value as JSON has it: each tensor is put among the named ones, and its name in its place."""
    if isinstance(value, Tensor):
        tensors[place] = value
        return {"tensor": place}
    if isinstance(value, dict):
        return {key: _without_tensors(item, f"{place}/{key}" if place else key, tensors) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_tensors(item, f"{place}/{row}", tensors) for row, item in enumerate(value)]
    return value


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
