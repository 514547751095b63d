"""From raw counts to what the encoder reads: variable genes, principal components, and the two graphs."""

import logging
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from anndata import AnnData
from scipy import sparse
from scipy.sparse.linalg import eigsh

from spotfuse import batches, graphs
from spotfuse.errors import InputError

log = logging.getLogger(__name__)

Floats = npt.NDArray[np.float32]
Part = tuple[sparse.csr_matrix, Floats]  # a slice's counts, and its spots' totals

_TARGET_SUM = 1e4
_CLIP = 10.0  # standard deviations above the mean
_OVERDISPERSION = 100.0
_BLOCK = 1_000  # spots in dense memory at a time
_COVARIANCE_SPOTS = 30_000  # enough for a covariance of genes: more spots only take time
_FEATURE_SMOOTHING = 4  # steps of spatial averaging before spots are compared by expression


def prepare(adata: AnnData, *, n_top_genes: int = 3000, n_components: int = 50, n_neighbors: int = 6) -> None:
    """Add variable genes, principal components and the two graphs to a slice, in place.

    Written are ``var['highly_variable']``, ``obsm['X_pca']`` (components of Pearson residuals, float32, of shape
    (n_spots, n_components)), ``obsm['X_pca_log']`` (the same of logarithms), ``obsp['spatial_connectivities']`` and
    ``obsp['feature_connectivities']``.

    Parameters
    ----------
    adata
        Slice with raw counts in ``X`` and coordinates in ``obsm['spatial']``.
    n_top_genes
        Genes of which the components are made, the most variable ones (Seurat v3's criterion: Stuart et al. 2019,
        Cell 177:1888); all, if there are no more.
    n_components
        Principal components; fewer where spots or genes are fewer.
    n_neighbors
        Spatial neighbours of a spot that lies on no array.

    Raises
    ------
    InputError
        With fewer than 3 spots or 2 genes, or a number below 1.
    """
    for name, number in {"n_top_genes": n_top_genes, "n_components": n_components, "n_neighbors": n_neighbors}.items():
        if number < 1:
            raise InputError(f"{name} is {number}; it must be at least 1")
    if adata.n_obs < 3 or adata.n_vars < 2:
        raise InputError(
            f"{adata.n_obs} spots and {adata.n_vars} genes are left; at least 3 and 2 are needed: filter less"
        )
    adata.var["highly_variable"] = np.isin(np.arange(adata.n_vars), most_variable(adata, n_top_genes))
    counts = sparse.csr_matrix(adata.X, dtype=np.float32)
    totals = np.asarray(counts.sum(axis=1), dtype=np.float32)
    adata.obsp["spatial_connectivities"] = graphs.spatial_graph(adata, n_neighbors)
    adata.uns.get("spotfuse", {}).get("notes", []).extend(graphs.oddities(adata.obsp["spatial_connectivities"]))
    add_components(adata, [(counts[:, adata.var["highly_variable"].to_numpy()], totals)], n_components)
    log.info(
        "%d spots, %d variable genes, %d components, %.1f neighbours a spot",
        adata.n_obs,
        int(adata.var["highly_variable"].sum()),
        adata.obsm["X_pca"].shape[1],
        adata.obsp["spatial_connectivities"].nnz / adata.n_obs,
    )


def add_components(adata: AnnData, slices: Sequence[Part], n_components: int) -> None:
    """Add components and the feature graph, in place; several slices are moved together (`spotfuse.batches.moved`).

    Parameters
    ----------
    adata
        One or several slices with their ``obsp['spatial_connectivities']``.
    slices, n_components
        As for `principal_components`, in the order of the spots.
    """
    codes = np.repeat(np.arange(len(slices)), [counts.shape[0] for counts, _ in slices])
    # logarithms show genes with few counts, residuals those with many; neither scale is better on every tissue
    for key, transform in (("X_pca", residual), ("X_pca_log", log_scale)):
        scores = principal_components(slices, n_components, transform)
        adata.obsm[key] = batches.moved(scores, smoothed(adata, scores), codes) if len(slices) > 1 else scores
    adata.obsp["feature_connectivities"] = graphs.feature_graph(smoothed(adata, adata.obsm["X_pca"]))


def smoothed(adata: AnnData, scores: Floats) -> Floats:
    """Average over the tissue, as spots are compared by expression; of shape (n_spots, n_components)."""
    average = graphs.averaging(adata.obsp["spatial_connectivities"], self_weight=0.5)
    for _ in range(_FEATURE_SMOOTHING):
        scores = average @ scores
    return scores


def log_normalised(adata: AnnData) -> sparse.csr_matrix:
    """Scale the counts of each spot to 10,000 and take log1p; CSR of shape (n_spots, n_genes), float32."""
    counts = sparse.csr_matrix(adata.X, dtype=np.float32)
    total = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
    scaled = sparse.diags((_TARGET_SUM / np.maximum(total, 1)).astype(np.float32)) @ counts
    return sparse.csr_matrix(scaled).log1p()


def principal_components(
    slices: Sequence[Part],
    n_components: int,
    transform: Callable[[Floats, Floats, Floats], Floats],
) -> Floats:
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

    Returns
    -------
    Scores, float32 of shape (n_spots of all slices, n_components).
    """
    n_spots, n_genes = sum(counts.shape[0] for counts, _ in slices), slices[0][0].shape[1]
    standard = [_standardised(counts, totals, transform) for counts, totals in slices]
    covariance = np.zeros((n_genes, n_genes))
    step = -(-n_spots // _COVARIANCE_SPOTS)
    for (counts, _), block in zip(slices, standard, strict=True):
        for start in range(0, counts.shape[0], step * _BLOCK):
            sample = block(start, step)
            covariance += sample.T @ sample
    k = min(n_components, n_genes - 1, n_spots - 1)
    if n_genes <= 4 * k:
        vectors = np.linalg.eigh(covariance)[1][:, ::-1][:, :k]
    else:
        vectors = eigsh(covariance, k=k, v0=np.ones(n_genes))[1][:, ::-1]
    weights = _fixed_signs(vectors).astype(np.float32)
    scores: Floats = np.vstack(
        [
            _centred(np.vstack([block(start, 1) @ weights for start in range(0, counts.shape[0], _BLOCK)]))
            for (counts, _), block in zip(slices, standard, strict=True)
        ]
    )
    return scores


def _standardised(
    counts: sparse.csr_matrix, totals: Floats, transform: Callable[[Floats, Floats, Floats], Floats]
) -> Callable[[int, int], Floats]:
    """Give what standardises the genes of a block of spots, told its first spot and the step to the next."""
    n_spots, n_genes = counts.shape
    share: Floats = np.asarray(counts.sum(axis=0) / totals.sum(dtype=np.float64), dtype=np.float32)

    def block(start: int, step: int) -> Floats:
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

    def standard(start: int, step: int) -> Floats:
        values = block(start, step)
        values -= centre
        values /= scale
        return np.minimum(values, np.float32(_CLIP), out=values)

    return standard


def _centred(scores: Floats) -> Floats:
    return scores - scores.mean(axis=0, dtype=np.float64).astype(np.float32)


def log_scale(counts: Floats, totals: Floats, share: Floats) -> Floats:
    """Scale to 10,000 counts a spot and take log1p; dense, of shape (n_spots, n_genes)."""
    values: Floats = np.multiply(counts, np.float32(_TARGET_SUM) / np.maximum(totals, 1))
    np.log1p(values, out=values)
    return values


def residual(counts: Floats, totals: Floats, share: Floats) -> Floats:
    """Deviate from a spot's share of each gene's counts, in standard deviations of a negative binomial.

    Analytic Pearson residuals: Lause et al. 2021, Genome Biol 22:258.
    """
    expected = np.maximum(totals * share, np.float32(1e-9))
    values: Floats = counts - expected
    deviation: Floats = expected / np.float32(_OVERDISPERSION)
    deviation += 1
    deviation *= expected
    values /= np.sqrt(deviation, out=deviation)
    return values


def _fixed_signs(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    largest = np.abs(vectors).argmax(axis=0)
    return np.asarray(vectors * np.sign(vectors[largest, np.arange(vectors.shape[1])]))


def most_variable(adata: AnnData, n_top_genes: int) -> npt.NDArray[np.int64]:
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


def _sums(counts: sparse.csr_matrix, most: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], ...]:
    """Sum over spots, for each gene, of its counts and of their squares; counts above `most` are taken for it."""
    total, square = np.zeros(len(most)), np.zeros(len(most))
    for start in range(0, counts.shape[0], 100 * _BLOCK):
        block = counts[start : start + 100 * _BLOCK]
        values = np.minimum(block.data, most[block.indices])
        total += np.bincount(block.indices, values, len(most))
        square += np.bincount(block.indices, values**2, len(most))
    return total, square
