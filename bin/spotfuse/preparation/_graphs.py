"""Neighbour graphs between spots: in the tissue, and in expression. Always sparse and symmetric."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from anndata import AnnData
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.spatial import Delaunay, QhullError, cKDTree

from spotfuse._core.types import Floats, Floats32, Ints
from spotfuse.preparation._settings import SETTINGS, Settings

_GRID_COLUMNS = (("array_row", "array_col"), ("array_x", "array_y"))
_HEXAGON = ((0, 2), (1, 1), (1, -1))  # half of the neighbours, the other half by symmetry
_SQUARE = ((0, 1), (1, 0), (1, 1), (1, -1))
_FEW_PARTS = 10
_BLOCK = 500  # spots compared at a time


def spatial_graph(adata: AnnData, n_neighbors: int = 6, settings: Settings = SETTINGS) -> sparse.csr_matrix:
    """Connect spots that touch in the tissue.

    Spots on an array (``array_row`` and ``array_col``, or ``array_x`` and ``array_y``, in ``obs``) get their grid
    neighbours: six on Visium's hexagons, eight on squares. Others get their `n_neighbors` nearest by
    ``obsm['spatial']``, and those that are hardly farther than the last of them, so that rounding decides nothing.
    Edges far longer than usual are left out: a spot away from all others stays alone.

    Parameters
    ----------
    adata
        Slice with n_spots spots.
    n_neighbors
        Neighbours of a spot that lies on no array.
    settings
        What else decides it.

    Returns
    -------
    Symmetric 0/1 matrix of shape (n_spots, n_spots), without a diagonal.
    """
    for names in _GRID_COLUMNS:
        if set(names) <= set(adata.obs.columns):
            graph = _grid_graph(adata.obs[names[0]], adata.obs[names[1]])
            if graph is not None:
                return graph
    return _nearest_graph(np.asarray(adata.obsm["spatial"], dtype=float)[:, :2], n_neighbors, settings)


def feature_graph(
    features: Floats32, n_neighbors: int = SETTINGS.n_feature_neighbors, settings: Settings = SETTINGS
) -> sparse.csr_matrix:
    """Connect spots with similar expression.

    Parameters
    ----------
    features
        Components, of shape (n_spots, n_components); compared by cosine.
    n_neighbors
        Nearest spots each spot chooses.
    settings
        How they are searched.

    Returns
    -------
    Symmetric matrix of shape (n_spots, n_spots), without a diagonal: 1 where both chose each other, ½ where one did.
    """
    return _symmetric(most_similar(features, n_neighbors, settings), len(features), mean=True)


def most_similar(features: Floats32, n_neighbors: int, settings: Settings = SETTINGS) -> Ints:
    """Find the spots with the most similar expression, by cosine.

    Exact up to 20,000 spots. Above, each spot looks at the 8 tiles of 512 spots whose means are nearest to it (an
    inverted file: Jégou et al. 2011, IEEE TPAMI 33:117), so that time and memory grow as spots do, up to a term that
    is small below ten million.

    Parameters
    ----------
    features
        Of shape (n_spots, n_components).
    n_neighbors
        Nearest spots wanted.
    settings
        How they are searched; above with its defaults.

    Returns
    -------
    Rows of shape (n_spots, n_neighbors + 1) in no order, the spot itself among them (more than once where fewer were
    found).
    """
    n_spots = len(features)
    width = min(n_neighbors, n_spots - 1) + 1
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    directions = (features / np.maximum(lengths, np.finfo(np.float32).tiny)).astype(np.float32)
    similarity = np.full((n_spots, width), -np.inf, np.float32)
    similarity[:, 0] = np.inf  # the spot itself
    nearest = np.repeat(np.arange(n_spots)[:, None], width, axis=1)
    everyone = np.arange(n_spots)
    searched = [(everyone, everyone)] if n_spots <= settings.exact_spots else _tiles_searched(directions, settings)
    for spots, candidates in searched:
        for start in range(0, len(spots), _BLOCK):
            block = spots[start : start + _BLOCK]
            found = directions[block] @ directions[candidates].T
            found[block[:, None] == candidates] = -np.inf
            best = _largest(found, width - 1)
            both = np.hstack([similarity[block], np.take_along_axis(found, best, axis=1)])
            names = np.hstack([nearest[block], candidates[best]])
            best = _largest(both, width)
            similarity[block] = np.take_along_axis(both, best, axis=1)
            nearest[block] = np.take_along_axis(names, best, axis=1)
    return nearest


def oddities(graph: sparse.csr_matrix) -> list[str]:
    """Tell of few neighbours, or many parts, of a spatial graph of shape (n_spots, n_spots); one line, or none."""
    degree = graph.nnz / graph.shape[0]
    sizes = np.bincount(connected_components(graph, directed=False)[1])
    parts = int((sizes > 1).sum())
    if degree >= SETTINGS.least_degree and (parts <= _FEW_PARTS or sizes.max() >= 0.9 * len(graph.indptr)):
        return []
    return [
        f"the spatial graph has {degree:.1f} neighbours a spot and {parts} parts; are the coordinates as they were?"
    ]


def spacing(place: Floats) -> float:
    """Give the median distance of spots, of shape (n, 2), from the nearest one that lies elsewhere."""
    places = np.unique(place, axis=0)
    return float(np.median(cKDTree(places).query(places, k=2)[0][:, 1])) if len(places) > 1 else 1.0


def tiles(points: npt.NDArray[np.floating], size: int) -> list[Ints]:
    """Cut points of shape (n, d) into tiles of nearly equal numbers, at most `size`: half by half, the widest way."""
    done, waiting = [], [np.arange(len(points))]
    while waiting:
        inside = waiting.pop()
        if len(inside) <= size:
            done.append(np.sort(inside))
            continue
        widest = int(points[inside].var(axis=0).argmax())
        order = inside[np.argsort(points[inside, widest], kind="stable")]
        waiting += [order[: len(order) // 2], order[len(order) // 2 :]]
    return done


def between_slices(places: Sequence[Floats], layers: Sequence[int]) -> sparse.csr_matrix:
    """Connect spots of slices that lie on each other.

    Each spot chooses the nearest one of every other slice of its own layer and of the layers next to it, where that
    is within one spot spacing, the wider one of the two slices.

    Parameters
    ----------
    places
        Of each slice, coordinates in one frame, of shape (n_spots, 2).
    layers
        Of each slice, its number along the third axis.

    Returns
    -------
    Symmetric 0/1 matrix of shape (n_spots of all slices, n_spots of all slices), without edges inside a slice.
    """
    starts = np.cumsum([0, *map(len, places)])
    spacings, trees = [spacing(place) for place in places], [cKDTree(place) for place in places]
    pairs = [np.empty((2, 0), np.int64)]
    for i, place in enumerate(places):
        for j, tree in enumerate(trees):
            if i != j and abs(layers[i] - layers[j]) <= 1:
                distance, nearest = tree.query(place)
                near = np.flatnonzero(distance <= max(spacings[i], spacings[j]))
                pairs.append(np.stack([starts[i] + near, starts[j] + nearest[near]]))
    source, target = np.hstack(pairs)
    shape = (starts[-1], starts[-1])
    chosen = sparse.csr_matrix((np.ones(len(source), np.float32), (source, target)), shape=shape)
    return sparse.csr_matrix(chosen.maximum(chosen.T))


def averaging(graph: sparse.csr_matrix, self_weight: float = 0.0) -> sparse.csr_matrix:
    """Weights with which a spot averages its neighbours: rows sum to 1, spots without neighbours keep themselves."""
    degree = np.asarray(graph.sum(axis=1)).ravel()
    share = np.where(degree > 0, 1 - self_weight, 0)
    weights = sparse.diags(share / np.where(degree > 0, degree, 1)) @ graph + sparse.diags(1 - share)
    return sparse.csr_matrix(weights, dtype=np.float32)


def _grid_graph(rows: pd.Series, columns: pd.Series) -> sparse.csr_matrix | None:
    """Neighbours on the array, or None where the numbers are not those of one array."""
    numbers = pd.DataFrame({"row": pd.to_numeric(rows, errors="coerce"), "column": pd.to_numeric(columns, "coerce")})
    if numbers.isna().any(axis=None) or (numbers % 1 != 0).any(axis=None) or numbers.duplicated().any():
        return None
    place = numbers.to_numpy().astype(np.int64)
    place -= place.min(axis=0) - 2
    width = int(place[:, 1].max()) + 3
    hexagonal = len(np.unique(place.sum(axis=1) % 2)) == 1
    key = place[:, 0] * width + place[:, 1]
    order = np.argsort(key)
    sources, targets = [], []
    for down, right in _HEXAGON if hexagonal else _SQUARE:
        wanted = key + down * width + right
        found = order[np.minimum(np.searchsorted(key[order], wanted), len(key) - 1)]
        there = key[found] == wanted
        sources.append(np.flatnonzero(there))
        targets.append(found[there])
    source, target = np.concatenate(sources), np.concatenate(targets)
    graph = sparse.coo_matrix((np.ones(len(source), np.float32), (source, target)), shape=(len(key), len(key)))
    degree = np.asarray((graph + graph.T).sum(axis=1)).ravel()
    if np.median(degree) < 2:  # a subsample of an array, or numbers that mean something else
        return None
    return sparse.csr_matrix(graph + graph.T)


def _nearest_graph(coordinates: Floats, n_neighbors: int, settings: Settings) -> sparse.csr_matrix:
    n_spots = len(coordinates)
    k = min(n_neighbors, n_spots - 1)
    distances, nearest = _others(coordinates, min(k + 2, n_spots - 1))
    if _even(distances):  # an array that came without its columns: the border has fewer neighbours
        graph = _touching(distances, nearest, settings)
        if graph.nnz >= settings.least_degree * n_spots:
            return graph
        # of another pitch along each axis, or in units of its own; or pairs of beads, which are no array at all
        even = _evened(coordinates, settings)
        if even is not None:
            found = _others(even, distances.shape[1])
            evened = _touching(*found, settings)
            if _even(found[0]) and evened.nnz >= settings.least_degree * n_spots:
                return evened
    limit = np.minimum(1.05 * distances[:, [k - 1]], settings.too_far * np.median(distances[:, :k]))
    return _symmetric(np.where(distances <= limit, nearest, -1), n_spots, mean=False)


def _others(coordinates: Floats, k: int) -> tuple[Floats, Ints]:
    """Give distances and numbers of the k nearest others, the nearest first."""
    n_spots = len(coordinates)
    distances, nearest = cKDTree(coordinates).query(coordinates, k=k + 1)
    # among spots on one place the tree may name another one first: the spot itself goes by index, not by rank
    distances = np.where(nearest == np.arange(n_spots)[:, None], -1.0, distances)
    order = np.argsort(distances, axis=1, kind="stable")
    return np.take_along_axis(distances, order, axis=1)[:, 1:], np.take_along_axis(nearest, order, axis=1)[:, 1:]


def _even(distances: Floats) -> bool:
    low, middle, high = np.quantile(distances[:, 0], [0.1, 0.5, 0.9])
    return bool(high - low < 0.2 * middle)


def _touching(distances: Floats, nearest: Ints, settings: Settings) -> sparse.csr_matrix:
    limit = settings.array_reach * np.median(distances[:, 0])
    return _symmetric(np.where(distances <= limit, nearest, -1), len(nearest), mean=False)


def _evened(coordinates: Floats, settings: Settings) -> Floats | None:
    """Stretch the plane so that spots lie as near each other whichever way; None where all lie on a line.

    Neighbours are those of Gabriel's graph (Gabriel & Sokal 1969, Syst Zool 18:259): edges of Delaunay triangles that
    are seen under an acute angle.
    """
    try:
        triangles = Delaunay(coordinates - coordinates.mean(axis=0)).simplices
    except QhullError:
        return None
    edges, acute = [], []
    for corner in range(3):
        ends = triangles[:, [corner - 2, corner - 1]]
        one, other = (coordinates[ends[:, i]] - coordinates[triangles[:, corner]] for i in (0, 1))
        edges.append(np.sort(ends, axis=1))
        lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
        acute.append(np.einsum("ij,ij->i", one, other) > 1e-6 * lengths)
    pairs, number = np.unique(np.concatenate(edges), axis=0, return_inverse=True)
    blunt = np.bincount(number.ravel(), ~np.concatenate(acute), len(pairs)) > 0
    steps = coordinates[pairs[~blunt, 0]] - coordinates[pairs[~blunt, 1]]
    steps = steps[np.linalg.norm(steps, axis=1) <= settings.too_far * np.median(np.linalg.norm(steps, axis=1))]
    spread, axes = np.linalg.eigh(steps.T @ steps) if len(steps) else (np.zeros(2), np.eye(2))
    return coordinates @ (axes / np.sqrt(spread)) if spread[0] > 1e-9 * spread[1] else None


def _tiles_searched(directions: Floats32, settings: Settings) -> Iterator[tuple[Ints, ...]]:
    """Give for each tile the spots that look into it, and the spots in it."""
    cells = tiles(directions, settings.tile)
    centres = np.stack([directions[cell].mean(axis=0) for cell in cells])
    half = np.square(centres).sum(axis=1) / 2
    looked = np.empty((len(directions), min(settings.tiles_searched, len(cells))), np.int32)
    for start in range(0, len(directions), _BLOCK):
        block = slice(start, start + _BLOCK)
        looked[block] = _largest(directions[block] @ centres.T - half, looked.shape[1])
    order = np.argsort(looked.ravel(), kind="stable")
    ends = np.searchsorted(looked.ravel()[order], np.arange(len(cells) + 1))
    for number, cell in enumerate(cells):
        yield order[ends[number] : ends[number + 1]] // looked.shape[1], cell


def _largest(values: npt.NDArray[np.floating], k: int) -> Ints:
    """Columns of the k largest values of each row, in no order; of all where there are no more."""
    n = values.shape[1]
    if k >= n:
        return np.broadcast_to(np.arange(n), values.shape)
    return np.argpartition(values, n - k, axis=1)[:, n - k :]


def _symmetric(nearest: Ints, n_spots: int, *, mean: bool) -> sparse.csr_matrix:
    """Graph of the chosen neighbours, -1 for none; a pair counts fully by either choice, or half a choice each."""
    source = np.repeat(np.arange(n_spots), nearest.shape[1])
    target = nearest.ravel()
    real = (target >= 0) & (target != source)
    chosen = sparse.csr_matrix(
        (np.ones(int(real.sum()), np.float32), (source[real], target[real])), shape=(n_spots, n_spots)
    )
    graph = (chosen + chosen.T) / 2 if mean else chosen.maximum(chosen.T)
    return sparse.csr_matrix(graph, dtype=np.float32)
