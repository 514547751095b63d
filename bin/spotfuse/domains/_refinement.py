"""Let a spot's neighbours correct its domain, without wearing thin layers away."""

import numpy as np
import numpy.typing as npt
from scipy import sparse

from spotfuse._core.types import Floats
from spotfuse.domains._settings import SETTINGS
from spotfuse.preparation import averaging

_STEPS = 10
_LEAST = 1e-3  # probability: below, a domain is as good as excluded, and no vote should have to outweigh more


def refine(
    probabilities: npt.NDArray[np.floating], graph: sparse.csr_matrix, strength: float = SETTINGS.strength
) -> Floats:
    """Combine each spot's probabilities with those of its neighbours (mean field of a Potts model).

    Only touching spots vote and the spot's own evidence stays, so that a layer two spots thin survives, which it does
    not where the majority of 50 neighbours rules.

    Parameters
    ----------
    probabilities
        Of each domain, of shape (n_spots, K); rows sum to 1.
    graph
        Spatial graph of touching spots.
    strength
        Log-odds that unanimous neighbours give.

    Returns
    -------
    Refined probabilities, of the same shape.
    """
    average = averaging(graph)
    evidence = np.log(np.maximum(probabilities, _LEAST))
    refined = np.asarray(probabilities, dtype=np.float64)
    for _ in range(_STEPS):
        score = evidence + strength * (average @ refined)
        score = np.exp(score - score.max(axis=1, keepdims=True))
        refined = score / score.sum(axis=1, keepdims=True)
    return refined
