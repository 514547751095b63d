"""Tables that users write."""

import csv
import gzip
import io
import re
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from spotfuse._core import guard
from spotfuse._core.errors import InputError, MachineError, of_machine
from spotfuse._core.naming import NO_LABEL, plain

if TYPE_CHECKING:
    pass
_YES_OR_NO = dict.fromkeys(("1", "true", "t", "yes", "y"), 1) | dict.fromkeys(("0", "false", "f", "no", "n"), 0)
_DECIMAL_COMMA = re.compile(r"^([-+]?\d*),(\d+)$")
_LARGEST = 2**32  # bytes; a small .gz may unpack to anything


def read_table(path: Path | str, index: tuple[str, ...] = (), *, row: str = "spot") -> pd.DataFrame:
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
    frame = read_table(path)
    numbers = frame.apply(pd.to_numeric, errors="coerce").astype(float)
    bad = np.argwhere(~np.isfinite(numbers.to_numpy()))
    if len(bad):
        row, column = bad[0]
        raise InputError(
            f"{path}: spot '{frame.index[row]}', column '{frame.columns[column]}': "
            f"'{frame.iloc[row, column]}' is not a number"
        )
    return numbers


def corner(path: Path | str) -> str:
    """Give the first cell of a table's header, without reading the table.

    Parameters
    ----------
    path
        A .csv, .tsv or .txt file, plain or .gz, that is there.

    Returns
    -------
    str; empty where the header cannot be read
    """
    path = Path(path)
    guard.check_regular(path)
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            first = file.readline(_LARGEST).decode("utf-8-sig").rstrip("\r\n")
        return plain(next(csv.reader([first], delimiter=_delimiter(path, first)), [""]))[0]
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error, IndexError):
        return ""


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
    The column; as it was, when its header is none of the names, or a name that has a row of its own.
    """
    if column.index.name not in names or column.index.name in column.index:
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


def is_table(annotation: str) -> bool:
    """Tell whether an annotation is a table, and not a column, by how its name ends.

    Parameters
    ----------
    annotation
        As for `read_annotation`.

    Returns
    -------
    bool
    """
    return annotation.lower().removesuffix(".gz").endswith((".tsv", ".csv", ".txt"))


def column_name(name: object) -> str:
    """Give the name under which `write` keeps a column, for h5ad cannot keep every name.

    Parameters
    ----------
    name
        The column's name in the input.

    Returns
    -------
    str
    """
    return str(name).replace("/", "_").removeprefix("_index") or "index"
