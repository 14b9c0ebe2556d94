from pathlib import Path

import pytest

HERE = Path(__file__).parent
CORPORA = ["goemotions", "semeval2018", "semeval2025", "nlpcc2018", "rencecps", "exaaec", "files"]


@pytest.mark.parametrize("corpus", CORPORA)
def test_fixture_is_what_its_script_writes(corpus, make, tmp_path):
    make(corpus)["write"](tmp_path)
    written = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    kept = {
        path.relative_to(HERE / corpus): path.read_bytes()
        for path in (HERE / corpus).rglob("*")
        if path.is_file() and path.name != "make.py" and path.suffix != ".pyc"
    }
    assert written == kept
