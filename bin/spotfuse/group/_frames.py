"""The slices of a group in one frame, as it is given or as it is found."""

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from spotfuse import preparation
from spotfuse._core.errors import InputError
from spotfuse.group import _joining, _placement
from spotfuse.group._placement import Spots
from spotfuse.group._settings import SETTINGS, Settings

log = logging.getLogger(__name__)

_ARRAYS = ("st", "visium", "visium_hd")  # whose spots are always as far apart
FRAMES = ("own", "common", "transport")


def join_in_frame(
    group: str,
    prepared: Mapping[str, Path | AnnData],
    frame: str = "own",
    z: Mapping[str, float] | None = None,
    settings: Settings = SETTINGS,
) -> tuple[AnnData, pd.DataFrame | None]:
    """Join prepared slices, side by side or on each other.

    Parameters
    ----------
    group
        Its name, for messages.
    prepared
        Prepared file of each slice, or the slice in its order, by its name.
    frame
        Of the coordinates: ``own``, each slice its own; ``common``, one for all; ``transport``, one that optimal
        transport finds.
    z
        Place of each slice along the third axis; None: slices follow by name.
    settings
        What else decides how slices are joined and laid on each other.

    Returns
    -------
    joined
        As `spotfuse.group.join` gives it.
    alignment
        As `align` gives it; None where each slice has its own frame.

    Raises
    ------
    InputError
        When no two share enough genes, or none lies on another.
    """
    if frame not in FRAMES:
        raise InputError(f"frame is {frame!r}; it must be one of {', '.join(FRAMES)}")
    common = _joining.Common.of(group, prepared, settings)
    aligned = None if frame == "own" else align(common, z, transport=frame == "transport")
    return _joining.join(common, aligned), aligned


def align(common: _joining.Common, z: Mapping[str, float] | None, *, transport: bool) -> pd.DataFrame:
    """Tell where the slices of a group lie in one frame, and how well they lie on each other.

    Parameters
    ----------
    common
        The slices of the group, and what they have in common.
    z
        Place of each slice along the third axis, in the unit of its coordinates; None: slices follow by name.
    transport
        Lay each slice on the one before it (`spotfuse.group.place_on`), the first one staying where it is; else all
        coordinates are taken to be in one frame already.

    Returns
    -------
    DataFrame, a row a slice, along the third axis: ``slice``, ``z``; ``rotation``, ``mirrored``, ``scale``,
    ``shift_x``, ``shift_y`` (`spotfuse.group.Placement`); ``onto``, the slice before it, and how it lies there:
    ``overlap``, ``similarity`` (`spotfuse.group.agreement`) and, with `transport`, ``runner_up``
    (`spotfuse.group.place_on`).

    Raises
    ------
    InputError
        When no slice lies on the one before it; without `transport` also when slices of one array are of different
        scales.
    """
    names = sorted(common.names, key=lambda name: (z[name] if z else 0, name))
    slices, platforms = _compared(common, names)
    rows = []
    with threadpool_limits(1):  # sums by several threads differ from run to run
        for i, name in enumerate(names):
            found, onto, quality = _placement.STAY, "", (np.nan,) * 3
            if i:
                onto, below, above, runner_up = names[i - 1], slices[i - 1], slices[i], np.nan
                if transport:
                    found, runner_up = _placement.place_on(below, above, common.settings)
                    slices[i] = above = above.placed(found)
                elif platforms[i - 1] == platforms[i] and platforms[i] in _ARRAYS:
                    _check_units(
                        common.group, dict(zip((onto, name), (below, above), strict=True)), common.settings.units
                    )
                quality = (*_placement.agreement(below, above, common.settings), runner_up)
                log.info("%s on %s: overlap %.2f, similarity %.2f, runner-up %.2f", name, onto, *quality)
            rows.append((name, z[name] if z else np.nan, *found.numbers(), onto, *quality))
    table = pd.DataFrame(
        rows, columns=["slice", "z", *_placement.NUMBERS, "onto", "overlap", "similarity", "runner_up"]
    )
    if not table["overlap"].any():
        first = f"{', '.join(names[:3])}{' …' if names[3:] else ''}"
        raise InputError(
            f"no slice of group {common.group} lies on the one before it ({first}): coordinates are not in one frame; "
            "frame='transport' finds one, frame='own' does without"
        )
    return table


def _compared(common: _joining.Common, names: list[str]) -> tuple[list[Spots], list[str]]:
    """Places and expression of each slice, averaged over its tissue, and what made it."""
    parts, averages, places, platforms = [], [], [], []
    for name in names:
        adata = common.read(name)
        parts.append(common.part(adata))
        averages.append(preparation.averaging(adata.obsp["spatial_connectivities"], self_weight=0.5))
        places.append(np.asarray(adata.obsm["spatial"], dtype=float)[:, :2])
        platforms.append(str(adata.uns["spotfuse"]["platform"]))
    components = preparation.principal_components(parts, common.settings.components, preparation.residual)
    slices = []
    ends = np.cumsum([len(place) for place in places])[:-1]
    for place, features, average in zip(places, np.split(components, ends), averages, strict=True):
        both = np.hstack([features, place])
        for _ in range(common.settings.smoothing):
            both = average @ both
        slices.append(Spots(place, both[:, :-2], both[:, -2:]))
    return slices, platforms


def _check_units(group: str, slices: Mapping[str, Spots], most: float) -> None:
    spacings = {name: preparation.spacing(spots.place) for name, spots in slices.items()}
    if max(spacings.values()) > most * min(spacings.values()):
        said = " and ".join(f"{value:.3g} in {name}" for name, value in spacings.items())
        raise InputError(
            f"spots of group {group} are {said} apart, on arrays of one kind: coordinates are in different units; give "
            "them one, or let frame='transport' find it"
        )
