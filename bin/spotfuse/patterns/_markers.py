"""Genes that tell each domain from the rest of the slice."""

import warnings

import numpy as np
import pandas as pd
from anndata import AnnData

from spotfuse.preparation import log_normalised

MARKERS = ["domain", "gene", "log_fold_change", "p_adjusted", "share_in", "share_out"]


def markers(adata: AnnData, domains: pd.Series, *, n_genes: int = 100, max_spots: int = 100_000) -> pd.DataFrame:
    """Rank the genes that are higher in a domain than in all the others, by Wilcoxon's rank-sum test.

    The test is scanpy's, corrected for ties, on log-normalised counts; p values are adjusted over genes by
    Benjamini & Hochberg (1995, J R Stat Soc B 57:289).

    Parameters
    ----------
    adata
        A prepared slice, of shape (n_spots, n_genes).
    domains
        The domain of each spot, 1…K, indexed by spot.
    n_genes
        Genes of each domain that are given, at most.
    max_spots
        Of a slice with more spots, so many are drawn, of each domain its share: the test ranks every gene over all
        spots, and its verdict is long clear.

    Returns
    -------
    DataFrame, best genes first within each domain: domain, gene, log_fold_change (to base 2), p_adjusted, share_in and
    share_out (of the domain's and of the other spots, those with counts of the gene). A domain of one spot, or of all
    spots, cannot be tested and has no rows.
    """
    import scanpy as sc

    domains = domains.loc[adata.obs_names].astype(int)
    if adata.n_obs > max_spots:
        chosen = _drawn(domains.to_numpy(), max_spots)
        adata, domains = adata[chosen], domains.iloc[chosen]
    sizes = domains.value_counts()
    tested = [domain for domain in sorted(sizes.index) if 1 < sizes[domain] < adata.n_obs]
    if not tested:
        return pd.DataFrame(columns=MARKERS)
    work = AnnData(
        log_normalised(adata),
        obs=pd.DataFrame({"domain": pd.Categorical(domains.astype(str))}, index=adata.obs_names),
        var=pd.DataFrame(index=adata.var_names),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pd.errors.PerformanceWarning)
        sc.tl.rank_genes_groups(
            work, "domain", groups=[str(domain) for domain in tested], method="wilcoxon", tie_correct=True, pts=True
        )
    result = work.uns["rank_genes_groups"]
    frames = []
    for domain in tested:
        key = str(domain)
        genes = result["names"][key]
        frame = pd.DataFrame(
            {
                "domain": domain,
                "gene": genes,
                "log_fold_change": result["logfoldchanges"][key],
                "p_adjusted": result["pvals_adj"][key],
                "share_in": result["pts"][key].loc[genes].to_numpy(),
                "share_out": result["pts_rest"][key].loc[genes].to_numpy(),
                "score": result["scores"][key],
            }
        )
        frame = frame[frame["score"] > 0].sort_values(["score", "gene"], ascending=[False, True], kind="stable")
        frames.append(frame.head(n_genes))
    return pd.concat(frames, ignore_index=True)[MARKERS].replace([np.inf, -np.inf], np.nan)


def _drawn(domains: np.ndarray, n_spots: int) -> np.ndarray:
    """Draw spots, of each domain its share but no fewer than 100 when there are as many; always the same ones."""
    random = np.random.default_rng(0)
    chosen = []
    for domain in np.unique(domains):
        rows = np.flatnonzero(domains == domain)
        n = min(len(rows), max(round(n_spots * len(rows) / len(domains)), 100))
        chosen.append(random.choice(rows, n, replace=False))
    return np.sort(np.concatenate(chosen))
