"""What a caller has in memory, judged as the files of a slice are."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from spotfuse._core.errors import InputError
from spotfuse._core.notes import Notes
from spotfuse._core.types import Floats
from spotfuse.io._anndata import _usual_key
from spotfuse.io._coordinates import coordinate_columns, coordinates
from spotfuse.io._counts import Candidate, choose, raw_counts


def matrix(values: Any, name: str) -> sparse.csr_matrix:
    """Give a table of numbers as CSR, never the caller's own.

    Parameters
    ----------
    values
        An array or sparse matrix of two dimensions, a DataFrame, or lists of lists.
    name
        What the caller calls it, for messages.

    Returns
    -------
    csr_matrix

    Raises
    ------
    InputError
        For what is no table of real numbers.
    """
    if isinstance(values, pd.DataFrame):
        for i, dtype in enumerate(values.dtypes):
            if not pd.api.types.is_numeric_dtype(dtype) or dtype.kind == "c":
                _check_numbers(values.iloc[:, i], name)
        values = values.to_numpy(dtype=np.float64)
    elif not sparse.issparse(values):
        try:
            values = np.asarray(values)
        except ValueError:
            raise InputError(f"{name}: its rows are of different lengths") from None
    if values.ndim != 2 or 0 in values.shape:
        raise InputError(
            f"{name}: a table of rows and columns is needed (DataFrame, array, sparse matrix or AnnData); "
            f"it has the shape {values.shape}"
        )
    if values.dtype.kind not in "biuf":
        try:
            values = values.astype(np.float64, casting="safe" if values.dtype.kind == "c" else "unsafe")
        except (TypeError, ValueError):
            raise InputError(f"{name}: counts are needed; it holds {values.dtype.name}, not all real numbers") from None
    if (values.dtype.kind in "bf" and values.dtype.itemsize not in (4, 8)) or not values.dtype.isnative:
        values = values.astype(np.float64)
    return sparse.csr_matrix(values, copy=True)


def _check_numbers(column: pd.Series, name: str) -> None:
    if column.dtype.kind == "c":
        bad = pd.Series(True, column.index)
    else:
        bad = pd.to_numeric(column, errors="coerce").isna() & column.notna()
    if bad.any():
        raise InputError(
            f"{name}: '{str(column[bad].iloc[0])[:40]}' in column '{str(column.name)[:40]}' is not a number; give "
            "counts alone, and names as index and columns"
        )


def counts_in(
    values: sparse.csr_matrix, name: str, source: str, notes: Notes, logged: bool = False
) -> sparse.csr_matrix:
    """Give raw counts as `spotfuse.io.read_slice` does, or refuse what is none.

    Parameters
    ----------
    values
        From `matrix`, of shape (n_spots, n_genes).
    name, source
        What the caller calls it, and the part of it, for messages.
    notes
        Grows when counts were won back.
    logged
        Whether it says of itself that it was logged.

    Returns
    -------
    csr_matrix
    """
    told = Notes()
    found = raw_counts(Path(name), values, source, logged, told)
    if not found.nnz:
        raise InputError(f"{name}: all counts are 0")
    notes += [f"{name}: {note}" for note in told]
    return found


def counts_of(adata: AnnData, name: str, notes: Notes) -> AnnData:
    """Find the raw counts of an AnnData as `spotfuse.io.read_slice` does those of a file.

    Parameters
    ----------
    adata
        With counts in X, ``layers['counts']`` or ``raw``; not changed. What this package read is taken as it is.
    name
        What the caller calls it, for messages.
    notes
        Grows when counts were not in X, or were won back.

    Returns
    -------
    AnnData with counts as CSR in X, of shape (n_spots, n_genes), and the same `obs` and `obsm`.

    Raises
    ------
    InputError
        Without counts.
    """
    if not isinstance(adata, AnnData):
        raise InputError(f"{name} is a {type(adata).__name__}; give an AnnData")
    if "notes" in adata.uns.get("spotfuse", {}) and "log1p" not in adata.uns:
        return adata
    if adata.isbacked:
        adata = adata.to_memory()
    told = Notes()
    X, source = choose(
        Path(name),
        None if adata.X is None else _candidate(adata.X, name, "X"),
        {str(key): _candidate(values, name, f"layers['{key}']") for key, values in adata.layers.items()},
        None if adata.raw is None else _candidate(adata.raw.X, name, "raw.X"),
        logged="log1p" in adata.uns,
        how="call that of counts counts",
        notes=told,
    )
    if not X.nnz:
        raise InputError(f"{name}: all counts are 0")
    notes += [f"{name}: {note}" for note in told]
    return AnnData(X, obs=adata.obs, var=adata.raw.var if source == "raw.X" else adata.var, obsm=dict(adata.obsm))


def _candidate(values: Any, name: str, source: str) -> Candidate:
    def read() -> sparse.csr_matrix:
        return matrix(values, f"{name}: {source}")

    return Candidate(source, lambda: read().data, read)


def coordinates_of(adata: AnnData, name: str, notes: Notes) -> Floats:
    """Find x and y of the spots of an AnnData, in `obsm` or in columns of `obs`.

    Parameters
    ----------
    adata
        The slice.
    name
        What the caller calls it, for messages.
    notes
        Grows when there was a choice.

    Returns
    -------
    Array of shape (n_spots, 2); NaN where a place is not known.

    Raises
    ------
    InputError
        Without coordinates.
    """
    key = _usual_key(list(adata.obsm))
    if key is not None:
        return coordinates(Path(name), f"obsm['{key}']", adata.obsm[key], adata.n_obs, notes)
    pair = coordinate_columns(adata.obs)
    if pair is None:
        raise InputError(f"{name}: no coordinates; put x and y of the spots into obsm['spatial']")
    return coordinates(Path(name), f"obs columns {pair[0]} and {pair[1]}", adata.obs[list(pair)], adata.n_obs, notes)
