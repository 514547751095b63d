"""Names of spots, genes and cell types: cleaned, and matched between tables."""

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from spotfuse._core.errors import InputError

NO_LABEL = frozenset({"", "na", "n/a", "nan", "none", "null", "<na>"})  # in lower case: what stands for none
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


def _plain(name: str) -> str:
    return _ENDS.sub("", _CONTROL.sub(" ", name))


def text_index(names: Iterable[Any]) -> pd.Index:
    """Give names as text."""
    return pd.Index([name.decode() if isinstance(name, bytes) else str(name) for name in names], dtype=object)


def align(rows: pd.Index, whose: str, given: pd.Index, what: str) -> npt.NDArray[np.intp]:
    """Say where in what was given for some rows each row's own stands.

    By name, where all rows' names are among those given; by position, where either side has no names: a default index
    says nothing, and neither do R's row numbers.

    Parameters
    ----------
    rows
        What the rows are called.
    whose, what
        What the caller calls the rows' table, and what was given for it, for messages.
    given
        What is called so there.

    Returns
    -------
    ndarray of shape (n_rows,), for ``iloc``

    Raises
    ------
    InputError
        Where both have names that fit in part or not at all, or lengths differ.
    """
    at = aligned(rows, given)
    if at is not None:
        return at
    if unnamed(rows) or unnamed(given):
        raise InputError(f"{whose} has {len(rows)} rows but {what} has {len(given)}")
    ours, theirs = text_index(rows), text_index(given)
    lacking, other = ours[~ours.isin(theirs)], theirs[~theirs.isin(ours)]
    if not len(lacking):
        twice = theirs[theirs.duplicated() & theirs.isin(ours)][0]
        raise InputError(f"{what}: '{twice[:40]}' stands there more than once, in another order than in {whose}")
    strange = f", and has '{other[0][:40]}'" if len(other) else ""
    raise InputError(
        f"{what} has {len(rows) - len(lacking)} of the {len(rows)} names of {whose}'s rows: it lacks "
        f"'{lacking[0][:40]}'{strange}; name both alike, or give {what} as an array in the order of {whose}"
    )


def aligned(rows: pd.Index, given: pd.Index) -> npt.NDArray[np.intp] | None:
    """Say what `align` says, or None where that refuses."""
    in_order = np.arange(len(rows))
    if rows.equals(given):
        return in_order
    ours = text_index(rows)
    theirs = named_as(pd.Series(0, text_index(given)), ours).index
    if len(ours) == len(theirs) or not unnamed(rows):
        where = pd.Series(np.arange(len(theirs)), theirs)[~theirs.duplicated(keep=False)].reindex(ours)
        if where.notna().all():
            return np.asarray(where, dtype=np.intp)
    return in_order if len(ours) == len(theirs) and (unnamed(rows) or unnamed(given)) else None


def unnamed(names: pd.Index) -> bool:
    """Tell whether names are but the numbers of rows, from 0 or, as in R, from 1."""
    if not len(names) or str(names[0]) not in ("0", "1"):
        return False
    text = text_index(names)
    return any(text.equals(text_index(range(first, first + len(text)))) for first in (0, 1))


def _are_names(column: pd.Series) -> bool:
    """Tell whether a column has names of rows; that is what pandas calls the first one where its header is empty."""
    if not column.is_unique:
        return False
    return str(column.name) == "Unnamed: 0" or bool(pd.to_numeric(column, errors="coerce").isna().all())


def by_own_names(frame: pd.DataFrame, names: pd.Index) -> pd.DataFrame:
    """Name the rows of a table that has no names by a column of it that has some of those which are known."""
    if not unnamed(frame.index) or frame.shape[1] < 2:
        return frame
    for i in range(frame.shape[1]):
        column = frame.iloc[:, i]
        if _are_names(column) and column.astype(str).isin(text_index(names)).any():
            return frame.iloc[:, [j for j in range(frame.shape[1]) if j != i]].set_axis(pd.Index(column))
    return frame
