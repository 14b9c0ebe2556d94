"""Where the config files of mlemo are: in the checkout, or beside an installed package."""

from __future__ import annotations

import sysconfig
from collections.abc import Sequence
from pathlib import Path

__all__ = ["CONFIGS", "config_folder", "with_configs"]

CONFIGS = "configs"


def config_folder() -> Path | None:
    """The folder ``configs`` of this installation; ``None`` where there is none."""
    checkout = Path(__file__).resolve().parents[2]
    installed = Path(sysconfig.get_path("data"), "share", "mlemo")
    for place in (checkout, installed):
        if (place / CONFIGS / "experiment").is_dir():
            return place / CONFIGS
    return None


def with_configs(words: Sequence[str]) -> list[str]:
    """Words of a command line in which ``configs/…`` that is not in the current folder is that of this installation.

    Args:
        words: Such as ``["--config", "configs/experiment/synthetic.yaml", "--model.loss=configs/loss/focal.yaml"]``.
    """
    folder, found = config_folder(), []
    for word in words:
        option, equals, value = word.rpartition("=") if word.startswith("-") else ("", "", word)
        if folder is not None and value.startswith(f"{CONFIGS}/") and not Path(value).exists():
            own = folder.parent / value
            found.append(f"{option}{equals}{own}" if own.is_file() else word)
        else:
            found.append(word)
    return found
