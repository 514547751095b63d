"""Scales on which counts are compared."""

import logging

import numpy as np
from anndata import AnnData
from scipy import sparse

from spotfuse._core.types import Floats, Floats32
from spotfuse.preparation._settings import SETTINGS

log = logging.getLogger(__name__)

Part = tuple[sparse.csr_matrix, Floats32]  # a slice's counts, and its spots' totals


def log_normalised(adata: AnnData) -> sparse.csr_matrix:
    """Give ln(1 + counts per 10,000) of a slice; CSR of shape (n_spots, n_genes), float32."""
    counts = sparse.csr_matrix(adata.X, dtype=np.float32)
    return log_normalise(counts, np.asarray(counts.sum(axis=1), dtype=np.float64).ravel())


def log_normalise(counts: sparse.csr_matrix, totals: Floats) -> sparse.csr_matrix:
    """Give ln(1 + counts per 10,000) of some genes.

    Parameters
    ----------
    counts
        CSR of shape (n_spots, n_genes), float32.
    totals
        Counts of each spot over all genes, of shape (n_spots,).

    Returns
    -------
    CSR of the same shape, float32.
    """
    scaled = sparse.diags((SETTINGS.target_sum / np.maximum(totals, 1)).astype(np.float32)) @ counts
    return sparse.csr_matrix(scaled).log1p()


def log_scale(counts: Floats32, totals: Floats32, share: Floats32, target_sum: float = SETTINGS.target_sum) -> Floats32:
    """Scale spots to one total and take log1p; dense, of shape (n_spots, n_genes)."""
    values: Floats32 = np.multiply(counts, np.float32(target_sum) / np.maximum(totals, 1))
    np.log1p(values, out=values)
    return values


def residual(
    counts: Floats32, totals: Floats32, share: Floats32, overdispersion: float = SETTINGS.overdispersion
) -> Floats32:
    """Deviate from a spot's share of each gene's counts, in standard deviations of a negative binomial.

    Analytic Pearson residuals: Lause et al. 2021, Genome Biol 22:258.
    """
    expected = np.maximum(totals * share, np.float32(1e-9))
    values: Floats32 = counts - expected
    deviation: Floats32 = expected / np.float32(overdispersion)
    deviation += 1
    deviation *= expected
    values /= np.sqrt(deviation, out=deviation)
    return values
