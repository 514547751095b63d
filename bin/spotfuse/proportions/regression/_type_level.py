"""Step 1: how much of each cell type a spot holds, by regression with a spatial prior.

For spots with counts scaled to shares and profiles of the types, both weighted per gene,

    minimise over V ≥ 0 and b   ½‖X − V B‖² + ½ Σ_k λ_k (v_k − b_k 1)ᵀ (D − φW) (v_k − b_k 1) + ½ρ‖V‖²

where W are symmetric attention weights between neighbours and D their row sums: the conditional autoregressive prior of
CARD (Ma and Zhou 2022, Nature Biotechnology 40:1349) on a sparse graph. Each λ_k is a multiple of a ratio of variances
estimated from the slice, so that a slice whose neighbours differ is smoothed little.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from scipy.optimize import minimize_scalar
from scipy.sparse.linalg import splu

from spotfuse._core.backend import Array, Library, library
from spotfuse.proportions._settings import SETTINGS, RegressionSettings

_EDGES = 100_000  # worked on together


@dataclass
class Prior:
    """The spatial prior and the ridge.

    Attributes
    ----------
    W
        Attention weights, symmetric, of shape (n_spots, n_spots), without a diagonal.
    phi
        Spatial autocorrelation, below 1.
    strength
        λ of each type, of shape (n_types,).
    ridge
        ρ.
    """

    W: sparse.csr_matrix
    phi: float
    strength: Array
    ridge: float

    def __post_init__(self) -> None:
        self.degree = np.asarray(self.W.sum(axis=1)).ravel()

    def pull(self, V: Array) -> Array:
        """Multiply by D − φW; V of shape (n_spots,) or (n_spots, n)."""
        degree = self.degree if V.ndim == 1 else self.degree[:, None]
        return np.asarray(degree * V - self.phi * (self.W @ V))

    def means(self, V: Array) -> Array:
        """Give the b that minimises the objective, of shape (n_types,)."""
        total = self.degree.sum()
        return np.asarray(self.degree @ V / total) if total > 0 else np.zeros(V.shape[1])


def solve(
    gram: Array,
    projected: Array,
    prior: Prior,
    start: Array,
    *,
    tolerance: float = 1e-7,
    max_sweeps: int = 1000,
    using: Library | None = None,
) -> tuple[Array, Array, list[float], bool]:
    """Minimise the objective by Gauss–Seidel over types, each for all spots at once.

    For one type, D − φW is at most (1 + φ)D, so the step below minimises a separable bound that touches the objective
    where it stands: no sweep raises it, and the one minimum is reached.

    Parameters
    ----------
    gram
        B Bᵀ, of shape (n_types, n_types).
    projected
        X Bᵀ, of shape (n_spots, n_types).
    prior
        Spatial prior and ridge.
    start
        V to start from, of shape (n_spots, n_types).
    tolerance
        Stop when no abundance changed by more in a sweep.
    max_sweeps
        Stop after so many.
    using
        Kind of arrays to work with; NumPy's by default.

    Returns
    -------
    V, b, the objective after each sweep (but for the constant ½‖X‖²), and whether the tolerance was met.
    """
    using = using or library()
    xp, n_types = using.xp, len(gram)
    strength = [float(value) for value in prior.strength]
    b = [float(value) for value in prior.means(start)]
    V = using.put(start.T.copy())  # types first: a step reads and writes a row
    goal = using.put(np.ascontiguousarray(projected.T))
    B, W, degree = using.put(gram), using.put(prior.W), using.put(prior.degree)
    weight = degree / max(float(prior.degree.sum()), np.finfo(float).tiny)

    def pull(k: int) -> Any:
        away = V[k, :] - b[k]
        return degree * away - prior.phi * (W @ away)

    def objective() -> float:
        value = 0.5 * float(xp.sum((B @ V + prior.ridge * V) * V)) - float(xp.sum(goal * V))
        smooth = (strength[k] * float(xp.sum((V[k, :] - b[k]) * pull(k))) for k in range(n_types) if strength[k] > 0)
        return value + 0.5 * sum(smooth)

    history = [objective()]
    for _ in range(max_sweeps):
        changes = []
        for k in range(n_types):
            gradient = B[k, :] @ V - goal[k, :] + prior.ridge * V[k, :]
            curvature = gram[k, k] + prior.ridge
            if strength[k] > 0:
                gradient = gradient + strength[k] * pull(k)
                curvature = curvature + strength[k] * (1 + prior.phi) * degree
            updated = xp.maximum(V[k, :] - gradient / curvature, 0.0)
            changes.append(xp.max(xp.abs(updated - V[k, :])))
            V[k, :] = updated
            if strength[k] > 0:
                b[k] = float(weight @ updated)
        history.append(objective())
        if max(map(float, changes)) <= tolerance:
            return using.get(V).T.copy(), np.array(b), history, True
    return using.get(V).T.copy(), np.array(b), history, False


def attention(
    graph: sparse.csr_matrix,
    coordinates: Array,
    proportions: Array | None,
    settings: RegressionSettings = SETTINGS.regression,
) -> sparse.csr_matrix:
    """Weights between neighbours: near ones and, once proportions are known, similar ones count more.

    Each spot gives its neighbours weights that sum to 1, the softmax of similarity (Bhattacharyya's, between
    proportions) less squared distance; the two directions are averaged.

    Parameters
    ----------
    graph
        Symmetric neighbour graph, of shape (n_spots, n_spots).
    coordinates
        Of shape (n_spots, 2).
    proportions
        Of shape (n_spots, n_types), or None.
    settings
        How much similarity counts.

    Returns
    -------
    Symmetric weights of the graph's edges, of shape (n_spots, n_spots).
    """
    edges = sparse.coo_matrix(graph)
    if not edges.nnz:
        return sparse.csr_matrix(graph.shape, dtype=np.float64)
    i, j = edges.row, edges.col
    squared = np.sum((coordinates[i] - coordinates[j]) ** 2, axis=1)
    middle = np.median(squared)
    score = -squared / (2 * middle) if middle > 0 else np.zeros(len(i))
    if proportions is not None:
        root = np.sqrt(proportions).astype(np.float32)
        for some in (slice(first, first + _EDGES) for first in range(0, len(i), _EDGES)):
            score[some] += np.einsum("ek,ek->e", root[i[some]], root[j[some]]) / settings.sharpness
    largest = np.full(graph.shape[0], -np.inf)
    np.maximum.at(largest, i, score)
    weight = np.exp(score - largest[i])
    total = np.bincount(i, weight, minlength=graph.shape[0])
    A = sparse.csr_matrix((weight / total[i], (i, j)), shape=graph.shape)
    return sparse.csr_matrix((A + A.T) / 2)


def variance_ratios(
    gram: Array, V: Array, prior: Prior, noise: float, settings: RegressionSettings = SETTINGS.regression
) -> Array:
    """Estimate how strongly neighbours may pull: σ² times the precision that they add to what a spot's type may be.

    A conditional prior of variance τ² around the neighbours is 1/τ² precise, and 1/s² of that is known without any
    neighbour, s² being the variance over the slice; where neighbours are no more alike than any spots, nothing is left.

    Parameters
    ----------
    gram, V
        Where the solver stands.
    prior
        Its weights must not come from V, or neighbours would seem alike because alike ones were chosen.
    noise
        σ², variance of a weighted gene in a spot.
    settings
        Which variance is none.

    Returns
    -------
    Array of shape (n_types,)
    """
    n_spots = len(V)
    away = V - prior.means(V)
    curvature = gram + np.diag(prior.strength + prior.ridge)
    uncertain = np.diag(np.linalg.inv(curvature)) * noise
    alone = np.sum(prior.degree[:, None] * away**2, axis=0) / n_spots + uncertain
    among = prior.phi * np.sum(away * (prior.W @ away), axis=0) / n_spots
    alone = np.maximum(alone, settings.least_variance)
    among = np.clip(among, 0, prior.phi * alone)
    return np.asarray(noise * among / (alone * (alone - among)))


def estimate_phi(W: sparse.csr_matrix, V: Array, settings: RegressionSettings = SETTINGS.regression) -> float:
    """Find the spatial autocorrelation under which abundances are likeliest, each type with a variance of its own.

    ``½ n_types ln|D − φW| − ½ n_spots Σ_k ln (v_k − b_k)ᵀ(D − φW)(v_k − b_k)`` is maximised; without the determinant
    the largest φ would always win.

    Parameters
    ----------
    W
        Weights that do not come from V, of shape (n_spots, n_spots).
    V
        Abundances that were not smoothed, of shape (n_spots, n_types).
    settings
        Which variance is none.

    Returns
    -------
    From 0 to 0.99; 0 where there are no neighbours.
    """
    linked = np.flatnonzero(np.diff(W.indptr))
    if len(linked) < 3:
        return 0.0
    W, V = sparse.csr_matrix(W[linked][:, linked]), V[linked]
    degree = sparse.diags(np.asarray(W.sum(axis=1)).ravel())

    def unlikely(phi: float) -> float:
        prior = Prior(W, phi, np.zeros(V.shape[1]), 0.0)
        away = V - prior.means(V)
        spread = np.sum(away * prior.pull(away), axis=0)
        spread = spread[spread > settings.least_variance * len(V)]
        factor = splu(sparse.csc_matrix(degree - phi * W), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
        determinant = float(np.sum(np.log(factor.U.diagonal())))
        return 0.5 * len(V) * float(np.sum(np.log(spread))) - 0.5 * len(spread) * determinant

    best = minimize_scalar(unlikely, bounds=(0.0, 0.99), method="bounded", options={"xatol": 1e-3})
    return float(best.x)
