"""AttentionRegressionDeconv: what its users know of it, on top of the steps."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from anndata import AnnData
from scipy import sparse
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from spotfuse import graphs, reference
from spotfuse.deconvolution import _cell_level, _input, _posterior, _profiles, _type_level
from spotfuse.deconvolution._evaluation import evaluate
from spotfuse.errors import InputError

Array = npt.NDArray[np.float64]
type Table = pd.DataFrame | npt.NDArray[Any] | sparse.spmatrix

_NUMERICAL_RIDGE = 1e-6  # against two types with one profile; shrinking is the posterior's
_DRAWS = 2_000_000  # times spots, within bounds


@dataclass(frozen=True)
class Settings:
    """What `AttentionRegressionDeconv` is told, checked; see there."""

    phi: float | str = 0.8
    lambda_cell: float = 1.0
    lambda_spatial: float = 1.0
    lambda_ridge: float = 1.0
    n_iter: int = 5
    n_jobs: int = -1
    k_neighbors: int = 6
    lambda_mode: str = "auto"
    output: str = "cells"
    seed: int = 1

    def __post_init__(self) -> None:
        if self.phi != "estimated" and not (isinstance(self.phi, int | float) and 0 <= self.phi < 1):
            raise InputError(f"phi is {self.phi}; it must be at least 0 and below 1, or 'estimated'")
        for name in ("lambda_cell", "lambda_spatial", "lambda_ridge"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} is {getattr(self, name)}; it must not be negative")
        if self.n_iter < 1:
            raise InputError(f"n_iter is {self.n_iter}; it must be at least 1")
        if self.lambda_mode not in ("auto", "absolute"):
            raise InputError(f"lambda_mode is '{self.lambda_mode}'; it must be auto or absolute")
        if self.output not in ("cells", "molecules"):
            raise InputError(f"output is '{self.output}'; it must be cells or molecules")


class AttentionRegressionDeconv:
    """Estimate the cell types of spots.

    Parameters
    ----------
    sc_data
        Raw counts of single cells, cells × genes or genes × cells.
    st_data
        Raw counts of spots, spots × genes or genes × spots.
    st_coordinates
        x and y of each spot, of shape (n_spots, 2).
    celltype
        Type of each cell: a Series, an array, or a DataFrame with a column of them.
    phi
        Spatial autocorrelation of proportions, from 0 to below 1, or ``"estimated"``: the likeliest.
    lambda_cell
        How strongly `map_cells` holds a spot's cells to its proportions and to an even spread over a type's cells.
    lambda_spatial, lambda_ridge
        How strongly neighbours are held to each other, and weights to be small. 1 is what the variances in the data
        ask for (for the ridge: next to nothing), 0 is none; with ``lambda_mode="absolute"`` they are the penalties.
    max_cells_per_type
        Of a type with more cells, so many are drawn.
    n_iter
        Outer iterations: proportions to convergence, then variances, attention and platform factors from them.
    n_jobs
        Threads; -1 is all.
    k_neighbors
        Spatial neighbours of a spot.
    lambda_mode
        ``"auto"`` or ``"absolute"``.
    output
        ``"cells"``: shares of cells; ``"molecules"``: shares of counts.
    seed
        Decides which cells are drawn.

    Attributes
    ----------
    proportions_ : DataFrame of shape (n_spots, n_types)
        Rows sum to 1.
    mode_, uncertainty_ : DataFrame of shape (n_spots, n_types)
        The regression's own proportions, and posterior standard deviations.
    interval_ : two DataFrames of shape (n_spots, n_types)
        Ends of the 90 % interval.
    abundance_ : DataFrame of shape (n_spots, n_types)
        The regression's weights, before rows are scaled.
    fit_ : DataFrame
        ``residual`` (weighted root mean square) and ``explained`` (share of the weighted sum of squares) of each spot.
    support_ : float
        How much of what might be chance in the profiles the spots show, from 0 to 1: near 1 where the reference's
        cells are the slice's own, or as good as.
    scaled_spots_ : bool
        Whether spots were scaled to one depth.
    profiles_, platform_factors_, gene_weights_, genes_, cells_, attention_, phi_, lambda_k_, objective_, converged_
        What was learned, and how the last solve went.
    notes_
        What was put right in the input.

    Examples
    --------
    >>> deconv = AttentionRegressionDeconv(sc_data, st_data, st_coordinates, celltype)  # doctest: +SKIP
    >>> proportions, seconds = deconv.run()  # doctest: +SKIP
    >>> deconv.evaluate(proportions, truth)["RMSE"]  # doctest: +SKIP
    """

    def __init__(
        self,
        sc_data: Table,
        st_data: Table,
        st_coordinates: pd.DataFrame | npt.NDArray[Any],
        celltype: pd.Series | pd.DataFrame | Sequence[str] | npt.NDArray[Any],
        phi: float = 0.8,
        lambda_cell: float = 1.0,
        lambda_spatial: float = 1.0,
        lambda_ridge: float = 1.0,
        max_cells_per_type: int = 1000,
        n_iter: int = 5,
        n_jobs: int = -1,
        k_neighbors: int = 6,
        *,
        lambda_mode: str = "auto",
        output: str = "cells",
        seed: int = 1,
    ) -> None:
        coordinates = np.asarray(st_coordinates, dtype=np.float64)
        if coordinates.ndim != 2 or coordinates.shape[1] < 2:
            raise InputError(f"st_coordinates must have two columns, x and y; its shape is {coordinates.shape}")
        labels = _labels(celltype)
        spots_first, cells_first = _orientation(st_data, sc_data, len(coordinates), len(labels))
        st = _anndata(st_data, spots_first)
        sc = _anndata(sc_data, cells_first)
        for name, n_rows, given, what in (
            ("st_data", st.n_obs, len(coordinates), "st_coordinates"),
            ("sc_data", sc.n_obs, len(labels), "celltype"),
        ):
            if n_rows != given:
                raise InputError(f"{name} has {n_rows} rows but {what} has {given}")
        st.obsm["spatial"] = coordinates[:, :2]
        labels.index = sc.obs_names
        notes: list[str] = []
        cells = reference.clean(
            sc.X, labels, sc.var, notes=notes, max_cells_per_type=max_cells_per_type, seed=seed, source="celltype"
        )
        self._index = st_data.index if isinstance(st_data, pd.DataFrame) and spots_first else None
        if isinstance(st_data, pd.DataFrame) and not spots_first:
            self._index = st_data.columns
        self._set(
            st,
            cells,
            Settings(
                phi=phi,
                lambda_cell=lambda_cell,
                lambda_spatial=lambda_spatial,
                lambda_ridge=lambda_ridge,
                n_iter=n_iter,
                n_jobs=n_jobs,
                k_neighbors=k_neighbors,
                lambda_mode=lambda_mode,
                output=output,
                seed=seed,
            ),
        )

    @classmethod
    def from_anndata(
        cls, st: AnnData, sc: AnnData, cell_type_key: str = "cell_type", max_cells_per_type: int = 1000, **settings: Any
    ) -> Self:
        """Start from a slice with raw counts and ``obsm['spatial']``, and a reference with labels in ``obs``.

        Parameters
        ----------
        st, sc
            Slice and reference, raw counts in X.
        cell_type_key
            Column of the reference's ``obs``.
        max_cells_per_type
            As for the class.
        **settings
            The class's other arguments from `phi` on, by name.
        """
        told = Settings(**settings)
        cells = _input.reference_cells(sc, cell_type_key, max_cells_per_type, told.seed)
        model = cls.__new__(cls)
        model._index = st.obs_names
        model._set(st, cells, told)
        return model

    def _set(self, st: AnnData, cells: AnnData, settings: Settings) -> None:
        self.settings = settings
        if self._index is None:
            self._index = st.obs_names
        self._data = data = _input.match(st, cells)
        self.types_, self.genes_, self.cells_, self.notes_ = data.types, data.genes, data.cell_names, data.notes
        self.cell_types_ = pd.Series(np.array(data.types)[data.codes], index=data.cell_names)

    def run(self) -> tuple[pd.DataFrame, float]:
        """Estimate proportions.

        Returns
        -------
        proportions : DataFrame of shape (n_spots, n_types)
            Types sorted by name; rows sum to 1.
        seconds : float
        """
        start = time.perf_counter()
        with threadpool_limits(self.settings.n_jobs if self.settings.n_jobs > 0 else None):
            self._fit()
        self.elapsed_time_ = time.perf_counter() - start
        return self.proportions_, self.elapsed_time_

    def evaluate(self, deconv_celltypes: pd.DataFrame, result_x: pd.DataFrame | npt.NDArray[Any]) -> dict[str, Any]:
        """Score proportions against known ones, or against numbers of cells.

        Parameters
        ----------
        deconv_celltypes
            As `run` gives them.
        result_x
            The truth, of shape (n_spots, n_types); without names, in the order of `deconv_celltypes`.

        Returns
        -------
        dict
            ``RMSE``, ``PCC`` and ``JSD`` first; see `spotfuse.deconvolution.evaluate`.
        """
        if not isinstance(result_x, pd.DataFrame):
            result_x = pd.DataFrame(np.asarray(result_x), deconv_celltypes.index, deconv_celltypes.columns)
        return evaluate(deconv_celltypes, result_x)

    def map_cells(self) -> sparse.csr_matrix:
        """Distribute each spot's proportions over cells of the reference (step 2), after `run`.

        Returns
        -------
        Sparse matrix of shape (n_spots, n_cells). Cells stand as in ``cells_``; for types above 1 % they sum to the
        spot's proportion, so that proportions are step 1's.
        """
        weights, factors = self.gene_weights_.to_numpy(), self.platform_factors_.to_numpy()
        with threadpool_limits(self.settings.n_jobs if self.settings.n_jobs > 0 else None):
            return _cell_level.cell_map(
                _profiles.shares(self._data.counts),
                _profiles.shares(self._data.cells),
                self._data.codes,
                self.proportions_.to_numpy(),
                weights,
                weights * factors,
                self.settings.lambda_cell,
            )

    def summary(self) -> dict[str, Any]:
        """Give what a report needs to know of the run, as plain numbers and text."""
        return {
            "method": "attention_regression",
            "output": self.settings.output,
            "spots_scaled_to_one_depth": self.scaled_spots_,
            **self._data.summary(),
            "phi": self.phi_,
            "support": self.support_,
            "smoothing": {name: float(value) for name, value in self.lambda_k_.items()},
            "sweeps": len(self.objective_) - 1,
            "converged": self.converged_,
            "objective": self.objective_[-1],
            "explained": float(self.fit_["explained"].median()),
            "notes": self.notes_,
        }

    def _fit(self) -> None:
        told = self.settings
        n_types = len(self.types_)
        profiles = _profiles.type_profiles(self._data.cells, self._data.codes, n_types)
        doubtful = _profiles.doubtful(profiles)
        sure, support = profiles.mean - doubtful, 0.5  # to start with; then as much of it as the spots show
        spots = _profiles.shares(self._data.counts)
        n_spots, n_genes = spots.shape
        observed = np.asarray(spots.mean(axis=0)).ravel()
        weights = _profiles.gene_weights(observed, profiles)
        squares = np.asarray(spots.multiply(spots) @ weights**2).ravel()
        graph = _neighbours(self._data.coordinates, told.k_neighbors)
        W = distance_only = _type_level.attention(graph, self._data.coordinates, None)

        V = np.zeros((n_spots, n_types))
        factors = np.ones(n_genes)
        strength = np.zeros(n_types)
        phi = 0.0 if told.phi == "estimated" else float(told.phi)
        for iteration in range(told.n_iter):
            means = sure + support * doubtful
            weighted = means * (factors * weights)
            gram = weighted @ weighted.T
            scale = float(np.trace(gram)) / n_types
            gram, projected = gram / scale, np.asarray(spots @ (weighted * weights).T) / scale
            ridge = told.lambda_ridge
            if told.lambda_mode == "absolute":
                strength = np.full(n_types, told.lambda_spatial)
            else:
                ridge *= _NUMERICAL_RIDGE
            prior = _type_level.Prior(W, phi, strength, ridge)
            V, b, self.objective_, self.converged_ = _type_level.solve(gram, projected, prior, V)
            residual = squares / scale - 2 * np.sum(projected * V, axis=1) + np.sum((V @ gram) * V, axis=1)
            residual = np.maximum(residual, 0)
            shares = _rows_to_one(V)
            if told.phi == "estimated" and iteration == 0:
                phi = _type_level.estimate_phi(distance_only, V)
            if iteration < told.n_iter - 1:
                doubted = doubtful * (factors * weights)
                support += _profiles.support(
                    projected * scale, np.asarray(spots @ (doubted * weights).T), weighted, doubted
                )
                support = min(max(support, 0.0), 1.0)
                factors = _profiles.platform_factors(observed, shares.mean(axis=0), means, profiles, n_spots)
                W = _type_level.attention(graph, self._data.coordinates, shares)
                if told.lambda_mode == "auto" and told.lambda_spatial > 0:
                    noise = float(residual.sum()) / (n_spots * max(n_genes - n_types, 1))
                    near = _type_level.Prior(distance_only, phi, strength, ridge)
                    strength = told.lambda_spatial * _type_level.variance_ratios(gram, V, near, noise)

        # spots that were scaled to one depth are mixtures of scaled cells: there a share of counts is a share of cells
        self.scaled_spots_ = _profiles.totals_are_even(self._data.counts)
        sizes = np.ones(n_types)
        if told.output == "cells" and not self.scaled_spots_:
            # half of their logs is believed, or as much as of other detail
            sizes = profiles.size ** max(support, _profiles.SIZE_SHARE)
        cells, codes = _profiles.shares(self._data.cells), self._data.codes
        statistics = np.asarray(cells @ (weighted * weights * factors).T) / scale
        distance = np.asarray(cells.multiply(cells) @ (weights * factors) ** 2).ravel() / scale
        distance += (
            gram[self._data.codes, self._data.codes] - 2 * statistics[np.arange(len(distance)), self._data.codes]
        )
        spread, apart = _posterior.cell_noise(statistics, codes, np.maximum(distance, 0), gram, shares.mean(axis=0))
        # as many cells as make a spot fit as well as it does; 1 / noise keeps the prior's scale
        noise = max(float(np.trace(np.linalg.solve(gram, spread))) / n_types, np.finfo(float).tiny)
        n_cells = shares @ apart / np.maximum(residual, 1e-3 * float(np.median(residual)) + np.finfo(float).tiny)
        metric = noise * np.linalg.solve(spread, gram)
        total = V.sum(axis=1)
        total = np.where(total > 0, total, 1)[:, None]
        around = prior.degree[:, None] * shares - prior.pull(shares - b)  # what a spot's own share does not enter
        posterior = _posterior.sample(
            gram @ metric,
            projected / total @ metric + strength * around,
            strength * prior.degree[:, None],
            n_cells / noise,
            shares,
            sizes,
            n_draws=int(np.clip(_DRAWS / n_spots, 60, 300)),
            seed=told.seed,
        )

        # the point and the mean of the draws err differently: halfway is nearer than either, on slices of both kinds
        mode = _rows_to_one(V / sizes)
        estimate = (mode + posterior.mean) / 2
        low, high = np.minimum(posterior.low, estimate), np.maximum(posterior.high, estimate)
        empty = squares == 0
        estimate[empty], low[empty], high[empty] = mode.mean(axis=0), 0.0, 1.0

        frame = {"index": self._index, "columns": self.types_}
        self.proportions_ = pd.DataFrame(estimate, **frame)
        self.uncertainty_ = pd.DataFrame(posterior.deviation, **frame)
        self.interval_ = (pd.DataFrame(low, **frame), pd.DataFrame(high, **frame))
        self.mode_ = pd.DataFrame(mode, **frame)
        self.abundance_ = pd.DataFrame(V, **frame)
        whole = squares / scale
        self.fit_ = pd.DataFrame(
            {
                "residual": np.sqrt(residual / n_genes),
                "explained": 1 - np.divide(residual, whole, out=np.ones(n_spots), where=whole > 0),
                "uncertainty": np.sqrt(np.sum(posterior.deviation**2, axis=1)),
            },
            index=self._index,
        )
        self.profiles_ = pd.DataFrame(means, index=self.types_, columns=self.genes_)
        self.platform_factors_ = pd.Series(factors, index=self.genes_)
        self.gene_weights_ = pd.Series(weights, index=self.genes_)
        self.lambda_k_ = pd.Series(strength, index=self.types_)
        self.attention_, self.phi_, self.support_ = W, phi, support


def _rows_to_one(V: Array) -> Array:
    """Scale rows to sum to 1; those without anything get the mean of the others."""
    total = V.sum(axis=1, keepdims=True)
    scaled = V / np.where(total > 0, total, 1)
    empty = total[:, 0] <= 0
    if empty.any():
        rest = scaled[~empty]
        scaled[empty] = rest.mean(axis=0) if len(rest) else 1 / V.shape[1]
    return np.asarray(scaled)


def _neighbours(coordinates: Array, k: int) -> sparse.csr_matrix:
    if len(coordinates) < 3 or k < 1:
        return sparse.csr_matrix((len(coordinates), len(coordinates)))
    slice_ = AnnData(obs=pd.DataFrame(index=[str(i) for i in range(len(coordinates))]), obsm={"spatial": coordinates})
    return graphs.spatial_graph(slice_, k)


def _labels(celltype: pd.Series | pd.DataFrame | Sequence[str] | npt.NDArray[Any]) -> pd.Series:
    if isinstance(celltype, pd.DataFrame):
        known = [c for c in celltype if str(c).lower().replace("_", "") in ("celltype", "annotation", "label")]
        celltype = celltype[known[0]] if known else celltype.iloc[:, 0]
    return pd.Series(np.asarray(celltype, dtype=object))


def _orientation(st_data: Table, sc_data: Table, n_spots: int, n_cells: int) -> tuple[bool, bool]:
    """Tell whether spots, and whether cells, are rows: by shared names, or by shapes."""
    if isinstance(st_data, pd.DataFrame) and isinstance(sc_data, pd.DataFrame):
        st_axes = [set(map(str, st_data.columns)), set(map(str, st_data.index))]
        sc_axes = [set(map(str, sc_data.columns)), set(map(str, sc_data.index))]
        shared = {(i, j): len(st_axes[i] & sc_axes[j]) for i in (0, 1) for j in (0, 1)}
        i, j = max(shared, key=lambda axes: (shared[axes], -sum(axes)))
        return i == 0, j == 0
    st_shape, sc_shape = np.shape(st_data), np.shape(sc_data)
    return st_shape[0] == n_spots, sc_shape[0] == n_cells


def _anndata(data: Table, rows_first: bool) -> AnnData:
    if isinstance(data, pd.DataFrame):
        data = data if rows_first else data.T
        matrix = sparse.csr_matrix(data.to_numpy(dtype=np.float64))
        rows, columns = data.index.astype(str), data.columns.astype(str)
    else:
        matrix = sparse.csr_matrix(data if rows_first else data.T)
        rows, columns = (pd.RangeIndex(n).astype(str) for n in matrix.shape)
    return AnnData(matrix, obs=pd.DataFrame(index=rows), var=pd.DataFrame(index=columns))
