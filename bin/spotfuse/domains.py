"""From an embedding to spatial domains: mixtures at several scales, their consensus, and its refinement.

No scale of smoothing suits every tissue. Each scale gives one labelling; a labelling that agrees with the others is
right more often than one that does not (no labels are needed to see that), so they vote, weighted by their agreement.
"""

import logging
import warnings
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import numpy.typing as npt
import pandas as pd
from anndata import AnnData
from scipy import sparse
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from spotfuse import mclust
from spotfuse.errors import InputError
from spotfuse.graphs import averaging
from spotfuse.refinement import refine as refined

log = logging.getLogger(__name__)

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

_SCALES = (0, 1, 2, 4, 6, 10, 14)  # steps of averaging over the tissue, on top of the encoder's own
_DIMENSIONS = (8, 15)  # principal components of the averaged embedding
_STARTS = 8
_CURVE_STARTS = 3
_FITTED_SPOTS = 20_000  # a mixture is fitted to at most so many, and then applied to all
_MOST_DOMAINS = 15  # that `auto` looks at
_CURVE = ["n_domains", "stability", "bic", "chosen"]


@dataclass(frozen=True)
class Domains:
    """Domains of a slice.

    Attributes
    ----------
    labels
        1…K for each spot, by falling size; domains of equal size in the order of their first spots.
    confidence
        Probability of the spot's own domain.
    probabilities
        Of each domain, float32 of shape (n_spots, K); rows sum to 1.
    curve
        What `auto` looked at: ``n_domains``, ``stability`` (mean agreement of the labellings), ``bic``, ``chosen``
        (0 or 1); without rows when the number was given.
    """

    labels: Labels
    confidence: npt.NDArray[np.float32]
    probabilities: npt.NDArray[np.float32]
    curve: pd.DataFrame


def assign(adata: AnnData, embedding: Floats, n_domains: int | None, *, seed: int = 1, refine: bool = True) -> Domains:
    """Divide a slice into domains.

    The embedding is averaged over the spatial graph by several numbers of steps, and its leading components are
    clustered by Gaussian mixtures with one covariance (mclust's EEE), each from several starts. Their probabilities
    are averaged, weighted by the mean agreement (adjusted Rand index) of each labelling with all.

    Parameters
    ----------
    adata
        Prepared slice: its ``obsp['spatial_connectivities']`` is read.
    embedding
        Of shape (n_spots, d).
    n_domains
        K, exactly; None to choose one.
    seed
        Of the mixtures' starts.
    refine
        Let a spot's neighbours correct it (`spotfuse.refinement`).

    Raises
    ------
    InputError
        For K below 1 or above the number of spots.
    """
    n_spots = len(embedding)
    if n_domains is not None and not 1 <= n_domains <= n_spots:
        raise InputError(f"--n-domains {n_domains}: take a number from 1 to {n_spots}, the number of spots, or auto")
    graph = sparse.csr_matrix(adata.obsp["spatial_connectivities"])
    with threadpool_limits(1):  # sums by several threads differ from run to run
        values = np.asarray(embedding, dtype=np.float64)
        curve = pd.DataFrame(columns=_CURVE)
        if n_domains is None:
            curve = _curve(_views(values, graph, _SCALES[::2]), min(_MOST_DOMAINS, n_spots - 1), seed)
            n_domains = int(curve.loc[curve["chosen"] == 1, "n_domains"].iloc[0])
        probabilities = _consensus(_members(_views(values, graph, _SCALES), n_domains, seed))
        if refine:
            probabilities = refined(probabilities, graph)
    labels = _occupied(probabilities)
    order = _by_size(labels, n_domains)
    labels = np.argsort(order)[labels]
    ordered = probabilities[:, order].astype(np.float32)
    return Domains(labels + 1, ordered[np.arange(n_spots), labels], ordered, curve)


def _views(embedding: Floats, graph: sparse.csr_matrix, scales: tuple[int, ...]) -> list[Floats]:
    """Leading components of the embedding at every scale."""
    average = averaging(graph, self_weight=0.5)
    views, steps = [], 0
    for scale in scales:
        for _ in range(scale - steps):
            embedding = average @ embedding
        steps = scale
        centred = embedding - embedding.mean(axis=0)
        values, vectors = np.linalg.eigh(centred.T @ centred)
        order = np.argsort(values)[::-1]
        vectors = vectors[:, order[values[order] > 1e-9 * values.max()]]
        largest = np.abs(vectors).argmax(axis=0)
        vectors = vectors * np.sign(vectors[largest, np.arange(vectors.shape[1])])
        scores = centred @ vectors
        views += [scores[:, :d] for d in sorted({min(d, scores.shape[1]) for d in _DIMENSIONS})]
    return views


def _members(views: list[Floats], n_domains: int, seed: int) -> list[Floats]:
    """Probabilities of the domains (n_spots, K) by every view in which a mixture with K occupied domains was found."""
    if n_domains == 1:
        return [np.ones((len(views[0]), 1))]
    members = [member for view in views if (member := _mixture(view, n_domains, seed)) is not None]
    if members:
        return members
    log.warning("no mixture with %d occupied domains was found: k-means decides", n_domains)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer places than domains: _occupied fills them up
        partition = KMeans(n_domains, n_init=_STARTS, random_state=seed).fit(views[0]).labels_
    return [np.eye(n_domains)[partition]]


def _mixture(view: Floats, n_domains: int, seed: int) -> Floats | None:
    """Fit from several starts; the likeliest fit goes through mclust and is then applied to all spots."""
    x = _sample(view, seed)
    best = _best_start(x, n_domains, seed)
    if best is None:
        return None
    fit = mclust.fit(x, best[1])
    if fit is None or len(np.unique(fit.labels)) < n_domains:
        return None
    return _posterior(view, fit.weights, fit.means, fit.covariance)[1]


def _sample(view: Floats, seed: int) -> Floats:
    if len(view) <= _FITTED_SPOTS:
        return view
    return view[np.sort(np.random.default_rng(seed).choice(len(view), _FITTED_SPOTS, replace=False))]


def _best_start(x: Floats, n_domains: int, seed: int, starts: int = _STARTS) -> tuple[float, Labels] | None:
    """Climb from several k-means partitions; the log-likelihood and labels of the likeliest, all domains occupied."""
    if x.shape[1] < 2 or len(np.unique(x, axis=0)) <= n_domains:
        return None
    tried = []
    for start in range(starts):
        partition = KMeans(n_domains, n_init=1, random_state=1000 * seed + start).fit(x).labels_
        climbed = _climb(x, partition.astype(np.int64))
        if climbed is not None and len(np.unique(climbed[1])) == n_domains:
            tried.append(climbed)
    return max(tried, key=lambda pair: pair[0], default=None)


def _climb(x: Floats, labels: Labels, tolerance: float = 1e-5, most: int = 300) -> tuple[float, Labels] | None:
    """Run EM from a partition, quickly: it tells which start deserves mclust's. None where it breaks down."""
    z = np.eye(labels.max() + 1)[labels]
    square = x.T @ x
    before = -np.inf
    for _ in range(most):
        size = z.sum(axis=0)
        if size.min() < 1e-8:
            return None
        means = (z.T @ x) / size[:, None]
        covariance = (square - (means.T * size) @ means) / len(x)
        try:
            likelihood, z = _posterior(x, size / len(x), means, covariance)
        except np.linalg.LinAlgError:
            return None
        if abs(likelihood - before) < tolerance * (1 + abs(likelihood)):
            break
        before = likelihood
    return likelihood, z.argmax(axis=1)


def _posterior(x: Floats, weights: Floats, means: Floats, covariance: Floats) -> tuple[float, Floats]:
    """Log-likelihood of all spots, and the probability of each cluster for each of them."""
    root = np.linalg.cholesky(covariance)
    whitened = np.linalg.solve(root, x.T).T
    centres = np.linalg.solve(root, means.T).T
    score = whitened @ centres.T - (centres**2).sum(axis=1) / 2 + np.log(weights)
    top = score.max(axis=1, keepdims=True)
    z = np.exp(score - top)
    total = z.sum(axis=1, keepdims=True)
    constant = np.log(np.diag(root)).sum() + x.shape[1] / 2 * np.log(2 * np.pi)
    likelihood = float((top + np.log(total)).sum() - (whitened**2).sum() / 2 - len(x) * constant)
    return likelihood, z / total


def _agreement(members: list[Floats]) -> npt.NDArray[np.float64]:
    """Compute the adjusted Rand index of each pair of labellings."""
    labels = [member.argmax(axis=1) for member in members]
    agreement = np.eye(len(labels))
    for i in range(len(labels)):
        for j in range(i):
            agreement[i, j] = agreement[j, i] = adjusted_rand_score(labels[i], labels[j])
    return agreement


def _consensus(members: list[Floats]) -> Floats:
    """Mean probabilities, each labelling matched to the one that agrees most and weighted by its mean agreement."""
    worth = _agreement(members).mean(axis=1)
    reference = members[int(worth.argmax())]
    total = np.zeros_like(reference)
    for member, weight in zip(members, worth, strict=True):
        shared = reference.T @ member
        total += max(weight, 0) * member[:, linear_sum_assignment(-shared)[1]]
    return np.asarray(total / total.sum(axis=1, keepdims=True))


def _curve(views: list[Floats], most: int, seed: int) -> pd.DataFrame:
    """How well the labellings agree, and their mean BIC, for each number of domains from 2 on.

    The most stable number is chosen. Two is left to tissues where nothing else is possible: a split in halves is stable
    almost anywhere.
    """
    samples = [_sample(view, seed) for view in views]
    rows = []
    for n_domains in range(2, most + 1):
        fits = [(x, fit) for x in samples if (fit := _best_start(x, n_domains, seed, _CURVE_STARTS)) is not None]
        if len(fits) < 2:
            continue
        agreement = _agreement([np.eye(n_domains)[labels] for _, (_, labels) in fits])
        stability = float((agreement.sum() / len(fits) - 1) / (len(fits) - 1))
        bic = fmean([_bic(x, n_domains, likelihood) for x, (likelihood, _) in fits])
        rows.append((n_domains, stability, bic, 0))
    curve = pd.DataFrame(rows or [(1, 1.0, 0.0, 0)], columns=_CURVE)
    chosen = curve["stability"].where(curve["n_domains"] != 2, curve["stability"] - 2).idxmax()
    curve.loc[chosen, "chosen"] = 1
    log.info("%d domains: the labellings agree by %.2f", *curve.loc[chosen, ["n_domains", "stability"]])
    return curve


def _bic(x: Floats, n_domains: int, likelihood: float) -> float:
    """Compute mclust's BIC of model EEE: the larger, the better."""
    d = x.shape[1]
    return float(2 * likelihood - (n_domains * (d + 1) - 1 + d * (d + 1) / 2) * np.log(len(x)))


def _occupied(probabilities: Floats) -> Labels:
    """Most probable domain of each spot; a domain that is nowhere the most probable gets its most probable spot."""
    labels = probabilities.argmax(axis=1)
    for _ in range(probabilities.shape[1]):
        size = np.bincount(labels, minlength=probabilities.shape[1])
        empty = np.flatnonzero(size == 0)
        if not len(empty):
            break
        free = np.flatnonzero(size[labels] > 1)
        labels[free[probabilities[free, empty[0]].argmax()]] = empty[0]
    return labels


def _by_size(labels: Labels, n_domains: int) -> Labels:
    """Order domains by falling size, those of equal size by their first spot."""
    first = np.full(n_domains, len(labels))
    np.minimum.at(first, labels, np.arange(len(labels)))
    return np.asarray(np.lexsort((first, -np.bincount(labels, minlength=n_domains))))
