import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import mlemo.losses
import mlemo.thresholds
from mlemo.cli import main
from mlemo.cli.list import KINDS
from mlemo.utils import config_files
from mlemo.utils.config_files import config_folder, with_configs

ROOT = Path(__file__).resolve().parents[2]


def test_everything_that_a_config_can_name_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    found = main(["list"])
    assert isinstance(found, dict)
    assert tuple(found) == KINDS
    public = {name for name in mlemo.losses.__all__ if name.endswith(("Loss", "Entropy", "Error"))} - {"Loss"}
    assert public <= set(found["losses"])
    assert {name for name in mlemo.thresholds.__all__ if name.endswith("Threshold")} <= set(found["rules"])
    assert {"Pretrained", "Lora", "FromScratch", "WordVectors"} == set(found["encoders"])
    assert {"FrozenEncoder", "Tfidf"} <= set(found["features"])
    assert len(found["studies"]) == len(list((ROOT / "mlemo" / "experiments" / "definitions").glob("*.yaml")))
    assert "configs/experiment/synthetic.yaml" in found["configs"]
    for kind in KINDS[:-1]:
        assert found[kind]
        assert all(line for line in found[kind].values()), f"each of the {kind} has a first line"
    assert "FocalLoss" in capsys.readouterr().out


def test_a_kind_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["list", "lossses"])
    assert ended.value.code == 2
    assert "there is no kind 'lossses'; the kinds are corpora, models" in capsys.readouterr().err


def test_config_files_are_found_in_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    own = str(ROOT / "configs" / "experiment" / "synthetic.yaml")
    words = ["--config", "configs/experiment/synthetic.yaml", "--config=configs/experiment/synthetic.yaml", "--x=a=b"]
    assert with_configs(words) == ["--config", own, f"--config={own}", "--x=a=b"]
    assert with_configs(["configs/none.yaml"]) == ["configs/none.yaml"]
    (tmp_path / "configs" / "experiment").mkdir(parents=True)
    (tmp_path / "configs" / "experiment" / "synthetic.yaml").write_text("{}")
    assert with_configs(words) == words, "a file of the user comes first"


def test_config_files_of_an_installed_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "share" / "mlemo" / "configs" / "experiment"
    place.mkdir(parents=True)
    monkeypatch.setattr(config_files, "__file__", str(tmp_path / "lib" / "mlemo" / "utils" / "config_files.py"))
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    assert config_folder() == place.parent


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, mlemo.cli; mlemo.cli.main(['list', '--help']); sys.exit('numpy' in sys.modules)"
    assert not subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode
