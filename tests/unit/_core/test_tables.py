import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from spotfuse import io
from spotfuse._core import naming, tables
from spotfuse._core.errors import InputError
from spotfuse.io import _tables


def test_six_digits_and_plain_newlines(tmp_path: Path) -> None:
    frame = pd.DataFrame({"spot": ["a", "b\tc"], "n": [1, 2], "x": [1 / 3, np.nan], "y": np.float32([1e-9, 12345678])})
    tables.write(frame, tmp_path / "t.tsv")
    assert (tmp_path / "t.tsv").read_bytes() == b'spot\tn\tx\ty\na\t1\t0.333333\t1e-09\n"b\tc"\t2\t\t1.23457e+07\n'


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.tsv", "spot\tlabel\ts\na\tx, y\tNA\nb\t \t1\n"),
        ("t.csv", '\ufeffbarcode,label,s\r\na,"x, y",NA\r\nb,,1\r\n\r\n'),
        ("t.txt", "label\ts\na\tx, y\tNA\nb\t\t1\n"),
        ("misnamed.csv", "spot\tlabel\ts\na\tx, y\tNA\nb\t\t1"),
        ("semicolons.csv", "spot;label;s\na;x, y;NA\nb;;1\n"),
    ],
)
def test_tables_as_people_write_them(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_bytes(content.encode())
    frame = io.read_table(tmp_path / name)
    assert list(frame.index) == ["a", "b"] and list(frame.columns) == ["label", "s"]
    assert frame.to_numpy().tolist() == [["x, y", "NA"], ["", "1"]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"spot\tlabel\n", "no rows"),
        (b"spot\na\n", "one column"),
        (b"spot\tlabel\na\tx\nb\n", "line 3: 1 fields where the header has 2"),
        (b"spot\tlabel\na\tx\na\ty\n", "spot 'a' has more than one row"),
        (b"spot\tl\tl\na\tx\ty\n", "two columns are named 'l'"),
        (b"spot\tlabel\na\t\xff\xfe\n", "not text in UTF-8"),
        (b"spot\tlabel\na\t\x00\n", "not a text table"),
        (b'spot\tlabel\na\t"x\n', "unexpected end of data"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "t.tsv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        io.read_table(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_what_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_tables, "_LARGEST", 2**20)
    (tmp_path / "t.tsv.gz").write_bytes(gzip.compress(b"spot\tlabel\n" + b"a\tb\n" * 2**20))
    with pytest.raises(InputError, match="too large for a table of spots"):
        io.read_table(tmp_path / "t.tsv.gz")


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text("spot\tlabel\na\tx\n")
    assert dict(tables.read_column(tmp_path / "t.tsv", "label")) == {"a": "x"}
    with pytest.raises(InputError, match=r"t\.tsv: no column 'domain'; it has label"):
        tables.read_column(tmp_path / "t.tsv", "domain")


def test_numbers_name_the_cell_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    for cell in ("many", "", "inf", "NaN"):
        path.write_text(f"spot,A,B\na,1,2\nb,3,{cell}\n")
        with pytest.raises(InputError, match=f"spot 'b', column 'B': '{cell}' is not a number"):
            io.read_numbers(path)


def test_names_are_brought_in_line_only_where_an_ending_is_all_that_differs() -> None:
    table = pd.DataFrame({"n": [1, 2, 3]}, index=["b", "a", "z"])
    assert list(naming.named_as(table, pd.Index(["a-1", "b-1", "c-1"])).index) == ["b-1", "a-1", "z"]
    for spots in (["a", "b-1"], ["a-1", "a-2", "b-1"], ["x", "y"]):
        assert list(naming.named_as(table, pd.Index(spots)).index) == ["b", "a", "z"]


def test_input_order() -> None:
    adata = AnnData(obs=pd.DataFrame({"input_row": [5, 0, 3]}, index=list("abc")))
    assert list(adata.obs_names[tables.in_input_order(adata)]) == ["b", "c", "a"]


def test_an_h5ad_of_something_else_is_no_prepared_slice(tmp_path: Path) -> None:
    AnnData(np.ones((2, 2), np.float32)).write_h5ad(tmp_path / "raw.h5ad")
    for counts in (True, False):
        with pytest.raises(InputError, match=r"raw\.h5ad: not a prepared slice"):
            tables.read_prepared(tmp_path / "raw.h5ad", counts=counts)


def test_a_first_line_is_put_back_unless_its_name_has_a_row() -> None:
    names = pd.Index(["y", "z"])
    column = pd.Series(["1"], pd.Index(["z"], name="y"), name="0")
    assert io.with_first(column, names).to_dict() == {"y": "0", "z": "1"}
    headed = pd.Series(["1"], pd.Index(["y"], name="y"), name="0")
    assert io.with_first(headed, names) is headed
