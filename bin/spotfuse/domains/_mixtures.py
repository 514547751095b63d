"""Gaussian mixtures on the components of a slice: several starts climb by a quick EM, mclust's ends the best climb."""

from collections.abc import Callable

import numpy as np
from sklearn.cluster import KMeans

from spotfuse._core.types import Floats, Ints
from spotfuse.domains import _mclust
from spotfuse.domains._settings import SETTINGS, Settings


def mixture(
    view: Floats, n_clusters: int, seed: int, *, own: bool = False, settings: Settings = SETTINGS
) -> tuple[Floats | None, Floats | None]:
    """Probability of each cluster for each spot, by the likeliest of several starts.

    First by one covariance, then, if wished, by a covariance for each cluster; None where clusters stay empty.
    """
    x = sample(view, seed, settings)
    starts = max(settings.starts, min(settings.most_starts, settings.started_spots // len(x)))
    best = likeliest(x, n_clusters, seed, starts)
    return (None, None) if best is None else fitted(view, x, best[1], n_clusters, own=own, settings=settings)


def sample(view: Floats, seed: int, settings: Settings = SETTINGS) -> Floats:
    """Rows to fit a mixture to."""
    most = settings.fitted_spots
    if len(view) <= most:
        return view
    return view[np.sort(np.random.default_rng(seed).choice(len(view), most, replace=False))]


def likeliest(x: Floats, n_clusters: int, seed: int, starts: int = SETTINGS.starts) -> tuple[float, Ints] | None:
    """Climb from several k-means partitions; the log-likelihood and labels of the likeliest, all clusters occupied."""
    if x.shape[1] < 2 or len(np.unique(x, axis=0)) <= n_clusters:
        return None
    tried = []
    for start in range(starts):
        partition = KMeans(n_clusters, n_init=1, random_state=1000 * seed + start).fit(x).labels_
        climbed = _climb(x, partition.astype(np.int64))
        if climbed is not None and len(np.unique(climbed[1])) == n_clusters:
            tried.append(climbed)
    return max(tried, key=lambda pair: pair[0], default=None)


def extended(view: Floats, x: Floats, labels: Ints) -> Ints:
    """Give all spots the labels that those of the sample have, by the mixture that these are of."""
    if len(x) == len(view):
        return labels
    z = np.eye(labels.max() + 1)[labels]
    size = z.sum(axis=0)
    means = (z.T @ x) / size[:, None]
    covariance = (x.T @ x - (means.T * size) @ means) / len(x)
    return np.asarray(_posterior(view, size / len(x), means, covariance)[1].argmax(axis=0))


def fitted(
    view: Floats, x: Floats, labels: Ints, n_clusters: int, *, own: bool = False, settings: Settings = SETTINGS
) -> tuple[Floats | None, Floats | None]:
    """Go through mclust from a partition of `x`, and apply the fits to all spots; None where clusters stay empty."""
    tied = _mclust.fit(x, labels)
    if tied is None or len(np.unique(tied.labels)) < n_clusters:
        return None, None
    try:
        found = _occupied(_posterior(view, tied.weights, tied.means, tied.covariance)[1].T)
    except np.linalg.LinAlgError:  # spots lie on a plane, as those of one cell type do
        return None, None
    if not own:
        return found, None
    strength = settings.prior * x.shape[1]
    start = _climb_own(x, tied, strength)
    loose = None if start is None else _mclust.loosen(x, tied, strength, start=start)
    if loose is None or len(np.unique(loose.labels)) < n_clusters:
        return found, None
    return found, _occupied(_own_posterior(view, loose.weights, loose.means, loose.covariance)[1].T)


def _occupied(probabilities: Floats) -> Floats | None:
    probabilities = np.ascontiguousarray(probabilities)
    return probabilities if len(np.unique(probabilities.argmax(axis=1))) == probabilities.shape[1] else None


def bic(x: Floats, n_clusters: int, likelihood: float) -> float:
    """Compute mclust's BIC of model EEE: the larger, the better."""
    d = x.shape[1]
    return float(2 * likelihood - (n_clusters * (d + 1) - 1 + d * (d + 1) / 2) * np.log(len(x)))


def _climb(x: Floats, labels: Ints) -> tuple[float, Ints] | None:
    """Run EM from a partition, quickly: it tells which start deserves mclust's. None where it breaks down."""
    square = x.T @ x

    def step(z: Floats, size: Floats, means: Floats) -> tuple[float, Floats]:
        covariance = (square - (means.T * size) @ means) / len(x)
        return _posterior(x, size / len(x), means, covariance, square)

    climbed = _em(x, np.eye(labels.max() + 1)[:, labels], step, 1e-5, 300)
    return None if climbed is None else (climbed[0], climbed[1].argmax(axis=0))


def _climb_own(x: Floats, tied: _mclust.MclustFit, strength: float, tolerance: float = 1e-5) -> Floats | None:
    """Run the EM of `mclust.loosen`, many times as quick: mclust has little left to do. None where it breaks down.

    Both steps are one product with the squares, products and values of each spot, for all clusters at once.
    """
    d = x.shape[1]
    one, other = np.triu_indices(d)
    terms = np.hstack([x[:, one] * x[:, other], x, np.ones((len(x), 1))])
    twice = np.where(one == other, 0.5, 1.0)

    def step(z: Floats, size: Floats, means: Floats) -> tuple[float, Floats]:
        scatter = np.empty((len(size), d, d))
        scatter[:, one, other] = scatter[:, other, one] = z @ terms[:, : len(one)]
        scatter -= size[:, None, None] * means[:, :, None] * means[:, None, :]
        covariance = (scatter + strength * tied.covariance) / (size + strength)[:, None, None]
        root = np.linalg.cholesky(covariance)
        precision = np.linalg.inv(covariance)
        slope = np.einsum("kij,kj->ki", precision, means)
        constant = np.log(size / len(x)) - np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
        constant -= (slope * means).sum(axis=1) / 2
        weights = np.hstack([-precision[:, one, other] * twice, slope, constant[:, None]])
        likelihood, z = _shares(weights @ terms.T)
        return float(likelihood - x.size / 2 * np.log(2 * np.pi)), z

    climbed = _em(x, np.ascontiguousarray(tied.probabilities.T), step, tolerance, 1000)
    return None if climbed is None else climbed[1].T


def _em(
    x: Floats,
    z: Floats,
    step: Callable[[Floats, Floats, Floats], tuple[float, Floats]],
    tolerance: float,
    most: int,
) -> tuple[float, Floats] | None:
    """Climb until the log-likelihood changes by less than this share; `step` takes z, the sizes and the means.

    z is of shape (K, n_spots): sums over clusters, which are few, then go along memory.
    """
    before = -np.inf
    for _ in range(most):
        size = z.sum(axis=1)
        if size.min() < 1e-8:
            return None
        try:
            likelihood, z = step(z, size, (z @ x) / size[:, None])
        except np.linalg.LinAlgError:
            return None
        if abs(likelihood - before) < tolerance * (1 + abs(likelihood)):
            break
        before = likelihood
    return likelihood, z


def _posterior(
    x: Floats, weights: Floats, means: Floats, covariance: Floats, square: Floats | None = None
) -> tuple[float, Floats]:
    """Log-likelihood of all spots, and the probability of each cluster for each, (K, n_spots); `square` is x'x."""
    root = np.linalg.cholesky(covariance)
    precision = np.linalg.inv(covariance)
    slope = means @ precision
    constant = np.log(weights) - (slope * means).sum(axis=1) / 2
    likelihood, z = _shares(slope @ x.T + constant[:, None])
    # what all clusters share is no matter of a spot's probabilities, and its sum that of the squares
    shared = (precision * (x.T @ x if square is None else square)).sum() / 2
    shared += len(x) * (np.log(np.diag(root)).sum() + x.shape[1] / 2 * np.log(2 * np.pi))
    return float(likelihood - shared), z


def _own_posterior(x: Floats, weights: Floats, means: Floats, covariance: Floats) -> tuple[float, Floats]:
    """Like `_posterior`, where every cluster has its covariance."""
    score = np.empty((len(weights), len(x)))
    for k, (weight, mean, own) in enumerate(zip(weights, means, covariance, strict=True)):
        unroot = np.linalg.inv(np.linalg.cholesky(own))
        whitened = (x - mean) @ unroot.T
        score[k] = np.log(weight) + np.log(np.diag(unroot)).sum() - np.einsum("ij,ij->i", whitened, whitened) / 2
    likelihood, z = _shares(score)
    return float(likelihood - x.size / 2 * np.log(2 * np.pi)), z


def _shares(score: Floats) -> tuple[float, Floats]:
    """Sum over spots of the log of their summed exponents, and the share that each cluster has in a spot's sum."""
    top = score.max(axis=0)
    z = np.exp(score - top)
    total = z.sum(axis=0)
    z /= total
    return (top + np.log(total)).sum(), z
