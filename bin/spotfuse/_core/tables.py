"""What goes from step to step: tables, as text whose first column names the spot, and prepared slices."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from spotfuse._core import guard
from spotfuse._core.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

# columns of tables that hold names, a domain's among them, even where all of them look like numbers
NAMES = frozenset(
    {"sample", "group", "step", "failure", "reason", "unlike", "kind", "name", "neighbour", "domain", "gene"}
    | {"column", "level", "reference_level", "note", "cell", "first_type", "second_type", "class"}
)


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
