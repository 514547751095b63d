"""What made a slice, and by which files it is known."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from anndata import AnnData

from spotfuse._core.errors import InputError
from spotfuse._core.notes import Notes
from spotfuse.io import _tenx, _text
from spotfuse.io._common import nearest

PLATFORMS = (
    "auto",
    "visium",
    "visium_hd",
    "visium_hd_cells",
    "xenium",
    "slide_seq",
    "stereo_seq",
    "merscope",
    "cosmx",
    "st",
    "other",
    "other_cells",
)
# whose spots are cells
CELLS = frozenset({"visium_hd_cells", "xenium", "merscope", "cosmx", "other_cells"})


@dataclass(frozen=True)
class Kind:
    """What made a slice, what its coordinates are in, how its files are read and by which a folder of it is known."""

    platform: str
    unit: str = "unknown"
    read: Callable[[Path, Notes], AnnData] = _tenx.read_space_ranger
    holds: tuple[str, ...] = ()


# a further platform is a row here and its reader
KINDS = {
    "space_ranger": Kind("visium", "pixels"),
    "visium_hd": Kind("visium_hd", "pixels"),
    "visium_hd_cells": Kind("visium_hd_cells", "pixels", _tenx.read_segmented),
    "xenium": Kind(
        "xenium",
        "µm",
        _tenx.read_xenium,
        ("cell_feature_matrix.h5", "cell_feature_matrix", "experiment.xenium"),
    ),
    "merscope": Kind("merscope", "µm", _text.read_merscope, ("*cell_by_gene*.csv*",)),
    "cosmx": Kind("cosmx", "pixels", _text.read_cosmx, ("*exprMat_file.csv*",)),
    "slide_seq": Kind("slide_seq", read=_text.read_slide_seq, holds=("*MappedDGE*", "*digital_expression*")),
    "curio": Kind("other", read=_text.read_curio, holds=("*anndata.h5ad",)),
    "gem": Kind("stereo_seq", "DNBs", _text.read_gem),
}


def holds_cells(adata: AnnData) -> bool:
    """Tell whether the spots of a slice are single cells, by what made it.

    Parameters
    ----------
    adata
        From `read_slice`, or with its ``uns['spotfuse']['platform']``.

    Returns
    -------
    bool
    """
    return adata.uns.get("spotfuse", {}).get("platform") in CELLS


def folder_kind(path: Path, platform: str = "auto", hd_bin_size: int = 8) -> tuple[str, Path]:
    """Tell what a folder is by the names of what it holds.

    Parameters
    ----------
    path, platform, hd_bin_size
        As for `read_slice`.

    Returns
    -------
    kind
        ``file`` for a folder that has one file of counts.
    place
        The folder within it, or the file, that has the slice.

    Raises
    ------
    InputError
        When it is nothing that is known.
    """
    if (path / "outs").is_dir() and _tenx.find_matrix(path) is None:
        path = path / "outs"
    if path.suffix == ".zarr" or any((path / name).exists() for name in ("zarr.json", ".zgroup")):
        return ("spatialdata" if (path / "shapes").is_dir() else "zarr"), path
    bins = path if path.name == "binned_outputs" else path / "binned_outputs"
    if bins.is_dir() and platform != "visium_hd_cells":
        folder = bins / f"square_{hd_bin_size:03d}um"
        if not folder.is_dir():
            there = sorted(entry.name for entry in bins.glob("square_*um"))
            raise InputError(f"{folder}: there is no such folder; {nearest(folder.name, there)}")
        return "visium_hd", folder
    for cells in (path, path / "segmented_outputs"):
        if (cells / "cell_segmentations.geojson").exists():
            return "visium_hd_cells", cells
    for kind, known in KINDS.items():
        if any(any(path.glob(pattern)) for pattern in known.holds):
            return kind, path
    if _tenx.is_mtx_folder(path) or path.name.endswith(("_bc_matrix", "_bc_matrices")):
        return "10x_mtx", path
    matrix, counts = _tenx.find_matrix(path), _text.find_counts(path)
    alone = matrix is None and counts is not None and counts.suffix in (".h5ad", ".h5")
    if not alone and (matrix is not None or _tenx.find_positions(path) is not None):
        return ("visium_hd" if path.name.startswith("square_") else "space_ranger"), path
    if counts is not None:
        return "file", counts
    files = sorted(entry.name for entry in path.iterdir())
    raise InputError(
        f"{path}: not a kind of folder that is known; it holds "
        + (", ".join(files[:5]) + (" …" if len(files) > 5 else "") if files else "nothing")
    )
