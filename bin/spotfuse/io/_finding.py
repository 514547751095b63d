"""Slices, and sections in them, under a folder."""

import os
import re
from pathlib import Path

from spotfuse._core.errors import InputError
from spotfuse.io import _anndata, _sections, _tenx
from spotfuse.io._common import beside
from spotfuse.io._kinds import folder_kind


def find_slices(folder: Path) -> list[Path]:
    """Find what looks like a slice under a folder, by the names of files, and of h5ad by whether it has coordinates.

    Parameters
    ----------
    folder
        Where to look, at any depth.

    Returns
    -------
    Paths that `read_slice` would take, sorted; what this pipeline wrote, and what tasks of Nextflow hold, is left out.
    """
    return _find_slices(folder, set())


def find_sections(path: Path) -> list[str]:
    """Find the sections of a file that cannot be read as one slice, for they lie on each other.

    Parameters
    ----------
    path
        What `find_slices` found.

    Returns
    -------
    Each section as `read_slice` takes it, ``column:value``; none where the file is one slice.
    """
    if path.suffix.lower() not in (".h5ad", ".zarr"):
        return []
    try:
        return _sections.named(_anndata.read_places(path))
    except InputError:  # for reading it to tell
        return []


def _find_slices(folder: Path, seen: set[Path]) -> list[Path]:
    if folder.resolve() in seen or not os.access(folder, os.R_OK | os.X_OK):
        return []
    seen.add(folder.resolve())
    found: list[Path] = []
    if (folder / "pipeline_info").is_dir() and (folder / "cohort").is_dir():  # results, wherever they lie
        return found
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith(".") or _TASK.search(str(entry)):
            continue
        if entry.is_file():
            name = entry.name.lower()
            if name.removesuffix(".gz").endswith(".gem") or (
                name.endswith(".h5ad") and _anndata.has_coordinates(entry)
            ):
                found.append(entry)
        elif entry.is_dir() and _is_slice(entry):
            found.append(entry / "outs" if (entry / "outs").is_dir() else entry)
        elif entry.is_dir():
            found += _find_slices(entry, seen)
    return found


_TASK = re.compile(r"/[0-9a-f]{2}/[0-9a-f]{30}$")  # a folder of Nextflow's, wherever its work folder lies


def _is_slice(folder: Path) -> bool:
    try:
        kind, place = folder_kind(folder)
    except InputError:
        return False
    if kind in ("zarr", "spatialdata"):
        return _anndata.has_coordinates(place)
    if kind in ("file", "10x_mtx"):
        return place.suffix != ".h5ad" and any(_tenx.find_positions(near) for near in beside(place)[:1])
    return kind != "space_ranger" or _tenx.find_positions(place) is not None
