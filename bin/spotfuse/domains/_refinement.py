"""Let a spot's neighbours correct its domain, without wearing thin layers away."""

import numpy as np
import numpy.typing as npt
from scipy import sparse

from spotfuse._core.types import Floats
from spotfuse.domains._settings import SETTINGS, Settings
from spotfuse.preparation import averaging


def refine(probabilities: npt.NDArray[np.floating], graph: sparse.csr_matrix, settings: Settings = SETTINGS) -> Floats:
    """Combine each spot's probabilities with those of its neighbours (mean field of a Potts model).

    Only touching spots vote and the spot's own evidence stays, so that a layer two spots thin survives, which it does
    not where the majority of 50 neighbours rules.

    Parameters
    ----------
    probabilities
        Of each domain, of shape (n_spots, K); rows sum to 1.
    graph
        Spatial graph of touching spots.
    settings
        How much neighbours count, and how often.

    Returns
    -------
    Refined probabilities, of the same shape.
    """
    average = averaging(graph)
    evidence = np.log(np.maximum(probabilities, settings.excluded))
    refined = np.asarray(probabilities, dtype=np.float64)
    for _ in range(settings.refinements):
        score = evidence + settings.strength * (average @ refined)
        score = np.exp(score - score.max(axis=1, keepdims=True))
        refined = score / score.sum(axis=1, keepdims=True)
    return refined
