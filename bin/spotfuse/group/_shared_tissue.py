"""What tissue the slices of a group have in common."""

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from spotfuse._core.sampling import evenly
from spotfuse._core.types import Floats32, Ints
from spotfuse.preparation._batch_shift import _DIMENSIONS, _OTHERS, _SPOTS

_KINDS, _REPEATS = 10, 3  # of expression, and how often they are sought


def shared_tissue(smoothed: Floats32, codes: Ints) -> npt.NDArray[np.float64]:
    """Give the share of its tissue that each slice has in common with the others.

    Spots of all slices are divided into kinds of expression by k-means; what two compositions have in common is the sum
    over kinds of the smaller share: 1 for the same kinds in the same shares, 0 where no kind is in both.

    Parameters
    ----------
    smoothed
        Components averaged over the tissue, of shape (n_spots, n_components).
    codes
        Of each spot its slice, 0…S-1; S is at least 2.

    Returns
    -------
    Of shape (S,), against the mean composition of the other slices.
    """
    chosen = np.concatenate([evenly(np.flatnonzero(codes == code), _SPOTS) for code in range(codes.max() + 1)])
    points, own = smoothed[chosen, :_DIMENSIONS].astype(np.float64), codes[chosen]
    found = []
    with threadpool_limits(1):
        for repeat in range(_REPEATS):
            fit = KMeans(min(_KINDS, len(points)), n_init=1, random_state=repeat).fit(
                points[:: -(-len(points) // _OTHERS)]
            )
            shares = sparse.coo_matrix((np.ones(len(own)), (own, fit.predict(points)))).toarray()
            shares /= shares.sum(axis=1, keepdims=True)
            others = (shares.sum(axis=0) - shares) / (len(shares) - 1)
            found.append(np.minimum(shares, others).sum(axis=1))
    return np.asarray(np.mean(found, axis=0))
