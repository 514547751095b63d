"""Profiles of cell types, weights of genes, and what differs between the reference's platform and the slice's."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

Array = npt.NDArray[np.float64]

_EVEN_TOTALS = 0.2  # coefficient of variation below which spots were scaled to one depth
_PRIOR_CELLS = 5.0  # weight of the other types in a type's variance
_SHRINKAGE = 0.5  # share of the way from a type's own mean to its empirical Bayes estimate
_BETWEEN_CELLS = 0.5  # share of the noise of a gene that is laid to differences between cells, not to counting
_COMMON_NOISE = 0.25  # times the mean gene's: what every gene has besides, so that faint ones do not rule
_FACTOR_LIMIT = 1.6  # of the log: five times more or less
_SIZE_SHARE = 0.5  # of a type's log size that is believed: library sizes are capture as well as RNA


@dataclass(frozen=True)
class Profiles:
    """What the cells of each type look like.

    Attributes
    ----------
    mean
        Mean share of each gene, of shape (n_types, n_genes); rows sum to 1.
    variance
        Variance of a gene's share between cells of a type, of shape (n_types, n_genes).
    n_cells, size
        Number of cells, and their mean counts relative to the other types', of shape (n_types,).
    """

    mean: Array
    variance: Array
    n_cells: Array
    size: Array


def totals_are_even(counts: sparse.csr_matrix) -> bool:
    """Tell whether spots were scaled to one depth, so that each cell gives as much as any other."""
    totals = np.asarray(counts.sum(axis=1)).ravel()
    totals = totals[totals > 0]
    return bool(len(totals) > 1 and totals.std() < _EVEN_TOTALS * totals.mean())


def shares(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    """Scale each row's counts to sum to 1; empty rows stay empty."""
    totals = np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel()
    return sparse.csr_matrix(sparse.diags(1 / np.where(totals > 0, totals, 1)) @ counts.astype(np.float64))


def type_profiles(counts: sparse.csr_matrix, types: npt.NDArray[np.intp], n_types: int) -> Profiles:
    """Summarise the cells of each type.

    Parameters
    ----------
    counts
        Of the cells, of shape (n_cells, n_genes); no cell is empty.
    types
        Type of each cell, from 0.
    n_types
        Number of types; each has a cell.
    """
    cells = shares(counts)
    n_cells = np.bincount(types, minlength=n_types).astype(np.float64)
    average = sparse.csr_matrix((1 / n_cells[types], (types, np.arange(len(types)))), shape=(n_types, len(types)))
    mean = np.asarray((average @ cells).toarray())
    squares = np.asarray((average @ cells.multiply(cells)).toarray())
    within = np.maximum(squares - mean**2, 0) * n_cells[:, None]
    # few cells tell little of a variance: theirs leans on that of all types, which goes with the mean
    overall = mean.mean(axis=0)
    dispersion = within.sum(axis=0) / max(float(n_cells.sum() - n_types), 1) / np.maximum(overall, 1e-12)
    own_mean = (n_cells[:, None] * mean + _PRIOR_CELLS * overall) / (n_cells[:, None] + _PRIOR_CELLS)
    variance = (within + _PRIOR_CELLS * dispersion * own_mean) / (n_cells[:, None] - 1 + _PRIOR_CELLS)
    totals = np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel()
    size = average @ totals
    return Profiles(mean, variance, n_cells, np.asarray(size / np.exp(np.mean(np.log(size)))))


def shrink(profiles: Profiles) -> Array:
    """Draw each type's gene towards the mean of all types where its own cells do not tell them apart.

    A gene that differs no more between types than the sampling of their cells explains is drawn the whole way of the
    empirical Bayes estimate, a marker hardly: noise in the profile of a rare type would otherwise be taken for signal.

    Returns
    -------
    Array of shape (n_types, n_genes)
    """
    if len(profiles.mean) < 2:
        return profiles.mean
    sampling = profiles.variance / profiles.n_cells[:, None]
    weight = profiles.n_cells / (profiles.n_cells + _PRIOR_CELLS)
    weight = (weight / weight.sum())[:, None]
    centre = (weight * profiles.mean).sum(axis=0)
    away = profiles.mean - centre
    between = (weight * (away**2 - sampling * (1 - weight))).sum(axis=0) / (1 - float((weight**2).sum()))
    between = np.maximum(between, 0)
    kept = between / np.maximum(between + sampling, np.finfo(float).tiny)
    return np.asarray(centre + (1 - _SHRINKAGE + _SHRINKAGE * kept) * away)


def gene_weights(observed: Array, profiles: Profiles) -> Array:
    """Weights that give genes about one variance: that of counting, and that between cells of one type.

    Parameters
    ----------
    observed
        Mean share of each gene over spots, of shape (n_genes,).
    profiles
        Of the reference.

    Returns
    -------
    Array of shape (n_genes,)
    """
    counting = observed / observed.sum()
    between = profiles.variance.mean(axis=0)
    total = between.sum()
    noise = counting if total <= 0 else (1 - _BETWEEN_CELLS) * counting + _BETWEEN_CELLS * between / total
    return np.asarray(1 / np.sqrt(noise + _COMMON_NOISE * noise.mean()))


def platform_factors(observed: Array, mix: Array, means: Array, profiles: Profiles, n_spots: int) -> Array:
    """Estimate how much more or less of each gene the slice's platform catches than the reference's.

    What goes with the level of expression alone (rounding, background, saturation) is fitted over all genes and
    corrected in full; what is left of a gene is corrected as far as it exceeds what sampling explains.

    Parameters
    ----------
    observed
        Mean share of each gene over spots, of shape (n_genes,).
    mix
        Mean proportions, of shape (n_types,).
    means
        Profiles as the regression uses them, of shape (n_types, n_genes).
    profiles
        Of the reference, for what sampling explains.
    n_spots
        Number of spots.

    Returns
    -------
    Array of shape (n_genes,)
    """
    expected = mix @ means
    expected = expected * observed.sum() / max(float(expected.sum()), np.finfo(float).tiny)
    known = (observed > 0) & (expected > 0)
    factors = np.ones_like(observed)
    if known.sum() < 20:  # too few for a curve
        return factors
    observed, expected = observed[known], expected[known]
    ratio = np.log(observed / expected)
    level = np.log(np.sqrt(observed * expected))
    trend = np.polyval(np.polyfit(level, ratio, 2, w=observed**0.25), level)
    rest = ratio - trend
    sampling = (mix**2 / profiles.n_cells) @ profiles.variance + mix @ profiles.variance / n_spots
    sampling = sampling[known] / expected**2
    # medians: a few genes that the slice alone has would pass for a platform
    spread = max(float(np.median(rest**2) / 0.455 - np.median(sampling)), 0.0)
    factors[known] = np.exp(np.clip(trend + spread / (spread + sampling) * rest, -_FACTOR_LIMIT, _FACTOR_LIMIT))
    return factors


def cell_sizes(profiles: Profiles) -> Array:
    """Give what a cell of each type counts for, by which shares of molecules become shares of cells."""
    return np.asarray(profiles.size**_SIZE_SHARE)
