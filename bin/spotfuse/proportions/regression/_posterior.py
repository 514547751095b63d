"""What the proportions of a spot may be, given how much cells of one type differ, and that a spot holds few types.

The regression's answer is one point. Here a Gibbs sampler draws from the posterior of each spot's proportions: they sum
to 1, each type is there with one prior probability (estimated from the slice) and, where it is, all values are equally
likely; the likelihood is the regression's, with the noise that the reference's own cells show. The mean of the draws
is one of what the estimate averages, and their spread part of its uncertainty.
"""

import logging
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count, islice
from typing import Any

import numpy as np
import numpy.typing as npt

from spotfuse._core.backend import Array, Library, library
from spotfuse.proportions._settings import SETTINGS, RegressionSettings

log = logging.getLogger(__name__)

_BATCH = 4000  # spots sampled together, small enough for the cache
_BATCH_GPU = 50_000


@dataclass(frozen=True)
class Posterior:
    """Summary of the draws.

    Attributes
    ----------
    mean, deviation
        Posterior mean and standard deviation of the proportions, of shape (n_spots, n_types).
    covariance
        Of a spot's proportions, mean over spots, of shape (n_types, n_types).
    """

    mean: Array
    deviation: Array
    covariance: Array


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
        return Posterior(np.ones_like(start), np.zeros_like(start), np.zeros((1, 1)))

    def draws(rows: Any, n: int, present: float, seed: int) -> Iterator[Any]:
        given = (projected[rows], stiffness[rows], precision[rows], start[rows])
        burn_in = round(settings.burn_in * n)
        return islice(_chain(using, gram, *given, present, seed=seed, burn_in=burn_in), n)

    chosen = np.unique(np.linspace(0, n_spots - 1, min(n_spots, settings.present_spots)).astype(int))
    present = 0.2
    for round_ in range(3):
        there = sum(int(using.xp.count_nonzero(V)) for V in draws(chosen, settings.least_draws, present, seed + round_))
        share = there / (settings.least_draws * len(chosen) * n_types)
        present = float(np.clip(share, settings.least_present, settings.most_present))

    n_draws = int(np.clip(settings.drawn / n_spots, settings.least_draws, settings.draws))
    on_gpu = using.xp is not library().xp
    size, threads = (_BATCH_GPU, 1) if on_gpu else (_BATCH, threads)
    batches = [slice(first, first + size) for first in range(0, n_spots, size)]
    parts = []
    with ThreadPoolExecutor(threads) as pool:
        done = pool.map(lambda rows: _summary(using, draws(rows, n_draws, present, seed + 3), sizes), batches)
        for number, part in enumerate(done, 1):
            parts.append(part)
            if number % max(len(batches) // 5, 1) == 0:
                log.info("uncertainty of %d of %d spots", min(number * size, n_spots), n_spots)
    mean, deviation = (np.concatenate([part[i] for part in parts]) for i in range(2))
    return Posterior(mean, deviation, np.sum([part[2] for part in parts], axis=0) / n_spots)


def _summary(using: Library, draws: Iterable[Any], sizes: Array) -> list[Array]:
    """Mean and standard deviation of draws, each of shape (n_types, n_spots), spots first; sum of their covariances."""
    xp, per_cell = using.xp, using.put(1 / sizes.astype(np.float32)[:, None])
    n = 0
    total: Any = 0.0
    squares: Any = 0.0
    products: Any = 0.0
    for V in draws:
        shares = V * per_cell
        shares /= xp.sum(shares, axis=0)
        n, total, squares = n + 1, total + shares, squares + shares * shares
        products = products + shares @ shares.T
    mean = total / n
    deviation = xp.sqrt(xp.maximum(squares / n - mean * mean, 0.0))
    found = (mean.T, deviation.T, products / n - mean @ mean.T)
    return [np.ascontiguousarray(using.get(values), dtype=np.float64) for values in found]


def _chain(
    using: Library,
    gram: Array,
    projected: Array,
    stiffness: Array,
    precision: Array,
    start: Array,
    present: float,
    *,
    seed: int,
    burn_in: int,
) -> Iterator[Any]:
    """Draw without end, each of shape (n_types, n_spots), float32, valid until the next one.

    A step takes type k and a type that is there, and draws what k has of the weight of both: nothing, or a part. The
    other type is the last one there before k in the round of all types, at random, that a sweep goes.
    """
    xp, special = using.xp, using.special
    n_spots, n_types = start.shape
    random = np.random.default_rng(seed)
    start = np.where(start > 0.01, start, 0)
    start = (start / start.sum(axis=1, keepdims=True)).T  # types first: a step reads and writes rows
    single = [np.ascontiguousarray(values, np.float32) for values in (start, projected.T, stiffness.T, precision, gram)]
    V, goal, hold, precise, B = map(using.put, single)
    steps = [using.put(np.ascontiguousarray(gram[:, [k]] - gram, np.float32)) for k in range(n_types)]
    apart = [using.put(np.asarray(gram[k, k] + np.diag(gram) - 2 * gram[k], np.float32)) for k in range(n_types)]
    n_there = xp.sum(xp.astype(V > 0, xp.float32), axis=0)
    every = using.put(np.arange(n_spots))
    odds = float(present / (1 - present) * np.sqrt(2 * np.pi))

    def of(values: Any, place: Any) -> Any:
        return xp.take(xp.reshape(values, (-1,)), place, axis=0)

    for sweep in count():
        if sweep % 20 == 0:  # rounding
            V /= xp.sum(V, axis=0)
            left = goal - B @ V
        around = list(map(int, random.permutation(n_types)))
        partner = every * 0
        for k in around:
            partner = xp.where(V[k, :] > 0, k, partner)
        for k in around:
            choice, where = random.random(2)
            alone = partner == k
            place = partner * n_spots + every
            before, given = V[k, :] + 0, of(V, place)
            total = before + given
            # along the line where k takes x of what both have, the likelihood is normal
            stiff = of(hold, place)
            slope = left[k, :] - of(left, place) - hold[k, :] * before + stiff * given
            curvature = precise * (xp.take(apart[k], partner, axis=0) + hold[k, :] + stiff)
            root = xp.sqrt(xp.maximum(curvature, 1e-9))
            width = 1 / root
            centre = before + precise * slope * width * width
            # what is beyond 37 widths is there with no probability, and would overflow
            near = xp.astype(xp.clip(-centre * root, -37.0, 37.0), xp.float64)
            far = near + total * root
            flip = near > 0  # the left tail is the precise one
            low = special.ndtr(xp.where(flip, -far, near))
            mass = special.ndtr(xp.where(flip, -near, far)) - low
            # a face of n types has the density (n - 1)! where proportions are equally likely
            n_others = n_there - xp.astype(before > 0, xp.float32)
            part = odds * xp.maximum(n_others, 1.0) * width * mass * xp.exp(0.5 * near * near)
            rows = xp.nonzero((part > choice / (1 - choice)) & ~alone)[0]
            normal = special.ndtri(xp.maximum(low[rows] + where * mass[rows], 1e-300))
            inside = centre[rows] + width[rows] * xp.astype(xp.where(flip[rows], -normal, normal), xp.float32)
            inside = xp.minimum(xp.maximum(inside, 1e-6 * total[rows]), (1 - 1e-6) * total[rows])
            after = xp.where(alone, before, 0.0)  # others will take from what is alone
            after[rows] = inside
            n_there = n_others + xp.astype(after > 0, xp.float32)
            xp.reshape(V, (-1,))[place] = total - after
            V[k, :] = after
            left -= (after - before) * xp.take(steps[k], partner, axis=1)
            partner = xp.where(after > 0, k, partner)
        if sweep >= burn_in:
            yield V
