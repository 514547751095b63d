"""What the proportions of a spot may be, given how much cells of one type differ, and that a spot holds few types.

The regression's answer is one point. Here a Gibbs sampler draws from the posterior of each spot's proportions: they sum
to 1, each type is there with one prior probability (estimated from the slice) and, where it is, all values are equally
likely; the likelihood is the regression's, with the noise that the reference's own cells show. The mean of the draws
is half of the estimate, the regression's point the other, and their spread is the uncertainty.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import log_ndtr, ndtr, ndtri

Array = npt.NDArray[np.float64]

_BATCH = 1000  # spots sampled together; their draws are kept for the quantiles
_BURN_IN = 25
_ROOT = np.sqrt(2 * np.pi)
_PRIOR_SPOTS = 2000  # spots from which the probability of a type being there is estimated
_LEAST, _MOST = 0.005, 0.95  # of that probability
_PRIOR_CELLS = 3.0  # cells of a type that all types' count for
_EVEN_NOISE = 0.25  # share of the noise that is laid to all directions alike


@dataclass(frozen=True)
class Posterior:
    """Summary of the draws, each array of shape (n_spots, n_types).

    Attributes
    ----------
    mean, deviation
        Posterior mean and standard deviation of the proportions.
    low, high
        Ends of the 90 % interval.
    """

    mean: Array
    deviation: Array
    low: Array
    high: Array


def cell_noise(
    statistics: Array, types: npt.NDArray[np.intp], squares: Array, gram: Array, mix: Array
) -> tuple[Array, Array]:
    """Say how much cells of one type differ, along the profiles and in all.

    Parameters
    ----------
    statistics
        Each reference cell's weighted counts times the profiles, of shape (n_cells, n_types).
    types
        Type of each cell.
    squares
        Squared distance of each cell from its type's profile, of shape (n_cells,).
    gram
        Profiles times profiles, of shape (n_types, n_types).
    mix
        Mean proportions, of shape (n_types,).

    Returns
    -------
    Covariance of the statistics of a cell of the slice, of shape (n_types, n_types), and mean squared distance of a
    type's cells from its profile, of shape (n_types,).
    """
    n_types = len(gram)
    away = statistics - gram[types]
    freedom = max(len(away) - n_types, 1)
    overall = away.T @ away / freedom
    spread, distance = np.zeros_like(gram), np.zeros(n_types)
    for k in range(n_types):
        own = types == k
        n = max(int(own.sum()) - 1, 0) + _PRIOR_CELLS
        spread += mix[k] * (away[own].T @ away[own] + _PRIOR_CELLS * overall) / n
        distance[k] = (squares[own].sum() + _PRIOR_CELLS * squares.sum() / freedom) / n
    even = float(np.trace(np.linalg.solve(gram, spread))) / n_types
    return (1 - _EVEN_NOISE) * spread + (_EVEN_NOISE * even + np.finfo(float).tiny) * gram, distance


def sample(
    gram: Array,
    projected: Array,
    stiffness: Array,
    precision: Array,
    start: Array,
    sizes: Array,
    *,
    n_draws: int,
    seed: int,
) -> Posterior:
    """Draw proportions of each spot.

    The random numbers of a draw are the same for all spots, so that neither their order nor their company matters.

    Parameters
    ----------
    gram
        Of shape (n_types, n_types).
    projected
        Spots' weighted counts times the profiles, and what neighbours add to it, of shape (n_spots, n_types).
    stiffness
        What neighbours add to the diagonal of `gram`, of shape (n_spots, n_types).
    precision
        Of shape (n_spots,).
    start
        Proportions to start from, of shape (n_spots, n_types); rows sum to 1.
    sizes
        What a cell of each type counts for, by which draws are divided, of shape (n_types,).
    n_draws
        Draws to keep.
    seed
        Seed.
    """
    n_spots, n_types = start.shape
    if n_types == 1:
        one = np.ones_like(start)
        return Posterior(one, np.zeros_like(start), one, one)
    chosen = np.unique(np.linspace(0, n_spots - 1, min(n_spots, _PRIOR_SPOTS)).astype(int))
    present = 0.2
    for round_ in range(3):
        draws = _chain(
            gram,
            projected[chosen],
            stiffness[chosen],
            precision[chosen],
            start[chosen],
            present,
            n_draws=50,
            seed=seed + round_,
        )
        present = float(np.clip(np.mean(draws > 0), _LEAST, _MOST))
    parts = []
    for first in range(0, n_spots, _BATCH):
        rows = slice(first, first + _BATCH)
        draws = _chain(
            gram,
            projected[rows],
            stiffness[rows],
            precision[rows],
            start[rows],
            present,
            n_draws=n_draws,
            seed=seed + 3,
        )
        draws /= sizes
        draws /= draws.sum(axis=2, keepdims=True)
        low, high = np.quantile(draws, [0.05, 0.95], axis=0)
        parts.append((draws.mean(axis=0), draws.std(axis=0), low, high))
    return Posterior(*(np.concatenate([part[i] for part in parts]).astype(np.float64) for i in range(4)))


def _chain(
    gram: Array,
    projected: Array,
    stiffness: Array,
    precision: Array,
    start: Array,
    present: float,
    *,
    n_draws: int,
    seed: int,
) -> npt.NDArray[np.float32]:
    """Draw, of shape (n_draws, n_spots, n_types).

    A step takes type k and a type that is there, and draws what k has of the weight of both: nothing, or a part.
    """
    n_spots, n_types = start.shape
    random = np.random.default_rng(seed)
    V = np.where(start > 0.01, start, 0).T.copy()  # types first: a step reads and writes rows
    V /= V.sum(axis=0)
    projected, stiffness = projected.T.copy(), stiffness.T.copy()
    pull = gram @ V
    odds = np.log(present) - np.log1p(-present)
    every = np.arange(n_spots)
    kept = np.empty((n_draws, n_spots, n_types), np.float32)
    for sweep in range(_BURN_IN + n_draws):
        for k in random.permutation(n_types):
            choice, where = random.random(2)
            before = V[k].copy()
            rank = random.permutation(n_types) + 1.0
            rank[k] = 0
            there = (V > 0) * rank[:, None]
            partner = there.argmax(axis=0)  # any of those that are there, each as likely
            alone = there[partner, every] == 0
            n_others = np.count_nonzero(there, axis=0)
            given = V[partner, every]
            total = before + given
            # along the line where k takes x of what both have, the likelihood is normal
            slope = projected[k] - pull[k] - stiffness[k] * before
            slope -= projected[partner, every] - pull[partner, every] - stiffness[partner, every] * given
            curvature = gram[k, k] + gram[partner, partner] - 2 * gram[k, partner]
            curvature = np.maximum(precision * (curvature + stiffness[k] + stiffness[partner, every]), 1e-9)
            width = 1 / np.sqrt(curvature)
            centre = before + precision * slope / curvature
            near, far = -centre / width, (total - centre) / width
            flip = near > 0  # the left tail is the precise one
            a, b = np.where(flip, -far, near), np.where(flip, -near, far)
            low, high = ndtr(a), ndtr(b)
            log_b = log_ndtr(b)
            between = log_b + np.log1p(-np.minimum(np.exp(log_ndtr(a) - log_b), 1 - 1e-12))
            # a face of n types has the density (n - 1)! where proportions are equally likely
            part = odds + np.log(np.maximum(n_others, 1) * width * _ROOT) + between + 0.5 * near**2
            normal = ndtri(np.clip(low + where * (high - low), 1e-300, 1 - 1e-16))
            inside = np.clip(centre + width * np.where(flip, -normal, normal), 1e-6 * total, (1 - 1e-6) * total)
            after = np.where(np.log(choice) - np.log1p(-choice) < part, inside, 0.0)
            after = np.where(alone, before, after)  # others will take from it
            moved = after - before
            V[k] = after
            V[partner, every] -= moved
            pull += moved * (gram[k][:, None] - gram[:, partner])
        if sweep % 20 == 19:  # rounding
            V /= V.sum(axis=0)
            pull = gram @ V
        if sweep >= _BURN_IN:
            kept[sweep - _BURN_IN] = V.T
    return kept
