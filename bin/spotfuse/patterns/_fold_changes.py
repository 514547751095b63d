"""How domains of a slice differ in a gene; who compares slices or fills a folder loads no more than pandas for it."""

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


def marker_score[Values: (np.ndarray, pd.Series)](log_fold_change: Values, auc: Values) -> Values:
    """Give by what markers are ranked: higher in a domain, and so in most of its spots.

    Parameters
    ----------
    log_fold_change
        As `fold_changes` gives it.
    auc
        Chance that a spot inside has more of the gene than one outside.

    Returns
    -------
    ``log_fold_change`` × (2 ``auc`` - 1).
    """
    score: Values = log_fold_change * (2 * auc - 1)
    return score
