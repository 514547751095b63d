"""What tissue the slices of a group have in common."""

import numpy as np
from scipy import sparse
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from spotfuse._core.sampling import evenly
from spotfuse._core.types import Floats, Floats32, Ints
from spotfuse.group._settings import SETTINGS, Settings


def shared_tissue(smoothed: Floats32, codes: Ints, settings: Settings = SETTINGS) -> Floats:
    """Give the share of its tissue that each slice has in common with the others.

    Spots of all slices are divided into kinds of expression by k-means; what two compositions have in common is the sum
    over kinds of the smaller share: 1 for the same kinds in the same shares, 0 where no kind is in both.

    Parameters
    ----------
    smoothed
        Components averaged over the tissue, of shape (n_spots, n_components).
    codes
        Of each spot its slice, 0…S-1; S is at least 2.
    settings
        Number of kinds, and of searches for them, and of spots and components.

    Returns
    -------
    Of shape (S,), against the mean composition of the other slices.
    """
    chosen = np.concatenate(
        [evenly(np.flatnonzero(codes == code), settings.tissue_spots) for code in range(codes.max() + 1)]
    )
    points, own = smoothed[chosen, : settings.tissue_dimensions].astype(np.float64), codes[chosen]
    found = []
    with threadpool_limits(1):
        for repeat in range(settings.repeats):
            fit = KMeans(min(settings.kinds, len(points)), n_init=1, random_state=repeat).fit(
                points[:: -(-len(points) // settings.tissue_others)]
            )
            shares = sparse.coo_matrix((np.ones(len(own)), (own, fit.predict(points)))).toarray()
            shares /= shares.sum(axis=1, keepdims=True)
            others = (shares.sum(axis=0) - shares) / (len(shares) - 1)
            found.append(np.minimum(shares, others).sum(axis=1))
    return np.asarray(np.mean(found, axis=0))
