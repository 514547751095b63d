"""The genes that vary most."""

import logging

import numpy as np
from anndata import AnnData
from scipy import sparse

from spotfuse._core.errors import InputError
from spotfuse._core.types import Floats, Floats32, Ints

log = logging.getLogger(__name__)

Part = tuple[sparse.csr_matrix, Floats32]  # a slice's counts, and its spots' totals
_BLOCK = 1_000  # spots in dense memory at a time


def most_variable(adata: AnnData, n_top_genes: int) -> Ints:
    """Give the columns of the most variable genes, the most variable one first; all where there are no more."""
    if adata.n_vars <= n_top_genes:
        return np.arange(adata.n_vars)
    from skmisc.loess import loess  # type: ignore[import-untyped]

    counts = sparse.csr_matrix(adata.X, dtype=np.float32)
    n_spots = adata.n_obs
    total, square = _sums(counts, np.full(adata.n_vars, np.inf))
    mean = total / n_spots
    variance = (square - n_spots * mean**2) / (n_spots - 1)
    varies = variance > 1e-12 * mean**2
    for span in (0.3, 1.0):  # genes with equal means can make the narrower fit singular
        fit = loess(np.log10(mean[varies]), np.log10(variance[varies]), span=span, degree=2)
        try:
            fit.fit()
        except ValueError:
            continue
        expected = np.zeros(adata.n_vars)
        expected[varies] = 10**fit.outputs.fitted_values
        most = mean + np.sqrt(n_spots * expected)  # one spot's outlier must not make a gene variable
        total, square = _sums(counts, most)
        deviation = square - 2 * mean * total + n_spots * mean**2
        standardised = np.divide(deviation, expected, out=np.zeros(adata.n_vars), where=varies)
        return np.argsort(-standardised.round(9), kind="stable")[:n_top_genes]  # of equals the first
    raise InputError(f"variable genes cannot be told apart among {adata.n_vars}: filter genes seen in few spots")


def _sums(counts: sparse.csr_matrix, most: Floats) -> tuple[Floats, ...]:
    """Sum over spots, for each gene, of its counts and of their squares; counts above `most` are taken for it."""
    total, square = np.zeros(len(most)), np.zeros(len(most))
    for start in range(0, counts.shape[0], 100 * _BLOCK):
        block = counts[start : start + 100 * _BLOCK]
        values = np.minimum(block.data, most[block.indices])
        total += np.bincount(block.indices, values, len(most))
        square += np.bincount(block.indices, values**2, len(most))
    return total, square
