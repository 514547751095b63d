"""Fold changes of a slice's domains, from summed counts; who compares slices loads no more than pandas for them."""

import numpy as np
import pandas as pd


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
