"""Slices on each other: how one is turned and moved to lie on another, how well it lies there, and what touches."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse
from scipy.optimize import minimize
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from spotfuse import preparation
from spotfuse._core.types import Floats, Ints
from spotfuse.group._settings import SETTINGS, Settings


@dataclass(frozen=True)
class Spots:
    """Spots of a slice, or pieces of it.

    Attributes
    ----------
    place
        Of shape (n, 2).
    features
        Components of expression, of shape (n, d), centred in each slice and averaged over the tissue.
    source
        Places, averaged in the same way: where features are from. At an edge that is not the spot's place.
    """

    place: Floats
    features: Floats
    source: Floats

    def pieces(self, most: int) -> "Spots":
        """Cut into at most so many pieces of nearly equal numbers of spots, and give their means."""
        cut = preparation.tiles(self.place, -(-len(self.place) // most))
        values = (self.place, self.features, self.source)
        return Spots(*(np.stack([each[piece].mean(axis=0) for piece in cut]) for each in values))

    def placed(self, placement: "Placement") -> "Spots":
        """Give them at other places."""
        return Spots(placement(self.place), self.features, placement(self.source))

    def directions(self) -> Floats:
        """Features of length 1."""
        lengths = np.linalg.norm(self.features, axis=1, keepdims=True)
        return np.asarray(self.features / np.maximum(lengths, np.finfo(np.float64).tiny))

    def less(self, features: Floats) -> "Spots":
        """Give them with features of shape (d,) taken off."""
        return Spots(self.place, self.features - features, self.source)

    def area(self) -> float:
        """Area of the tissue, but for a factor that depends on how spots lie."""
        return len(self.place) * preparation.spacing(self.place) ** 2


@dataclass(frozen=True)
class Placement:
    """Where a slice is put: ``place @ matrix + shift``.

    Attributes
    ----------
    matrix, shift
        Of shapes (2, 2) and (2,).
    """

    matrix: Floats
    shift: Floats

    @classmethod
    def from_numbers(cls, numbers: pd.Series) -> "Placement":
        """Take what `numbers` gives, by their names."""
        rotation, mirrored, scale, x, y = (numbers[name] for name in NUMBERS)
        matrix = scale * np.diag([1 - 2 * mirrored, 1]) @ _rotation(rotation)
        return cls(matrix, np.array([x, y]))

    def numbers(self) -> tuple[float, ...]:
        """Give the values of `NUMBERS`."""
        return self.turn, int(self.mirrored), float(np.sqrt(abs(np.linalg.det(self.matrix)))), *map(float, self.shift)

    @property
    def mirrored(self) -> bool:
        """Whether x is turned round, which is done before the rotation."""
        return bool(np.linalg.det(self.matrix) < 0)

    @property
    def turn(self) -> float:
        """Rotation in degrees, from x towards y."""
        return float(np.degrees(np.arctan2(-self.matrix[1, 0], self.matrix[1, 1]))) + 0.0  # never -0

    def __call__(self, place: Floats) -> Floats:
        """Give the places (n, 2) that others come to."""
        return np.asarray(place @ self.matrix + self.shift)


NUMBERS = ("rotation", "mirrored", "scale", "shift_x", "shift_y")
STAY = Placement(np.eye(2), np.zeros(2))


def place_on(below: Spots, above: Spots, settings: Settings = SETTINGS) -> tuple[Placement, float]:
    """Lay a slice on another, so that what lies on each other expresses the same.

    A plan between at most 256 pieces of each slice comes from fused Gromov–Wasserstein optimal transport (PASTE: Zeira
    et al. 2022, Nat Methods 19:567), of a part of them where slices overlap in part (Chapel et al. 2020, NeurIPS 33).
    A rotation, a mirror image or not, and a shift follow from the plan by weighted least squares (Procrustes) and are
    then fitted until expression is most alike, from other rotations too. Slices whose spots lie differently far apart
    may be of different scales: both their own scale and that of equal spacing are tried.

    Parameters
    ----------
    below, above
        The slice that stays, and the one that is laid on it.
    settings
        What decides where.

    Returns
    -------
    The placement of the upper slice, and what the best clearly other one (turned by 30° or more, or the mirror image)
    reaches of its score, the similarity summed over all that overlaps: near 1 there is no telling which is right.
    """
    ratio = preparation.spacing(below.place) / preparation.spacing(above.place)
    scales = [1.0] if abs(ratio - 1) < settings.same_scale else [1.0, ratio]
    fit = _Fit(below, above, settings, whole=True)
    first = [placement for scale in scales for placement in _planned(below, above, scale, settings)]
    planned = fit(max(first, key=fit.worth))
    found = [planned]
    found += [
        fit(fit.turned(planned, turn, mirror)) for turn in settings.turns for mirror in (False, True) if turn or mirror
    ]
    best = max(found, key=fit.worth)
    runner_up = max((fit.score(other) for other in found if not _same(other, best, settings.same_turn)), default=0.0)
    share = runner_up / max(fit.score(best), 1e-12)
    # of a part of a slice the mean expression is another than of the whole: once it is known, compare by what is shared
    for _ in range(2):
        middle = _middles(below, above.placed(best), settings.least_touching)
        fit = _Fit(below.less(middle[0]), above.less(middle[1]), settings, whole=False)
        best = fit(best)
    return best, share


def agreement(below: Spots, above: Spots, settings: Settings = SETTINGS) -> tuple[float, float]:
    """Tell how well a slice lies on another.

    Parameters
    ----------
    below, above
        Both in one frame.
    settings
        Of how many spots a mean is taken.

    Returns
    -------
    Share of its spots that have one of the other slice within a spot spacing (the wider one), and the mean cosine of
    their features with it: 1 where both are equal, 0 as at random.
    """
    near, nearest = _touching(below, above)
    middle = _middles(below, above, settings.least_touching)
    cosine = (below.less(middle[0]).directions()[nearest] * above.less(middle[1]).directions()[near]).sum(axis=1)
    return len(near) / len(above.place), float(cosine.mean()) if len(near) else float("nan")


def join_frames(joined: AnnData, places: Mapping[str, Floats], alignment: pd.DataFrame) -> None:
    """Bring joined slices into one frame, in place: ``obsm['spatial_aligned']``, and edges between slices.

    Parameters
    ----------
    joined
        With the ``obsp['spatial_connectivities']`` of slices that know nothing of each other.
    places
        Coordinates of each slice, by its name, in the order of the spots.
    alignment
        As `spotfuse.group.align` gives it.
    """
    rows = alignment.set_index("slice")
    flat = [Placement.from_numbers(rows.loc[name])(place) for name, place in places.items()]
    z = rows["z"]
    order = z if z.notna().all() else pd.Series(range(len(z)), z.index)
    layers = np.unique(order[list(places)], return_inverse=True)[1]
    between = preparation.between_slices(flat, layers.tolist())
    joined.obsp["spatial_connectivities"] = sparse.csr_matrix(joined.obsp["spatial_connectivities"] + between)
    depth = np.repeat(z[list(places)].to_numpy(), [len(place) for place in flat])[:, None]
    joined.obsm["spatial_aligned"] = np.hstack([np.vstack(flat), depth] if z.notna().all() else [np.vstack(flat)])


class _Fit:
    """Moves a slice until its expression is most like that below it."""

    def __init__(self, below: Spots, above: Spots, settings: Settings, *, whole: bool) -> None:
        self.settings, self.whole = settings, whole
        below, above = below.pieces(settings.ground), above.pieces(settings.laid)
        self.spacing = preparation.spacing(below.place)
        self.tree, self.below, self.above = cKDTree(below.source), below.directions(), above.directions()
        self.place = above.source
        self.middle = above.source.mean(axis=0)
        self.radius = float(np.sqrt(np.square(above.source - self.middle).sum(axis=1).mean()))

    def score(self, placement: Placement) -> float:
        """Mean cosine with what lies below, 0 where nothing does; smooth in the placement."""
        distance, nearest = self.tree.query(
            placement(self.place), k=min(3, self.tree.n), distance_upper_bound=self.settings.reach * self.spacing
        )
        weights = np.where(np.isfinite(distance), np.exp(-np.square(distance / self.spacing)), 0)
        total = weights.sum(axis=1)
        mean = np.einsum("nk,nkd->nd", weights, self.below[np.minimum(nearest, self.tree.n - 1)])
        cosine = (mean * self.above).sum(axis=1) / np.maximum(total, 1e-9)
        cover = np.minimum(2 * total, 1)
        return float((cosine * cover).sum() / (len(cover) if self.whole else max(cover.sum(), 1)))

    def worth(self, placement: Placement) -> float:
        """By which placements are chosen."""
        return self.score(placement) * (self.settings.mirrored if placement.mirrored else 1)

    def __call__(self, start: Placement) -> Placement:
        """Climb from a placement by small turns and shifts."""
        step = self.settings.reach * self.spacing
        size = np.sqrt(abs(np.linalg.det(start.matrix))) * self.radius

        def shifted(by: Floats) -> Placement:
            turned = self.turned(start, np.degrees(by[0] / size), mirror=False)
            return Placement(turned.matrix, turned.shift + by[1:])

        simplex = np.vstack([np.zeros(3), step * np.eye(3)])
        found = minimize(
            lambda by: -self.score(shifted(by)),
            np.zeros(3),
            method="Nelder-Mead",
            options={"initial_simplex": simplex, "xatol": 0.01 * self.spacing, "fatol": 1e-6, "maxfev": 300},
        )
        return shifted(found.x)

    def turned(self, placement: Placement, turn: float, mirror: bool) -> Placement:
        """Turn the slice where it lies, around its middle."""
        matrix = np.diag([1 - 2 * mirror, 1]) @ placement.matrix @ _rotation(turn)
        return Placement(matrix, placement(self.middle) - self.middle @ matrix)


def _planned(below: Spots, above: Spots, scale: float, settings: Settings) -> Iterator[Placement]:
    """Placements by transport plans of several masses, each as it is and as a mirror image."""
    import ot

    pieces = [spots.pieces(settings.transported) for spots in (below, above)]
    cost = 1 - pieces[0].directions() @ pieces[1].directions().T
    lower, upper = pieces[0].source, scale * pieces[1].source
    inside = [cdist(place, place) for place in (lower, upper)]
    size = np.sqrt(np.square(inside[0]).mean())
    areas = np.array([below.area(), scale**2 * above.area()])
    areas /= areas.max()
    weights = [np.full(len(spots.place), area / len(spots.place)) for spots, area in zip(pieces, areas, strict=True)]
    for mass in settings.masses:
        plan = ot.gromov.partial_fused_gromov_wasserstein(
            cost / cost.mean(),
            inside[0] / size,
            inside[1] / size,
            *weights,
            m=mass * min(share.sum() for share in weights),
            alpha=settings.distances,
            symmetric=True,
        )
        for mirror in (False, True):
            found = _procrustes(lower, upper, plan, mirror)
            yield Placement(scale * found.matrix, found.shift)


def _procrustes(below: Floats, above: Floats, plan: Floats, mirror: bool) -> Placement:
    """Least squares rotation and shift of `above`, weighted by a plan."""
    middle = [plan.sum(axis=1) @ below / plan.sum(), plan.sum(axis=0) @ above / plan.sum()]
    left, _, right = np.linalg.svd((above - middle[1]).T @ plan.T @ (below - middle[0]))
    sign = np.sign(np.linalg.det(left @ right)) * (1 - 2 * mirror)
    matrix = left @ np.diag([1, sign]) @ right
    return Placement(matrix, middle[0] - middle[1] @ matrix)


def _touching(below: Spots, above: Spots) -> tuple[Ints, Ints]:
    """Spots of a slice within a spacing of one of the other slice, and the nearest one there of each."""
    distance, nearest = cKDTree(below.place).query(above.place)
    near = np.flatnonzero(distance <= max(preparation.spacing(below.place), preparation.spacing(above.place)))
    return near, nearest[near]


def _middles(below: Spots, above: Spots, least: int) -> tuple[Floats, ...]:
    """Mean features of both slices where they lie on each other."""
    near, nearest = _touching(below, above)
    if len(near) < least:
        return np.zeros(below.features.shape[1]), np.zeros(above.features.shape[1])
    return below.features[np.unique(nearest)].mean(axis=0), above.features[near].mean(axis=0)


def _rotation(degrees: float) -> Floats:
    """Matrix for rows, from x towards y."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[cos, sin], [-sin, cos]])


def _same(one: Placement, other: Placement, turn: float) -> bool:
    apart = abs((one.turn - other.turn + 180) % 360 - 180)
    return one.mirrored == other.mirrored and apart < turn
