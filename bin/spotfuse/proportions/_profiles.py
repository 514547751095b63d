"""Profiles of cell types, weights of genes, and what differs between the reference's platform and the slice's."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

from spotfuse._core.types import Floats
from spotfuse.proportions._settings import SETTINGS, ProfileSettings


@dataclass(frozen=True)
class Profiles:
    """What the cells of each type look like.

    Attributes
    ----------
    mean
        Mean share of each gene, of shape (n_types, n_genes); rows sum to 1.
    variance
        Variance of a gene's share between cells of a type, of shape (n_types, n_genes).
    n_cells
        Number of cells, less where a few of them have most of the counts, of shape (n_types,).
    size
        Mean counts of a cell relative to the other types', of shape (n_types,).
    """

    mean: Floats
    variance: Floats
    n_cells: Floats
    size: Floats


def totals_are_even(counts: sparse.csr_matrix, settings: ProfileSettings = SETTINGS.profiles) -> bool:
    """Tell whether spots were scaled to one depth, so that each cell gives as much as any other."""
    totals = np.asarray(counts.sum(axis=1)).ravel()
    totals = totals[totals > 0]
    return bool(len(totals) > 1 and totals.std() < settings.even_totals * totals.mean())


def shares(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    """Scale each row's counts to sum to 1; empty rows stay empty."""
    totals = np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel()
    return scaled(counts, rows=1 / np.where(totals > 0, totals, 1))


def scaled(counts: sparse.csr_matrix, rows: Floats | None = None, columns: Floats | None = None) -> sparse.csr_matrix:
    """Multiply rows or columns by numbers, in a tenth of the time that a product with a diagonal takes."""
    values = counts.data.astype(np.float64)
    if rows is not None:
        values *= np.repeat(rows, np.diff(counts.indptr))
    if columns is not None:
        values *= columns[counts.indices]
    return sparse.csr_matrix((values, counts.indices, counts.indptr), shape=counts.shape)


def squared(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    """Give each entry's square."""
    return sparse.csr_matrix((counts.data**2, counts.indices, counts.indptr), shape=counts.shape)


def type_profiles(
    counts: sparse.csr_matrix,
    types: npt.NDArray[np.intp],
    n_types: int,
    settings: ProfileSettings = SETTINGS.profiles,
) -> Profiles:
    """Summarise the cells of each type.

    Parameters
    ----------
    counts
        Of the cells, of shape (n_cells, n_genes); no cell is empty.
    types
        Type of each cell, from 0.
    n_types
        Number of types; each has a cell.
    settings
        What else decides them.
    """
    totals = np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel()
    weight, average = _votes(totals, types, n_types)
    cells = shares(counts)
    mean = np.asarray((average @ cells).toarray())
    n_cells = 1 / np.bincount(types, weight**2, minlength=n_types)
    squares = np.asarray((average @ squared(cells)).toarray())
    within = np.maximum(squares - mean**2, 0) * n_cells[:, None]
    # few cells tell little of a variance: theirs leans on that of all types, which goes with the mean
    overall = mean.mean(axis=0)
    dispersion = within.sum(axis=0) / max(float(n_cells.sum() - n_types), 1) / np.maximum(overall, 1e-12)
    prior = settings.prior_cells
    own_mean = (n_cells[:, None] * mean + prior * overall) / (n_cells[:, None] + prior)
    variance = (within + prior * dispersion * own_mean) / (n_cells[:, None] - 1 + prior)
    size = np.bincount(types, totals, minlength=n_types) / np.bincount(types, minlength=n_types)
    return Profiles(mean, variance, n_cells, np.asarray(size / np.exp(np.mean(np.log(size)))))


def type_means(counts: sparse.csr_matrix, types: npt.NDArray[np.intp], n_types: int) -> Floats:
    """Give the mean of `type_profiles` alone; arguments as there."""
    totals = np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel()
    return np.asarray((_votes(totals, types, n_types)[1] @ shares(counts)).toarray())


def _votes(totals: Floats, types: npt.NDArray[np.intp], n_types: int) -> tuple[Floats, sparse.csr_matrix]:
    """Give each cell's weight in its type's mean, and what makes the means of cells' shares.

    A cell's shares vary as cells do and, the more the fewer its counts, by counting: between one vote each and one each
    count.
    """
    votes = np.sqrt(totals)
    weight = votes / np.bincount(types, votes, minlength=n_types)[types]
    return weight, sparse.csr_matrix((weight, (types, np.arange(len(types)))), shape=(n_types, len(types)))


def twins(counts: sparse.csr_matrix, types: npt.NDArray[np.intp], n_types: int) -> npt.NDArray[np.intp]:
    """Give types that have one profile one number, from 0 by their first; no regression could tell them apart.

    Parameters
    ----------
    counts, types, n_types
        As for `type_profiles`.
    """
    mean = type_means(counts, types, n_types).round(12)
    return np.asarray(pd.factorize(np.array([row.tobytes().hex() for row in mean], dtype=object))[0], dtype=np.intp)


def doubtful(profiles: Profiles, settings: ProfileSettings = SETTINGS.profiles) -> Floats:
    """Find what of the profiles may be chance: where a type's own cells do not tell it from the others.

    Of a gene that differs no more between types than the sampling of their cells explains, the empirical Bayes
    estimate keeps nothing, of a marker nearly all; this is what it takes away. Noise in the profile of a rare type
    would otherwise be taken for signal.

    Returns
    -------
    Array of shape (n_types, n_genes), to be taken off the mean
    """
    if len(profiles.mean) < 2:
        return np.zeros_like(profiles.mean)
    sampling = profiles.variance / profiles.n_cells[:, None]
    weight = profiles.n_cells / (profiles.n_cells + settings.prior_cells)
    weight = (weight / weight.sum())[:, None]
    away = profiles.mean - (weight * profiles.mean).sum(axis=0)
    between = (weight * (away**2 - sampling * (1 - weight))).sum(axis=0) / (1 - float((weight**2).sum()))
    between = np.maximum(between, 0)
    kept = between / np.maximum(between + sampling, np.finfo(float).tiny)
    return np.asarray((1 - kept) * away)


def support(projected: Floats, doubt: Floats, weighted: Floats, doubted: Floats) -> float:
    """Say how much more of what is doubtful in the profiles the spots show, by least squares without constraints.

    Such a fit is at right angles to its residual, so that chance in the abundances adds nothing here, as it would with
    abundances that must not be negative: those fit better the more extreme profiles are.

    Parameters
    ----------
    projected, doubt
        Spots times the profiles, and times what is doubtful, of shape (n_spots, n_types).
    weighted, doubted
        Profiles and what is doubtful in them, times the genes' weights, of shape (n_types, n_genes).

    Returns
    -------
    Share of `doubted` to add to the profiles
    """
    gram = weighted @ weighted.T
    gram += 1e-6 * np.trace(gram) / len(gram) * np.eye(len(gram))
    V = np.linalg.solve(gram, projected.T).T
    cross = weighted @ doubted.T
    apart = doubted @ doubted.T - cross.T @ np.linalg.solve(gram, cross)
    whole = float(np.sum((V.T @ V) * apart))
    return float(np.sum(V * (doubt - V @ cross))) / whole if whole > 0 else 0.0


def gene_weights(
    observed: Floats, profiles: Profiles, mix: Floats | None = None, settings: ProfileSettings = SETTINGS.profiles
) -> Floats:
    """Weights that give genes about one variance: that of counting, and that between cells of one type.

    Parameters
    ----------
    observed
        Mean share of each gene over spots, of shape (n_genes,).
    profiles
        Of the reference.
    mix
        Proportions of the spots that the weights are for, of shape (n_types,); of any spot's by default.
    settings
        What else decides them.

    Returns
    -------
    Array of shape (n_genes,)
    """
    counting = observed / observed.sum()
    between = profiles.variance.mean(axis=0)
    if mix is not None:
        own = settings.own_noise
        counting = (1 - own) * counting + own * mix @ profiles.mean
        between = (1 - own) * between + own * mix @ profiles.variance
    total = between.sum()
    cells = settings.between_cells
    noise = counting if total <= 0 else (1 - cells) * counting + cells * between / total
    return np.asarray(1 / np.sqrt(noise + settings.common_noise * noise.mean()))


def platform_factors(
    observed: Floats,
    mix: Floats,
    means: Floats,
    profiles: Profiles,
    n_spots: int,
    settings: ProfileSettings = SETTINGS.profiles,
) -> Floats:
    """Estimate how much more or less of each gene the slice's platform catches than the reference's.

    What goes with the level of expression alone (rounding, background, saturation) is fitted over all genes and
    corrected in full; what is left of a gene is corrected as far as it exceeds what sampling explains. Of all that, a
    share is believed.

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
    settings
        What else decides them.

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
    limit = settings.factor_limit
    factors[known] = np.exp(np.clip(trend + spread / (spread + sampling) * rest, -limit, limit))
    return factors**settings.believed
