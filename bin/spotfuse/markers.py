"""Genes that tell each domain from the rest of the slice."""

import numpy as np
import numpy.typing as npt
import pandas as pd
from anndata import AnnData
from scipy import sparse

from spotfuse.preparation import log_normalised

COLUMNS = ["domain", "gene", "log_fold_change", "p_adjusted", "share_in", "share_out"]
_BLOCK = 2**24  # values that are sorted at a time

Array = npt.NDArray[np.float64]


def find(adata: AnnData, domains: pd.Series, *, n_genes: int = 100) -> pd.DataFrame:
    """Rank the genes that are higher in a domain than in all the others, by Wilcoxon's rank-sum test.

    The figures are those of scanpy's ``rank_genes_groups(method="wilcoxon", tie_correct=True)`` on log-normalised
    counts: the normal approximation, corrected for ties, and p values adjusted over genes by Benjamini & Hochberg
    (1995, J R Stat Soc B 57:289). Only values that are not 0 are sorted, so that time and memory grow with them and
    not with spots × genes.

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
    names, codes = np.unique(domains.loc[adata.obs_names].astype(int), return_inverse=True)
    member = sparse.csr_matrix((np.ones(len(codes)), (np.arange(len(codes)), codes)), shape=(len(codes), len(names)))
    size = np.bincount(codes).astype(np.float64)
    values = sparse.csc_matrix(log_normalised(adata))
    score = _scores(values, member, size)
    total = _per_domain(values, member)
    present = _per_domain(sparse.csc_matrix((np.ones(values.nnz), values.indices, values.indptr), values.shape), member)
    frames = []
    for k in np.flatnonzero((size > 1) & (size < len(codes))):
        rest = len(codes) - size[k]
        frame = pd.DataFrame(
            {
                "domain": names[k],
                "gene": adata.var_names,
                "log_fold_change": np.log2(_level(total[:, k] / size[k]))
                - np.log2(_level((total.sum(axis=1) - total[:, k]) / rest)),
                "p_adjusted": _adjusted(score[:, k]),
                "share_in": present[:, k] / size[k],
                "share_out": (present.sum(axis=1) - present[:, k]) / rest,
                "score": score[:, k],
            }
        )
        frame = frame[frame["score"] > 0].sort_values(["score", "gene"], ascending=[False, True], kind="stable")
        frames.append(frame.head(n_genes))
    return pd.concat(frames, ignore_index=True)[COLUMNS] if frames else pd.DataFrame(columns=COLUMNS)


def _scores(values: sparse.csc_matrix, member: sparse.csr_matrix, size: Array) -> Array:
    """Standardise the rank sum of each gene (rows) in each domain (columns)."""
    n = values.shape[0]
    n_values = np.diff(values.indptr)
    blocks = np.cumsum(n_values) // _BLOCK
    rank_sum, ties = [], []
    for block in np.unique(blocks):
        part = values[:, blocks == block]
        ranks, tied = _ranks(part)
        zeros = n - np.diff(part.indptr)
        # spots without the gene share the lowest ranks: subtracted here, given to all spots below
        ranks.data -= np.repeat((zeros + 1) / 2, np.diff(part.indptr))
        rank_sum.append(_per_domain(ranks, member) + np.outer((zeros + 1) / 2, size))
        ties.append(tied + zeros.astype(np.float64) ** 3 - zeros)
    expected = size * (n + 1) / 2
    spread = np.outer(1 - np.concatenate(ties) / (float(n) ** 3 - n), size * (n - size) * (n + 1) / 12)
    spread = np.sqrt(np.maximum(spread, 0))
    difference = np.vstack(rank_sum) - expected
    return np.asarray(np.divide(difference, spread, out=np.zeros_like(difference), where=spread > 0))


def _ranks(values: sparse.csc_matrix) -> tuple[sparse.csc_matrix, Array]:
    """Rank each column, ties sharing the mean of their ranks, zeros being the lowest; and sum t³ − t over its ties."""
    n, n_genes = values.shape
    counts = np.diff(values.indptr)
    gene = np.repeat(np.arange(n_genes), counts)
    order = np.lexsort((values.data, gene))
    ordered = values.data[order]
    starts = np.ones(len(order), dtype=bool)
    starts[1:] = (gene[1:] != gene[:-1]) | (ordered[1:] != ordered[:-1])
    first = np.flatnonzero(starts)
    times = np.diff(np.append(first, len(order)))
    within = first - values.indptr[gene[first]]  # rank among the gene's values, from 0
    mean = (n - counts)[gene[first]] + within + (times + 1) / 2
    ranks = np.empty(len(order))
    ranks[order] = np.repeat(mean, times)
    tied = np.bincount(gene[first], times.astype(np.float64) ** 3 - times, minlength=n_genes)
    return sparse.csc_matrix((ranks, values.indices, values.indptr), shape=values.shape), tied


def _per_domain(values: sparse.csc_matrix, member: sparse.csr_matrix) -> Array:
    return np.asarray((values.T @ member).todense(), dtype=np.float64)


def _level(mean: Array) -> Array:
    return np.expm1(mean) + 1e-9


def _adjusted(score: Array) -> Array:
    from scipy.special import ndtr
    from scipy.stats import false_discovery_control

    return np.asarray(false_discovery_control(np.minimum(2 * ndtr(-np.abs(score)), 1)))
