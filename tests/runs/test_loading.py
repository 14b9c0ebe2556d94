from pathlib import Path

import pytest
import torch

from mlemo.runs.loading import find_checkpoint, read_checkpoint


def write(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": {"weight": torch.arange(1000.0)}, "note": {"text": "ü"}}, path)
    return path


def test_a_file_is_itself_and_a_folder_its_best_then_its_last_checkpoint(tmp_path: Path) -> None:
    for name in ("last.ckpt", "best.ckpt", "checkpoints/last.ckpt", "checkpoints/best.ckpt"):
        path = write(tmp_path / name)
        assert find_checkpoint(tmp_path) == path
        assert find_checkpoint(str(path)) == path


def test_content_is_read(tmp_path: Path) -> None:
    write(tmp_path / "checkpoints" / "best.ckpt")
    for path in (tmp_path, tmp_path / "checkpoints" / "best.ckpt"):
        checkpoint = read_checkpoint(path)
        assert torch.equal(checkpoint["state_dict"]["weight"], torch.arange(1000.0))
        assert checkpoint["note"] == {"text": "ü"}


def test_nothing_at_the_path(tmp_path: Path) -> None:
    for read in (find_checkpoint, read_checkpoint):
        with pytest.raises(FileNotFoundError, match=r"no checkpoint at .*missing: there is no such file or folder"):
            read(tmp_path / "missing")
        with pytest.raises(FileNotFoundError, match=r"no checkpoint in .*; expected one of checkpoints/best\.ckpt, "):
            read(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.99])
def test_a_file_cut_short_is_named_with_its_size(tmp_path: Path, share: float) -> None:
    path = write(tmp_path / "best.ckpt")
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    size = f"{path.stat().st_size:,}"
    with pytest.raises(ValueError, match=rf"best\.ckpt \({size} bytes\) cannot be read .* may have been cut short"):
        read_checkpoint(path)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.ckpt"
    path.write_text("not a checkpoint at all", encoding="utf-8")
    with pytest.raises(ValueError, match=r"notes\.ckpt \(23 bytes\) cannot be read as a checkpoint"):
        read_checkpoint(path)
    for content in ({"weights": torch.zeros(2)}, [1, 2], torch.zeros(3)):
        torch.save(content, path)
        with pytest.raises(ValueError, match=r"holds no model weights \(no 'state_dict'\)"):
            read_checkpoint(path)


class Payload:
    """Unpickled, it would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.write_text, (self.path, "run")


def test_no_code_in_a_checkpoint_is_run(tmp_path: Path) -> None:
    path, mark = tmp_path / "best.ckpt", tmp_path / "mark"
    torch.save({"state_dict": {}, "extra": Payload(mark)}, path)
    with pytest.raises(ValueError, match="cannot be read as a checkpoint"):
        read_checkpoint(path)
    assert not mark.exists()
    torch.load(path, weights_only=False)
    assert mark.exists(), "the payload does nothing: the test shows nothing"
