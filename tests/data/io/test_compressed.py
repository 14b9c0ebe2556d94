import gzip
import re
import zlib

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet
from scipy.io import savemat

from mlemo.data.io import compressed
from mlemo.data.io.arff import read_arff
from mlemo.data.io.mulan_files import read_mat
from mlemo.data.io.tables import read_parquet


@pytest.fixture(autouse=True)
def limit(monkeypatch):
    monkeypatch.setattr(compressed, "LARGEST", 3_000_000)


def refused(message: str):
    return pytest.raises(ValueError, match=re.escape(message))


def test_gzip(tmp_path):
    path = tmp_path / "t.arff.gz"
    path.write_bytes(gzip.compress(b"@attribute a numeric\n@data\n" + b"1\n" + b" " * 2_900_000))
    assert len(read_arff(path).lines) == 1
    path.write_bytes(gzip.compress(bytes(30_000_000)))
    assert path.stat().st_size < 30_000
    with refused("t.arff.gz: it unpacks to more than 3,000,000 bytes, more than any data that mlemo reads; unpack it"):
        read_arff(path)


def test_matlab(tmp_path):
    path, content = tmp_path / "m.mat", {"data": np.zeros((4, 50_000)), "target": np.eye(2, 4)}
    savemat(path, content, do_compression=True)
    assert read_mat(path)[0].shape == (4, 50_000)
    content["data"] = np.zeros((4, 150_000))
    savemat(path, content)  # 4.8 MB that need no unpacking
    read_mat(path)
    savemat(path, content, do_compression=True)
    assert path.stat().st_size < 10_000
    with refused("m.mat: it unpacks to more than 3,000,000 bytes"):
        read_mat(path)
    # a part that holds more than the variable in its header
    part = zlib.compress(bytes(30_000_000))
    path.write_bytes(path.read_bytes()[:128] + (15).to_bytes(4, "little") + len(part).to_bytes(4, "little") + part)
    with refused("m.mat: it unpacks to more than 3,000,000 bytes"):
        read_mat(path)


def test_parquet(tmp_path, monkeypatch):
    path = tmp_path / "t.parquet"
    parquet.write_table(pyarrow.table({"text": ["a" * 1000] * 2900}), path)
    assert len(read_parquet(path)) == 2900
    parquet.write_table(pyarrow.table({"text": ["a" * 1000] * 3100}), path)
    assert path.stat().st_size < 10_000  # the text is stored once
    with refused("t.parquet: it unpacks to more than 3,000,000 bytes"):
        read_parquet(path)
    monkeypatch.setattr(compressed, "MOST_CELLS", 1_000_000)
    parquet.write_table(pyarrow.table({"text": pyarrow.nulls(1_000_001, pyarrow.string())}), path)
    assert path.stat().st_size < 10_000
    with refused("t.parquet: 1,000,001 cells, expected at most 1,000,000"):
        read_parquet(path)
