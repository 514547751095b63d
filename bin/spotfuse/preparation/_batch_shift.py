"""Slices of one group in one space of expression: what is left between them, and what tissue they have in common."""

import numpy as np
from scipy.spatial import cKDTree

from spotfuse._core.sampling import evenly
from spotfuse._core.types import Array, Floats32, Ints
from spotfuse.preparation._settings import SETTINGS, Settings


def without_batch_shift(scores: Floats32, smoothed: Floats32, codes: Ints, settings: Settings = SETTINGS) -> Floats32:
    """Move each slice as a whole until spots and their mutual nearest neighbours in the others differ by nothing.

    Standardising each slice by itself puts their means on one another. Where one has more of a tissue than another,
    that is wrong; spots of two slices that are each other's nearest hold the same tissue, whatever the shares
    (Haghverdi et al. 2018, Nat Biotechnol 36:421). A slice goes by the median difference, and looks again. Slices that
    would hardly move stay where they are.

    Parameters
    ----------
    scores
        Components, of shape (n_spots, n_components).
    smoothed
        The same, averaged over the tissue: these are compared.
    codes
        Of each spot its slice, 0…S-1.
    settings
        How spots are compared, and when slices stay.

    Returns
    -------
    Components, float32 of shape (n_spots, n_components), with mean 0 over all spots where they had it.
    """
    slices = [evenly(np.flatnonzero(codes == code), settings.batch_spots) for code in range(codes.max() + 1)]
    shift = np.zeros((len(slices), scores.shape[1]))
    spread = float(np.sqrt(np.mean([smoothed[rows].var(axis=0).sum() for rows in slices])))
    for _ in range(settings.batch_rounds):
        points = smoothed - shift[codes]
        steps = np.zeros_like(shift)
        for code, own in enumerate(slices):
            others = evenly(np.concatenate([rows for i, rows in enumerate(slices) if i != code]), settings.batch_others)
            compared = points[:, : settings.batch_dimensions]
            here, there = _mutual(compared[own], compared[others], settings.batch_neighbors)
            if len(here):
                steps[code] = np.median(points[own[here]] - points[others[there]], axis=0)
        # all go at once: of two slices each goes half the way
        shift += steps * (len(slices) - 1) / len(slices)
        if np.linalg.norm(steps, axis=1).max() < settings.batch_still * spread:
            break
    others_shift = (shift.sum(axis=0) - shift) / (len(slices) - 1)
    if np.linalg.norm(shift - others_shift, axis=1).max() < settings.batch_chance * spread:
        return scores
    shift -= shift[codes].mean(axis=0)
    return np.asarray(scores - shift[codes], dtype=np.float32)


def _mutual(one: Array, other: Array, most: int) -> tuple[Ints, Ints]:
    """Pairs of points that are each among the nearest of the other."""
    width = min(most, len(one), len(other))
    there = cKDTree(other).query(one, range(1, width + 1))[1]
    here = cKDTree(one).query(other, range(1, width + 1))[1]
    forth = np.repeat(np.arange(len(one)), width) * len(other) + there.ravel()
    back = here.ravel() * len(other) + np.repeat(np.arange(len(other)), width)
    both = np.intersect1d(forth, back)
    return both // len(other), both % len(other)
