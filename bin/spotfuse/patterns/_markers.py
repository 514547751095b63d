"""Genes that tell each domain from the rest of the slice."""

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse
from scipy.special import ndtr

from spotfuse._core.probability import adjusted_p
from spotfuse._core.types import Floats, Ints
from spotfuse.patterns._fold_changes import fold_changes, marker_score
from spotfuse.patterns._pseudobulk import pseudobulk_counts
from spotfuse.patterns._settings import SETTINGS, Settings
from spotfuse.preparation import log_normalised

MARKERS = ["domain", "gene", "log_fold_change", "auc", "p_adjusted", "share_in", "share_out"]


def markers(adata: AnnData, domains: pd.Series, *, n_genes: int = 100, settings: Settings = SETTINGS) -> pd.DataFrame:
    """Give the genes that mark a domain: higher in it than in all the others, by Wilcoxon's rank-sum test.

    The normal approximation, corrected for ties, on log-normalised counts; p values are adjusted over all genes by
    Benjamini & Hochberg (1995, J R Stat Soc B 57:289), and are scanpy's (`rank_genes_groups` with ``method='wilcoxon'``
    and ``tie_correct=True``). Only counts that are not zero are sorted, so that time grows as they do.

    A marker has an adjusted p below 0.05, is at least 1.5 times as high inside as outside, and has 1.5 times as many
    counts in a spot too, or is found in a larger share of the spots, by a tenth of them: in a domain of few counts,
    what every spot has makes up more of them and marks nothing. The best markers are both higher and so in most spots:
    they are ranked by `spotfuse.patterns.marker_score`.

    Parameters
    ----------
    adata
        A prepared slice, of shape (n_spots, n_genes).
    domains
        The domain of each spot, 1…K, indexed by spot.
    n_genes
        Genes of each domain that are given, at most.
    settings
        What else decides the markers.

    Returns
    -------
    DataFrame, best genes first within each domain: domain, gene, log_fold_change (to base 2, summed counts against
    those expected of the rest's, one added to both), auc (the chance that a spot inside has more of the gene than one
    outside), p_adjusted, share_in and share_out (of the domain's and of the other spots, those with counts of the
    gene). A domain of one spot, or of all spots, cannot be tested and has no rows; nor has one that no gene marks.
    """
    numbers, codes = np.unique(domains.loc[adata.obs_names].to_numpy(int), return_inverse=True)
    values = sparse.csc_matrix(log_normalised(adata))
    values.eliminate_zeros()
    n_spots = len(codes)
    sizes = np.bincount(codes)[:, None]
    outside = n_spots - sizes
    own = sparse.csr_matrix((np.ones(n_spots), (codes, np.arange(n_spots))))
    there = (own @ values.astype(bool).astype(float)).toarray()
    rank_sums, ties = _rank_sums(values, codes, sizes - there)
    above = rank_sums - sizes * (n_spots + 1) / 2  # what is expected
    deviation = np.sqrt(ties * sizes * outside * (n_spots + 1) / 12)
    z = np.divide(above, deviation, out=np.zeros_like(above), where=deviation > 0)
    counts = pseudobulk_counts(adata, domains).drop(columns="gene")
    fold = fold_changes(counts, settings.prior).to_numpy().T
    sums = counts.to_numpy(float).T
    with np.errstate(divide="ignore", invalid="ignore"):  # of a domain of all spots, which is not tested
        share_in, share_out = there / sizes, (there.sum(axis=0) - there) / outside
        more = sums / sizes >= settings.fold * (sums.sum(axis=0) - sums) / outside
        auc = 0.5 + above / (sizes * outside)
    frames, least = [], np.log2(settings.fold)
    for k, number in enumerate(numbers):
        if not 1 < sizes[k, 0] < n_spots:
            continue
        frame = pd.DataFrame(
            {
                "domain": number,
                "gene": adata.var_names,
                "log_fold_change": fold[k].astype(np.float32),
                "auc": auc[k].astype(np.float32),
                "p_adjusted": adjusted_p(2 * ndtr(-np.abs(z[k]))),
                "share_in": share_in[k],
                "share_out": share_out[k],
                "score": marker_score(fold[k], auc[k]).astype(np.float32),  # what differs by rounding alone is equal
            }
        )
        marks = (auc[k] > 0.5) & (fold[k] >= least) & (more[k] | (share_in[k] - share_out[k] >= settings.larger))
        frame = frame[marks & (frame["p_adjusted"] < settings.alpha)]
        frame = frame.sort_values(["score", "gene"], ascending=[False, True], kind="stable")
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
