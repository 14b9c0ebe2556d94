"""Upload to the hub, which is replaced: no test reaches a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlemo.cli import main


class Hub:
    """What is asked of the hub."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.files: dict[str, bytes] = {}

    def __call__(self, library_name: str) -> Hub:
        return self

    def create_repo(self, repo_id: str, **settings: Any) -> None:
        self.calls.append((repo_id, settings))

    def upload_folder(self, repo_id: str, folder_path: Path, commit_message: str) -> str:
        self.files = {f"{repo_id}/{path.name}": path.read_bytes() for path in Path(folder_path).iterdir()}
        return f"https://hub.invalid/{repo_id}/commit/1"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    hub = Hub()
    monkeypatch.setattr("huggingface_hub.HfApi", hub)
    return hub


def test_the_folder_is_uploaded_only_if_asked(hub: Hub, exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, output = str(exported.parent / "run"), exported.parent / "again"
    main(["export", run, "--output", str(output)])
    assert not hub.calls
    main(["export", run, "--output", str(output.with_name("pushed")), "--push", "me/joy", "--private"])
    assert hub.calls == [("me/joy", {"private": True, "exist_ok": True})]
    expected = {f"me/joy/{path.name}": path.read_bytes() for path in output.iterdir()}
    assert hub.files == expected
    assert "uploaded: https://hub.invalid/me/joy/commit/1" in capsys.readouterr().out


def test_a_hub_that_refuses_leaves_the_folder(
    hub: Hub, exported: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("401 unauthorized")

    monkeypatch.setattr(hub, "create_repo", refuse)
    output = exported.parent / "again"
    with pytest.raises(SystemExit):
        main(["export", str(exported.parent / "run"), "--output", str(output), "--push", "me/joy"])
    message = capsys.readouterr().err.replace("\n", " ")
    assert "again is written, and cannot be uploaded to me/joy: 401 unauthorized" in message
    assert (output / "model.safetensors").is_file()
