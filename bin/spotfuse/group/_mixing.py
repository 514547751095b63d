"""How the slices of a group mix in the embedding and in the domains."""

import json
import logging

import numpy as np
import numpy.typing as npt
import pandas as pd
from anndata import AnnData
from sklearn.neighbors import NearestNeighbors

from spotfuse._core import sampling
from spotfuse._core.types import Floats
from spotfuse.group._settings import SETTINGS, Settings
from spotfuse.metrics import rand_index

log = logging.getLogger(__name__)


def mixing(found: AnnData, settings: Settings = SETTINGS) -> pd.DataFrame:
    """Tell how the slices of a group mix.

    Parameters
    ----------
    found
        From `learned`.
    settings
        How many neighbours tell how slices mix, and of which slice's tissue too little is in common.

    Returns
    -------
    DataFrame of one row: ``group``, ``n_slices``, ``n_spots``, ``n_genes_shared``, ``n_domains``; ``ilisi``, the mean
    over spots of the effective number of slices among a spot's neighbours in the embedding (`lisi`), and
    ``ilisi_at_random``, what it is where slices mix at random; ``ari``, the adjusted Rand index of slices against
    domains: 0 where a spot's domain tells nothing of its slice, as it should be; ``in_common``, the smallest share of
    tissue that a slice has in common with the others, and ``unlike``, the slices (and theirs) for which it is too small
    to trust domains learned together.
    """
    codes = found.obs["slice"].cat.codes.to_numpy()
    shares = np.bincount(codes) / len(codes)
    common = json.loads(found.uns["spotfuse"]["in_common"])
    row = {
        "group": found.uns["spotfuse"]["group"],
        "n_slices": len(shares),
        "n_spots": found.n_obs,
        "n_genes_shared": found.uns["spotfuse"]["n_genes_shared"],
        "n_domains": found.obsm["domain_probabilities"].shape[1],
        "ilisi": lisi(found.obsm["X_spotfuse"], codes, settings.perplexity, settings.mixed_spots).mean(),
        "ilisi_at_random": 1 / np.square(shares).sum(),
        "ari": rand_index(pd.crosstab(codes, found.obs["domain"].to_numpy()).to_numpy()),
        "in_common": min(common.values()),
        "unlike": ", ".join(
            f"{name} ({share:g})" for name, share in common.items() if share < settings.least_in_common
        ),
    }
    return pd.DataFrame([row])


def lisi(
    points: npt.NDArray[np.floating],
    codes: npt.NDArray[np.integer],
    perplexity: float = SETTINGS.perplexity,
    most: int = SETTINGS.mixed_spots,
) -> Floats:
    """Give the effective number of categories around points: the local inverse Simpson's index.

    Neighbours (three times the perplexity) are weighted by a Gaussian whose width gives their weights the perplexity
    (Korsunsky et al. 2019, Nat Methods 16:1289).

    Parameters
    ----------
    points
        Of shape (n, d).
    codes
        Category of each point, 0…C-1.
    perplexity
        Effective number of neighbours.
    most
        Points that are looked at.

    Returns
    -------
    Inverse Simpson's index, 1 to C, of every point; of evenly chosen ones where there are more than `most`.
    """
    asked = sampling.evenly(np.arange(len(points)), most)
    width = min(int(3 * perplexity), len(points) - 1)
    distances, nearest = NearestNeighbors(n_neighbors=width + 1).fit(points).kneighbors(points[asked])
    # the point itself goes by its number: others may lie on the same place
    own = nearest == asked[:, None]
    own[~own.any(axis=1), -1] = True
    square = np.square(distances[~own].reshape(len(asked), width))
    square -= square.min(axis=1, keepdims=True)
    target = np.log(min(perplexity, width / 3 if width >= 3 else width))
    low, high = np.full(len(asked), -30.0), np.full(len(asked), 30.0)
    scale = np.maximum(square.mean(axis=1), np.finfo(float).tiny)
    for _ in range(50):  # bisect the precision, on a logarithmic scale
        middle = (low + high) / 2
        weights = np.exp(-square * (np.exp(middle) / scale)[:, None])
        weights /= weights.sum(axis=1, keepdims=True)
        entropy = -(weights * np.log(np.maximum(weights, 1e-300))).sum(axis=1)
        low, high = np.where(entropy > target, middle, low), np.where(entropy > target, high, middle)
    found = codes[nearest[~own].reshape(len(asked), width)]
    shares = np.stack([(weights * (found == code)).sum(axis=1) for code in range(codes.max() + 1)])
    return np.asarray(1 / np.square(shares).sum(axis=0))
