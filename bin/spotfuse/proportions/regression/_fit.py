"""The regression from end to end: profiles, proportions and platform in turn, then what proportions may be."""

import logging
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
import numpy.typing as npt
from scipy import sparse

from spotfuse._core import backend
from spotfuse._core.backend import Array
from spotfuse._core.errors import InputError
from spotfuse.proportions import _profiles
from spotfuse.proportions._input import Matched
from spotfuse.proportions._settings import SETTINGS, RegressionSettings, Settings
from spotfuse.proportions.regression import _cell_level, _finer, _posterior, _type_level

log = logging.getLogger(__name__)

_BLOCK = 5000  # spots whose counts are worked on together
_CHUNK = 1000  # spots whose regressions on parts are, small enough for the cache
_NORMAL = 1.645  # standard deviations from the middle of 90 % to its ends


@dataclass(frozen=True)
class Estimate:
    """Proportions, their standard deviations and the ends of their 90 % interval, of shape (n_spots, n_types)."""

    proportions: Array
    deviation: Array
    low: Array
    high: Array


@dataclass(frozen=True)
class Arguments:
    """What `AttentionRegressionDeconv` is told, checked; see there."""

    phi: float | str = 0.8
    lambda_cell: float = 1.0
    lambda_spatial: float = 1.0
    lambda_ridge: float = 1.0
    n_iter: int = 5
    n_jobs: int = -1
    k_neighbors: int = 6
    lambda_mode: str = "auto"
    output: str = "cells"
    seed: int = 1
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.phi != "estimated" and not (isinstance(self.phi, Real) and 0 <= self.phi < 1):
            raise InputError(f"phi is {self.phi!r}; it must be at least 0 and below 1, or 'estimated'")
        for name in ("lambda_cell", "lambda_spatial", "lambda_ridge"):
            value = getattr(self, name)
            if not (isinstance(value, Real) and 0 <= float(value) < np.inf):
                raise InputError(f"{name} is {value!r}; it must be a number, not negative")
        for name, least in (("n_iter", 1), ("k_neighbors", 1), ("seed", 0), ("n_jobs", -1)):
            value = getattr(self, name)
            if not (isinstance(value, Integral) and int(value) >= least):
                raise InputError(f"{name} is {value!r}; it must be a whole number, at least {least}")
        for name, known in (
            ("lambda_mode", ("auto", "absolute")),
            ("output", ("cells", "molecules")),
            ("device", ("auto", "cpu", "cuda")),
        ):
            if getattr(self, name) not in known:
                raise InputError(f"{name} is {getattr(self, name)!r}; it must be one of {', '.join(known)}")

    @property
    def threads(self) -> int:
        """Number of threads."""
        return self.n_jobs if self.n_jobs > 0 else len(os.sched_getaffinity(0))


class Regression:
    """Proportions, and what they are learned with, in turn.

    Attributes
    ----------
    V, b
        Abundances, of shape (n_spots, n_types), and their means.
    squares, residual
        Squared lengths of weighted spots, and of what the regression leaves of them, of shape (n_spots,).
    weights, factors, means
        Weights of genes, factors of the platform, and profiles of types.
    prior, support
        How neighbours pull, and how much of what is doubtful in the profiles the spots show.
    objective, converged
        How the last solve went.
    doubt
        Covariance of what a spot's proportions may be, mean over spots, after `members`.
    """

    def __init__(self, data: Matched, told: Arguments, settings: Settings = SETTINGS) -> None:
        self.data, self.told, self._settings, self._of_profiles = data, told, settings.regression, settings.profiles
        n_types = len(data.types)
        n_spots, n_genes = data.counts.shape
        log.info(
            "deconvolving %d spots: %d genes, %d types, %d cells; about %d MB",
            *(n_spots, n_genes, n_types, len(data.codes), _size(data)),
        )
        self.using = backend.library(backend.device(told.device))
        self.profiles = _profiles.type_profiles(data.cells, data.codes, n_types, self._of_profiles)
        self.doubtful = _profiles.doubtful(self.profiles, self._of_profiles)
        self.sure, self.support = self.profiles.mean - self.doubtful, 0.5  # then as much of it as the spots show
        self._counts = sparse.csr_matrix(data.counts, dtype=np.float32)
        totals = (self._counts @ np.ones(n_genes, np.float32)).astype(np.float64)  # its own sum copies all counts
        self._per_count = 1 / np.where(totals > 0, totals, 1)  # shares are made of counts by the way, not kept
        blocks = [slice(first, first + _BLOCK) for first in range(0, n_spots, _BLOCK)]
        sums = self._in_threads(lambda rows: self._counts[rows].T @ self._per_count[rows], blocks)
        self.observed = np.sum(sums, axis=0) / n_spots
        self.weights = _profiles.gene_weights(self.observed, self.profiles, settings=self._of_profiles)
        squares = self._in_threads(lambda rows: _profiles.squared(self._counts[rows]) @ self.weights**2, blocks)
        self.squares = np.concatenate(squares) * self._per_count**2
        graph = data.neighbours(told.k_neighbors)
        self.distance_only = _type_level.attention(graph, data.coordinates, None)
        self.V, self.factors = np.zeros((n_spots, n_types)), np.ones(n_genes)
        absolute = told.lambda_mode == "absolute"
        self.prior = _type_level.Prior(
            self.distance_only,
            0.0 if told.phi == "estimated" else float(told.phi),
            np.full(n_types, told.lambda_spatial if absolute else 0.0),
            told.lambda_ridge * (1 if absolute else self._settings.ridge),
        )
        for iteration in range(told.n_iter):
            learns = iteration < told.n_iter - 1
            self._solve(learns)
            log.info(
                "iteration %d of %d: %d sweeps, objective %.6g",
                *(iteration + 1, told.n_iter, len(self.objective) - 1, self.objective[-1]),
            )
            if told.phi == "estimated" and iteration == 0:
                self.prior.phi = _type_level.estimate_phi(self.distance_only, self.V, self._settings)
            if learns:
                self._learn(graph)

    def _in_threads[T, R](self, function: Callable[[T], R], items: Iterable[T]) -> list[R]:
        with ThreadPoolExecutor(self.told.threads) as pool:
            return list(pool.map(function, items))

    def _times(self, genes: Array) -> Array:
        """Multiply spots' shares, dense nowhere, by an array of shape (n_genes, n)."""
        starts = range(0, len(self._per_count), _BLOCK)
        parts = self._in_threads(lambda first: self._rows_times(slice(first, first + _BLOCK), genes), starts)
        return np.concatenate(parts)

    def _rows_times(self, rows: slice | npt.NDArray[np.intp], genes: Array) -> Array:
        return np.asarray(self._counts[rows] @ genes.astype(np.float32)) * self._per_count[rows, None]

    def _solve(self, learns: bool) -> None:
        self.means = self.sure + self.support * self.doubtful
        self.weighted, self.doubted = (part * (self.factors * self.weights) for part in (self.means, self.doubtful))
        gram = self.weighted @ self.weighted.T
        self.scale = float(np.trace(gram)) / len(gram)
        wanted = np.vstack([self.weighted, self.doubted]) if learns else self.weighted
        both = self._times((wanted * self.weights).T)
        self.gram, self.projected, self._of_doubted = (
            gram / self.scale,
            both[:, : len(gram)] / self.scale,
            both[:, len(gram) :],
        )
        self.V, self.b, self.objective, self.converged = _type_level.solve(
            self.gram, self.projected, self.prior, self.V, using=self.using
        )
        fitted = np.sum((self.V @ self.gram) * self.V, axis=1) - 2 * np.sum(self.projected * self.V, axis=1)
        self.residual = np.maximum(self.squares / self.scale + fitted, 0)
        self.shares = rows_to_one(self.V)

    def _learn(self, graph: sparse.csr_matrix) -> None:
        """Learn from proportions what the next ones are found with."""
        n_spots, n_genes = self.data.counts.shape
        self.support += _profiles.support(self.projected * self.scale, self._of_doubted, self.weighted, self.doubted)
        self.support = min(max(self.support, 0.0), 1.0)
        mix = self.shares.mean(axis=0)
        self.factors = _profiles.platform_factors(
            self.observed, mix, self.means, self.profiles, n_spots, self._of_profiles
        )
        phi, strength, ridge = self.prior.phi, self.prior.strength, self.prior.ridge
        if self.told.lambda_mode == "auto" and self.told.lambda_spatial > 0:
            noise = float(self.residual.sum()) / (n_spots * max(n_genes - len(mix), 1))
            near = _type_level.Prior(self.distance_only, phi, strength, ridge)
            strength = self.told.lambda_spatial * _type_level.variance_ratios(
                self.gram, self.V, near, noise, self._settings
            )
        W = _type_level.attention(graph, self.data.coordinates, self.shares, self._settings)
        self.prior = _type_level.Prior(W, phi, strength, ridge)

    def members(self, sizes: Array) -> tuple[list[Array], Array, Array]:
        """Give what is averaged: the regression, the mean of the posterior's draws, and regressions on parts of types.

        Parameters
        ----------
        sizes
            What a cell of each type counts for, of shape (n_types,).

        Returns
        -------
        Proportions, each array of shape (n_spots, n_types), the draws' standard deviations, likewise, and how many
        cells a spot seems to hold, of shape (n_spots,).
        """
        n_cells, drawn = self._posterior(sizes)
        self.doubt = drawn.covariance
        found = [rows_to_one(V / sizes) for V in (self.V, *self._in_parts())]
        return [found[0], drawn.mean, *found[1:]], drawn.deviation, n_cells

    def _in_parts(self) -> list[Array]:
        """Regress on types in parts, genes weighted for each group of spots with one leading type.

        Shares of molecules, each array of shape (n_spots, n_types).
        """
        data, n_types, settings = self.data, len(self.data.types), self._settings
        of_type = [np.flatnonzero(data.codes == k) for k in range(n_types)]
        cells = _profiles.scaled(_profiles.shares(data.cells), columns=self.weights)
        places = np.asarray(cells @ _cell_level.directions(cells, of_type, settings).T)
        affordable = int(min(settings.most_parts, np.sqrt(settings.work / len(data.coordinates))) / n_types)
        found = [self.shares]
        for n in sorted({max(min(n, affordable), 1) for n in settings.parts}):
            part, owner = _finer.parts(places, data.codes, n_types, n, settings)
            profiles = _profiles.type_means(data.cells, part, owner.shape[1])
            profiles = (profiles + owner.T @ (self.means - self.profiles.mean)) * self.factors
            found.append(self._regress_groups(profiles, owner, np.mean(found, axis=0)))
        return found[1:] * (len(settings.parts) // (len(found) - 1))  # two in any case: they are half of the mean

    def _regress_groups(self, profiles: Array, owner: Array, shares: Array) -> Array:
        """Regress spots on the profiles of parts, group by group of those with one leading type."""
        leading = shares.argmax(axis=1)
        start = shares @ (owner / owner.sum(axis=1, keepdims=True))

        def group(rows: npt.NDArray[np.intp]) -> Array:
            mix = shares[leading == leading[rows[0]]].mean(axis=0)
            weights = _profiles.gene_weights(self.observed, self.profiles, mix, self._of_profiles)
            weighted = profiles * weights
            gram = weighted @ weighted.T
            scale = float(np.trace(gram)) / len(gram)
            projected = self._rows_times(rows, (weighted * weights).T)
            return (
                _finer.nonnegative(gram / scale, projected / scale, start[rows], self.using, self._settings) @ owner.T
            )

        order = np.argsort(leading, kind="stable")
        chunks = [
            rows[first : first + _CHUNK]
            for rows in np.split(order, np.cumsum(np.bincount(leading))[:-1])
            for first in range(0, len(rows), _CHUNK)
        ]
        V = np.empty_like(shares)
        V[np.concatenate(chunks)] = np.concatenate(self._in_threads(group, chunks))
        return rows_to_one(V)

    def _posterior(self, sizes: Array) -> tuple[Array, _posterior.Posterior]:
        """Say how many cells a spot seems to hold, and what its proportions may be."""
        data, gram, n_types = self.data, self.gram, len(self.gram)
        cells = _profiles.shares(data.cells)
        statistics = np.asarray(cells @ (self.weighted * self.weights * self.factors).T) / self.scale
        distance = np.asarray(_profiles.squared(cells) @ (self.weights * self.factors) ** 2).ravel() / self.scale
        distance += gram[data.codes, data.codes] - 2 * statistics[np.arange(len(distance)), data.codes]
        mix = self.shares.mean(axis=0)
        spread, apart = _posterior.cell_noise(
            statistics, data.codes, np.maximum(distance, 0), gram, mix, self._settings
        )
        # as many cells as make a spot fit as well as it does; 1 / noise keeps the prior's scale
        tiny = np.finfo(float).tiny
        noise = max(float(np.trace(np.linalg.solve(gram, spread))) / n_types, tiny)
        n_cells = self.shares @ apart / np.maximum(self.residual, 1e-3 * float(np.median(self.residual)) + tiny)
        metric = noise * np.linalg.solve(spread, gram)
        total = self.V.sum(axis=1, keepdims=True)
        strength, degree = self.prior.strength, self.prior.degree[:, None]
        around = degree * self.shares - self.prior.pull(self.shares - self.b)  # what a spot's own share does not enter
        drawn = _posterior.sample(
            gram @ metric,
            self.projected / np.where(total > 0, total, 1) @ metric + strength * around,
            strength * degree,
            n_cells / noise,
            self.shares,
            sizes,
            settings=self._settings,
            seed=self.told.seed,
            threads=self.told.threads,
            using=self.using,
        )
        return n_cells, drawn


def rows_to_one(V: Array) -> Array:
    """Scale rows to sum to 1; those without anything get the mean of the others."""
    total = V.sum(axis=1, keepdims=True)
    scaled = V / np.where(total > 0, total, 1)
    empty = total[:, 0] <= 0
    if empty.any():
        rest = scaled[~empty]
        scaled[empty] = rest.mean(axis=0) if len(rest) else 1 / V.shape[1]
    return np.asarray(scaled)


def averaged(
    members: list[Array], deviation: Array, n_cells: Array, settings: RegressionSettings = SETTINGS.regression
) -> Estimate:
    """Average what errs differently: the mean is nearer than any, and by how much they differ is part of the doubt.

    Parameters
    ----------
    members, deviation, n_cells
        As `Regression.members` gives them.
    settings
        What is a trace, and what else is in doubt.
    """
    mean = np.mean(members, axis=0)
    deviation = np.sqrt(deviation**2 + np.var(members, axis=0) + settings.other_error * mean * (1 - mean))
    kept = without_traces(mean, n_cells, settings)
    low, high = (np.clip(mean + side * _NORMAL * deviation, 0, 1) for side in (-1, 1))
    return Estimate(kept, deviation, np.minimum(low, kept), np.maximum(high, kept))


def without_traces(proportions: Array, n_cells: Array, settings: RegressionSettings = SETTINGS.regression) -> Array:
    """Take less than part of a cell for none: such shares are the estimate's doubt more than they are cells."""
    least = np.minimum(settings.least_cell / np.maximum(n_cells, 1), settings.least_share)
    least = np.minimum(least, proportions.max(axis=1))[:, None]
    return rows_to_one(np.where(proportions < least, 0, proportions))


def _size(data: Matched) -> int:
    """Estimate the peak memory in MB: Python with its libraries, counts, and arrays."""
    numbers = data.counts.nnz + data.cells.nnz
    return int(400 + (16 * numbers + 200 * data.counts.shape[0] * len(data.types)) / 2**20)
