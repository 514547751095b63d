"""AnnData files, h5ad and zarr, and SpatialData, whose tables they are."""

import re
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from anndata import AnnData
from anndata.io import read_elem
from pandas.api.types import is_integer_dtype
from scipy import sparse

from spotfuse._core import guard
from spotfuse._core.errors import InputError
from spotfuse._core.naming import text_index
from spotfuse._core.notes import Notes
from spotfuse._core.types import Floats
from spotfuse.io import _genes, _images, _sections
from spotfuse.io._common import Choice, check_size, check_sizes, nearest, read_parquet, reading
from spotfuse.io._coordinates import coordinate_columns, coordinate_pairs, coordinates, coordinates_from, planes
from spotfuse.io._counts import Candidate, choose

# in lower case, without what is no letter
_COORDINATE_KEYS = ("spatial", "xspatial", "spatialcoords", "coords", "coordinates", "spatialcoordinates")
_EMBEDDING = re.compile(
    r"pca|umap|tsne|t_sne|phate|diffmap|draw_graph|pacmap|densmap|trimap|ivis|mde|distortion|force|_fr$|_fa2?$|som|"
    r"scvi|scanvi|scgpt|glue|harmony|lsi|svd|nmf|cca|ica|mofa|latent|emb|velo|"
    r"rctd|auc|proportion|prob|score|abundance|cell_type|celltype",
    re.IGNORECASE,
)
_NUMBERS = "buif"  # kinds of NumPy's types

_PLACES = re.compile(r"spatial|coord|global|slide|stage|abs", re.IGNORECASE)

# an h5py.File or Group, or their like in zarr
Group = Any
# takes the table of cells and gives the rows that are wanted, rising
type Rows = npt.NDArray[np.intp]
type Draw = Callable[[pd.DataFrame], Rows]

_LARGE = 2**27  # values of a matrix beyond which only wanted rows are read
_SLAB = 2**24  # values that are read at once


@contextmanager
def opened(path: Path, choice: Choice) -> Iterator[Group]:
    """Open an h5ad file, or the table of a zarr store, whatever it turns out to be."""
    if path.is_dir():
        with reading(path, "zarr"):
            yield _table_of(path, choice)
    else:
        with reading(path, "h5ad"), guard.hdf5(path) as file:
            yield file


def read(path: Path, notes: Notes, choice: Choice, spatial: bool = True, draw: Draw | None = None) -> AnnData:
    """Read counts, the tables of spots and genes, and coordinates and image when there are any, and nothing else.

    Of many counts, only the rows are read that `draw` takes.
    """
    with opened(path, choice) as file:
        drawn = draw(frame(path, file, "obs")) if draw is not None and _is_large(file) else None
        X, var_key, source = _find_counts(path, file, choice.layer, spatial, notes, drawn)
        obs, var = frame(path, file, "obs", notes), frame(path, file, var_key)
        if drawn is not None:
            obs = obs.iloc[drawn]
        if var_key != "var" and "var" in file:
            var = _with_columns_of(var, frame(path, file, "var"))
        if X.shape != (len(obs), len(var)):
            raise InputError(
                f"{path}: {source} is {X.shape[0]} × {X.shape[1]}, but obs has {len(obs)} rows and var has {len(var)}"
            )
        adata = AnnData(X, obs=obs, var=var)
        if spatial:
            _add_places(path, file, adata, choice.spatial_key, notes)
            moved = choice.spatial_key is None and _onto_slide(path, file, adata, notes)
            if "spatial" in file.get("uns", {}) and not moved:  # whose images are those of fields of view
                _keep_image(path, adata, file["uns/spatial"], notes)
    return adata


def read_places(path: Path) -> AnnData:
    """Read the table of spots and their coordinates, without counts and genes."""
    with opened(path, Choice()) as file:
        adata = AnnData(obs=frame(path, file, "obs"))
        _add_places(path, file, adata, None, Notes())
        _onto_slide(path, file, adata, Notes())
    return adata


def _add_places(path: Path, file: Group, adata: AnnData, asked: str | None, notes: Notes) -> None:
    """Fill in coordinates where the file has them."""
    key = _coordinate_key(path, file, adata.obs, asked, notes)
    if key is not None:
        check_sizes(path, file["obsm"][key])
        values = read_elem(file["obsm"][key])
        adata.obsm["spatial"] = coordinates(path, f"obsm['{key}']", values, adata.n_obs, notes)
        z = planes(values)
        if z is not None and "z" not in adata.obs:
            adata.obs["z"] = z
    if "spatial" not in adata.obsm and "spatialdata_attrs" in file.get("uns", {}):
        _from_elements(path, adata, read_elem(file["uns/spatialdata_attrs"]), notes)
    if "spatial" not in adata.obsm:
        coordinates_from(path, adata, adata.obs, "obs", notes)


def _coordinate_key(path: Path, file: Group, obs: pd.DataFrame, asked: str | None, notes: Notes) -> str | None:
    """Give the key of `obsm` with the coordinates: what was asked for, a usual one, or the only one that may be."""
    keys = [str(key) for key in file.get("obsm", {})]
    if asked is not None:
        if asked not in keys:
            raise InputError(f"{path}: no coordinates '{asked}' in obsm; {nearest(asked, keys)}")
        notes.append(f"coordinates taken from obsm['{asked}'], as asked")
        return asked
    usual = _usual_key(keys)
    if usual is not None or coordinate_columns(obs) is not None or "spatialdata_attrs" in file.get("uns", {}):
        return usual
    found = [key for key in keys if not _EMBEDDING.search(key) and _n_columns(file["obsm"][key]) in (2, 3)]
    if len(found) > 1:
        raise InputError(f"{path}: any of obsm {', '.join(found[:8])} may be the coordinates; name one as spatial_key")
    if found:
        notes.append(f"coordinates taken from obsm['{found[0]}'], which alone may be that")
    return next(iter(found), None)


def refuse_obsm(path: Path, choice: Choice) -> None:
    """Say what is in `obsm`, of which nothing was taken for coordinates."""
    with opened(path, choice) as file:
        keys = [str(key) for key in file.get("obsm", {})]
    if keys:
        raise InputError(
            f"{path}: no coordinates in obsm['spatial'] nor in obs columns such as x and y; obsm has "
            f"{', '.join(keys[:8])}: name the one as spatial_key"
        )


def _usual_key(keys: list[str]) -> str | None:
    plain = {re.sub(r"[^a-z]", "", key.lower()): key for key in sorted(keys, key=str.islower)}
    return next((plain[name] for name in _COORDINATE_KEYS if name in plain), None)


def _n_columns(node: Any) -> int:
    """Count columns that may be coordinates, of an array or a table."""
    if not hasattr(node, "keys"):
        return len(node.dtype.names or ()) or (node.shape[1] if len(node.shape) == 2 else 0)
    if "column-order" not in node.attrs:  # a sparse matrix
        return int(node.attrs["shape"][1]) if "shape" in node.attrs else 0
    names = [str(name) for name in node.attrs["column-order"]]
    return 2 if coordinate_columns(pd.DataFrame(columns=names)) is not None else len(names)


def _onto_slide(path: Path, file: Group, adata: AnnData, notes: Notes) -> bool:
    """Take coordinates of the slide, if there are, where those that were found begin anew in each field of view."""
    columns = _sections.lying_on_each_other(adata.obs, adata.obsm["spatial"]) if "spatial" in adata.obsm else []
    if not columns:
        return False
    for source, values in _places(path, file, adata.obs):
        with suppress(InputError, ValueError, TypeError):  # what is no coordinates
            xy = coordinates(path, source, values, adata.n_obs, Notes())
            if not _sections.lying_on_each_other(adata.obs, xy):
                adata.obsm["spatial"] = xy
                notes.append(
                    f"coordinates taken from {source}: in others the spots of each {columns[0]} lie on each other"
                )
                return True
    return False


def _places(path: Path, file: Group, obs: pd.DataFrame) -> Iterator[tuple[str, Any]]:
    """Give all that may be coordinates."""
    for key in file.get("obsm", {}):
        if _PLACES.search(key):
            check_sizes(path, file["obsm"][key])
            yield f"obsm['{key}']", read_elem(file["obsm"][key])
    for x, y in coordinate_pairs(obs):
        yield f"obs columns {x} and {y}", obs[[x, y]]


def _with_columns_of(var: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """Add to the genes of raw what `var` knows of some of them, by name or by the id that is their name in raw."""
    by_id = [
        other.assign(symbol=other.index).set_index(text_index(other[column]))
        for column in _genes.gene_columns(other, _genes.IDS)
    ]
    for keyed in (other, *by_id):
        if keyed.index.isin(var.index).mean() > 0.5:
            keyed = keyed[~keyed.index.duplicated()]
            return var.join(keyed.drop(columns=[name for name in keyed if name in var]))
    return var


def has_coordinates(path: Path) -> bool:
    """Tell whether a file is AnnData with coordinates, as slices are and references and this package's own are not."""
    try:
        with opened(path, Choice()) as file:
            if "spotfuse" in file.get("uns", {}):
                return False
            return _usual_key([str(key) for key in file.get("obsm", {})]) is not None or (
                "spatialdata_attrs" in file.get("uns", {})
                or ("obs" in file and coordinate_columns(pd.DataFrame(columns=list(file["obs"].keys()))) is not None)
            )
    except InputError:
        return False


def frame(path: Path, file: Group, key: str, notes: Notes | None = None) -> pd.DataFrame:
    """Read the table of spots or of genes; notes grow where names of codes were found elsewhere."""
    if key not in file:
        raise InputError(f"{path}: not an AnnData file: it has no '{key}'")
    check_sizes(path, file[key])
    table = read_elem(file[key])
    if not isinstance(table, pd.DataFrame):
        raise InputError(
            f"{path}: '{key}' is not a table; if anndata before 0.7 wrote it, write it again with a newer one"
        )
    table.index = text_index(table.index)
    for column, names in _lost_categories(file, key):
        if column in table and is_integer_dtype(table[column]) and table[column].between(-1, len(names) - 1).all():
            table[column] = pd.Categorical.from_codes(table[column].to_numpy(), text_index(names))
            if notes is not None:
                notes.append(f"{key}['{column}'] has codes, which took their names from the file's categories")
    for column in table:
        kind = table[column].dtype
        if isinstance(kind, np.dtype) and not kind.isnative:  # pandas computes with the machine's order of bytes alone
            table[column] = table[column].to_numpy().astype(kind.newbyteorder("="))
    return table


def _lost_categories(file: Group, key: str) -> Iterator[tuple[str, Any]]:
    """Give the names of codes that SeuratDisk and older versions of scanpy write beside a column, not linked to it."""
    if hasattr(file[key], "keys") and "__categories" in file[key]:
        for column, names in file[key]["__categories"].items():
            yield column, read_elem(names)
    for name in file.get("uns", {}):
        if name.endswith("_categories") and getattr(file["uns"][name], "ndim", None) == 1:
            yield name.removesuffix("_categories"), read_elem(file["uns"][name])


def _table_of(path: Path, choice: Choice) -> Group:
    """Give the one table of a store; of several the bins asked for, that named table, or the only one with places."""
    import zarr

    guard.check_zarr(path)
    root: Group = zarr.open_group(path, mode="r", use_consolidated=False)
    tables = root["tables"] if "tables" in root else root["table"] if "table" in root else None
    if tables is None:
        return root
    names = sorted(str(name) for name in tables.keys())
    bins = {name: int(found[1]) for name in names if (found := re.search(r"square_0*(\d+)um", name))}
    if choice.platform == "visium_hd_cells" or not bins:
        taken = [name for name in names if name not in bins]
        taken = [name for name in taken if name == "table"] or taken
        if len(taken) > 1:
            taken = [name for name in taken if _has_places(tables[name])]
    else:
        taken = [name for name, size in bins.items() if size == choice.hd_bin_size]
        if not taken:
            raise InputError(
                f"{path}: no bins of {choice.hd_bin_size} µm (hd_bin_size); its tables: {', '.join(names)}"
            )
    if len(taken) != 1:
        raise InputError(f"{path}: {len(names)} tables ({', '.join(names)[:150]}); leave one, or write it as h5ad")
    return tables[taken[0]]


def _has_places(table: Group) -> bool:
    return "spatial" in table.get("obsm", {}) or "spatialdata_attrs" in table.get("uns", {})


def _find_counts(
    path: Path, file: Group, layer: str | None, spatial: bool, notes: Notes, drawn: Rows | None
) -> tuple[sparse.csr_matrix, str, str]:
    """Give the matrix of counts, its genes' key and its name: the layer asked for, or what `choose` takes."""
    layers = {str(name): f"layers/{name}" for name in file.get("layers", {})}

    def present(key: str) -> bool:  # an X that is None is written as a dataset without a shape
        return key in file and getattr(file[key], "shape", ()) is not None

    def candidate(key: str) -> Candidate:
        kind, _, name = key.partition("/")
        source = {"layers": f"layers['{name}']", "raw": "raw.X"}.get(kind, "X")
        return Candidate(source, lambda: _peek(file[key]), lambda: _matrix(path, file[key], source, drawn))

    logged = "log1p" in file.get("uns", {})
    if layer is not None:
        every = {"X": "X", "raw": "raw/X", "raw.X": "raw/X", **layers}
        there = {name: key for name, key in every.items() if present(key)}
        if layer not in there:
            raise InputError(f"{path}: no layer '{layer}'; {nearest(layer, there)}")
        taken = candidate(there[layer])
        notes.append(f"counts taken from {taken.source}, as asked")
        X, source = taken.counts(path, logged, notes), taken.source
    else:
        X, source = choose(
            path,
            candidate("X") if present("X") else None,
            {name: candidate(key) for name, key in layers.items() if present(key)},
            candidate("raw/X") if present("raw/X") else None,
            logged=logged,
            how="name the one of counts as layer" if spatial else "call that of counts counts",
            notes=notes,
        )
    return X, "raw/var" if source == "raw.X" else "var", source


def _peek(node: Any, n: int = 100_000) -> npt.NDArray[Any]:
    values = node["data"] if hasattr(node, "keys") else node
    if values.dtype.kind not in _NUMBERS or (values is node and node.ndim != 2):
        return np.array([np.nan])
    if values is not node:
        return np.asarray(values[:n])
    return np.asarray(node[: max(1, n // max(1, node.shape[1])), :n])


def _is_large(file: Group) -> bool:
    """Tell whether a matrix has so many values that no more of them should be read than are wanted."""
    nodes = [file[key] for key in ("X", "raw/X") if key in file] + list(file.get("layers", {}).values())
    return (
        max((getattr(node["data"] if hasattr(node, "keys") else node, "size", 0) for node in nodes), default=0) > _LARGE
    )


def _in_slabs(path: Path, node: Any, source: str, drawn: Rows) -> sparse.csr_matrix:
    """Read rows of a sparse matrix as float32 CSR, a slab of its values at a time."""
    rows = "csr" in str(node.attrs.get("encoding-type", node.attrs.get("h5sparse_format")))
    shape = tuple(int(n) for n in node.attrs.get("shape", node.attrs.get("h5sparse_shape", ())))
    starts = np.asarray(node["indptr"][:], dtype=np.int64)
    n_outer, n_inner = shape if rows else shape[::-1]
    n_values = {int(starts[-1]), node["data"].shape[0], node["indices"].shape[0]} if len(starts) else set()
    if len(starts) != n_outer + 1 or len(n_values) != 1 or (np.diff(starts) < 0).any():
        raise InputError(f"{path}: {source} is damaged: its row pointers do not fit its values")
    parts, first = [], 0
    while first < n_outer:
        last = max(int(np.searchsorted(starts, starts[first] + _SLAB, "right")) - 1, first + 1)
        wanted = drawn[(drawn >= first) & (drawn < last)] - first if rows else drawn
        if len(wanted):
            values = slice(starts[first], starts[last])
            indices = node["indices"][values]
            if len(indices) and (indices.min() < 0 or indices.max() >= n_inner):
                raise InputError(f"{path}: {source} is damaged: an index lies beyond its shape")
            slab = (node["data"][values].astype(np.float32), indices, starts[first : last + 1] - starts[first])
            of = (last - first, n_inner) if rows else (n_inner, last - first)
            kind = sparse.csr_matrix if rows else sparse.csc_matrix
            parts.append(sparse.csr_matrix(sparse.csr_matrix(kind(slab, shape=of))[wanted]))
        first = last
    return sparse.csr_matrix(sparse.vstack(parts) if rows else sparse.hstack(parts))


def _matrix(path: Path, node: Any, source: str, drawn: Rows | None = None) -> sparse.csr_matrix:
    """Read a matrix, or rows of it, as float32 CSR; a dense one in slabs, for most of it are zeros."""
    values = node["data"] if hasattr(node, "keys") else node
    if values.dtype.kind not in _NUMBERS:
        raise InputError(f"{path}: {source} holds {_called(values.dtype)} where counts are expected; give raw counts")
    if values is not node and drawn is not None:
        return _in_slabs(path, node, source, drawn)
    if values is not node:
        check_sizes(path, node)
        # not by anndata, for SciPy takes neither float16 nor bytes in another order than the machine's
        rows = "csr" in str(node.attrs.get("encoding-type", node.attrs.get("h5sparse_format")))
        shape = tuple(int(n) for n in node.attrs.get("shape", node.attrs.get("h5sparse_shape", ())))
        data, indices, indptr = (node[name][:] for name in ("data", "indices", "indptr"))
        n_outer, n_inner = shape if rows else shape[::-1]
        if len(indptr) != n_outer + 1 or not indptr[-1] == len(indices) == len(data) or (np.diff(indptr) < 0).any():
            raise InputError(f"{path}: {source} is damaged: its row pointers do not fit its values")
        if len(indices) and (indices.min() < 0 or indices.max() >= n_inner):
            raise InputError(f"{path}: {source} is damaged: an index lies beyond its shape")
        kind = sparse.csr_matrix if rows else sparse.csc_matrix
        whole = np.int32 if max(len(indices), *shape) < 2**31 else np.int64
        parts = (data.astype(np.float32), indices.astype(whole), indptr.astype(whole))
        return sparse.csr_matrix(kind(parts, shape=shape))
    if node.ndim != 2:
        raise InputError(f"{path}: {source} has {node.ndim} dimensions, a matrix has two")
    if drawn is None:
        check_size(path, source, node.size * node.dtype.itemsize)
    step = max(1, _SLAB // max(1, node.shape[1]))
    kept = np.full(node.shape[0], drawn is None)
    kept[slice(0) if drawn is None else drawn] = True
    slabs = [
        sparse.csr_matrix(node[i : i + step][kept[i : i + step]].astype(np.float32))
        for i in range(0, node.shape[0], step)
    ]
    return sparse.vstack(slabs, format="csr") if slabs else sparse.csr_matrix(node.shape, dtype=np.float32)


def _called(dtype: np.dtype[Any]) -> str:
    return {"c": "complex numbers", "V": "records", "M": "dates", "m": "times"}.get(dtype.kind, "text")


def _keep_image(path: Path, adata: AnnData, node: Any, notes: Notes) -> None:
    try:
        with reading(path, "images"):
            check_sizes(path, node)
            found = _images.laid_out(read_elem(node), notes)
    except InputError as error:  # a slice is not lost by its image
        notes.append(f"uns['spatial'] is left out: {str(error).removeprefix(f'{path}: ')}"[:300])
        return
    if found:
        adata.uns["spatial"] = found


def _from_elements(path: Path, adata: AnnData, attributes: Any, notes: Notes) -> None:
    """Give each row of a SpatialData table the middle of the shape, or the place of the point, that it is of."""
    if not isinstance(attributes, dict):
        return
    instance, key = (str(attributes.get(name)) for name in ("instance_key", "region_key"))
    regions = [str(name) for name in np.ravel(attributes.get("region", []))]
    if not regions or not {instance, key} <= set(adata.obs):
        return
    if outside := [name for name in regions if Path(name).name != name or name in ("", "..")]:
        raise InputError(f"{path}: its table is of '{outside[0][:60]}', which is no name of an element of the store")
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


def _middle(wkb: bytes) -> Floats:
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


def _centroid(corners: Floats) -> tuple[float, Floats]:
    """Give area and centroid of a closed ring; its first corner comes again as the last."""
    near = corners - corners[0]
    cross = near[:-1, 0] * near[1:, 1] - near[1:, 0] * near[:-1, 1]
    area = cross.sum() / 2
    if not area:
        return 0.0, corners[:-1].mean(axis=0)
    return abs(float(area)), corners[0] + ((near[:-1] + near[1:]) * cross[:, None]).sum(axis=0) / (6 * area)
