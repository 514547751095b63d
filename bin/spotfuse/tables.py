"""What goes from step to step: tables, as text whose first column names the spot, and prepared slices."""

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from spotfuse import guard
from spotfuse.errors import InputError, MachineError, of_machine

if TYPE_CHECKING:
    from anndata import AnnData

NO_LABEL = frozenset({"", "na", "n/a", "nan", "none", "null", "<na>"})  # in lower case: what stands for none
_YES_OR_NO = dict.fromkeys(("1", "true", "t", "yes", "y"), 1) | dict.fromkeys(("0", "false", "f", "no", "n"), 0)
# columns of tables that hold names, a domain's among them, even where all of them look like numbers
NAMES = frozenset(
    {"sample", "group", "step", "failure", "reason", "unlike", "kind", "name", "neighbour", "domain", "gene"}
    | {"column", "level", "reference_level", "note"}
)
_DECIMAL_COMMA = re.compile(r"^([-+]?\d*),(\d+)$")
_LARGEST = 2**32  # bytes; a small .gz may unpack to anything
# what breaks lines or cannot be written, for one reader or another
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_ENDS = re.compile(r"^[\s\ufeff]+|[\s\ufeff]+$")


def plain(names: Iterable[object]) -> list[str]:
    """Give names as all tables can hold them: control characters are a blank, and no blanks stand at the ends.

    Parameters
    ----------
    names
        Of spots, genes, cell types or columns.

    Returns
    -------
    list of str
    """
    return [name if name.isprintable() and name == name.strip() else _plain(name) for name in map(str, names)]


def write(frame: pd.DataFrame, path: Path | str, *, index: str | None = None) -> None:
    """Write the columns of a frame as tab-separated text with six significant digits.

    Parameters
    ----------
    frame
        The table.
    path
        File to write.
    index
        What the index is called as the first column; without it, what names rows must be one of the columns.
    """
    frame.to_csv(path, sep="\t", index=index is not None, index_label=index, float_format="%.6g", lineterminator="\n")


def read_back(path: Path | str) -> pd.DataFrame:
    """Read a table that `write` wrote: names are text just as they were, and all else is what it looks like.

    Parameters
    ----------
    path
        The table.

    Returns
    -------
    DataFrame; empty cells are missing.

    Raises
    ------
    InputError
        When there is no such file.
    """
    try:
        with Path(path).open(encoding="utf-8", newline="") as file:
            header = next(csv.reader(file, delimiter="\t"), [])
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    # a table of spots goes on with figures, whose columns may be called anything: a cell type, say
    names = [0] if header[:1] == ["spot"] else [i for i, name in enumerate(header) if name in NAMES]
    frame = pd.read_csv(
        path,
        sep="\t",
        header=None,
        skiprows=1,
        names=range(len(header)),
        dtype=dict.fromkeys(names, str),
        keep_default_na=False,
        na_values=[""],
    )
    return frame.set_axis(header, axis=1)


def read_spots(path: Path | str) -> pd.DataFrame:
    """Read a table of spots back, as `read_back`.

    Parameters
    ----------
    path
        The table.

    Returns
    -------
    DataFrame of the other columns, indexed by spot.

    Raises
    ------
    InputError
        When there is no such file.
    """
    frame = read_back(path)
    return frame.iloc[:, 1:].set_axis(pd.Index(frame.iloc[:, 0], name="spot"))


def read(path: Path | str, index: tuple[str, ...] = (), *, row: str = "spot") -> pd.DataFrame:
    """Read a table that a user wrote: a header, then one row a spot, the spot's name first.

    Parameters
    ----------
    path
        A .csv, .tsv or .txt file, plain or .gz. The header's first cell may say anything or be absent, as R writes it.
    index
        Columns that, joined by _, name the spot, where it is not the first one.
    row
        What has a row, for messages.

    Returns
    -------
    DataFrame of text, indexed by spot, all as `plain` gives it; empty cells are empty text.

    Raises
    ------
    InputError
        When the file cannot be read as such a table, or a spot has two rows.
    """
    path = Path(path)
    text = _text(path)
    first = text.split("\n", 1)[0]
    delimiter = _delimiter(path, first)
    rows = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    try:
        header = plain(next(rows))
        body, lines = [], []
        for cells in map(plain, rows):
            if any(cells):
                if delimiter == ";":  # as spreadsheets write where numbers have a decimal comma
                    cells = [cells[0], *(_DECIMAL_COMMA.sub(r"\1.\2", cell) for cell in cells[1:])]
                body.append(cells)
                lines.append(rows.line_num)
    except StopIteration:
        raise InputError(f"{path}: the table is empty; it needs a header line and one line a {row}") from None
    except csv.Error as error:
        raise InputError(f"{path}, line {rows.line_num}: {error}") from None
    if not body:
        raise InputError(f"{path}: the table has a header but no rows")
    if len(body[0]) == len(header) + 1:
        header = ["", *header]
    if len(header) < 2:
        raise InputError(
            f"{path}: the table has one column; it needs the {row} and at least one more, "
            "split by tabs (.tsv) or commas (.csv)"
        )
    for cells, line in zip(body, lines, strict=True):
        if len(cells) != len(header):
            raise InputError(f"{path}, line {line}: {len(cells)} fields where the header has {len(header)}")
    duplicate = _first_duplicate(header[1:])
    if duplicate is not None and not _is_number(duplicate):  # numbers: no header, which callers put right or refuse
        raise InputError(f"{path}: two columns are named '{duplicate}'")
    if missing := [name for name in index if name not in header]:
        raise InputError(f"{path}: no column '{missing[0]}'")
    at = [header.index(name) for name in index] or [0]
    names = ["_".join(cells[i] for i in at) for cells in body]
    duplicate = _first_duplicate(names)
    if duplicate is not None:
        raise InputError(f"{path}: {row} '{duplicate}' has more than one row")
    return pd.DataFrame(
        [cells[1:] for cells in body], index=pd.Index(names, name=header[0]), columns=header[1:], dtype=object
    )


def read_column(path: Path, name: str) -> pd.Series:
    """Read one column of a table of spots back.

    Parameters
    ----------
    path
        The table.
    name
        Of the column.

    Returns
    -------
    Series, indexed by spot.

    Raises
    ------
    InputError
        When there is no such table or column.
    """
    table = read_spots(path)
    if name not in table:
        raise InputError(f"{path}: no column '{name}'; it has {', '.join(table.columns[:10])}")
    return table[name]


def read_numbers(path: Path | str) -> pd.DataFrame:
    """Read a table, as `read`, whose cells are all numbers.

    Parameters
    ----------
    path
        The table.

    Returns
    -------
    DataFrame of float64, indexed by spot.

    Raises
    ------
    InputError
        When a cell is not a finite number.
    """
    frame = read(path)
    numbers = frame.apply(pd.to_numeric, errors="coerce").astype(float)
    bad = np.argwhere(~np.isfinite(numbers.to_numpy()))
    if len(bad):
        row, column = bad[0]
        raise InputError(
            f"{path}: spot '{frame.index[row]}', column '{frame.columns[column]}': "
            f"'{frame.iloc[row, column]}' is not a number"
        )
    return numbers


def named_as[Table: (pd.DataFrame, pd.Series)](table: Table, spots: pd.Index) -> Table:
    """Call the rows of a table as a slice calls its spots, where the two differ in an ending such as -1 alone.

    Parameters
    ----------
    table
        Indexed by spot.
    spots
        The slice's names.

    Returns
    -------
    The table; as it was, when some of its names are the slice's or the ending is not all there is to it.
    """
    if table.index.isin(spots).any():
        return table
    bare, ours = (names.astype(str).str.replace(r"-\d+$", "", regex=True) for names in (table.index, spots))
    if bare.has_duplicates or ours.has_duplicates or not bare.isin(ours).any():
        return table
    at = ours.get_indexer(bare)
    names = [spots[i] if i >= 0 else name for i, name in zip(at, table.index, strict=True)]
    return table.set_axis(pd.Index(names, dtype=object, name=table.index.name))


def with_first(column: pd.Series, names: pd.Index) -> pd.Series:
    """Put back what a table without a header had in its first line, which was taken for one.

    Parameters
    ----------
    column
        Of a table, indexed by what its first column holds.
    names
        What that may be.

    Returns
    -------
    The column; as it was, when its header is none of the names.
    """
    if column.index.name not in names:
        return column
    return pd.concat([pd.Series({column.index.name: column.name}), column])


def yes_or_no(source: Path | str, column: pd.Series) -> pd.Series:
    """Read a column that says yes or no in numbers, words or truth values.

    Parameters
    ----------
    source
        Where it stands, for messages.
    column
        Of 1 and 0, true and false, yes and no or their first letters, in any case and as any type.

    Returns
    -------
    Series of 1 and 0, and NaN where nothing is said.

    Raises
    ------
    InputError
        When it says anything else.
    """
    words = column.astype(object).where(column.notna(), "").astype(str).str.strip().str.lower()
    said = words.str.removesuffix(".0").map(_YES_OR_NO)
    strange = said.isna() & ~words.isin(NO_LABEL)
    if strange.any():
        raise InputError(
            f"{source}: column '{column.name}' says '{words[strange].iloc[0]}'; it has to say yes or no, 1 or 0"
        )
    return said.astype(float)


def read_prepared(path: Path, *, counts: bool = True) -> "AnnData":
    """Read a slice that `prepare_slice` wrote, or a group's slices that `join_group` wrote.

    Parameters
    ----------
    path
        The h5ad file.
    counts
        Read the counts too; else they stay in the file.

    Returns
    -------
    AnnData

    Raises
    ------
    InputError
        When it is an h5ad of something else.
    """
    adata = guard.read_h5ad(path, backed=not counts)
    if "input_row" not in adata.obs:
        raise InputError(f"{path}: not a prepared slice; give the prepared.h5ad that prepare_slice.py wrote")
    return adata


def make_room(frame: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
    """Give a slice's own columns another name where they have one of ours: ``input_…``."""
    taken, renamed = set(frame.columns), {}
    for name in taken & set(names):
        other = f"input_{name}"
        while other in taken:
            other = f"input_{other}"
        taken.add(other)
        renamed[name] = other
    return frame.rename(columns=renamed)


def in_input_order(adata: "AnnData") -> npt.NDArray[np.intp]:
    """Give the order that puts the rows of a prepared slice back as the input had them.

    Parameters
    ----------
    adata
        A prepared slice, whose ``obs['input_row']`` says where each spot stood.

    Returns
    -------
    ndarray of shape (n_spots,), for ``frame.iloc[...]``.
    """
    return np.argsort(adata.obs["input_row"].to_numpy(), kind="stable")


def _plain(name: str) -> str:
    return _ENDS.sub("", _CONTROL.sub(" ", name))


def _text(path: Path) -> str:
    guard.check_regular(path)
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            raw = file.read(_LARGEST + 1)
        if len(raw) > _LARGEST:
            raise InputError(f"{path}: larger than {_LARGEST >> 30} GiB; too large for a table of spots")
        text = raw.decode("utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: a folder where a table is expected") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not text in UTF-8; save the table as CSV or TSV") from None
    except (OSError, EOFError, zlib.error) as error:
        kind = MachineError if of_machine(error) else InputError
        raise kind(f"{path}: cannot be read ({error})") from None
    if "\0" in text:
        raise InputError(f"{path}: not a text table; save it as CSV or TSV")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _delimiter(path: Path, first: str) -> str:
    kind = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    # what stands in the header counts before what the file is called: a .csv full of tabs is common
    if "\t" in first:
        return "\t"
    if kind == ".csv" or "," in first:
        return ";" if ";" in first and "," not in first else ","
    return "\t"


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _first_duplicate(names: list[str]) -> str | None:
    seen = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None
