"""Spots as a page shows them: each its own, or many of them binned."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from spotfuse import preparation
from spotfuse._core import keys
from spotfuse._core.types import Array
from spotfuse.report._page import Pack

_PITCH = {"visium": 100.0, "st": 200.0}  # µm from the middle of a spot to the next one's
_UNITS = {"µm": 1.0, "DNBs": 0.5}  # nanoballs of a Stereo-seq chip lie 500 nm apart


def microns(note: Mapping[str, Any], libraries: Mapping[str, Any], xy: Array) -> float | None:
    """Tell how long a slice's unit of length is.

    Parameters
    ----------
    note
        ``platform`` and ``unit`` of ``uns['spotfuse']``.
    libraries
        ``uns['spatial']``.
    xy
        Coordinates of the spots, shape (n, 2).

    Returns
    -------
    µm; None where neither the files nor the platform's array tell.
    """
    if note.get("unit") in _UNITS:
        return _UNITS[note["unit"]]
    if note.get("platform") in _PITCH:
        return _PITCH[note["platform"]] / preparation.spacing(xy)
    for library in libraries.values():
        if "microns_per_pixel" in library.get("scalefactors", {}):
            return float(library["scalefactors"]["microns_per_pixel"])
    return None


def bins_of(xy: Array, limit: int) -> Array | None:
    """Put spots into square bins when they are too many to show.

    Parameters
    ----------
    xy
        Coordinates, shape (n, 2).
    limit
        Most points to show.

    Returns
    -------
    The bin of each spot, 0 and up without gaps, shape (n,); None when all spots can be shown.
    """
    if len(xy) <= limit:
        return None
    low = xy.min(axis=0)
    extent = np.maximum(np.ptp(xy, axis=0), 1e-9)
    side = float(np.sqrt(extent.prod() / limit)) / 2
    while True:
        cells = ((xy - low) // side).astype(np.int64)
        _, codes = np.unique(cells[:, 0] * (cells[:, 1].max() + 1) + cells[:, 1], return_inverse=True)
        if codes.max() < limit:
            return np.asarray(codes)
        side *= 1.1


def two_components(adata: Any) -> Array:
    """Give the first two principal components of the embedding.

    Parameters
    ----------
    adata
        A slice; one without an embedding has that of its counts (`spotfuse._core.keys.embedding_of`).

    Returns
    -------
    Coordinates, shape (n, 2).
    """
    x = np.asarray(adata.obsm[keys.embedding_of(adata)], float)
    x = x - x.mean(axis=0)
    _, axes = np.linalg.eigh(x.T @ x)
    two: Array = x @ preparation.fixed_signs(axes[:, ::-1][:, :2])
    return two if two.shape[1] == 2 else np.column_stack([two, np.zeros(len(two))])


class Layers:
    """What a map can be coloured by.

    Parameters
    ----------
    pack
        Takes the numbers.
    bins
        From `bins_of`.
    """

    def __init__(self, pack: Pack, bins: Array | None) -> None:
        self.all: list[dict[str, Any]] = []
        self._pack = pack
        self._bins = bins
        self._sizes = np.bincount([] if bins is None else bins)

    def means(self, values: Array) -> Array:
        """Give a number for each point: the spot's, or the mean of the bin."""
        values = np.asarray(values, float)
        return values if self._bins is None else np.bincount(self._bins, values) / self._sizes

    def most(self, codes: Array, n: int) -> Array:
        """Give a code below n for each point: the spot's, or the most frequent one of the bin."""
        if self._bins is None:
            return codes
        table = np.zeros((len(self._sizes), n), np.int32)
        np.add.at(table, (self._bins, codes), 1)
        return table.argmax(axis=1)

    def value(self, key: str, label: str, group: str, values: Array, *, width: int = 2, **more: Any) -> None:
        """Add a layer of numbers, one a spot."""
        layer = {"key": key, "label": label, "group": group, "kind": "value"} | more
        self.all.append(layer | {"data": self._pack.numbers(self.means(values), width)})

    def category(self, key: str, label: str, group: str, codes: Array, names: list[str], colours: list[str]) -> None:
        """Add a layer of names, one a spot."""
        layer = {"key": key, "label": label, "group": group, "kind": "category", "names": names, "colours": colours}
        self.all.append(layer | {"data": self._pack.codes(self.most(codes, len(names)))})
