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
