"""Files of 10x Genomics' programs: matrices, and the folders of Space Ranger and Xenium Onboard Analysis.

Layouts as documented on 10xgenomics.com/support for Space Ranger 1 to 4 and Xenium Onboard Analysis 1 to 3.
"""

import gzip
import json
from io import BufferedReader
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from spotfuse._core import guard
from spotfuse._core.errors import InputError
from spotfuse._core.naming import text_index
from spotfuse._core.notes import Notes
from spotfuse.io import _tables
from spotfuse.io._common import check_size, check_sizes, has_parquet, read_parquet, reading
from spotfuse.io._coordinates import POSITION_COLUMNS, attach_positions, with_header
from spotfuse.io._images import laid_out

_MATRICES = (
    "filtered_feature_bc_matrix.h5",
    "filtered_feature_bc_matrix",
    "filtered_feature_cell_matrix.h5",
    "filtered_feature_cell_matrix",
    "filtered_gene_bc_matrices_h5.h5",
    "filtered_gene_bc_matrices",
    "raw_feature_bc_matrix.h5",
    "raw_feature_bc_matrix",
    "raw_probe_bc_matrix.h5",
)
_POSITIONS = ("tissue_positions.csv", "tissue_positions.parquet", "tissue_positions_list.csv")
_LARGEST = 2**31  # bytes of names; a small .gz may unpack to anything
_MATRIX_NAMES = ("matrix.mtx", "matrix.mtx.gz")


def find_matrix(folder: Path) -> Path | None:
    """Find the count matrix of a Space Ranger folder: filtered before raw; GEO's prefixes are allowed."""
    for name in _MATRICES:
        found = sorted(path for path in folder.glob(f"*{name}") if not path.name.startswith("."))
        exact = [path for path in found if path.name == name]
        if len(exact or found) > 1:
            raise InputError(
                f"{folder}: several matrices, {found[0].name} and {found[1].name}; give each slice a folder of its own"
            )
        if found:
            return (exact or found)[0]
    return None


def find_positions(folder: Path) -> Path | None:
    """Find the table of spots of a Space Ranger folder."""
    for name in _POSITIONS:
        for place in (folder / "spatial", folder):
            found = sorted([*place.glob(f"*{name}"), *place.glob(f"*{name}.gz")])
            if len(found) > 1:
                raise InputError(
                    f"{place}: several tables of positions, {found[0].name} and {found[1].name}; leave one"
                )
            if found:
                return found[0]
    return None


def is_mtx_folder(folder: Path) -> bool:
    """Tell whether a folder is a 10x matrix."""
    return _find_mtx(folder) is not None


def _find_mtx(folder: Path) -> Path | None:
    found = sorted(path for name in _MATRIX_NAMES for path in folder.glob(f"*{name}"))
    exact = [path for path in found if path.name in _MATRIX_NAMES]
    if len(found) > 1 and not exact:
        raise InputError(
            f"{folder}: several matrices, {found[0].name} and {found[1].name}; give each slice a folder of its own"
        )
    return next(iter(exact or found), None)


def read_matrix(path: Path, notes: Notes) -> AnnData:
    """Read a 10x matrix, .h5 or folder, of any version; spots × genes, gene expression alone."""
    if path.is_dir() and not is_mtx_folder(path):
        inner = [folder for folder in sorted(path.iterdir()) if is_mtx_folder(folder)]
        if len(inner) != 1:
            raise InputError(
                f"{path}: {len(inner)} genomes in the folder; give the folder of one"
                if inner
                else f"{path}: no matrix.mtx or matrix.mtx.gz in the folder"
            )
        path = inner[0]
    matrix = _find_mtx(path) if path.is_dir() else None
    adata = _read_mtx(matrix) if matrix is not None else _read_h5(path, notes)
    if not (adata.X.data >= 0).all():
        raise InputError(f"{path}: negative or NaN values; give raw counts")
    if "feature_types" in adata.var:
        expression = (adata.var["feature_types"] == "Gene Expression").to_numpy()
        if expression.any() and not expression.all():
            others = ", ".join(sorted(set(adata.var["feature_types"][~expression])))
            notes.append(f"{(~expression).sum()} features that are no genes left out ({others})")
            adata = adata[:, expression].copy()
    if "genome" in adata.var and adata.var["genome"].nunique() > 1:
        notes.append(f"genes of {adata.var['genome'].nunique()} genomes are kept together")
    return adata


def _read_h5(path: Path, notes: Notes) -> AnnData:
    with reading(path, "10x HDF5"), guard.hdf5(path) as file:
        if "matrix" in file:
            group = file["matrix"]
            check_sizes(path, group)
            features = group["features"] if "features" in group else group
            var = _feature_columns(path, features)
        else:
            genomes = [name for name in file if isinstance(file[name], h5py.Group) and "barcodes" in file[name]]
            if not genomes:
                raise InputError(f"{path}: not a 10x matrix: it has no group 'matrix'")
            if len(genomes) > 1:
                raise InputError(f"{path}: {len(genomes)} genomes ({', '.join(genomes)}); give a matrix of one")
            group = file[genomes[0]]
            check_sizes(path, group)
            var = pd.DataFrame({"gene_ids": text_index(group["genes"][:])}, index=text_index(group["gene_names"][:]))
        n_genes, n_spots = (int(n) for n in group["shape"][:])
        barcodes = text_index(group["barcodes"][:])
        data, indices, indptr = (group[name][:] for name in ("data", "indices", "indptr"))
        if data.dtype.kind not in "buif":
            raise InputError(f"{path}: its matrix holds {data.dtype} where counts are expected")
        _check_compressed(path, indices, indptr, n_genes, n_spots, len(data))
        X = sparse.csr_matrix((data.astype(np.float32), indices, indptr), shape=(n_spots, n_genes))
        return _joined(path, X, barcodes, var, notes)


def _feature_columns(path: Path, features: h5py.Group) -> pd.DataFrame:
    columns = {
        "gene_ids": "gene_id" if "gene_id" in features else "id",
        "feature_types": "feature_type",
        "genome": "genome",
        "filtered_probes": "filtered_probes",
    }
    name = "gene_name" if "gene_name" in features else "name"
    table = {}
    for column, key in columns.items():
        if key in features:
            values = features[key][:]
            table[column] = values if values.dtype == bool else text_index(values)
    if len({len(values) for values in table.values()} | {features[name].shape[0]}) != 1:
        raise InputError(f"{path}: damaged: its tables of features differ in length")
    return pd.DataFrame({key: np.asarray(values) for key, values in table.items()}, index=text_index(features[name][:]))


def _read_mtx(matrix: Path) -> AnnData:
    barcodes = _beside(matrix, "barcodes.tsv.gz", "barcodes.tsv")
    features = _beside(matrix, "features.tsv.gz", "features.tsv", "genes.tsv.gz", "genes.tsv")
    names = _lines(barcodes)
    rows = [line.split("\t") for line in _lines(features)]
    X = _read_matrix_market(matrix, len(names), len(rows))
    symbols = text_index(row[1] if len(row) > 1 else row[0] for row in rows)
    var = pd.DataFrame({"gene_ids": [row[0] for row in rows]}, index=symbols)
    if rows and all(len(row) > 2 for row in rows):
        var["feature_types"] = [row[2] for row in rows]
    return _joined(matrix, X, text_index(name.split("\t")[0] for name in names), var, Notes())


def _read_matrix_market(path: Path, n_barcodes: int, n_features: int) -> sparse.csr_matrix:
    """Read the transpose of a coordinate matrix; scipy's reader ends the whole process at a damaged one."""
    with reading(path, "a matrix-market file"), _open(path) as file:
        banner = file.readline().decode().lower().split()
        if banner[:3] != ["%%matrixmarket", "matrix", "coordinate"] or banner[3:] not in (
            ["integer", "general"],
            ["real", "general"],
        ):
            raise InputError(f"{path}: not a matrix-market file of counts, as 10x writes them")
        line = file.readline()
        while line.startswith(b"%"):
            line = file.readline()
        n_genes, n_spots, n_values = (int(number) for number in line.split())
        _check_shape(path, (n_spots, n_genes), n_barcodes, n_features)
        check_size(path, "the matrix", 20 * n_values)
        entries = pd.read_csv(
            file, sep=r"\s+", header=None, names=["gene", "spot", "count"], dtype={"gene": np.int64, "spot": np.int64}
        )
        if len(entries) != n_values:
            raise InputError(f"{path}: {len(entries)} values where its head says {n_values}; the file is not complete")
        gene, spot = entries["gene"].to_numpy() - 1, entries["spot"].to_numpy() - 1
        if n_values and (min(gene.min(), spot.min()) < 0 or gene.max() >= n_genes or spot.max() >= n_spots):
            raise InputError(f"{path}: damaged: an index lies beyond its shape")
        values = entries["count"].to_numpy(dtype=np.float32)
        return sparse.csr_matrix((values, (spot, gene)), shape=(n_spots, n_genes))


def _joined(path: Path, X: sparse.csr_matrix, barcodes: pd.Index, var: pd.DataFrame, notes: Notes) -> AnnData:
    _check_shape(path, X.shape, len(barcodes), len(var))
    if "filtered_probes" in var:
        kept = var.pop("filtered_probes").to_numpy(dtype=bool)
        genes, position = np.unique(var["gene_ids"].to_numpy(dtype=str)[kept], return_inverse=True)
        gather = sparse.csr_matrix(
            (np.ones(len(position), np.float32), (np.flatnonzero(kept), position)), shape=(len(var), len(genes))
        )
        first = np.unique(position, return_index=True)[1]
        notes.append(f"{kept.sum()} probes added up to {len(genes)} genes; {(~kept).sum()} probes left out as 10x does")
        X, var = sparse.csr_matrix(X @ gather), var.iloc[np.flatnonzero(kept)[first]]
    X.sort_indices()
    return AnnData(X, obs=pd.DataFrame(index=barcodes), var=var)


def _check_shape(path: Path, shape: tuple[int, ...], n_barcodes: int, n_features: int) -> None:
    if shape != (n_barcodes, n_features):
        raise InputError(
            f"{path}: the matrix has {shape[1]} rows and {shape[0]} columns, but there are {n_features} features and "
            f"{n_barcodes} barcodes; take all files from one run"
        )


def _check_compressed(path: Path, indices: Any, indptr: Any, n_inner: int, n_outer: int, n_values: int) -> None:
    if len(indptr) != n_outer + 1 or len(indices) != n_values or indptr[-1] != n_values or (np.diff(indptr) < 0).any():
        raise InputError(f"{path}: damaged: its pointers do not fit its values")
    if n_values and (indices.min() < 0 or indices.max() >= n_inner):
        raise InputError(f"{path}: damaged: an index lies beyond its shape")


def read_space_ranger(folder: Path, notes: Notes) -> AnnData:
    """Read a folder that Space Ranger wrote: counts, positions, and the image when it is there."""
    matrix = find_matrix(folder)
    if matrix is None:
        raise InputError(
            f"{folder}: no count matrix; it is looked for as filtered_feature_bc_matrix or raw_feature_bc_matrix, "
            ".h5 or folder"
        )
    adata = read_matrix(matrix, notes)
    if "raw" in matrix.name:
        notes.append(f"counts taken from {matrix.name}, the filtered ones are not there")
    path = find_positions(folder)
    readable = path is not None and (path.suffix != ".parquet" or has_parquet())
    if not readable and _positions_from_barcodes(adata, notes):
        return adata
    if path is None:
        raise InputError(
            f"{folder}: no table of positions; it is looked for as spatial/tissue_positions.csv, .parquet or "
            "tissue_positions_list.csv"
        )
    attach_positions(path, adata, read_positions(path), notes)
    _read_image(folder / "spatial", adata, notes)
    return adata


def read_positions(path: Path) -> pd.DataFrame:
    """Read the table of spots: with a header since Space Ranger 2.0, without one before, Parquet for Visium HD."""
    if path.suffix == ".parquet":
        table = read_parquet(path)
    else:
        with reading(path, "a table of positions"):
            table = pd.read_csv(path, header=None, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        header = pd.to_numeric(table.iloc[0, 1:], errors="coerce").isna().all()
        if header and not set(POSITION_COLUMNS[1:]) <= {name.strip() for name in table.iloc[0]}:
            return with_header(_tables.read_table(path)).rename(columns={"tissue": "in_tissue"})
        if table.shape[1] != len(POSITION_COLUMNS):
            raise InputError(f"{path}: {table.shape[1]} columns where a table of positions has 6")
        # a name stands in the header where the first spot has a number: whoever assumes either loses a spot
        if table.iloc[0, 1].strip().lower() == "in_tissue":
            table = table.iloc[1:].set_axis([name.strip() for name in table.iloc[0]], axis=1)
        else:
            table.columns = POSITION_COLUMNS
    missing = [column for column in POSITION_COLUMNS if column not in table]
    if missing:
        raise InputError(
            f"{path}: no column '{missing[0]}'; Space Ranger's own table has {', '.join(POSITION_COLUMNS)}"
        )
    table = table[POSITION_COLUMNS].set_index("barcode")
    table.index = text_index(table.index)
    if table.index.has_duplicates:
        raise InputError(f"{path}: spot '{table.index[table.index.duplicated()][0]}' has more than one row")
    numbers = table.apply(pd.to_numeric, errors="coerce").assign(in_tissue=_tables.yes_or_no(path, table["in_tissue"]))
    bad = numbers.isna() & (table.astype(str) != "")
    if bad.to_numpy().any():
        row, column = np.argwhere(bad.to_numpy())[0]
        raise InputError(
            f"{path}: spot '{table.index[row]}', column '{table.columns[column]}': "
            f"'{table.iloc[row, column]}' is not a number"
        )
    return numbers


def read_xenium(folder: Path, notes: Notes) -> AnnData:
    """Read a folder that Xenium Onboard Analysis wrote: cells × genes, without control probes; coordinates in µm."""
    matrix = next(
        (folder / name for name in ("cell_feature_matrix.h5", "cell_feature_matrix") if (folder / name).exists()), None
    )
    if matrix is None:
        raise InputError(f"{folder}: no cell_feature_matrix.h5 and no cell_feature_matrix folder")
    adata = read_matrix(matrix, notes)
    path = next(
        (folder / name for name in ("cells.csv.gz", "cells.csv", "cells.parquet") if (folder / name).exists()), None
    )
    if path is None:
        raise InputError(f"{folder}: no cells.csv.gz or cells.parquet, which have the cells' coordinates")
    if path.suffix == ".parquet":
        cells = read_parquet(path)
    else:
        with reading(path, "a table of cells"):
            cells = pd.read_csv(path, dtype={"cell_id": str})
    if "cell_id" not in cells:
        raise InputError(f"{path}: no column 'cell_id'")
    attach_positions(path, adata, cells.set_index(text_index(cells.pop("cell_id"))), notes)
    return adata


def read_segmented(folder: Path, notes: Notes) -> AnnData:
    """Read the cells that Space Ranger 4 segments: counts, and for coordinates the middle of each cell's outline."""
    matrix = find_matrix(folder)
    if matrix is None:
        raise InputError(f"{folder}: no filtered_feature_cell_matrix.h5")
    adata = read_matrix(matrix, notes)
    path = folder / "cell_segmentations.geojson"
    with reading(path, "GeoJSON"):
        features = json.loads(path.read_text())["features"]
        names, middles = [], []
        for feature in features:
            outline = np.asarray(feature["geometry"]["coordinates"][0], dtype=np.float64)[:-1, :2]
            names.append(f"cellid_{int(feature['properties']['cell_id']):09d}-1")
            middles.append(outline.mean(axis=0))
        cells = pd.DataFrame(np.array(middles), index=pd.Index(names, dtype=object), columns=["x", "y"])
    attach_positions(path, adata, cells, notes)
    _read_image(folder / "spatial", adata, notes)
    return adata


def _positions_from_barcodes(adata: AnnData, notes: Notes) -> bool:
    """Take row and column from barcodes of Visium HD's bins, such as s_008um_00269_00526-1."""
    parts = adata.obs_names.to_series().str.extract(r"^s_(\d{3})um_(\d{5})_(\d{5})-\d+$")
    if parts.isna().to_numpy().any():
        return False
    size, row, column = (parts[i].astype(int).to_numpy() for i in range(3))
    adata.obs["array_row"], adata.obs["array_col"] = row, column
    adata.obsm["spatial"] = np.column_stack([column * size, row * size]).astype(np.float64)
    adata.uns["unit"] = "µm"
    notes.append("coordinates taken from the barcodes, in µm; with fastparquet they come from tissue_positions.parquet")
    return True


def _read_image(folder: Path, adata: AnnData, notes: Notes) -> None:
    scales = sorted(folder.glob("*scalefactors_json.json"))
    images = {size: sorted(folder.glob(f"*tissue_{size}_image.png")) for size in ("hires", "lowres")}
    images = {size: paths for size, paths in images.items() if paths}
    if not images or not scales:
        return
    from PIL import Image

    with reading(scales[0], "JSON"):
        factors = json.loads(scales[0].read_text())
        if not isinstance(factors, dict):
            raise InputError(f"{scales[0]}: not Space Ranger's scale factors")
    pixels = {}
    for size, paths in images.items():
        guard.check_regular(paths[0])
        try:  # of other formats some are read by programs that Pillow starts
            with Image.open(paths[0], formats=("PNG", "JPEG", "TIFF")) as image:
                pixels[size] = np.asarray(image.convert("RGB"))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            notes.append(f"{paths[0].name} cannot be read and is left out ({' '.join(str(error).split())[:100]})")
    if pixels:
        adata.uns["spatial"] = laid_out({"slice": {"images": pixels, "scalefactors": factors}}, notes)


def _beside(matrix: Path, *names: str) -> Path:
    prefix = matrix.name[: matrix.name.index("matrix.mtx")]  # GEO's
    for name in names:
        if (matrix.parent / f"{prefix}{name}").exists():
            return matrix.parent / f"{prefix}{name}"
    raise InputError(f"{matrix.parent}: no {prefix}{names[0]} beside the matrix")


def _open(path: Path) -> gzip.GzipFile | BufferedReader:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")


def _lines(path: Path) -> list[str]:
    with reading(path, "text"), _open(path) as file:
        raw = file.read(_LARGEST + 1)
        if len(raw) > _LARGEST:
            raise InputError(f"{path}: larger than {_LARGEST >> 30} GiB; too large for a list of names")
        return raw.decode("utf-8-sig").replace("\r\n", "\n").rstrip("\n").split("\n")
