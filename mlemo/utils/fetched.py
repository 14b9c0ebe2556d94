"""What this process has read from elsewhere, for the records of runs."""

from __future__ import annotations

__all__ = ["fetched", "note_fetched"]

_FETCHED: dict[str, str] = {}


def fetched() -> dict[str, str]:
    """Identify which data and encoders were read from the hub, a folder in its layout, or an address.

    Returns:
        ``owner/name/config/split`` of data on the hub, with the SHA-256 of the cells in it (the same however they are
        cut into files); the address of a file, with the SHA-256 of the file; ``owner/name`` of an encoder on the hub,
        with the commit of its repository.
    """
    return dict(_FETCHED)


def note_fetched(name: str, identity: str) -> None:
    """Add one of them.

    Args:
        name: Where it was read from.
        identity: ``sha256:…`` or ``commit:…``.
    """
    _FETCHED[name] = identity
