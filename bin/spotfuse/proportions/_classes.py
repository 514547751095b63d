"""Types that a panel does not tell apart, and the classes that they form."""

import numpy as np
import pandas as pd

from spotfuse._core.types import Floats
from spotfuse.proportions._settings import SETTINGS, ClassSettings


def found_classes(proportions: pd.DataFrame, doubt: Floats, settings: ClassSettings = SETTINGS.classes) -> pd.Series:
    """Merge types, two by two, of which spots say how much there is of both, and not of which.

    What a spot has more of the one looks then as if it had less of the other: their doubts are correlated, and the
    doubt about the difference of their shares is large beside what this differs by from spot to spot.

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
    spread = np.cov(proportions.to_numpy(), rowvar=False, ddof=0) if len(proportions) > 1 else np.zeros_like(doubt)
    alike = pd.factorize(np.array([column.tobytes().hex() for column in proportions.to_numpy().T], dtype=object))[0]
    members = [np.flatnonzero(alike == number).tolist() for number in range(alike.max() + 1)]  # one profile, one share
    while len(members) > 2:
        of_class = np.array([np.isin(np.arange(len(doubt)), own) for own in members], dtype=float)
        C, S = (of_class @ matrix @ of_class.T for matrix in (doubt, spread))
        size = np.sqrt(np.maximum(np.diag(C), np.finfo(float).tiny))
        unknown, differs = (np.diag(M)[:, None] + np.diag(M) - 2 * M for M in (C, S))
        together = -C / np.outer(size, size)
        told = differs >= settings.told * (differs + unknown)
        together[told | np.eye(len(members), dtype=bool)] = -np.inf
        one, other = sorted(divmod(int(together.argmax()), len(members)))
        if together[one, other] < settings.correlated:
            break
        members[one] += members.pop(other)
    names = {k: " + ".join(map(str, proportions.columns[sorted(own)])) for own in members for k in own}
    return pd.Series([names[k] for k in range(len(doubt))], proportions.columns, name="class")


def of_classes(proportions: pd.DataFrame, classes: pd.Series) -> pd.DataFrame:
    """Add up the shares of each class's types, of shape (n_spots, n_classes); classes by their first types."""
    return proportions.T.groupby(classes.reindex(proportions.columns).to_numpy(), sort=False).sum().T
