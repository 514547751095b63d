"""Types that a panel does not tell apart, and the classes that they form."""

import numpy as np
import pandas as pd

from spotfuse._core.types import Floats
from spotfuse.proportions._settings import SETTINGS, ClassSettings


def found_classes(proportions: pd.DataFrame, doubt: Floats, settings: ClassSettings = SETTINGS.classes) -> pd.Series:
    """Put types together of which spots say how much there is of both, and not of which: each two of a class.

    What a spot has more of the one looks then as if it had less of the other: doubts about their shares are correlated
    beyond what shares that sum to 1 have to be, and the doubt about the difference is large beside what this differs by
    from spot to spot.

    Parameters
    ----------
    proportions
        Shares of types, of shape (n_spots, n_types).
    doubt
        Covariance of what a spot's shares may be, mean over spots, of shape (n_types, n_types).
    settings
        How correlated doubts are, and how large.

    Returns
    -------
    Class of each type, by type: the names of its types, joined by a plus sign; its own name where it is alone.
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    P = proportions.to_numpy(np.float64)
    spread = np.cov(P, rowvar=False, ddof=0) if len(P) > 1 else np.zeros_like(doubt)
    odds = np.clip(P.mean(axis=0), 1e-9, 1 - 1e-9) ** -1 - 1
    size = np.sqrt(np.maximum(np.diag(doubt), np.finfo(float).tiny))
    together = -doubt / np.outer(size, size) - np.outer(odds, odds) ** -0.5  # Dirichlet's, for the same means
    unknown, differs = (np.diag(M)[:, None] + np.diag(M) - 2 * M for M in (doubt, spread))
    apart = np.where(differs >= settings.told * (differs + unknown), 9.0, np.clip(2 - together, 0, 9))
    same = pd.factorize(np.array([column.tobytes().hex() for column in P.T], dtype=object))[0]
    apart[same[:, None] == same] = 0  # one profile, one share
    tree = linkage(squareform(np.maximum(apart, apart.T), checks=False), "complete")
    codes = fcluster(tree, 2 - settings.correlated, "distance")
    names = {code: " + ".join(map(str, proportions.columns[codes == code])) for code in codes}
    return pd.Series([names[code] for code in codes], proportions.columns, name="class")


def of_classes(proportions: pd.DataFrame, classes: pd.Series) -> pd.DataFrame:
    """Add up the shares of each class's types, of shape (n_spots, n_classes); classes by their first types."""
    return proportions.T.groupby(classes.reindex(proportions.columns).to_numpy(), sort=False).sum().T
