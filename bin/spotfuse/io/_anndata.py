"""AnnData files, h5ad and zarr, and SpatialData, whose tables they are."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from anndata import AnnData
from anndata.io import read_elem
from scipy import sparse

from spotfuse import guard
from spotfuse.errors import InputError
from spotfuse.io._common import (
    Choice,
    Notes,
    check_size,
    check_sizes,
    coordinate_columns,
    coordinates,
    coordinates_from,
    read_parquet,
    reading,
    text_index,
)
from spotfuse.io._counts import is_whole, raw_counts

_COUNT_LAYERS = ("counts", "raw_counts", "count", "raw_count", "raw")
_COORDINATE_KEYS = ("spatial", "X_spatial", "spatial_coords", "coords", "coordinates")


# an h5py.File or Group, or their like in zarr
Group = Any


@contextmanager
def opened(path: Path) -> Iterator[Group]:
    """Open an h5ad file, or the table of a zarr store, whatever it turns out to be."""
    if path.is_dir():
        with reading(path, "zarr"):
            yield _table_of(path)
    else:
        with reading(path, "h5ad"), guard.hdf5(path) as file:
            yield file


def read(path: Path, notes: Notes, choice: Choice, spatial: bool = True) -> AnnData:
    """Read counts, the tables of spots and genes, and coordinates and image when there are any, and nothing else."""
    with opened(path) as file:
        X, var_key, source = _find_counts(path, file, notes)
        obs, var = frame(path, file, "obs"), frame(path, file, var_key)
        if X.shape != (len(obs), len(var)):
            raise InputError(
                f"{path}: {source} is {X.shape[0]} × {X.shape[1]}, but there are {len(obs)} spots and {len(var)} genes"
            )
        if source != "X":
            notes.append(f"counts taken from {source}, X has none")
        adata = AnnData(X, obs=obs, var=var)
        if not spatial:
            return adata
        for key in _COORDINATE_KEYS:
            if key in file.get("obsm", {}):
                check_sizes(path, file["obsm"][key])
                values = read_elem(file["obsm"][key])
                adata.obsm["spatial"] = coordinates(path, f"obsm['{key}']", values, len(obs), notes)
                break
        if "spatial" in file.get("uns", {}):
            check_sizes(path, file["uns/spatial"])
            _keep_image(adata, read_elem(file["uns/spatial"]), notes)
        if "spatial" not in adata.obsm and "spatialdata_attrs" in file.get("uns", {}):
            _from_elements(path, adata, read_elem(file["uns/spatialdata_attrs"]), notes)
    if "spatial" not in adata.obsm:
        coordinates_from(path, adata, adata.obs, "obs", notes)
    return adata


def has_coordinates(path: Path) -> bool:
    """Tell whether a file is AnnData with coordinates, as slices are and single-cell references are not."""
    try:
        with opened(path) as file:
            return any(key in file.get("obsm", {}) for key in _COORDINATE_KEYS) or (
                "spatialdata_attrs" in file.get("uns", {})
                or ("obs" in file and coordinate_columns(pd.DataFrame(columns=list(file["obs"].keys()))) is not None)
            )
    except InputError:
        return False


def frame(path: Path, file: Group, key: str) -> pd.DataFrame:
    """Read the table of spots or of genes."""
    if key not in file:
        raise InputError(f"{path}: not an AnnData file: it has no '{key}'")
    check_sizes(path, file[key])
    table = read_elem(file[key])
    if not isinstance(table, pd.DataFrame):
        raise InputError(
            f"{path}: '{key}' is not a table; if anndata before 0.7 wrote it, write it again with a newer one"
        )
    table.index = text_index(table.index)
    return table


def _table_of(path: Path) -> Group:
    import zarr

    guard.check_zarr(path)
    root: Group = zarr.open_group(path, mode="r", use_consolidated=False)
    tables = root["tables"] if "tables" in root else root["table"] if "table" in root else None
    if tables is None:
        return root
    names = sorted(tables.keys())
    if len(names) != 1 and "table" not in names:
        raise InputError(f"{path}: {len(names)} tables ({', '.join(names)}); leave one, or write it as h5ad")
    return tables["table" if "table" in names else names[0]]


def _find_counts(path: Path, file: Group, notes: Notes) -> tuple[sparse.csr_matrix, str, str]:
    """Give the first matrix that holds counts, else the first they can be won back from, its genes' key, its name."""
    places = [("X", "var", "X")]
    places += [(f"layers/{name}", "var", f"layers['{name}']") for name in _COUNT_LAYERS]
    places += [("raw/X", "raw/var", "raw.X")]
    # an X that is None is written as a dataset without a shape
    found = [place for place in places if place[0] in file and getattr(file[place[0]], "shape", ()) is not None]
    if not found:
        raise InputError(f"{path}: no counts; X, layers['counts'] and raw are all absent")
    logged = "log1p" in file.get("uns", {})
    refusal = None
    for key, var_key, source in sorted(found, key=lambda place: not is_whole(_peek(file[place[0]]))):
        try:
            return raw_counts(path, _matrix(path, file[key], source), source, logged, notes), var_key, source
        except InputError as error:
            refusal = refusal or error
    raise refusal or InputError(f"{path}: no counts")


def _peek(node: Any, n: int = 100_000) -> npt.NDArray[Any]:
    if hasattr(node, "keys"):
        return np.asarray(node["data"][:n])
    if node.ndim != 2:
        return np.array([np.nan])
    return np.asarray(node[: max(1, n // max(1, node.shape[1])), :n])


def _matrix(path: Path, node: Any, source: str) -> sparse.csr_matrix:
    """Read a matrix as float32 CSR; a dense one in slabs, for most of it are zeros."""
    if hasattr(node, "keys"):
        check_sizes(path, node)
        X = read_elem(node)
        n_rows, n_columns = X.shape if X.format == "csr" else X.shape[::-1]
        if len(X.indptr) != n_rows + 1 or X.indptr[-1] != len(X.indices) or (np.diff(X.indptr) < 0).any():
            raise InputError(f"{path}: {source} is damaged: its row pointers do not fit its values")
        if len(X.indices) and (X.indices.min() < 0 or X.indices.max() >= n_columns):
            raise InputError(f"{path}: {source} is damaged: an index lies beyond its shape")
        X = type(X)((X.data, X.indices, X.indptr), shape=X.shape)  # row pointers and indices of one type
        return sparse.csr_matrix(X, dtype=np.float32)
    if node.ndim != 2:
        raise InputError(f"{path}: {source} has {node.ndim} dimensions, a matrix has two")
    check_size(path, source, node.size * node.dtype.itemsize)
    step = max(1, 2**24 // max(1, node.shape[1]))
    slabs = [sparse.csr_matrix(node[i : i + step].astype(np.float32)) for i in range(0, node.shape[0], step)]
    return sparse.vstack(slabs, format="csr") if slabs else sparse.csr_matrix(node.shape, dtype=np.float32)


def _keep_image(adata: AnnData, images: Any, notes: Notes) -> None:
    if isinstance(images, dict) and all(isinstance(entry, dict) and "images" in entry for entry in images.values()):
        adata.uns["spatial"] = images
    else:
        notes.append("uns['spatial'] is not laid out as scanpy does; the image is left out")


def _from_elements(path: Path, adata: AnnData, attributes: Any, notes: Notes) -> None:
    """Give each row of a SpatialData table the middle of the shape, or the place of the point, that it is of."""
    instance, key = (str(attributes.get(name)) for name in ("instance_key", "region_key"))
    regions = [str(name) for name in np.atleast_1d(attributes.get("region", []))]
    if not regions or not {instance, key} <= set(adata.obs):
        return
    xy = np.full((adata.n_obs, 2), np.nan)
    for region in regions:
        rows = np.flatnonzero(adata.obs[key].astype(str) == region)
        places = _element(path, region)
        places.index = text_index(places.index)
        xy[rows] = places.reindex(adata.obs[instance].iloc[rows].astype(str)).to_numpy()
    adata.obsm["spatial"] = coordinates(path, f"elements {', '.join(regions)}", xy, adata.n_obs, notes)
    notes.append(f"coordinates are the middles of {', '.join(regions)}")


def _element(path: Path, region: str) -> pd.DataFrame:
    shapes, points = path / "shapes" / region / "shapes.parquet", path / "points" / region / "points.parquet"
    if shapes.exists():
        table = read_parquet(shapes)
        with reading(shapes, "GeoParquet"):
            middles = [_middle(bytes(geometry)) for geometry in table["geometry"]]
            return pd.DataFrame(np.reshape(middles, (-1, 2)), index=table.index, columns=["x", "y"])
    if points.exists():
        parts = [read_parquet(part) for part in sorted(points.glob("*.parquet"))] or [read_parquet(points)]
        with reading(points, "points"):
            return pd.concat(parts)[["x", "y"]].astype(np.float64)
    raise InputError(
        f"{path}: its table is of '{region}', which is neither among shapes nor points as Parquet; write the table "
        "with obsm['spatial'] (spatialdata.get_centroids) as h5ad"
    )


def _middle(wkb: bytes) -> npt.NDArray[np.float64]:
    """Give the centroid of a point, polygon or multipolygon in well-known binary (OGC 06-103r4), holes left aside."""
    order = "<" if wkb[0] == 1 else ">"
    kind = struct.unpack_from(f"{order}I", wkb, 1)[0]
    if kind == 1:
        return np.frombuffer(wkb, f"{order}f8", 2, 5)
    if kind not in (3, 6):
        raise ValueError(f"a geometry of kind {kind} where points and polygons are expected")
    weights, middles, at = [], [], 0 if kind == 3 else 9
    for _ in range(1 if kind == 3 else struct.unpack_from(f"{order}I", wkb, 5)[0]):
        n_rings, at = struct.unpack_from(f"{order}I", wkb, at + 5)[0], at + 9
        for ring in range(n_rings):
            n_corners = struct.unpack_from(f"{order}I", wkb, at)[0]
            corners = np.frombuffer(wkb, f"{order}f8", 2 * n_corners, at + 4).reshape(-1, 2)
            at += 4 + 16 * n_corners
            if ring == 0:
                area, middle = _centroid(corners)
                weights.append(area)
                middles.append(middle)
    return np.average(middles, axis=0, weights=weights if any(weights) else None)


def _centroid(corners: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
    """Give area and centroid of a closed ring; its first corner comes again as the last."""
    near = corners - corners[0]
    cross = near[:-1, 0] * near[1:, 1] - near[1:, 0] * near[:-1, 1]
    area = cross.sum() / 2
    if not area:
        return 0.0, corners[:-1].mean(axis=0)
    return abs(float(area)), corners[0] + ((near[:-1] + near[1:]) * cross[:, None]).sum(axis=0) / (6 * area)
