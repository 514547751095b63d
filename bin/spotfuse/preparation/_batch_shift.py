"""Slices of one group in one space of expression: what is left between them, and what tissue they have in common."""

import numpy as np
from scipy.spatial import cKDTree

from spotfuse._core.sampling import evenly
from spotfuse._core.types import Array, Floats32, Ints

_DIMENSIONS = 15  # leading components, in which spots are compared
_NEIGHBOURS = 5
_ROUNDS = 10
_STILL = 1e-3  # of the spread of spots: a step that is none
_CHANCE = 0.2  # of it: slices of the same tissue are apart by .04 to .18 (measured), others by .14 to .5
_SPOTS, _OTHERS = 5_000, 10_000  # of a slice, and of the others, that are compared


def without_batch_shift(scores: Floats32, smoothed: Floats32, codes: Ints) -> Floats32:
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

    Returns
    -------
    Components, float32 of shape (n_spots, n_components), with mean 0 over all spots where they had it.
    """
    slices = [evenly(np.flatnonzero(codes == code), _SPOTS) for code in range(codes.max() + 1)]
    shift = np.zeros((len(slices), scores.shape[1]))
    spread = float(np.sqrt(np.mean([smoothed[rows].var(axis=0).sum() for rows in slices])))
    for _ in range(_ROUNDS):
        points = smoothed - shift[codes]
        steps = np.zeros_like(shift)
        for code, own in enumerate(slices):
            others = evenly(np.concatenate([rows for i, rows in enumerate(slices) if i != code]), _OTHERS)
            here, there = _mutual(points[own, :_DIMENSIONS], points[others, :_DIMENSIONS])
            if len(here):
                steps[code] = np.median(points[own[here]] - points[others[there]], axis=0)
        # all go at once: of two slices each goes half the way
        shift += steps * (len(slices) - 1) / len(slices)
        if np.linalg.norm(steps, axis=1).max() < _STILL * spread:
            break
    others_shift = (shift.sum(axis=0) - shift) / (len(slices) - 1)
    if np.linalg.norm(shift - others_shift, axis=1).max() < _CHANCE * spread:
        return scores
    shift -= shift[codes].mean(axis=0)
    return np.asarray(scores - shift[codes], dtype=np.float32)


def _mutual(one: Array, other: Array) -> tuple[Ints, Ints]:
    """Pairs of points that are each among the nearest of the other."""
    width = min(_NEIGHBOURS, len(one), len(other))
    there = cKDTree(other).query(one, range(1, width + 1))[1]
    here = cKDTree(one).query(other, range(1, width + 1))[1]
    forth = np.repeat(np.arange(len(one)), width) * len(other) + there.ravel()
    back = here.ravel() * len(other) + np.repeat(np.arange(len(other)), width)
    both = np.intersect1d(forth, back)
    return both // len(other), both % len(other)
