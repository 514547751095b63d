"""Genes that tell each domain from the rest of the slice."""

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse
from scipy.stats import false_discovery_control, norm

from spotfuse._core.types import Floats, Ints
from spotfuse.preparation import log_normalised

MARKERS = ["domain", "gene", "log_fold_change", "p_adjusted", "share_in", "share_out"]
_TINY = 1e-9  # added to means, so that a gene that only one side has has a fold change


def markers(adata: AnnData, domains: pd.Series, *, n_genes: int = 100) -> pd.DataFrame:
    """Rank the genes that are higher in a domain than in all the others, by Wilcoxon's rank-sum test.

    The normal approximation, corrected for ties, on log-normalised counts; p values are adjusted over genes by
    Benjamini & Hochberg (1995, J R Stat Soc B 57:289). The figures are scanpy's (`rank_genes_groups` with
    ``method='wilcoxon'`` and ``tie_correct=True``). Only counts that are not zero are sorted, so that time grows as
    they do.

    Parameters
    ----------
    adata
        A prepared slice, of shape (n_spots, n_genes).
    domains
        The domain of each spot, 1…K, indexed by spot.
    n_genes
        Genes of each domain that are given, at most.

    Returns
    -------
    DataFrame, best genes first within each domain: domain, gene, log_fold_change (to base 2), p_adjusted, share_in and
    share_out (of the domain's and of the other spots, those with counts of the gene). A domain of one spot, or of all
    spots, cannot be tested and has no rows.
    """
    numbers, codes = np.unique(domains.loc[adata.obs_names].to_numpy(int), return_inverse=True)
    values = sparse.csc_matrix(log_normalised(adata))
    values.eliminate_zeros()
    sizes = np.bincount(codes)[:, None]
    own = sparse.csr_matrix((np.ones(len(codes)), (codes, np.arange(len(codes)))))
    sums = (own @ values).toarray()
    there = (own @ values.astype(bool).astype(float)).toarray()
    rank_sums, ties = _rank_sums(values, codes, sizes - there)
    n_spots = len(codes)
    expected = sizes * (n_spots + 1) / 2
    deviation = np.sqrt(ties * sizes * (n_spots - sizes) * (n_spots + 1) / 12)
    scores = np.divide(rank_sums - expected, deviation, out=np.zeros_like(sums), where=deviation > 0)
    others = 1 - np.eye(len(numbers))
    with np.errstate(divide="ignore", invalid="ignore"):  # of a domain of all spots, which is not tested
        outside = n_spots - sizes
        fold = np.log2((np.expm1(sums / sizes) + _TINY) / (np.expm1(others @ sums / outside) + _TINY))
        share_out = others @ there / outside
    frames = []
    for k, number in enumerate(numbers):
        if not 1 < sizes[k, 0] < n_spots:
            continue
        frame = pd.DataFrame(
            {
                "domain": number,
                "gene": adata.var_names,
                "log_fold_change": fold[k].astype(np.float32),
                "p_adjusted": false_discovery_control(2 * norm.sf(np.abs(scores[k]))),
                "share_in": there[k] / sizes[k],
                "share_out": share_out[k],
                "score": scores[k].astype(np.float32),  # what differs by rounding alone is equal
            }
        )
        frame = frame[frame["score"] > 0].sort_values(["score", "gene"], ascending=[False, True], kind="stable")
        frames.append(frame.head(n_genes)[MARKERS])
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=MARKERS)


def _rank_sums(values: sparse.csc_matrix, codes: Ints, zeros: Floats) -> tuple[Floats, Floats]:
    """Sum the ranks of each gene's values within each domain.

    Parameters
    ----------
    values
        Without zeros or negative numbers, CSC of shape (n_spots, n_genes).
    codes
        Of each spot its domain, 0…K-1.
    zeros
        Spots of a domain that lack a gene, of shape (K, n_genes): they come first, and share a rank.

    Returns
    -------
    Of shape (K, n_genes); and what ties leave of each gene's variance, of shape (n_genes,).
    """
    n_spots, n_genes = values.shape
    n_zeros = zeros.sum(axis=0)
    rank_sums = zeros * (n_zeros + 1) / 2
    tied = n_zeros**3 - n_zeros
    for gene in range(n_genes):
        rows = slice(values.indptr[gene], values.indptr[gene + 1])
        of_gene = values.data[rows]
        order = np.argsort(of_gene)
        ordered = of_gene[order]
        edges = np.concatenate([[0], np.flatnonzero(ordered[1:] != ordered[:-1]) + 1, [len(ordered)]])
        size = np.diff(edges)
        ranks = np.repeat(n_zeros[gene] + (edges[:-1] + edges[1:] + 1) / 2, size)
        rank_sums[:, gene] += np.bincount(codes[values.indices[rows][order]], ranks, len(zeros))
        tied[gene] += (size.astype(float) ** 3 - size).sum()
    return rank_sums, 1 - tied / max(float(n_spots) ** 3 - n_spots, 1)
