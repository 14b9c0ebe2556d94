"""Limits on what a checkpoint file may hold: nothing in it can grow without bound when it is read or used."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_parameter_registration_hook,
)

__all__ = ["check_archive", "check_content", "no_larger_than", "read_yaml"]

LONGEST_PICKLE = 2**28  #: bytes of all that is no tensor; the largest tokenizers take some 20 MB
LONGEST_CONFIG = 200_000  #: characters of the stored config, which has some thousands; more take seconds to read
MOST_VALUES = 5_000_000  #: values that a checkpoint stands for, counting a shared one wherever it is used
MOST_SETTINGS = 100_000  #: the same for the stored config
DEEPEST = 100  #: levels of nesting
SMALL = 2**24  #: numbers in a tensor that needs no counterpart among the stored weights


def check_archive(path: Path) -> None:
    """Check that a file is a whole archive as PyTorch writes it: nothing compressed, every checksum right.

    Args:
        path: The file.

    Raises:
        ValueError: It is cut short, damaged or no such archive, or declares more than it holds.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            for member in members:
                if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
                    raise ValueError(f"its part {member.filename!r} is compressed, which PyTorch never does")
                if member.filename.endswith("data.pkl") and member.file_size > LONGEST_PICKLE:
                    raise ValueError(
                        f"{member.file_size:,} bytes of it are no tensors, at most {LONGEST_PICKLE:,} may be"
                    )
            if sum(member.file_size for member in members) > path.stat().st_size:
                raise ValueError("it declares more bytes than it has")
            damaged = archive.testzip()
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, RuntimeError, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from error
    if damaged is not None:
        raise ValueError(f"the checksum of its part {damaged!r} is wrong")


def check_content(content: object, most: int = MOST_VALUES) -> None:
    """Check that a value read from a file is finite in size, tensors included.

    Args:
        content: Dictionaries, lists, tensors and plain values.
        most: Most values in it, counting a shared one wherever it is used.

    Raises:
        ValueError: It has too many values or levels, holds itself, or holds a tensor that is larger than its storage.

    Example:
        >>> laughs = ["ha"] * 10
        >>> for _ in range(9):
        ...     laughs = [laughs] * 10
        >>> check_content(laughs)
        Traceback (most recent call last):
        ValueError: it stands for more than 5,000,000 values
    """
    sizes: dict[int, int] = {}
    open_: set[int] = set()

    def size(value: object, depth: int) -> int:
        if isinstance(value, Tensor):
            _check_tensor(value)
        if not isinstance(value, dict | list | tuple | set):
            return 1
        place = id(value)
        if place in sizes:
            return sizes[place]
        if place in open_:
            raise ValueError("it holds a value that holds itself")
        if depth > DEEPEST:
            raise ValueError(f"it is nested more than {DEEPEST} levels deep")
        open_.add(place)
        total = 1
        for item in (*value.keys(), *value.values()) if isinstance(value, dict) else value:
            total += size(item, depth + 1)
            if total > most:
                raise ValueError(f"it stands for more than {most:,} values")
        open_.remove(place)
        sizes[place] = total
        return total

    size(content, 0)


def _check_tensor(tensor: Tensor) -> None:
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
        raise ValueError(f"it holds a tensor of another kind ({tensor.layout}, {tensor.device.type}) than mlemo stores")
    held = tensor.untyped_storage().nbytes() // tensor.element_size()
    if tensor.numel() > max(held, SMALL):
        raise ValueError(f"a tensor of {tensor.numel():,} numbers is declared, of which the file holds {held:,}")


def read_yaml(text: object) -> dict[str, Any]:
    """Settings from YAML of plain values, without tags, merge keys, or aliases that multiply.

    Args:
        text: The YAML.

    Raises:
        ValueError: It is something else.

    Example:
        >>> read_yaml("model: {width: 3}")
        {'model': {'width': 3}}
        >>> read_yaml("model: !!python/name:os.system")
        Traceback (most recent call last):
        ValueError: could not determine a constructor for the tag 'tag:yaml.org,2002:python/name:os.system'
    """
    if not isinstance(text, str) or len(text) > LONGEST_CONFIG:
        found = f"{len(text):,} characters" if isinstance(text, str) else type(text).__name__
        raise ValueError(f"expected a text of at most {LONGEST_CONFIG:,} characters, found {found}")
    try:
        settings = yaml.load(text, _PlainLoader)
    except yaml.MarkedYAMLError as error:
        raise ValueError(error.problem) from error
    except (yaml.YAMLError, RecursionError, TypeError, AttributeError, KeyError) as error:
        raise ValueError(f"it is no YAML of plain values: {type(error).__name__}") from error
    check_content(settings, MOST_SETTINGS)
    _check_plain(settings)
    if not isinstance(settings, dict):
        raise ValueError(f"expected settings by name, found {type(settings).__name__}")
    return settings


class _PlainLoader(yaml.SafeLoader):
    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Refuse merge keys, which copy a mapping each time and so can multiply without bound."""
        if any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value):
            raise ValueError("it has a merge key ('<<')")
        super().flatten_mapping(node)


def _check_plain(value: object) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise ValueError(f"names of settings must be strings, found {key!r}")
            _check_plain(item)
    elif isinstance(value, list):
        for item in value:
            _check_plain(item)
    elif not (value is None or isinstance(value, bool | int | float | str)):
        raise ValueError(f"settings must be plain values, found {type(value).__name__}")


@contextmanager
def no_larger_than(weights: Mapping[str, Tensor]) -> Iterator[None]:
    """Refuse to make a network that is much larger than stored weights: their sizes come from the same file.

    Args:
        weights: The weights that the network is to be given.

    Raises:
        ValueError: A network that is made inside has many more tensors, or a much larger one.
    """
    largest = max([SMALL, *(weight.numel() for weight in weights.values())])
    most, made = 4 * len(weights) + 1000, 0

    def check(module: nn.Module, name: str, tensor: Tensor | None) -> None:
        nonlocal made
        made += tensor is not None
        if made > most or (tensor is not None and tensor.numel() > largest):
            raise ValueError("its settings stand for a network that is much larger than its weights")

    hooks = [register_module_parameter_registration_hook(check), register_module_buffer_registration_hook(check)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
