"""Regressions beside the first: types in parts, and genes weighted as spots of one leading type ask.

A type's cells differ, and which of them a spot holds is not known: a type in parts fits either. What a gene is worth
depends on the spot: where a type has next to none of a gene, a few counts of it say much. Each such regression errs in
another way than the first, so that their mean is nearer than any of them.
"""

import numpy as np
import numpy.typing as npt

from spotfuse._core.backend import Array, Library, library
from spotfuse.proportions._settings import SETTINGS, RegressionSettings


def parts(
    places: Array,
    types: npt.NDArray[np.intp],
    n_types: int,
    n: int,
    settings: RegressionSettings = SETTINGS.regression,
) -> tuple[npt.NDArray[np.intp], Array]:
    """Part each type's cells, again and again where they differ most, at the mean along their main direction.

    Parameters
    ----------
    places
        Of cells, of shape (n_cells, d).
    types
        Type of each cell.
    n_types
        Number of types.
    n
        Most parts of a type; one with few cells has fewer.
    settings
        How few cells those are.

    Returns
    -------
    Part of each cell, from 0, and which type each part is of, of shape (n_types, n_parts), 0 or 1.
    """
    part = np.zeros(len(types), np.intp)
    owners: list[int] = []
    for k in range(n_types):
        cells = np.flatnonzero(types == k)
        found = [cells]
        ways = [_main_direction(places[cells])]
        while len(found) < min(n, len(cells) // settings.part_cells):
            widest = int(np.argmax([float(np.sum(along**2)) for along in ways]))
            above = ways[widest] > 0
            if not above.any() or above.all():
                break
            found[widest : widest + 1] = [found[widest][above], found[widest][~above]]
            ways[widest : widest + 1] = [_main_direction(places[own]) for own in found[widest : widest + 2]]
        for own in found:
            part[own] = len(owners)
            owners.append(k)
    return part, (np.arange(n_types)[:, None] == np.array(owners)).astype(np.float64)


def _main_direction(places: Array) -> Array:
    """Give where points lie along the direction in which they differ most, from their mean; its longer tail is above.

    An eigenvector has no sign of its own: without one, the order of genes would decide that of the parts.
    """
    away = places - places.mean(axis=0)
    along = away @ np.linalg.eigh(away.T @ away)[1][:, -1]
    return np.asarray(along if np.sum(along**3) >= 0 else -along)


def nonnegative(
    gram: Array,
    projected: Array,
    start: Array,
    using: Library | None = None,
    settings: RegressionSettings = SETTINGS.regression,
) -> Array:
    """Minimise ½ v·gram·v − projected·v over v ≥ 0 for each row by Gauss–Seidel.

    Parameters
    ----------
    gram
        Of shape (n, n).
    projected, start
        Of shape (n_spots, n).
    using
        Kind of arrays to work with; NumPy's by default.
    settings
        How many sweeps, and how precise.
    """
    using = using or library()
    xp = using.xp
    ridge = 1e-6 * float(np.trace(gram)) / len(gram)  # against two parts with one profile
    B, V, goal = (
        using.put(np.ascontiguousarray(values, np.float32))
        for values in (gram + ridge * np.eye(len(gram)), start.T, projected.T)
    )
    curvature = (np.diag(gram) + ridge).tolist()
    for _ in range(settings.sweeps):
        before = V + 0
        for k in range(len(gram)):
            V[k, :] = xp.maximum(V[k, :] + (goal[k, :] - B[k, :] @ V) / curvature[k], 0.0)
        if float(xp.max(xp.abs(V - before))) <= settings.tolerance:
            break
    return np.asarray(using.get(V).T, dtype=np.float64)
