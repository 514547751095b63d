"""Reading a slice: raw counts, coordinates, and the image when there is one, from the files a user has."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from pandas.api.types import is_numeric_dtype

from spotfuse._core import guard, naming
from spotfuse._core.errors import InputError, MachineError
from spotfuse._core.notes import Notes
from spotfuse.io import _anndata, _genes, _sections, _tables, _tenx, _text
from spotfuse.io._common import Choice, beside, name_spots, nearest, reading
from spotfuse.io._coordinates import attach_positions, coordinates_from_names, fit_image
from spotfuse.io._counts import raw_counts
from spotfuse.io._kinds import KINDS, PLATFORMS, Kind, folder_kind
from spotfuse.io._tables import is_table


def read_slice(
    path: Path | str,
    platform: str = "auto",
    *,
    hd_bin_size: int = 8,
    section: str | None = None,
    layer: str | None = None,
    spatial_key: str | None = None,
    symbol_column: str | None = None,
) -> AnnData:
    """Read one slice.

    Parameters
    ----------
    path
        An .h5ad file, or a .zarr store of AnnData or SpatialData; a folder of Space Ranger (any version, Visium HD
        too), Xenium, Slide-seq, Curio, CosMx or MERSCOPE; a 10x matrix, a table of counts or a .gem file, with
        positions beside it. The kind is detected.
    platform
        ``auto``, or what made the slice when the files do not tell.
    hd_bin_size
        Of Visium HD, the width of the bins in µm.
    section
        ``column:value``: of a file that holds several sections, the one whose spots have this value in this column of
        ``obs``.
    layer, spatial_key, symbol_column
        Of h5ad and zarr, the layer of the counts, the key of the coordinates in ``obsm``, and the column of ``var``
        with the genes' symbols, where their names do not tell.

    Returns
    -------
    AnnData with raw counts (float32 CSR) of shape (n_spots, n_genes), unique names, ``obsm['spatial']`` of shape
    (n_spots, 2) with x and y, ``uns['spatial']`` with the image as scanpy keeps it when there is one, and
    ``uns['spotfuse']`` with ``kind``, ``platform``, the ``unit`` of the coordinates, and ``notes``: one line for each
    thing that was put right.

    Raises
    ------
    InputError
        When the files cannot be read, or hold no counts or no coordinates.
    """
    path = Path(path)
    platform = platform.lower().replace("-", "_").replace(" ", "_")
    if platform not in PLATFORMS:
        raise InputError(f"platform '{platform}' is not known; {nearest(platform, PLATFORMS)}")
    notes = Notes()
    choice = Choice(platform, hd_bin_size, section, layer, spatial_key, symbol_column)
    kind, adata = _read(path, notes, choice)
    _genes.name_genes(path, adata, notes, symbol_column=symbol_column)
    if "spatial" not in adata.obsm and not coordinates_from_names(adata, notes):
        raise InputError(
            f"{path}: no coordinates; "
            + (
                "they are looked for in obsm['spatial'] and in obs columns such as x and y"
                if kind == "h5ad"
                else "give a folder with the counts and a table of spot, x and y that has 'positions' in its name"
            )
        )
    libraries = list(adata.uns.get("spatial", {}))
    if len(libraries) > 1:
        notes.append(
            f"images of {len(libraries)} slices ({', '.join(libraries)}); every slice should be a file of its own"
        )
    fit_image(adata, notes)
    if "in_tissue" in adata.obs:
        in_tissue = _tables.yes_or_no(path, adata.obs["in_tissue"])
        if not is_numeric_dtype(adata.obs["in_tissue"]):
            adata.obs["in_tissue"] = in_tissue
        unsaid = in_tissue.isna() & np.isfinite(adata.obsm["spatial"]).all(axis=1)
        if unsaid.any() and not in_tissue.isna().all():
            told = "stay" if (in_tissue == 0).any() else "are off the tissue, for of no other spot is that said"
            notes.append(f"in_tissue says nothing of {unsaid.sum()} spots, which {told}")
    empty = {what: (adata.X.getnnz(axis=axis) == 0).sum() for axis, what in ((1, "spots"), (0, "genes"))}
    if any(empty.values()):
        told = " and ".join(f"{n} {what}" for what, n in empty.items() if n)
        notes.append(f"{told} without counts; quality control drops them")
    on_array = {"array_row", "array_col"} <= set(adata.obs)
    usual = KINDS.get(kind, Kind("visium" if on_array else "other", "pixels" if "spatial" in adata.uns else "unknown"))
    adata.uns["spotfuse"] = {
        "kind": kind,
        "platform": usual.platform if platform == "auto" else platform,
        "unit": adata.uns.pop("unit", usual.unit),
        "notes": list(notes),
    }
    return adata


def read_counts(
    path: Path | str, notes: Notes, *, names: pd.Index | None = None, draw: _anndata.Draw | None = None
) -> AnnData:
    """Read counts that need no coordinates, such as a single-cell reference.

    Parameters
    ----------
    path
        An .h5ad file, a 10x matrix (.h5 or folder) or a table of counts.
    notes
        Grows by one line for each thing that was put right.
    names
        What some of the cells are called, where that is known: tells a table's cells from its genes.
    draw
        Takes the table of cells, ``obs``, and gives the rows that are wanted, rising: of an h5ad or zarr of more than
        a hundred million values, those alone are read, block by block.

    Returns
    -------
    AnnData with raw counts (float32 CSR) of shape (n_cells, n_genes); names of cells and genes are as in the file, and
    need not be unique.

    Raises
    ------
    InputError
        When the files cannot be read, or hold no counts.
    """
    path = Path(path)
    return _read(path, notes, Choice(), spatial=False, names=names, draw=draw)[1]


def read_obs(path: Path | str, **choice: Any) -> pd.DataFrame:
    """Read the columns that a slice's own files have for its spots, from h5ad without its counts.

    Parameters
    ----------
    path, **choice
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
    if path.suffix in (".h5ad", ".zarr") and path.exists():
        with _anndata.opened(path, Choice(**choice)) as file:
            obs = _anndata.frame(path, file, "obs")
        section = choice.get("section")
        if section and section.startswith("z:") and "z" not in obs:  # of the coordinates
            return _read(path, Notes(), Choice(**choice))[1].obs
        if section:
            obs = obs.loc[_sections.rows(path, obs, section)]
        return obs.set_axis(pd.Index(naming.plain(obs.index), dtype=object))
    return _read(path, Notes(), Choice(**choice))[1].obs


def read_annotation(path: Path | str, annotation: str, *, obs: pd.DataFrame | None = None, **choice: Any) -> pd.Series:
    """Read what is known of a slice's spots.

    Parameters
    ----------
    path, **choice
        The slice, as for `read_slice`.
    annotation
        A table (.tsv, .csv or .txt, plain or .gz) of spot and label, or else the name of one of the slice's columns.

    obs
        The slice's columns, when they have been read already.

    Returns
    -------
    Series of labels, indexed by spot.

    Raises
    ------
    InputError
        When there is no such table or column.
    """
    if is_table(annotation):
        return _tables.read_table(annotation).iloc[:, 0]
    if obs is None:
        obs = read_obs(path, **choice)
    if annotation not in obs:
        raise InputError(f"{path}: no column '{annotation}' for the annotation; {nearest(annotation, obs)}")
    return obs[annotation]


def _read(
    path: Path,
    notes: Notes,
    choice: Choice,
    spatial: bool = True,
    names: pd.Index | None = None,
    draw: _anndata.Draw | None = None,
) -> tuple[str, AnnData]:
    try:
        if not path.exists():
            broken = " (a broken link)" if path.is_symlink() else ""
            raise InputError(f"{path}: there is no such file or folder{broken}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of names that are not unique and the like, which are told below
            if path.is_dir():
                kind, adata = _read_folder(path, notes, choice, spatial, names, draw)
            else:
                kind, adata = _read_file(path, notes, choice, spatial, names, draw)
    except PermissionError:
        raise MachineError(f"{path}: may not be read; change its permissions") from None
    if choice.section:
        adata = _sections.take(path, adata, choice.section, notes)
    if not adata.n_obs or not adata.n_vars:
        rows = "spots" if spatial else "cells"
        raise InputError(f"{path}: empty: {adata.n_obs} {rows} and {adata.n_vars} genes")
    if kind not in ("h5ad", "zarr", "spatialdata", "curio"):
        adata.X = raw_counts(path, adata.X, "the matrix", False, notes)
    if not adata.X.nnz:
        raise InputError(f"{path}: all counts are 0")
    if not spatial:
        return kind, adata
    _sections.check(path, adata, notes)
    name_spots(path, adata, notes)
    twice = adata.obs_names[adata.obs_names.duplicated()]
    if len(twice):
        raise InputError(f"{path}: spot names must be unique; '{twice[0]}' and {len(twice) - 1} more stand twice")
    return kind, adata


_ADVICE = {
    ".rds": "write it as h5ad (zellkonverter, sceasy)",
    ".rdata": "write it as h5ad (zellkonverter, sceasy)",
    ".loom": "write it as h5ad (anndata.io.read_loom)",
    ".h5mu": "write its RNA modality as h5ad",
    ".gef": "write it as h5ad (stereopy), or give the .gem table",
    ".xlsx": "save the table as CSV",
    ".xls": "save the table as CSV",
    ".tar.gz": "unpack it and give the folder",
    ".tgz": "unpack it and give the folder",
    ".tar": "unpack it and give the folder",
    ".zip": "unpack it and give the folder",
    ".mtx": "give the folder that has it and its barcodes and features",
    ".mtx.gz": "give the folder that has it and its barcodes and features",
}


def _read_file(
    path: Path, notes: Notes, choice: Choice, spatial: bool, names: pd.Index | None, draw: _anndata.Draw | None
) -> tuple[str, AnnData]:
    name = path.name.lower()
    if name.endswith(".h5ad"):
        return "h5ad", _read_anndata(path, notes, choice, spatial, draw)
    if name.endswith((".h5", ".hdf5")):
        with reading(path, "HDF5"), guard.hdf5(path) as file:
            if "obs" in file and "var" in file:
                return "h5ad", _read_anndata(path, notes, choice, spatial, draw)
        adata = _tenx.read_matrix(path, notes)
        if spatial:
            _positions_beside(path, adata, notes)
        return "10x_h5", adata
    if name.removesuffix(".gz").endswith(".gem"):
        return "gem", KINDS["gem"].read(path, notes)
    if name.removesuffix(".gz").endswith((".csv", ".tsv", ".txt")):
        return "table", _text.read_table(path, notes, spatial, names)
    for ending, advice in _ADVICE.items():
        if name.endswith(ending):
            raise InputError(f"{path}: {ending} is not read; {advice}")
    raise InputError(
        f"{path}: not a kind of file that is known; give .h5ad, a 10x .h5, a table of counts (.csv, .tsv), .gem, "
        "or the folder of Space Ranger, Xenium, CosMx, MERSCOPE or a 10x matrix"
    )


def _read_anndata(path: Path, notes: Notes, choice: Choice, spatial: bool, draw: _anndata.Draw | None) -> AnnData:
    adata = _anndata.read(path, notes, choice, spatial, draw)
    if spatial and "spatial" not in adata.obsm and not coordinates_from_names(adata, notes):
        _positions_beside(path, adata, notes)
        if "spatial" not in adata.obsm:
            _anndata.refuse_obsm(path, choice)
    return adata


def _read_folder(
    path: Path, notes: Notes, choice: Choice, spatial: bool, names: pd.Index | None, draw: _anndata.Draw | None
) -> tuple[str, AnnData]:
    kind, folder = folder_kind(path, choice.platform, choice.hd_bin_size)
    if not spatial and (matrix := _tenx.find_matrix(folder)) is not None:
        return "10x_h5", _tenx.read_matrix(matrix, notes)
    if kind in ("zarr", "spatialdata"):
        adata = _read_anndata(folder, notes, choice, spatial, draw)
        if kind == "spatialdata" and spatial and "spatial" not in adata.obsm:
            raise InputError(
                f"{path}: its table has no obsm['spatial']; fill it in (spatialdata.get_centroids of its shapes) and "
                "write the table as h5ad"
            )
        return kind, adata
    if kind == "10x_mtx":
        adata = _tenx.read_matrix(folder, notes)
        if spatial:
            _positions_beside(folder, adata, notes)
        return kind, adata
    if kind in KINDS:
        return kind, KINDS[kind].read(folder, notes)
    return _read_file(folder, notes, choice, spatial, names, draw)


def _positions_beside(path: Path, adata: AnnData, notes: Notes) -> None:
    """Look for a table of positions in the folder of a bare matrix, and beside it."""
    for folder in beside(path):
        found = _tenx.find_positions(folder)
        if found is not None:
            attach_positions(found, adata, _tenx.read_positions(found), notes)
            return
    _text.coordinates_beside(path, adata, notes)
