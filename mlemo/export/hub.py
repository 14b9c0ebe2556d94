"""Upload of an exported folder to the hub."""

from __future__ import annotations

from pathlib import Path

__all__ = ["push"]


def push(folder: Path, repository: str, private: bool = False) -> str:
    """Upload a folder to a repository of the hub, which is made where it does not exist.

    Args:
        folder: An exported folder.
        repository: Name on the hub, ``OWNER/NAME``.
        private: Whether a new repository is private.

    Returns:
        The address of the commit.

    Raises:
        OSError: The hub cannot be reached, or refuses.
    """
    from huggingface_hub import HfApi  # noqa: PLC0415  # takes half a second

    api = HfApi(library_name="mlemo")
    api.create_repo(repository, private=private, exist_ok=True)
    return str(api.upload_folder(repo_id=repository, folder_path=folder, commit_message="Upload by mlemo export"))
