import contextlib
import gzip
import re
import time
import warnings
from collections.abc import Callable

import numpy as np
import pytest

from mlemo.data.io.arff import ArffTable, read_arff, read_attributes

HEADER = "@relation r\n@attribute a numeric\n@attribute b {x,'y z'}\n@attribute c {0,1}\n@data\n"  # rows from line 6


def raises(message: str, error: type[Exception] = ValueError):
    return pytest.raises(error, match=re.escape(message))


@pytest.fixture
def read(tmp_path):
    def read(text: str | bytes, name: str = "t.arff") -> ArffTable:
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_arff(tmp_path / name)

    return read


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("1.5,x,0", [1.5, 0, 0]),
        (" -1e-3 ,\t'y z' , 1 ", [-0.001, 1, 1]),
        ("2 'y z' 1", [2, 1, 1]),
        ("+2\tx\t1", [2, 0, 1]),
        ("'3.5',\"y z\",'1'", [3.5, 1, 1]),
        ("1,x,0 % it's a comment", [1, 0, 0]),
        ("1,x,0 %% 'a", [1, 0, 0]),
        ("{0 1.5, 1 'y z', 2 1}", [1.5, 1, 1]),
        ("{2 1,0 7}", [7, 0, 1]),
        ('{ 1 "y z" }', [0, 1, 0]),
        ("{1\tx}", [0, 0, 0]),
        ("{}", [0, 0, 0]),
        ("{ }% none", [0, 0, 0]),
    ],
)
def test_rows(read, row, expected):
    assert read(HEADER + row).codes.toarray().tolist() == [expected]
    both = read(HEADER + "4,x,1\n" + row + "\r\n\n% 9,x,0\n{0 5}\n")
    assert both.codes.toarray().tolist() == [[4, 0, 1], expected, [5, 0, 0]]
    assert [both.where(number).rsplit(":", 1)[1] for number in range(3)] == ["6", "7", "10"]


@pytest.mark.parametrize(
    ("declared", "name", "kind", "values"),
    [
        ("@attribute a numeric", "a", "numeric", ()),
        ("@ATTRIBUTE\t'a b'\tREAL", "a b", "numeric", ()),
        ("@Attribute 007 Integer % x", "007", "numeric", ()),
        ("@attribute a numeric [0,1]", "a", "numeric", ()),
        (r"@attribute 'it\'s \\ 1' numeric", "it's \\ 1", "numeric", ()),
        (r'@attribute "say \"a\"" numeric', 'say "a"', "numeric", ()),
        ('@attribute "it\'s 5% {a, b}" numeric', "it's 5% {a, b}", "numeric", ()),
        ("@attribute don't numeric", "don't", "numeric", ()),
        ("@attribute Ünicode,{1, 0}", None, None, None),
        ("@attribute a{1, 0}", "a", "nominal", ("1", "0")),
        ("@attribute a { 'b, c',\"}\" , d-e,it's }", "a", "nominal", ("b, c", "}", "d-e", "it's")),
        ("@attribute a {it's, 'b}'}", "a", "nominal", ("it's", "b}")),
        ("@attribute don't numeric % it's, or isn't", "don't", "numeric", ()),
        ("@attribute a string", "a", "text", ()),
        ('@attribute a date "yyyy-MM-dd"', "a", "text", ()),
        ("@attribute a relational", None, None, None),
        ("@attribute a {}", None, None, None),
        ("@attribute a {b", None, None, None),
        ("@attribute a {'b}", None, None, None),
        ("@attribute 'a numeric", None, None, None),
        ("@attribute a", None, None, None),
        ("attribute a numeric", None, None, None),
    ],
)
def test_header(tmp_path, declared, name, kind, values):
    path = tmp_path / "t.arff"
    path.write_text(f"% r\n\n@relation 'a b'\n{declared}\n@DATA\n1\n", encoding="utf-8")
    if name is None:
        with raises("t.arff:4: "):
            read_attributes(path)
        return
    (attribute,) = read_attributes(path)
    assert (attribute.name, attribute.kind, attribute.values, attribute.line) == (name, kind, values, 4)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1,x", "found 2 values, expected 3, one an attribute"),
        ("1,x,0,1", "found 4 values, expected 3"),
        ("1,x,0,", "found 4 values, expected 3"),
        ("1,x,0,{2}", "found 4 values, expected 3"),
        ("1,,0", "attribute 'b' holds '', expected one of ['x', 'y z']"),
        ("one,x,0", "attribute 'a' holds 'one', expected a number"),
        ("1_0,x,0", "attribute 'a' holds '1_0', expected a number"),
        ("nan,x,0", "attribute 'a' holds 'nan', expected a number"),
        ("inf,x,0", "attribute 'a' holds 'inf', expected a number"),
        ("1e999,x,0", "attribute 'a' holds '1e999', expected a number"),
        ("1,x,2", "attribute 'c' holds '2', expected one of ['0', '1']"),
        ("?,x,1", "attribute 'a' has no value ('?'), expected a number: fill the gaps first"),
        ("1,x,?", "attribute 'c' has no value ('?'), expected one of ['0', '1']"),
        ("1,'y z,0", "beside the values: is a quote not closed?"),
        ("{0 1, 1 'y z, 2 1}", "beside the values: is a quote not closed?"),
        ("{0 1, 1 'y z' 2 1}", "beside the values"),
        ("{0 1", "a sparse row must end in '}', found '{0 1'"),
        ("{0 1}, {2}", "attribute 'a' holds '1}', expected a number"),
        ("{0}", "found '0' in a sparse row, expected an index and a value"),
        ("{0 1,}", "found '' in a sparse row"),
        ("{0 1 2 1}", "found '0 1 2 1' in a sparse row"),
        ("{x 1}", "found 'x 1' in a sparse row"),
        ("{-1 1}", "found '-1 1' in a sparse row"),
        ("{3 1}", "index 3 is out of range: there are 3 attributes, counted from 0"),
        ("{0 1, 2 1, 0 1}", "index 0 occurs twice in a sparse row"),
        ("{0 a}", "attribute 'a' holds 'a', expected a number"),
        ("{2 ?}", "attribute 'c' has no value"),
    ],
)
def test_faults_in_rows(read, row, message):
    with raises("t.arff:8: ") as caught:
        read(HEADER + "1,x,0\n% comment\n" + row + "\n{0 1}\n")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "t.arff: no @data line, is this an ARFF file?"),
        ("@relation r\n@attribute a numeric\n", "t.arff: no @data line"),
        ("@relation r\n@data\n1\n", "t.arff:2: @data before any @attribute"),
        (HEADER, "t.arff: no row after @data"),
        (HEADER + "% none\n\n", "t.arff: no row after @data"),
        (
            "@attribute a numeric\n@attribute 'a' {0}\n@data\n",
            ":2: attribute 'a' is declared a second time, first in",
        ),
        ("@attribute a numeric\n1,2\n", ":2: found '1,2', expected @relation, @attribute or @data"),
        ("@attribute a float\n", ":1: attribute 'a' has the type 'float', expected numeric, real, integer, string"),
    ],
)
def test_faults_in_files(read, text, message):
    with raises(message):
        read(text)


def test_gzip(read, tmp_path):
    whole = gzip.compress((HEADER + "1,x,0\n" * 50).encode())
    assert read(whole, "t.arff.gz").codes.shape == (50, 3)
    assert read(whole, "t.ARFF.GZ").codes.shape == (50, 3)
    for broken in (whole[:-10], b"no gzip", whole[:20] + b"\xff" * 30):
        with raises("t.arff.gz: not a readable gzip file"):
            read(broken, "t.arff.gz")
    with raises("u.arff: no such file", FileNotFoundError):
        read_arff(tmp_path / "u.arff")


def test_utf8_with_mark_and_latin1(read):
    text = "@attribute Grün numeric\n@data\n1\n"
    for encoding in ("utf-8", "utf-8-sig", "latin-1"):
        assert read(text.encode(encoding)).attributes[0].name == "Grün"


def test_text_is_not_read(read):
    table = read("@attribute a string\n@attribute b numeric\n@data\n'x, y',1\n?,2\n{0 'z'}\n")
    assert table.codes.toarray().tolist() == [[0, 1], [0, 2], [0, 0]]


def test_dense_file_against_scipy(read, tmp_path):
    from scipy.io import arff

    draw = np.random.default_rng(0)
    rows = [
        [f"{draw.normal():.6g}", draw.choice(["p", "q", "r"]), f"{draw.normal() * 1e6:.3e}", str(draw.integers(2))]
        for _ in range(200)
    ]
    text = "@relation r\n@attribute a real\n@attribute b {p,q,r}\n@attribute c numeric\n@attribute d {0,1}\n@data\n"
    codes = read(text + "\n".join(map(",".join, rows))).codes.toarray()
    reference, _ = arff.loadarff(tmp_path / "t.arff")
    assert codes[:, [0, 2]].tolist() == [[row["a"], row["c"]] for row in reference]
    assert ["pqr"[int(code)].encode() for code in codes[:, 1]] == list(reference["b"])
    assert [str(int(code)).encode() for code in codes[:, 3]] == list(reference["d"])


def test_concatenate(read):
    first, second = read(HEADER + "1,x,0\n2,x,0\n", "u.arff"), read(HEADER + "\n3,'y z',1\n", "v.arff")
    both = ArffTable.concatenate([first, second])
    assert both.codes.toarray().tolist() == [[1, 0, 0], [2, 0, 0], [3, 1, 1]]
    assert [both.where(row).split("/")[-1] for row in range(3)] == [
        "u.arff:6",
        "u.arff:7",
        "v.arff:7",
    ]
    with raises("w.arff: 1 attributes, expected 3 as in"):
        ArffTable.concatenate([first, read("@attribute a numeric\n@data\n1", "w.arff")])
    for old, new in (("a numeric", "a {1}"), ("{0,1}", "{1,0}"), ("attribute c", "attribute d")):
        other = read(HEADER.replace(old, new) + "{}", "w.arff")
        with raises("w.arff:") as caught:
            ArffTable.concatenate([first, other])
        assert "differs from" in str(caught.value)


def test_a_large_sparse_file_is_read_at_once(read):
    rows = [",".join(f"{index} 1" for index in range(row % 7, 1000, 25)) for row in range(5000)]  # 200,000 cells
    text = "".join(f"@attribute {number} {{0,1}}\n" for number in range(1000)) + "@data\n"
    began = time.process_time()
    table = read(text + "\n".join(f"{{{row}}}" for row in rows))
    assert time.process_time() - began < 3  # 0.2 s on the machine that this was written on
    assert table.codes.nnz == sum(row.count(",") + 1 for row in rows)


LONG_LINES: dict[str, Callable[[int], str]] = {
    "escaped quotes that are not closed": lambda n: "@relation '" + r"\'" * n + "\n" + HEADER + "1,x,0",
    "the same before a comment": lambda n: "@relation '" + r"\'" * n + "%\n" + HEADER + "1,x,0",
    "the same in a name": lambda n: "@attribute '" + r"\'" * n + "%",
    "the same in a row": lambda n: HEADER + "1,x'" + r"\'" * n + "%",
    "quotes inside words of a list that is not closed": lambda n: "@attribute a {" + "a'b'" * n,
    "many values": lambda n: f"@attribute a {{{','.join(map(str, range(n)))}}}\n@data\n0",
    "many attributes": lambda n: "".join(f"@attribute {a} numeric\n" for a in range(n // 10)) + "@data\n{}",
    "quotes in a row": lambda n: HEADER + "1,x,'" + r"\' " * n,
    "a quote that is not closed in a sparse row": lambda n: HEADER + "{0 '" + "a" * n + "}",
    "blanks in a sparse row": lambda n: HEADER + "{0 '1', " + " " * n + "'}",
    "a sparse row with every index twice": lambda n: HEADER + f"{{{'0 1,' * (n // 4)}0 1}}",
}


@pytest.mark.parametrize("kind", LONG_LINES)
def test_time_is_in_proportion_to_the_length_of_a_line(read, kind):
    def seconds(length: int) -> float:
        text, spent = LONG_LINES[kind](length), []
        for _ in range(3):
            began = time.process_time()
            with contextlib.suppress(ValueError):
                read(text)
            spent.append(time.process_time() - began)
        return min(spent)

    short, long = seconds(10_000), seconds(40_000)
    assert long < 10 * short + 0.1  # linear: 4 times; quadratic: 16 times, and a second or more


def test_no_warning_is_left_to_the_caller(read):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read(HEADER + "1,x,0")
