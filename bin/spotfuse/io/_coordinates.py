"""Where the coordinates of spots stand, and whether they are that."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from spotfuse._core import naming
from spotfuse._core.errors import InputError
from spotfuse._core.notes import Notes
from spotfuse._core.types import Floats

POSITION_COLUMNS = ["barcode", "in_tissue", "array_row", "array_col", "pxl_row_in_fullres", "pxl_col_in_fullres"]
_COORDINATE_COLUMNS = (
    ("pxl_col_in_fullres", "pxl_row_in_fullres"),
    ("global_x", "global_y"),
    ("x_global_um", "y_global_um"),
    ("x_slide", "y_slide"),
    ("centerx_global_px", "centery_global_px"),
    ("x_global_px", "y_global_px"),
    ("x_slide_mm", "y_slide_mm"),
    ("x_global", "y_global"),
    ("x", "y"),
    ("x_centroid", "y_centroid"),
    ("center_x", "center_y"),
    ("imagecol", "imagerow"),
    ("xcoord", "ycoord"),
    ("x_coord", "y_coord"),
    ("coord_x", "coord_y"),
    ("x_position", "y_position"),
    ("spatial_x", "spatial_y"),
    ("pixel_x", "pixel_y"),
    ("sdimx", "sdimy"),
    ("spatial1", "spatial2"),
    ("spatial_1", "spatial_2"),
    ("array_col", "array_row"),
    ("array_x", "array_y"),
    ("col", "row"),
    # within a field of view
    ("centerx_local_px", "centery_local_px"),
    ("x_local_px", "y_local_px"),
    ("x_local", "y_local"),
    ("x_fov_px", "y_fov_px"),
    ("lon", "lat"),
    ("longitude", "latitude"),
    ("left", "top"),
    ("horizontal", "vertical"),
    ("axis_1", "axis_0"),
    ("j", "i"),
)
# names of pairs that are no places of spots
_NO_PLACE = re.compile(
    r"umap|tsne|pca|phate|emb|flux|dim_|size|width|height|length|min|max|std|vel|shift|offset|bbox|fov"
)
_NO_COORDINATES = {"z", "index", "id", "level_0", "unnamed: 0", "in_tissue", "tissue", "z_centroid", "center_z", "fov"}
_IN_NAMES = (r"[Xx]?(\d+(?:\.\d+)?)[xX_](\d+(?:\.\d+)?)", r"x(\d+(?:\.\d+)?)_?y(\d+(?:\.\d+)?)")


def coordinates(path: Path, source: str, values: Any, n_spots: int, notes: Notes) -> Floats:
    """Give x and y of each spot, of an array or a table; NaN where one is not known."""
    frame = _as_frame(values)
    pair = None if frame is None else xy_columns(frame)
    if frame is None or pair is None or len(frame) != n_spots:
        names = "" if frame is None or _nameless(frame) else f", its columns {', '.join(map(str, frame.columns[:10]))}"
        raise InputError(
            f"{path}: {source} must have a row for each of {n_spots} spots and two columns, x and y; "
            f"its shape is {np.shape(values)}{names}"
        )
    if any(pd.api.types.is_complex_dtype(frame[name]) for name in pair):
        raise InputError(f"{path}: {source} holds complex numbers where x and y of each spot are expected")
    if _nameless(frame) and frame.shape[1] > 2:
        which = "first two are" if pair[0] == frame.columns[0] else "second and third, after an index or z, are"
        notes.append(f"{source} has {frame.shape[1]} columns; the {which} taken for x and y")
    elif not _nameless(frame) and coordinate_columns(frame) is None:
        notes.append(f"{source}: columns '{pair[0]}' and '{pair[1]}' are taken for x and y")
    elif list(pair) != list(frame.columns):
        notes.append(f"{source}: columns '{pair[0]}' and '{pair[1]}' are x and y")
    xy = _numbers(frame[list(pair)])
    known = np.isfinite(xy).all(axis=1)
    if n_spots and not known.any():
        raise InputError(f"{path}: {source} holds no coordinates, only NaN")
    if n_spots > 1 and not np.ptp(xy[known], axis=0).any():
        raise InputError(f"{path}: {source} gives all spots the same place")
    if not known.all():
        notes.append(f"{(~known).sum()} spots have no coordinates in {source}; quality control drops them")
    return in_range(np.ascontiguousarray(xy), source, notes)


def planes(values: Any) -> Floats | None:
    """Give the third coordinate where it has few values, as sections have that were stacked; None where it has not.

    Parameters
    ----------
    values
        An array or a table, as `coordinates` takes it.

    Returns
    -------
    ndarray of shape (n_spots,) or None
    """
    frame = _as_frame(values)
    pair = None if frame is None or frame.shape[1] != 3 else xy_columns(frame)
    if frame is None or pair is None:
        return None
    third = next(name for name in frame if name not in pair)
    if not _is_number(frame[third]):
        return None
    z: Floats = _numbers(frame[[third]])[:, 0]
    return z if 1 < len(np.unique(z[np.isfinite(z)])) <= len(z) / 10 else None


def in_range(xy: Floats, source: str, notes: Notes) -> Floats:
    """Move and scale coordinates of which no distances could be computed: no double holds the square of 1e200.

    Parameters
    ----------
    xy
        Of shape (n_spots, 2); NaN where a place is not known.
    source
        What they are called, for notes.
    notes
        Grows where they were moved or scaled.

    Returns
    -------
    ndarray of shape (n_spots, 2)
    """
    known = xy[np.isfinite(xy).all(axis=1)]
    if len(known) < 2:
        return xy
    largest = np.abs(known).max()
    extent = np.ptp(known / largest, axis=0).max()  # as a share: the difference itself may be too large
    if extent < 1e-9:
        start = known.min(axis=0)
        notes.append(f"{source} begins at {start[0]:g}, {start[1]:g}, far from what it extends over; moved to 0, 0")
        xy, known = xy - start, known - start
        largest, extent = np.abs(known).max(), 1.0
    power = float(np.floor(np.log10(largest) + np.log10(extent)))
    if -9 <= power <= 15:
        return xy
    notes.append(f"{source} extends over about 1e{power:.0f}, of which no distances can be computed; brought to 1e4")
    return np.asarray(xy / largest * (1e4 / extent))


def _as_frame(values: Any) -> pd.DataFrame | None:
    """Give what may hold coordinates as a table; columns of an array are numbered."""
    if isinstance(values, pd.DataFrame):
        return values
    if getattr(getattr(values, "dtype", None), "names", None):  # a structured array
        return pd.DataFrame({name: values[name] for name in values.dtype.names}) if values.ndim == 1 else None
    values = np.asarray(values.toarray() if hasattr(values, "toarray") else values)
    return pd.DataFrame(values) if values.ndim == 2 else None


def _nameless(frame: pd.DataFrame) -> bool:
    return all(str(name).isdecimal() for name in frame)


def _numbers(frame: pd.DataFrame) -> Floats:
    numbers: Floats = frame.apply(pd.to_numeric, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    return numbers


def xy_columns(frame: pd.DataFrame) -> tuple[Any, Any] | None:
    """Find the columns of x and y by their names; else the two that are numbers, or those after an index or z."""
    pair = coordinate_columns(frame)
    if pair is not None:
        return pair
    numbers = [name for name in frame if str(name).lower() not in _NO_COORDINATES and _is_number(frame[name])]
    if len(numbers) > 2 and _is_index_or_z(frame[numbers[:3]]):
        numbers = numbers[1:]
    return (numbers[0], numbers[1]) if len(numbers) == 2 or (len(numbers) == 3 and _nameless(frame)) else None


def _is_number(column: pd.Series) -> bool:
    """Tell whether a column holds numbers, which may be NaN or stand as text."""
    kept = column.dropna()
    kept = kept[kept.astype(str).str.strip() != ""]
    return kept.dtype != bool and bool(pd.to_numeric(kept, errors="coerce").notna().all())


def _is_index_or_z(frame: pd.DataFrame) -> bool:
    """Tell whether the first of three columns counts the rows, or has too few values to be x or y of a tissue."""
    values = _numbers(frame)
    first = values[:, 0]
    if len(first) > 2 and (np.diff(first) > 0).all() and (first == np.rint(first)).all():
        return True
    few = [len(np.unique(column)) for column in values.T]
    return few[0] < min(few[1:]) and (few[0] == 1 or few[0] < np.sqrt(len(first)) / 3)


def coordinate_columns(frame: pd.DataFrame) -> tuple[Any, Any] | None:
    """Find the columns of x and y by names that are usual, else by the only two names that differ as x and y do."""
    usual = coordinate_pairs(frame)
    if usual:
        return usual[0]
    columns, pairs = _by_plain_name(frame), []
    for name in columns:
        if not _NO_PLACE.search(name):
            others = [name[:i] + "y" + name[i + 1 :] for i, letter in enumerate(name) if letter == "x"]
            others += [re.sub("column|col", "row", name)] if "col" in name else []
            others += [re.sub("1$", "2", name)] if re.search("(coord|spatial|dim|pos|loc).*1$", name) else []
            pairs += [(columns[name], columns[other]) for other in others if other in columns]
    return pairs[0] if len(pairs) == 1 else None


def coordinate_pairs(frame: pd.DataFrame) -> list[tuple[Any, Any]]:
    """Find all pairs of columns whose names are usual for x and y, the most usual first."""
    columns = _by_plain_name(frame)
    return [(columns[x], columns[y]) for x, y in _COORDINATE_COLUMNS if x in columns and y in columns]


def _by_plain_name(frame: pd.DataFrame) -> dict[str, Any]:
    return {re.sub(r"[^a-z0-9]+", "_", str(column).lower()).strip("_"): column for column in frame}


def coordinates_from(path: Path, adata: AnnData, frame: pd.DataFrame, source: str, notes: Notes) -> bool:
    """Fill ``obsm['spatial']`` from the columns of a table whose rows are the slice's; False when it has none."""
    pair = coordinate_columns(frame)
    if pair is None:
        return False
    what = f"{source} columns {pair[0]} and {pair[1]}"
    adata.obsm["spatial"] = coordinates(path, what, frame[list(pair)], adata.n_obs, notes)
    notes.append(f"coordinates taken from {source} columns {pair[0]} and {pair[1]}")
    return True


def coordinates_from_names(adata: AnnData, notes: Notes) -> bool:
    """Fill ``obsm['spatial']`` from names such as 12x7 or x340y1250; False when they are of another kind."""
    for pattern in _IN_NAMES:
        found = [re.fullmatch(pattern, name) for name in adata.obs_names]
        if all(found):
            adata.obsm["spatial"] = np.array([match.groups() for match in found if match], dtype=np.float64)
            notes.append(f"coordinates taken from the spots' names, such as '{adata.obs_names[0]}'")
            return True
    return False


def attach_positions(path: Path, adata: AnnData, positions: pd.DataFrame, notes: Notes) -> None:
    """Give each spot the row of a table of positions that has its name.

    Parameters
    ----------
    path
        The table's file.
    adata
        The slice; the table's columns are added to `obs`, coordinates to ``obsm['spatial']``.
    positions
        Indexed by spot.
    notes
        Grows when names had to be brought in line, or spots have no position.
    """
    spots = pd.Index(naming.plain(adata.obs_names), dtype=object)
    positions = positions.set_axis(pd.Index(naming.plain(positions.index), dtype=object))

    def fits(table: pd.DataFrame) -> bool:
        return bool(spots.isin(table.index).any()) or naming.named_as(table, spots) is not table

    if not fits(positions):  # the first column may be an index, or anything
        by_column = (
            positions.set_axis(pd.Index(naming.plain(positions[name]), dtype=object)).drop(columns=name)
            for name in positions
        )
        positions = next((table for table in by_column if fits(table)), positions)
    if positions.index.has_duplicates:
        raise InputError(f"{path}: spot '{positions.index[positions.index.duplicated()][0]}' has more than one row")
    if not spots.isin(positions.index).any():
        positions = naming.named_as(positions, spots)
        if not spots.isin(positions.index).any():
            raise InputError(
                f"{path}: the positions are of another slice: they have '{positions.index[0]}', the counts '{spots[0]}'"
            )
        notes.append("spot names of counts and positions differ in their ending (-1); compared without it")
    found = positions.reindex(spots).set_axis(adata.obs_names)
    pair = xy_columns(positions)
    if pair is None:
        raise InputError(f"{path}: no columns for x and y; it has {', '.join(map(str, positions.columns[:10]))}")
    if coordinate_columns(positions) is None and len(positions.columns) > 2:
        notes.append(f"{path.name}: columns '{pair[0]}' and '{pair[1]}' are taken for x and y")
    adata.obsm["spatial"] = coordinates(path, path.name, _numbers(found[list(pair)]), adata.n_obs, notes)
    for column in found:
        if column not in pair:
            adata.obs[str(column)] = found[column]


def with_header(frame: pd.DataFrame) -> pd.DataFrame:
    """Put back the header of a table of positions where it is a spot itself, lest it be lost, and name its columns."""
    header = pd.to_numeric(pd.Series([frame.index.name, *frame.columns]), errors="coerce").notna()
    if header[1:].sum() < 2:
        return frame
    first = pd.DataFrame([list(frame.columns)], index=[frame.index.name], columns=frame.columns)
    frame = pd.DataFrame(
        np.vstack([first.to_numpy(), frame.to_numpy()]), index=pd.Index([frame.index.name, *frame.index], dtype=object)
    )
    like_space_ranger = frame.shape[1] == 5 and frame[0].isin(["0", "1"]).all()
    return frame.set_axis(POSITION_COLUMNS[1:], axis=1) if like_space_ranger else frame


def fit_image(adata: AnnData, notes: Notes) -> None:
    """Bring coordinates and image together: pixels and not µm, x and y not swapped; else leave the image out."""
    for entry in adata.uns.get("spatial", {}).values():
        factors = entry["scalefactors"]
        grid = _grid(adata)
        if grid is not None:
            _to_pixels(adata, 2 * float(np.linalg.norm(grid[0])), factors, notes)
        for size, image in entry["images"].items():
            height, width = image.shape[:2]
            right, bottom = np.nanmax(adata.obsm["spatial"], axis=0) * factors[f"tissue_{size}_scalef"] * 0.98
            upright, turned = right <= width and bottom <= height, right <= height and bottom <= width
            # where both would lie on the image: rows run down and columns to the right however the slide was turned
            mirrored = turned and grid is not None and np.linalg.det(grid) < 0
            if upright and not mirrored:
                continue
            if turned:
                adata.obsm["spatial"] = np.ascontiguousarray(adata.obsm["spatial"][:, ::-1])
                how = "by the rows and columns of the array" if upright else "by the size of the image"
                notes.append(f"x and y were swapped, {how}; turned")
                grid = None
                continue
            del adata.uns["spatial"]
            notes.append("the coordinates do not lie on the image, which is left out")
            return


def _grid(adata: AnnData) -> Floats | None:
    """Give where a step of one array column, and of one array row, leads in x and y."""
    if not {"array_row", "array_col"} <= set(adata.obs):
        return None
    steps = adata.obs[["array_col", "array_row"]].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64)
    known = np.isfinite(steps).all(axis=1) & np.isfinite(adata.obsm["spatial"]).all(axis=1)
    if known.sum() < 3:
        return None
    table = np.column_stack([steps, np.ones(len(steps))])[known]
    fit, _, rank, _ = np.linalg.lstsq(table, adata.obsm["spatial"][known])
    return np.asarray(fit[:2]) if rank == 3 else None


def _to_pixels(adata: AnnData, spacing: float, factors: dict[str, Any], notes: Notes) -> None:
    """Turn coordinates of Visium spots, which lie 100 µm apart and are 65 µm wide, into pixels of the full image."""
    if "spot_diameter_fullres" not in factors or "microns_per_pixel" in factors or not spacing:
        return
    in_pixels = factors["spot_diameter_fullres"] * 100 / 65
    units = {"µm": in_pixels / 100}
    for size in ("hires", "lowres"):
        if f"tissue_{size}_scalef" in factors:
            units[f"pixels of the {size} image"] = 1 / factors[f"tissue_{size}_scalef"]

    def misfit(factor: float) -> float:
        return abs(float(np.log(spacing * factor / in_pixels)))

    unit = min(units, key=lambda unit: misfit(units[unit]))
    if misfit(1) > np.log(1.3) and misfit(units[unit]) < np.log(1.15):
        adata.obsm["spatial"] = adata.obsm["spatial"] * units[unit]
        notes.append(f"coordinates were in {unit}, by the distance of the spots; turned into pixels of the full image")
