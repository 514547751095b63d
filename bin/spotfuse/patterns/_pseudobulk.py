"""Counts summed over the spots of a domain."""

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse


def pseudobulk_counts(adata: AnnData, domains: pd.Series) -> pd.DataFrame:
    """Sum the counts of each domain of a slice: what slices are compared by.

    Parameters
    ----------
    adata
        A prepared slice, of shape (n_spots, n_genes).
    domains
        The domain of each spot, indexed by spot.

    Returns
    -------
    DataFrame with a row a gene: ``gene``, then a column a domain.
    """
    labels = pd.Categorical(domains.loc[adata.obs_names].astype(int))
    member = sparse.csr_matrix((np.ones(adata.n_obs), (labels.codes, np.arange(adata.n_obs))))
    sums = (member @ sparse.csr_matrix(adata.X)).toarray().round().astype(np.int64)
    columns = {str(name): sums[i] for i, name in enumerate(labels.categories)}
    return pd.DataFrame({"gene": adata.var_names.astype(str), **columns})


def fold_changes(counts: pd.DataFrame, prior: float) -> pd.DataFrame:
    """Compare each domain of a slice with the rest of it.

    Parameters
    ----------
    counts
        Genes × domains.
    prior
        Counts that are added to both sides.

    Returns
    -------
    The logarithm to base 2 of each gene's counts in each domain to those expected of the rest's shares; 0 without a
    rest.
    """
    table = counts.astype(float)
    rest = (-table).add(table.sum(axis=1), axis=0)
    expected = (rest / rest.sum() * table.sum()).fillna(table)
    return np.log2((table + prior) / (expected + prior))
