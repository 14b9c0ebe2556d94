"""Where mlemo keeps what it can make again."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["user_cache"]


def user_cache() -> Path:
    """The folder of mlemo among the user's caches: ``$XDG_CACHE_HOME/mlemo``, by default ``~/.cache/mlemo``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "mlemo")
