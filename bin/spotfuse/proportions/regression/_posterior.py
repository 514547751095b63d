"""What the proportions of a spot may be, given how much cells of one type differ, and that a spot holds few types.

The regression's answer is one point. Here a Gibbs sampler draws from the posterior of each spot's proportions: they sum
to 1, each type is there with one prior probability (estimated from the slice) and, where it is, all values are equally
likely; the likelihood is the regression's, with the noise that the reference's own cells show. The mean of the draws
is one of what the estimate averages, and their spread part of its uncertainty.
"""

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spotfuse._core.backend import Array, Library, library
from spotfuse.proportions._settings import SETTINGS, RegressionSettings

log = logging.getLogger(__name__)

_BATCH = 1000  # spots sampled together, small enough for the cache
_BATCH_GPU = 50_000


@dataclass(frozen=True)
class Posterior:
    """Summary of the draws, each array of shape (n_spots, n_types).

    Attributes
    ----------
    mean, deviation
        Posterior mean and standard deviation of the proportions.
    """

    mean: Array
    deviation: Array


def cell_noise(
    statistics: Array,
    types: npt.NDArray[np.intp],
    squares: Array,
    gram: Array,
    mix: Array,
    settings: RegressionSettings = SETTINGS.regression,
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
    settings
        What else decides it.

    Returns
    -------
    Covariance of the statistics of a cell of the slice, of shape (n_types, n_types), and mean squared distance of a
    type's cells from its profile, of shape (n_types,).
    """
    n_types = len(gram)
    away = statistics - gram[types]
    freedom = max(len(away) - n_types, 1)
    overall, prior = away.T @ away / freedom, settings.prior_cells
    spread, distance = np.zeros_like(gram), np.zeros(n_types)
    for k in range(n_types):
        own = types == k
        n = max(int(own.sum()) - 1, 0) + prior
        spread += mix[k] * (away[own].T @ away[own] + prior * overall) / n
        distance[k] = (squares[own].sum() + prior * squares.sum() / freedom) / n
    even = float(np.trace(np.linalg.solve(gram, spread))) / n_types
    share = settings.even_noise
    return (1 - share) * spread + (share * even + np.finfo(float).tiny) * gram, distance


def sample(
    gram: Array,
    projected: Array,
    stiffness: Array,
    precision: Array,
    start: Array,
    sizes: Array,
    *,
    seed: int,
    threads: int = 1,
    using: Library | None = None,
    settings: RegressionSettings = SETTINGS.regression,
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
    seed
        Seed.
    threads
        Batches of spots that are worked on at a time, on the processor.
    using
        Kind of arrays to work with; NumPy's by default.
    settings
        How many draws, and what the probability of a type being there is.
    """
    using = using or library()
    n_spots, n_types = start.shape
    if n_types == 1:
        return Posterior(np.ones_like(start), np.zeros_like(start))

    def draw(rows: Any, present: float, n_draws: int, seed: int) -> Any:
        given = (projected[rows], stiffness[rows], precision[rows], start[rows])
        return _chain(using, gram, *given, present, n_draws=n_draws, seed=seed, burn_in=settings.burn_in)

    chosen = np.unique(np.linspace(0, n_spots - 1, min(n_spots, settings.present_spots)).astype(int))
    present = 0.2
    for round_ in range(3):
        there = using.xp.count_nonzero(draw(chosen, present, 50, seed + round_))
        share = int(there) / (50 * len(chosen) * n_types)
        present = float(np.clip(share, settings.least_present, settings.most_present))

    on_gpu = using.xp is not library().xp
    size, threads = (_BATCH_GPU, 1) if on_gpu else (_BATCH, threads)
    batches = [slice(first, first + size) for first in range(0, n_spots, size)]
    parts = []
    with ThreadPoolExecutor(threads) as pool:
        done = pool.map(lambda rows: _summary(using, draw(rows, present, settings.draws, seed + 3), sizes), batches)
        for number, part in enumerate(done, 1):
            parts.append(part)
            if number % max(len(batches) // 5, 1) == 0:
                log.info("uncertainty of %d of %d spots", min(number * size, n_spots), n_spots)
    return Posterior(*(np.concatenate([part[i] for part in parts]) for i in range(2)))


def _summary(using: Library, draws: Any, sizes: Array) -> list[Array]:
    """Mean and standard deviation of draws of shape (n_draws, n_types, n_spots), spots first."""
    xp = using.xp
    draws = draws / using.put(sizes.astype(np.float32)[:, None])
    draws = draws / xp.sum(draws, axis=1, keepdims=True)
    found = (xp.mean(draws, axis=0), xp.std(draws, axis=0))
    return [np.ascontiguousarray(using.get(values).T, dtype=np.float64) for values in found]


def _chain(
    using: Library,
    gram: Array,
    projected: Array,
    stiffness: Array,
    precision: Array,
    start: Array,
    present: float,
    *,
    n_draws: int,
    seed: int,
    burn_in: int = SETTINGS.regression.burn_in,
) -> Any:
    """Draw, of shape (n_draws, n_types, n_spots), float32.

    A step takes type k and a type that is there, and draws what k has of the weight of both: nothing, or a part.
    """
    xp, special = using.xp, using.special
    n_spots, n_types = start.shape
    random = np.random.default_rng(seed)
    start = np.where(start > 0.01, start, 0)
    V = using.put((start / start.sum(axis=1, keepdims=True)).T.copy())  # types first: a step reads and writes rows
    there = using.put((start > 0).T.astype(np.int16))
    n_there = xp.sum(there, axis=0, dtype=xp.float64)
    goal, hold = using.put(projected.T.copy()), using.put(stiffness.T.copy())
    precision, B = using.put(precision), using.put(gram)
    pull = B @ V
    every = using.put(np.arange(n_spots))
    kept = xp.empty((n_draws, n_types, n_spots), dtype=xp.float32, device=V.device)
    odds = np.log(present) - np.log1p(-present) + 0.5 * np.log(2 * np.pi)
    for sweep in range(burn_in + n_draws):
        for k in map(int, random.permutation(n_types)):
            choice, where = random.random(2)
            rank = random.permutation(n_types).astype(np.int16) + 1
            rank[k] = 0
            of_rank = np.zeros(n_types + 1, np.int64)
            of_rank[rank] = np.arange(n_types)
            # any of those that are there, each as likely
            highest = xp.max(there * using.put(rank[:, None]), axis=0)
            alone = highest == 0
            partner = xp.take(using.put(of_rank), xp.astype(highest, xp.int64), axis=0)
            place = partner * n_spots + every

            def of_partner(values: Any, place: Any = place) -> Any:
                return xp.take(xp.reshape(values, (-1,)), place, axis=0)

            before, given = V[k, :], of_partner(V)
            total = before + given
            # along the line where k takes x of what both have, the likelihood is normal
            slope = goal[k, :] - pull[k, :] - hold[k, :] * before
            stiff = of_partner(hold)
            slope = slope - (of_partner(goal) - of_partner(pull) - stiff * given)
            apart = using.put(gram[k, k] + np.diag(gram) - 2 * gram[k])
            curvature = precision * (xp.take(apart, partner, axis=0) + hold[k, :] + stiff)
            width = 1 / xp.sqrt(xp.maximum(curvature, 1e-9))
            centre = before + precision * slope * width**2
            near, far = -centre / width, (total - centre) / width
            flip = near > 0  # the left tail is the precise one
            a, b = xp.where(flip, -far, near), xp.where(flip, -near, far)
            log_low, log_high = special.log_ndtr(a), special.log_ndtr(b)
            low, high = xp.exp(log_low), xp.exp(log_high)
            between = log_high + xp.log1p(-xp.minimum(xp.exp(log_low - log_high), 1 - 1e-12))
            # a face of n types has the density (n - 1)! where proportions are equally likely
            n_others = n_there - xp.astype(there[k, :], xp.float64)
            part = odds + xp.log(xp.maximum(n_others, 1.0) * width) + between + 0.5 * near**2
            normal = special.ndtri(xp.minimum(xp.maximum(low + where * (high - low), 1e-300), 1 - 1e-16))
            inside = centre + width * xp.where(flip, -normal, normal)
            inside = xp.minimum(xp.maximum(inside, 1e-6 * total), (1 - 1e-6) * total)
            drawn = xp.where(part > np.log(choice) - np.log1p(-choice), inside, 0.0)
            after = xp.where(alone, before, drawn)  # others will take from it
            moved = after - before
            is_there = xp.astype(after > 0, xp.int16)
            n_there = n_there + xp.astype(is_there - there[k, :], xp.float64)
            there[k, :] = is_there
            V[k, :] = after
            xp.reshape(V, (-1,))[place] = given - moved
            pull += moved * xp.take(using.put(gram[:, [k]] - gram), partner, axis=1)
        if sweep % 20 == 19:  # rounding
            V /= xp.sum(V, axis=0)
            pull = B @ V
        if sweep >= burn_in:
            kept[sweep - burn_in, ...] = xp.astype(V, xp.float32)
    return kept
