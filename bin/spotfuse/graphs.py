"""Neighbour graphs between spots: in the tissue, and in expression. Always sparse and symmetric."""

import numpy as np
import numpy.typing as npt
import pandas as pd
from anndata import AnnData
from scipy import sparse
from scipy.spatial import cKDTree

_GRID_COLUMNS = (("array_row", "array_col"), ("array_x", "array_y"))
_HEXAGON = ((0, 2), (1, 1), (1, -1))  # half of the neighbours, the other half by symmetry
_SQUARE = ((0, 1), (1, 0), (1, 1), (1, -1))
_ARRAY_REACH = 1.5  # times the spacing: six neighbours on hexagons, eight on squares
_TOO_FAR = 5  # times the median edge: no tissue in between
_EXACT_SPOTS = 20_000  # above, expression neighbours are searched approximately


def spatial_graph(adata: AnnData, n_neighbors: int = 6) -> sparse.csr_matrix:
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

    Returns
    -------
    Symmetric 0/1 matrix of shape (n_spots, n_spots), without a diagonal.
    """
    for names in _GRID_COLUMNS:
        if set(names) <= set(adata.obs.columns):
            graph = _grid_graph(adata.obs[names[0]], adata.obs[names[1]])
            if graph is not None:
                return graph
    return _nearest_graph(np.asarray(adata.obsm["spatial"], dtype=float)[:, :2], n_neighbors)


def feature_graph(features: npt.NDArray[np.float32], n_neighbors: int = 20) -> sparse.csr_matrix:
    """Connect spots with similar expression.

    Parameters
    ----------
    features
        Components, of shape (n_spots, n_components); compared by cosine.
    n_neighbors
        Nearest spots each spot chooses.

    Returns
    -------
    Symmetric matrix of shape (n_spots, n_spots), without a diagonal: 1 where both chose each other, ½ where one did.
    """
    n_spots = len(features)
    k = min(n_neighbors, n_spots - 1)
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    directions = (features / np.maximum(lengths, np.finfo(np.float32).tiny)).astype(np.float32)
    if n_spots <= _EXACT_SPOTS:
        nearest = np.vstack([_most_similar(directions, start, k) for start in range(0, n_spots, 1000)])
    else:
        from pynndescent import NNDescent  # type: ignore[import-untyped]  # slow to import, for large slices only

        nearest = NNDescent(directions, n_neighbors=k + 1, random_state=0, n_jobs=1).neighbor_graph[0]
    return _symmetric(nearest, n_spots, mean=True)


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


def _nearest_graph(coordinates: npt.NDArray[np.float64], n_neighbors: int) -> sparse.csr_matrix:
    n_spots = len(coordinates)
    k = min(n_neighbors, n_spots - 1)
    distances, nearest = cKDTree(coordinates).query(coordinates, k=min(k + 3, n_spots))
    # among spots on one place the tree may name another one first: the spot itself goes by index, not by rank
    distances = np.where(nearest == np.arange(n_spots)[:, None], -1.0, distances)
    order = np.argsort(distances, axis=1, kind="stable")
    distances = np.take_along_axis(distances, order, axis=1)[:, 1:]
    nearest = np.take_along_axis(nearest, order, axis=1)[:, 1:]
    low, middle, high = np.quantile(distances[:, 0], [0.1, 0.5, 0.9])
    if high - low < 0.2 * middle:  # an array that came without its columns: the border has fewer neighbours
        limit = np.full((n_spots, 1), _ARRAY_REACH * middle)
    else:
        limit = np.minimum(1.05 * distances[:, [k - 1]], _TOO_FAR * np.median(distances[:, :k]))
    return _symmetric(np.where(distances <= limit, nearest, -1), n_spots, mean=False)


def _most_similar(directions: npt.NDArray[np.float32], start: int, k: int) -> npt.NDArray[np.int64]:
    """Find the k + 1 most similar spots (the spot itself among them) of 1000 spots from `start`."""
    similarity = directions[start : start + 1000] @ directions.T
    return np.argpartition(-similarity, k, axis=1)[:, : k + 1]


def _symmetric(nearest: npt.NDArray[np.int64], n_spots: int, *, mean: bool) -> sparse.csr_matrix:
    """Graph of the chosen neighbours, -1 for none; a pair counts fully by either choice, or half a choice each."""
    source = np.repeat(np.arange(n_spots), nearest.shape[1])
    target = nearest.ravel()
    real = (target >= 0) & (target != source)
    chosen = sparse.csr_matrix(
        (np.ones(int(real.sum()), np.float32), (source[real], target[real])), shape=(n_spots, n_spots)
    )
    graph = (chosen + chosen.T) / 2 if mean else chosen.maximum(chosen.T)
    return sparse.csr_matrix(graph, dtype=np.float32)
