"""Reading a slice: raw counts, coordinates, and the image when there is one, from the files a user has."""

import difflib
import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pandas as pd
from anndata import AnnData
from anndata.io import read_elem
from scipy import sparse

from spotfuse import tables
from spotfuse.errors import InputError

Notes = list[str]

_COUNT_LAYERS = ("counts", "raw_counts", "count", "raw_count", "raw")
_COORDINATE_KEYS = ("spatial", "X_spatial", "spatial_coords", "coords", "coordinates")
_COORDINATE_COLUMNS = (
    ("pxl_col_in_fullres", "pxl_row_in_fullres"),
    ("x", "y"),
    ("x_centroid", "y_centroid"),
    ("center_x", "center_y"),
    ("centerx_global_px", "centery_global_px"),
    ("imagecol", "imagerow"),
    ("x_coord", "y_coord"),
    ("xcoord", "ycoord"),
    ("x_position", "y_position"),
    ("spatial_x", "spatial_y"),
    ("array_col", "array_row"),
    ("col", "row"),
)
_SYMBOL_COLUMNS = ("feature_name", "gene_symbols", "gene_symbol", "gene_names", "gene_name", "symbol", "symbols")


def read_slice(path: Path | str, platform: str = "auto") -> AnnData:
    """Read one slice.

    Parameters
    ----------
    path
        An .h5ad file.
    platform
        ``auto``, or what made the slice when the files do not tell.

    Returns
    -------
    AnnData with raw counts (float32 CSR) of shape (n_spots, n_genes), unique names, ``obsm['spatial']`` of shape
    (n_spots, 2) with x and y, ``uns['spatial']`` with the image as scanpy keeps it when there is one, and
    ``uns['spotfuse']`` with ``kind``, ``platform`` and ``notes``: one line for each thing that was put right.

    Raises
    ------
    InputError
        When the files cannot be read, or hold no counts or no coordinates.
    """
    path = Path(path)
    kind = _kind(path)
    notes: Notes = []
    adata = _read_h5ad(path, notes)
    if "spatial" not in adata.obsm:
        raise InputError(
            f"{path}: no coordinates; they are looked for in obsm['spatial'] and in obs columns such as x and y"
        )
    _check_names(path, adata, notes)
    if platform == "auto":
        platform = "visium" if {"array_row", "array_col"} <= set(adata.obs) else "other"
    adata.uns["spotfuse"] = {"kind": kind, "platform": platform, "notes": notes}
    return adata


def read_obs(path: Path | str) -> pd.DataFrame:
    """Read the columns that a slice's own files have for its spots, without its counts.

    Parameters
    ----------
    path
        As for `read_slice`.

    Returns
    -------
    DataFrame with a row for each spot, in the input's order.

    Raises
    ------
    InputError
        When the file cannot be read.
    """
    path = Path(path)
    if _kind(path) == "h5ad":
        with _opened(path) as file:
            return _frame(path, file, "obs")
    return read_slice(path).obs


def read_annotation(path: Path | str, annotation: str) -> pd.Series:
    """Read what is known of a slice's spots.

    Parameters
    ----------
    path
        The slice, as for `read_slice`.
    annotation
        A table (.tsv, .csv or .txt, plain or .gz) of spot and label, or else the name of one of the slice's columns.

    Returns
    -------
    Series of labels, indexed by spot.

    Raises
    ------
    InputError
        When there is no such table or column.
    """
    if annotation.removesuffix(".gz").endswith((".tsv", ".csv", ".txt")):
        return tables.read(annotation).iloc[:, 0]
    obs = read_obs(path)
    if annotation not in obs:
        raise InputError(f"{path}: no column '{annotation}' for the annotation; {nearest(annotation, obs)}")
    return obs[annotation]


def nearest(name: str, names: Iterable[str]) -> str:
    """Say which of the names that there are was probably meant.

    Parameters
    ----------
    name
        The name that is not there.
    names
        Those that are.

    Returns
    -------
    Words for the end of a message.
    """
    names = [str(other) for other in names]
    like = difflib.get_close_matches(name.lower(), [other.lower() for other in names], n=1, cutoff=0.5)
    if like:
        return "did you mean '" + next(other for other in names if other.lower() == like[0]) + "'?"
    return "there are " + (", ".join(names[:20]) if names else "none")


def _kind(path: Path) -> str:
    if not path.exists():
        raise InputError(f"{path}: there is no such file or folder")
    if path.is_file() and path.suffix == ".h5ad":
        return "h5ad"
    raise InputError(f"{path}: not a kind of slice that is known; give an .h5ad file")


@contextmanager
def _reading(path: Path, kind: str) -> Iterator[None]:
    """Turn what libraries raise at broken files into one line."""
    try:
        yield
    except InputError:
        raise
    except PermissionError:
        raise InputError(f"{path}: may not be read; change its permissions") from None
    except (
        OSError,
        KeyError,
        ValueError,
        TypeError,
        IndexError,
        AttributeError,
        EOFError,
        RuntimeError,
        NotImplementedError,
        zlib.error,
    ) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"{path}: cannot be read as {kind}; is it complete? ({reason})") from error


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    with _reading(path, "h5ad" if path.suffix == ".h5ad" else "HDF5"), h5py.File(path, "r") as file:
        yield file


def _read_h5ad(path: Path, notes: Notes) -> AnnData:
    with _opened(path) as file:
        X, var_key, source = _find_counts(path, file)
        obs, var = _frame(path, file, "obs"), _frame(path, file, var_key)
        if X.shape != (len(obs), len(var)):
            raise InputError(
                f"{path}: {source} is {X.shape[0]} × {X.shape[1]}, but there are {len(obs)} spots and {len(var)} genes"
            )
        if source != "X":
            notes.append(f"counts taken from {source}, X has none")
        X = _counts(path, X, source, "log1p" in file.get("uns", {}), notes)
        adata = AnnData(X, obs=obs, var=var)
        for key in _COORDINATE_KEYS:
            if key in file.get("obsm", {}):
                adata.obsm["spatial"] = _coordinates(
                    path, f"obsm['{key}']", read_elem(file["obsm"][key]), len(obs), notes
                )
                break
        if "spatial" in file.get("uns", {}):
            _keep_image(adata, read_elem(file["uns/spatial"]), notes)
    if "spatial" not in adata.obsm:
        _coordinates_from_columns(path, adata, notes)
    return adata


def _find_counts(path: Path, file: h5py.File) -> tuple[Any, str, str]:
    """Give the first matrix that holds whole numbers, else the first one, where its genes stand, and its name."""
    places = [("X", "var", "X")]
    places += [(f"layers/{name}", "var", f"layers['{name}']") for name in _COUNT_LAYERS]
    places += [("raw/X", "raw/var", "raw.X")]
    found = [place for place in places if place[0] in file]
    # a null X is written as an empty dataset
    found = [place for place in found if getattr(file[place[0]], "shape", ()) is not None]
    if not found:
        raise InputError(f"{path}: no counts; X, layers['counts'] and raw are all absent")
    key, var_key, source = next((place for place in found if _is_whole(_peek(file[place[0]]))), found[0])
    return _matrix(path, file[key], source), var_key, source


def _peek(node: h5py.Group | h5py.Dataset, n: int = 100_000) -> npt.NDArray[Any]:
    if isinstance(node, h5py.Group):
        return np.asarray(node["data"][:n])
    return np.asarray(node[: max(1, n // max(1, node.shape[-1]))])


def _is_whole(values: npt.NDArray[Any]) -> bool:
    return bool(np.isfinite(values).all() and (values >= 0).all() and (values == np.rint(values)).all())


def _matrix(path: Path, node: h5py.Group | h5py.Dataset, source: str) -> sparse.csr_matrix:
    """Read a matrix as float32 CSR; a dense one in slabs, for most of it are zeros."""
    if isinstance(node, h5py.Group):
        _check_size(
            path, source, sum(node[part].size * node[part].dtype.itemsize for part in ("data", "indices", "indptr"))
        )
        X = read_elem(node)
        if X.indptr[0] != 0 or X.indptr[-1] != len(X.indices) or len(X.indices) != len(X.data):
            raise InputError(f"{path}: {source} is damaged: its row pointers do not fit its values")
        inner = X.shape[1] if X.format == "csr" else X.shape[0]
        if len(X.indices) and (X.indices.min() < 0 or X.indices.max() >= inner):
            raise InputError(f"{path}: {source} is damaged: an index lies beyond its shape")
        return sparse.csr_matrix(X, dtype=np.float32)
    if node.ndim != 2:
        raise InputError(f"{path}: {source} has {node.ndim} dimensions, a matrix has two")
    _check_size(path, source, node.size)  # at least a byte each in transit
    step = max(1, 2**24 // max(1, node.shape[1]))
    slabs = [sparse.csr_matrix(node[i : i + step].astype(np.float32)) for i in range(0, node.shape[0], step)]
    return sparse.vstack(slabs, format="csr") if slabs else sparse.csr_matrix(node.shape, dtype=np.float32)


def _check_size(path: Path, source: str, n_bytes: int) -> None:
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if n_bytes > memory:
        raise InputError(
            f"{path}: {source} would take {n_bytes / 1e9:.0f} GB, this machine has {memory / 1e9:.0f} GB; "
            "store counts sparse, or use a larger machine"
        )


def _frame(path: Path, file: h5py.File, key: str) -> pd.DataFrame:
    if key not in file:
        raise InputError(f"{path}: not an AnnData file: it has no '{key}'")
    frame = read_elem(file[key])
    if not isinstance(frame, pd.DataFrame):
        raise InputError(f"{path}: '{key}' is not a table")
    frame.index = pd.Index([str(name) for name in frame.index], dtype=object)
    return frame


def _counts(path: Path, X: sparse.csr_matrix, source: str, logged: bool, notes: Notes) -> sparse.csr_matrix:
    """Give raw counts: as they are, or won back from normalised and logged ones, when each spot's smallest is a one."""
    X.sum_duplicates()
    X.eliminate_zeros()
    if not np.isfinite(X.data).all():
        raise InputError(f"{path}: {source} has NaN or infinite values; give raw counts")
    if (X.data < 0).any():
        raise InputError(
            f"{path}: {source} has negative values, so it was scaled; give raw counts in X, layers['counts'] or raw"
        )
    if _is_whole(X.data):
        return X
    for what, values in (
        ("log-transformed", _as_multiples(X, np.expm1(X.data.astype(np.float64)))),
        ("normalised", _as_multiples(X, X.data.astype(np.float64))),
    ):
        if values is not None:
            notes.append(
                f"{source} was {what}; the counts were won back, taking each spot's smallest value for one count"
            )
            X.data = values
            return X
    if logged:
        raise InputError(f"{path}: {source} was log-transformed; give raw counts in X, layers['counts'] or raw")
    notes.append(f"{source} has values that are not whole numbers; they are used as they are")
    return X


def _as_multiples(X: sparse.csr_matrix, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float32] | None:
    """Divide each row by its smallest value; None unless whole numbers come out."""
    if not len(values) or values.max() > 1e12:
        return None
    rows = np.diff(X.indptr)
    smallest = np.minimum.reduceat(values, X.indptr[:-1][rows > 0])
    ratio = values / np.repeat(smallest, rows[rows > 0])
    whole = np.rint(ratio)
    return whole.astype(np.float32) if (np.abs(ratio - whole) <= 1e-3 * whole).all() else None


def _coordinates(path: Path, source: str, values: Any, n_spots: int, notes: Notes) -> npt.NDArray[np.float64]:
    xy = np.asarray(values, dtype=np.float64)
    if xy.ndim != 2 or xy.shape[1] < 2 or len(xy) != n_spots:
        raise InputError(
            f"{path}: {source} must have a row for each of {n_spots} spots and two columns, x and y; "
            f"its shape is {xy.shape}"
        )
    if xy.shape[1] > 2:
        notes.append(f"{source} has {xy.shape[1]} columns; the first two are taken for x and y")
    if not np.isfinite(xy[:, :2]).any():
        raise InputError(f"{path}: {source} holds no numbers")
    return np.ascontiguousarray(xy[:, :2])


def _coordinates_from_columns(path: Path, adata: AnnData, notes: Notes) -> None:
    columns = {str(column).lower(): column for column in adata.obs}
    for x, y in _COORDINATE_COLUMNS:
        if x in columns and y in columns:
            pair = [columns[x], columns[y]]
            source = f"obs columns {pair[0]} and {pair[1]}"
            values = adata.obs[pair].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64)
            adata.obsm["spatial"] = _coordinates(path, source, values, adata.n_obs, notes)
            notes.append(f"coordinates taken from {source}")
            return


def _keep_image(adata: AnnData, images: Any, notes: Notes) -> None:
    if isinstance(images, dict) and all(isinstance(entry, dict) and "images" in entry for entry in images.values()):
        adata.uns["spatial"] = images
    else:
        notes.append("uns['spatial'] is not laid out as scanpy does; the image is left out")


def _check_names(path: Path, adata: AnnData, notes: Notes) -> None:
    if not adata.n_obs or not adata.n_vars:
        raise InputError(f"{path}: empty: {adata.n_obs} spots and {adata.n_vars} genes")
    twice = adata.obs_names[adata.obs_names.duplicated()]
    if len(twice):
        raise InputError(f"{path}: spot names must be unique; '{twice[0]}' and {len(twice) - 1} more stand twice")
    if adata.var_names.str.match(r"ENS[A-Z]*G\d{6,}").mean() > 0.5:
        for column in _SYMBOL_COLUMNS:
            if column in adata.var:
                adata.var["gene_ids"] = adata.var_names
                adata.var_names = pd.Index([str(name) for name in adata.var[column]], dtype=object)
                notes.append(f"genes named by var['{column}']; their Ensembl ids are kept in var['gene_ids']")
                break
    repeated = adata.var_names.duplicated().sum()
    if repeated:
        adata.var_names_make_unique()
        notes.append(f"{repeated} gene names occurred before; -1, -2 … appended")


def write(adata: AnnData, path: Path | str) -> None:
    """Write an h5ad file, also when the columns a user's own file brought along are of kinds that h5ad cannot keep.

    Parameters
    ----------
    adata
        What to write; its `obs` and `var` are put right in place.
    path
        The file.
    """
    for frame in (adata.obs, adata.var):
        frame.columns = [str(column).replace("/", "_").removeprefix("_index") or "index" for column in frame.columns]
        duplicated = frame.columns.duplicated()
        if duplicated.any():
            frame.drop(columns=frame.columns[duplicated], inplace=True)
        for column in frame.columns:
            if frame[column].dtype == object:
                frame[column] = frame[column].astype("str")
    adata.write_h5ad(path, compression="gzip", compression_opts=1)
