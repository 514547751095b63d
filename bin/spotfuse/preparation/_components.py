"""From raw counts to what the encoder reads: variable genes, principal components, and the two graphs."""

import logging
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from anndata import AnnData
from scipy import sparse
from scipy.sparse.linalg import eigsh

from spotfuse._core import keys
from spotfuse._core.types import Floats, Floats32
from spotfuse.preparation import _batch_shift, _graphs
from spotfuse.preparation._normalise import log_scale, residual
from spotfuse.preparation._settings import SETTINGS, Settings

log = logging.getLogger(__name__)

Part = tuple[sparse.csr_matrix, Floats32]  # a slice's counts, and its spots' totals
_BLOCK = 1_000  # spots in dense memory at a time


def add_components(adata: AnnData, slices: Sequence[Part], n_components: int, settings: Settings = SETTINGS) -> None:
    """Add components and the feature graph, in place; several slices lose their batch shift (`without_batch_shift`).

    Parameters
    ----------
    adata
        One or several slices with their ``obsp['spatial_connectivities']``.
    slices, n_components
        As for `principal_components`, in the order of the spots.
    settings
        What else decides them.
    """
    codes = np.repeat(np.arange(len(slices)), [counts.shape[0] for counts, _ in slices])
    residuals = partial(residual, overdispersion=settings.overdispersion)
    logarithms = partial(log_scale, target_sum=settings.target_sum)
    # logarithms show genes with few counts, residuals those with many; neither scale is better on every tissue
    for key, transform in ((keys.X_PCA, residuals), (keys.X_PCA_LOG, logarithms)):
        scores = principal_components(slices, n_components, transform, settings)
        adata.obsm[key] = (
            _batch_shift.without_batch_shift(scores, smoothed(adata, scores, settings), codes, settings)
            if len(slices) > 1
            else scores
        )
    adata.obsp[keys.FEATURE_GRAPH] = _graphs.feature_graph(
        smoothed(adata, adata.obsm[keys.X_PCA], settings), settings.n_feature_neighbors, settings
    )


def smoothed(adata: AnnData, scores: Floats32, settings: Settings = SETTINGS) -> Floats32:
    """Average over the tissue, as spots are compared by expression; of shape (n_spots, n_components)."""
    average = _graphs.averaging(adata.obsp[keys.SPATIAL_GRAPH], self_weight=0.5)
    for _ in range(settings.feature_smoothing):
        scores = average @ scores
    return scores


def principal_components(
    slices: Sequence[Part],
    n_components: int,
    transform: Callable[[Floats32, Floats32, Floats32], Floats32],
    settings: Settings = SETTINGS,
) -> Floats32:
    """Scores on the leading components of standardised genes, exact and with fixed signs, block of spots by block.

    Genes are centred, divided by their standard deviation and clipped from above, in each slice by itself; slices have
    their components together.

    Parameters
    ----------
    slices
        Of each slice, the counts, CSR of shape (n_spots, n_genes), and the counts of each spot over all genes, of shape
        (n_spots, 1).
    n_components
        Components wanted.
    transform
        `log_scale` or `residual`.
    settings
        How far genes are clipped, and how many spots are enough.

    Returns
    -------
    Scores, float32 of shape (n_spots of all slices, n_components).
    """
    n_spots, n_genes = sum(counts.shape[0] for counts, _ in slices), slices[0][0].shape[1]
    standard = [_standardised(counts, totals, transform, settings.clip) for counts, totals in slices]
    step = -(-n_spots // settings.covariance_spots)
    samples = (
        block(start, step)
        for (counts, _), block in zip(slices, standard, strict=True)
        for start in range(0, counts.shape[0], step * _BLOCK)
    )
    k = min(n_components, n_genes - 1, n_spots - 1)
    if n_spots < n_genes / 2:  # products of spots are fewer than those of genes, and tell the same
        values = np.vstack([*samples]).astype(np.float64)
        vectors = values.T @ _leading(values @ values.T, k)
        length = np.linalg.norm(vectors, axis=0)
        vectors /= np.where(length > 1e-6 * length.max(), length, np.inf)  # where spots are alike, there are fewer
    else:
        covariance = np.zeros((n_genes, n_genes))
        for sample in samples:
            covariance += sample.T @ sample
        vectors = _leading(covariance, k)
    weights = fixed_signs(vectors).astype(np.float32)
    scores: Floats32 = np.vstack(
        [
            _centred(np.vstack([block(start, 1) @ weights for start in range(0, counts.shape[0], _BLOCK)]))
            for (counts, _), block in zip(slices, standard, strict=True)
        ]
    )
    return scores


def _leading(matrix: Floats, k: int) -> Floats:
    """Give the eigenvectors of the k largest eigenvalues, the largest first."""
    if len(matrix) <= 4 * k:
        return np.asarray(np.linalg.eigh(matrix)[1][:, ::-1][:, :k])
    return np.asarray(eigsh(matrix, k=k, v0=np.ones(len(matrix)))[1][:, ::-1])


def _standardised(
    counts: sparse.csr_matrix,
    totals: Floats32,
    transform: Callable[[Floats32, Floats32, Floats32], Floats32],
    clip: float,
) -> Callable[[int, int], Floats32]:
    """Give what standardises the genes of a block of spots, told its first spot and the step to the next."""
    n_spots, n_genes = counts.shape
    share: Floats32 = np.asarray(counts.sum(axis=0) / totals.sum(dtype=np.float64), dtype=np.float32)

    def block(start: int, step: int) -> Floats32:
        rows = slice(start, start + step * _BLOCK, step)
        return transform(counts[rows].toarray(), totals[rows], share)

    total, square = np.zeros(n_genes), np.zeros(n_genes)
    for start in range(0, n_spots, _BLOCK):
        values = block(start, 1)
        total += values.sum(axis=0, dtype=np.float64)
        square += np.square(values).sum(axis=0, dtype=np.float64)
    mean = total / n_spots
    deviation = np.sqrt(np.maximum(square / n_spots - mean**2, 0))
    deviation[deviation < 1e-6] = np.inf
    centre, scale = mean.astype(np.float32), deviation.astype(np.float32)

    def standard(start: int, step: int) -> Floats32:
        values = block(start, step)
        values -= centre
        values /= scale
        return np.minimum(values, np.float32(clip), out=values)

    return standard


def _centred(scores: Floats32) -> Floats32:
    return scores - scores.mean(axis=0, dtype=np.float64).astype(np.float32)


def fixed_signs(vectors: Floats) -> Floats:
    """Turn axes, the columns, so that each one's largest entry is positive."""
    largest = np.abs(vectors).argmax(axis=0)
    return np.asarray(vectors * np.sign(vectors[largest, np.arange(vectors.shape[1])]))
