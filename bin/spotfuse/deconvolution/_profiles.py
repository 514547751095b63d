"""Profiles of cell types, weights of genes, and what differs between the reference's platform and the slice's."""

import numpy as np
import numpy.typing as npt
from scipy import sparse

Array = npt.NDArray[np.float64]

_EVEN_TOTALS = 0.2  # coefficient of variation below which spots were scaled to one depth
_PLATFORM_SHRINKAGE = 0.7
_PLATFORM_LIMIT = 5.0
_LEAST_SHARE = 1e-6  # of a gene among a spot's counts, for its weight


def totals_are_even(counts: sparse.csr_matrix) -> bool:
    """Tell whether spots were scaled to one depth, so that each cell gives as much as any other."""
    totals = np.asarray(counts.sum(axis=1)).ravel()
    totals = totals[totals > 0]
    return bool(len(totals) > 1 and totals.std() < _EVEN_TOTALS * totals.mean())


def type_profiles(counts: sparse.csr_matrix, types: npt.NDArray[np.intp], n_types: int, *, raw: bool) -> Array:
    """Give the mean profile of each type.

    Parameters
    ----------
    counts
        Of the cells, of shape (n_cells, n_genes).
    types
        Type of each cell.
    n_types
        Number of types.
    raw
        Whether cells weigh as their counts do: abundances are then cells, where spots are sums of counts.

    Returns
    -------
    Array of shape (n_types, n_genes); rows of scaled cells sum to 1, those of raw ones to their size relative to the
    mean cell's.
    """
    totals = np.asarray(counts.sum(axis=1)).ravel()
    scale = np.full(len(totals), 1 / totals.mean()) if raw else 1 / np.where(totals > 0, totals, 1)
    share = 1 / np.bincount(types, minlength=n_types)
    mean = sparse.csr_matrix((share[types] * scale, (types, np.arange(len(types)))), shape=(n_types, len(types)))
    return np.asarray((mean @ counts).toarray(), dtype=np.float64)


def shares(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    """Scale each spot's counts to sum to 1; empty spots stay empty."""
    totals = np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel()
    return sparse.csr_matrix(sparse.diags(1 / np.where(totals > 0, totals, 1)) @ counts.astype(np.float64))


def gene_weights(spots: sparse.csr_matrix) -> Array:
    """Weights that give genes one Poisson variance: 1/√mean share, of shape (n_genes,)."""
    mean = np.asarray(spots.mean(axis=0)).ravel()
    return np.asarray(1 / np.sqrt(np.maximum(mean, _LEAST_SHARE)))


def platform_factors(observed: Array, abundances: Array, profiles: Array) -> Array:
    """Estimate how much more or less of each gene the slice's platform catches than the reference's.

    Parameters
    ----------
    observed
        Mean share of each gene over spots, of shape (n_genes,).
    abundances
        Of shape (n_spots, n_types).
    profiles
        Of shape (n_types, n_genes).

    Returns
    -------
    Array of shape (n_genes,)
    """
    total = abundances.sum(axis=1, keepdims=True)
    mix = (abundances / np.where(total > 0, total, 1)).mean(axis=0)
    expected = mix @ profiles
    expected = expected * observed.sum() / max(float(expected.sum()), np.finfo(float).tiny)
    known = (observed > 0) & (expected > 0)
    ratio = np.divide(observed, expected, out=np.ones_like(observed), where=known)
    return np.asarray(np.clip(ratio, 1 / _PLATFORM_LIMIT, _PLATFORM_LIMIT) ** _PLATFORM_SHRINKAGE)
