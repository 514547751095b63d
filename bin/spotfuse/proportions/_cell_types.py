"""Types of single cells: for slices whose spots are cells, each of one type, or of two where outlines meet.

Square roots of a cell's shares of counts, in which counting has one variance whatever the gene, and logarithms, in
which ratios count, are each told apart by a linear discriminant: the means of the reference's types, and their common
covariance drawn towards that of equal, independent directions. The two add up. Pairs of types are further classes of
them, learned from doublets that are made of the reference's own cells. The reference is thinned to the slice's depth,
on which both hang. How far all that is to be believed (probabilities, what is a doublet, what is like no type) is read
from cells of the reference that a discriminant of the others has not seen.
"""

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from anndata import AnnData
from scipy import sparse
from scipy.optimize import minimize_scalar
from scipy.sparse.linalg import svds
from scipy.special import log_softmax, softmax
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from spotfuse._core import keys
from spotfuse._core.errors import InputError
from spotfuse._core.notes import Notes
from spotfuse._core.types import Floats
from spotfuse.proportions import _input, _profiles
from spotfuse.proportions._settings import SETTINGS, CellTypeSettings, Settings

CLASSES = ("singlet", "doublet", "unsure", "no type")
_ENTRIES = 10**7  # likelihoods that are worked on together
_NEARLY_ALL = 0.8  # share of the cells of one type beyond which that is told
_MANY = 0.05  # share of the cells without a type beyond which that is told
_FEW_GENES, _FEW_COUNTS = 50, 0.5  # shared genes, and share of the slice's counts in them, below which that is told


@dataclass(frozen=True)
class CellTypes:
    """What the cells of a slice are.

    Attributes
    ----------
    table
        A row a cell, in the slice's order: ``first_type``, its ``probability``, ``second_type``, and ``class``, one of
        singlet, doublet (of the two types), unsure (between types) and no type (like none of the reference's).
    summary
        What a report needs to know, as plain numbers and text; ``notes`` among it.
    """

    table: pd.DataFrame
    summary: dict[str, Any]


def obs_of(table: pd.DataFrame) -> pd.DataFrame:
    """Give the columns of ``obs`` that cells get.

    Parameters
    ----------
    table
        `CellTypes.table`.

    Returns
    -------
    DataFrame of ``cell_type``, missing where a cell is like no type, and ``cell_type_class``, both categorical
    """
    own = table["first_type"].where(table["class"] != "no type")
    columns = {keys.CELL_TYPE: pd.Categorical(own), keys.CELL_CLASS: pd.Categorical(table["class"], CLASSES)}
    return pd.DataFrame(columns, table.index)


@dataclass(frozen=True)
class _Scores:
    """What a discriminant says of cells.

    Attributes
    ----------
    single
        Log likelihood of each type, up to a number for each cell, of shape (n_cells, n_types).
    pair, gap
        The best pair, and its log likelihood less that of the best type, of shape (n_cells,).
    distance
        Squared Mahalanobis distance from the best type or pair, likewise.
    """

    single: Floats
    pair: npt.NDArray[np.intp]
    gap: Floats
    distance: Floats


class _Views:
    """Where cells lie: by roots, and by logarithms, of their shares, in the directions that the reference's lie in."""

    def __init__(self, cells: sparse.csr_matrix, settings: CellTypeSettings) -> None:
        self.depth = float(np.median(_totals(cells)))
        n = max(min(settings.components, cells.shape[0] // settings.component_cells), 1)
        self.bases = [
            np.eye(cells.shape[1])
            if n >= min(cells.shape)
            else np.asarray(svds(view, k=n, v0=np.ones(min(cells.shape)))[2].T)
            for view in self._seen(cells)
        ]

    def _seen(self, counts: sparse.csr_matrix, factors: Floats | None = None) -> list[sparse.csr_matrix]:
        """Give the views, once what another platform catches more or less of a gene is put right."""
        shares = _profiles.shares(counts if factors is None else counts @ sparse.diags(1 / factors))
        return [shares.sqrt(), (shares * self.depth).log1p()]

    def places(self, counts: sparse.csr_matrix, factors: Floats | None = None) -> list[Floats]:
        """Give an array a view, of shape (n_cells, n_components)."""
        views = self._seen(counts, factors)
        return [np.asarray(view @ basis) for view, basis in zip(views, self.bases, strict=True)]


class _Discriminant:
    """Types and pairs of types, learned from cells and from doublets made of them; each type has a cell.

    Views count as if they were independent, which the temperature of `_Trust` sets right.
    """

    def __init__(
        self,
        counts: sparse.csr_matrix,
        codes: npt.NDArray[np.intp],
        n_types: int,
        views: _Views,
        seed: int,
        settings: CellTypeSettings,
    ) -> None:
        self.views = views
        self.pairs = np.array(list(combinations(range(n_types), 2)))
        each = max(min(settings.made // len(self.pairs), settings.made_a_pair), 5)
        of_type = [np.flatnonzero(codes == k) for k in range(n_types)]
        random = np.random.default_rng(seed)
        one, two = (np.concatenate([random.choice(of_type[k], each) for k in side]) for side in self.pairs.T)
        doublets = views.places(counts[one] + counts[two])
        self.roots, centres = [], []
        for Z, made in zip(views.places(counts), doublets, strict=True):
            means = _means(Z, codes, n_types)
            rest = Z - means[codes]
            W = rest.T @ rest / max(len(Z) - n_types, 1)
            even = max(float(np.trace(W)) / len(W), np.finfo(float).tiny)
            W = (1 - settings.shrinkage) * W + settings.shrinkage * even * np.eye(len(W))
            root = np.linalg.cholesky(np.linalg.inv(W))
            self.roots.append(root)
            centres.append(np.vstack([means, made.reshape(len(self.pairs), each, -1).mean(axis=1)]) @ root)
        self.centres = np.hstack(centres)
        self.n_types = n_types

    def score(self, counts: sparse.csr_matrix, factors: Floats | None = None) -> _Scores:
        parts = []
        block = max(_ENTRIES // len(self.centres), 1)
        for first in range(0, counts.shape[0], block):
            places = self.views.places(counts[first : first + block], factors)
            Z = np.hstack([place @ root for place, root in zip(places, self.roots, strict=True)])
            log = Z @ self.centres.T - 0.5 * np.sum(self.centres**2, axis=1)
            single, double = log[:, : self.n_types], log[:, self.n_types :]
            best = single.max(axis=1)
            gap = double.max(axis=1) - best
            distance = np.sum(Z**2, axis=1) - 2 * (best + np.maximum(gap, 0))
            parts.append((single, self.pairs[double.argmax(axis=1)], gap, distance))
        return _Scores(*(np.concatenate(part) for part in zip(*parts, strict=True)))


@dataclass(frozen=True)
class _Trust:
    """How far a discriminant is to be believed, as cells that it has not seen tell.

    Attributes
    ----------
    temperature
        What log likelihoods are divided by, so that probabilities are those of being right.
    doubled
        Weights of gap and size in the score of a doublet, and the score above which a cell is one.
    strange
        Distance above which a cell is like no type.
    """

    temperature: float = 1.0
    doubled: tuple[float, float, float] = (0.0, 0.0, np.inf)
    strange: float = np.inf


def cell_types(st: AnnData, sc: AnnData, *, seed: int = 1, settings: Settings = SETTINGS) -> CellTypes:
    """Give each cell of a slice of cells its type.

    Parameters
    ----------
    st
        Prepared slice whose spots are cells, with raw counts, of shape (n_cells, n_genes), and ``obsm['spatial']``.
    sc
        Reference as `read_reference` or `as_reference` gives it, with ``obs['cell_type']``.
    seed
        Of what is drawn.
    settings
        What else decides them.

    Returns
    -------
    CellTypes

    Raises
    ------
    InputError
        When too few genes are shared, or only one type has counts of them.

    Examples
    --------
    >>> found = cell_types(prepared, reference)  # doctest: +SKIP
    >>> found.table["class"].value_counts()  # doctest: +SKIP
    """
    data = _input.match(st, sc, settings.reference.least_genes)
    if len(data.types) < 2:
        raise InputError(f"the genes that slice and reference share tell of one cell type, '{data.types[0]}', alone")
    with threadpool_limits(1):
        return _typed(data, st, seed, settings)


def _typed(data: _input.Matched, st: AnnData, seed: int, settings: Settings) -> CellTypes:
    own = settings.cell_types
    types, n_types = np.array(data.types, dtype=object), len(data.types)
    totals = _totals(data.counts)
    seen = totals > 0
    counts = data.counts if seen.all() else sparse.csr_matrix(data.counts[seen])
    cells = _thinned(data.cells, float(np.median(totals[seen])), seed)
    views = _Views(cells, own)
    trust = _trust(cells, data.codes, n_types, views, seed, own)
    model = _Discriminant(cells, data.codes, n_types, views, seed, own)
    scores = model.score(counts)
    profiles = _profiles.type_profiles(cells, data.codes, n_types, settings.profiles)
    for _ in range(own.rounds):
        # of the half that fits best: what a type that the reference lacks has more of would pass for the platform's
        fit = scores.distance <= np.median(scores.distance)
        mix = softmax(scores.single[fit] / trust.temperature, axis=1).mean(axis=0)
        observed = np.asarray(_profiles.shares(sparse.csr_matrix(counts[fit])).mean(axis=0)).ravel()
        factors = _profiles.platform_factors(observed, mix, profiles.mean, profiles, int(fit.sum()), settings.profiles)
        scores = model.score(counts, factors)
    chances = softmax(scores.single / trust.temperature, axis=1)
    order = np.argsort(-scores.single, axis=1, kind="stable")
    first, second = order[:, 0], order[:, 1]
    probability = chances[np.arange(len(first)), first]
    gap, size, least = trust.doubled
    doubled = gap * scores.gap + size * _sizes(totals[seen], first, np.full(len(first), True)) > least
    # of a pair, the type that the cell is more like comes first
    rows = np.flatnonzero(doubled)
    one, two = scores.pair[rows].T
    turned = scores.single[rows, one] < scores.single[rows, two]
    first[rows], second[rows] = np.where(turned, two, one), np.where(turned, one, two)
    kind = np.where(probability < own.sure, "unsure", "singlet").astype(object)
    kind[doubled] = "doublet"
    kind[scores.distance > trust.strange] = "no type"
    table = pd.DataFrame({"first_type": "", "probability": 0.0, "second_type": "", "class": "no type"}, st.obs_names)
    table = table.astype({"first_type": object, "second_type": object, "class": object})
    table.iloc[np.flatnonzero(seen)] = np.array([types[first], probability, types[second], kind], dtype=object).T
    in_shared = float(totals.sum() / np.asarray(st.X.sum(dtype=np.float64)))
    return CellTypes(
        table.astype({"probability": float}),
        {
            "classes": {name: int((table["class"] == name).sum()) for name in CLASSES},
            "n_genes_shared": data.n_shared,
            "share_of_counts_in_them": in_shared,
            "temperature": trust.temperature,
            "notes": _told(table, data, st.n_vars, in_shared),
        },
    )


def _told(table: pd.DataFrame, data: _input.Matched, n_genes: int, in_shared: float) -> list[str]:
    """Say what makes the types doubtful."""
    notes = Notes()
    shares = table["first_type"].value_counts(normalize=True)
    if shares.iloc[0] > _NEARLY_ALL:
        notes.append(
            f"{shares.iloc[0]:.0%} of the cells are typed '{shares.index[0]}': right only if the tissue is so; "
            "see that the reference has this tissue's types"
        )
    without = float((table["class"] == "no type").mean())
    if without > _MANY:
        notes.append(f"{without:.0%} of the cells are like no type of the reference, which may lack their types")
    if len(data.genes) < _FEW_GENES or in_shared < _FEW_COUNTS:
        notes.append(
            f"slice and reference share {data.n_shared} of the slice's {n_genes} genes, which have {in_shared:.0%} of "
            "its counts: types that other genes tell apart are not told apart"
        )
    return list(notes)


def _totals(counts: sparse.csr_matrix) -> Floats:
    return np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel()


def _means(Z: Floats, codes: npt.NDArray[np.intp], n: int) -> Floats:
    sums = sparse.csr_matrix((np.ones(len(codes)), (codes, np.arange(len(codes)))), shape=(n, len(codes))) @ Z
    return np.asarray(sums) / np.bincount(codes, minlength=n)[:, None]


def _thinned(cells: sparse.csr_matrix, depth: float, seed: int) -> sparse.csr_matrix:
    """Keep as many of the reference's counts as give its cells the slice's depth; a cell that would have none, all."""
    kept = depth / float(np.median(_totals(cells)))
    if kept >= 1:
        return cells
    thin = cells.copy()
    thin.data = np.random.default_rng(seed).binomial(np.rint(cells.data).astype(np.int64), kept).astype(np.float32)
    empty = _totals(thin) == 0
    thin = sparse.csr_matrix(thin + sparse.diags(empty.astype(np.float32)) @ cells)
    thin.eliminate_zeros()
    return thin


def _sizes(totals: Floats, first: npt.NDArray[np.intp], known: npt.NDArray[np.bool_]) -> Floats:
    """Give log counts, centred on those of the first type and of one spread, both as known cells have them.

    Doublets stand out by them.
    """
    log = pd.Series(np.log(totals))
    medians = log[known].groupby(first[known]).median()
    away = (log - pd.Series(first).map(medians).fillna(log[known].median())).to_numpy()
    return np.asarray(away / max(1.4826 * float(np.median(np.abs(away[known]))), 1e-3))


def _trust(
    counts: sparse.csr_matrix,
    codes: npt.NDArray[np.intp],
    n_types: int,
    views: _Views,
    seed: int,
    settings: CellTypeSettings,
) -> _Trust:
    """Judge discriminants of one half of the cells by the other half, and by doublets made of that."""
    from sklearn.linear_model import LogisticRegression  # takes its time to import

    half = pd.Series(codes).groupby(codes).cumcount().to_numpy() % 2
    half[np.bincount(codes)[codes] < settings.judged] = -1  # of rare types none is kept back
    if len(np.unique(codes[half == 1])) < 2:
        return _Trust()
    singles, features, made, distances = [], [], [], []
    random = np.random.default_rng(seed)
    for kept in (0, 1):
        model = _Discriminant(counts[half != kept], codes[half != kept], n_types, views, seed, settings)
        cells = np.flatnonzero(half == kept)
        one, two = random.choice(cells, (2, 2 * len(cells)))
        one, two = one[codes[one] != codes[two]], two[codes[one] != codes[two]]
        both = sparse.csr_matrix(sparse.vstack([counts[cells], counts[one] + counts[two]]))
        alone = np.arange(both.shape[0]) < len(cells)
        scores = model.score(both)
        # the doublets must not move the sizes of types: here they are many, in a slice few
        features.append(np.c_[scores.gap, _sizes(_totals(both), scores.single.argmax(axis=1), alone)])
        made.append(~alone)
        singles.append((scores.single[alone], codes[cells]))
        distances.append(scores.distance[alone])

    def surprise(log_temperature: float) -> float:
        chances = (log_softmax(single / np.exp(log_temperature), axis=1) for single, _ in singles)
        return -sum(float(log[np.arange(len(own)), own].sum()) for log, (_, own) in zip(chances, singles, strict=True))

    told, is_double = np.concatenate(features), np.concatenate(made)
    weights = LogisticRegression(class_weight="balanced").fit(told, is_double).coef_[0]
    least = float(np.quantile(told[~is_double] @ weights, 1 - settings.false_doublets))
    return _Trust(
        float(np.exp(minimize_scalar(surprise, bounds=(-1, 4), method="bounded").x)),
        (float(weights[0]), float(weights[1]), least),
        float(np.quantile(np.concatenate(distances), 1 - settings.strange)),
    )
