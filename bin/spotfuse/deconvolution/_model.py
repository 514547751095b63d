"""AttentionRegressionDeconv: what its users know of it, on top of the steps."""

import time
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from anndata import AnnData
from scipy import sparse
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from spotfuse import reference
from spotfuse.deconvolution import _cell_level, _fit, _input, _profiles
from spotfuse.deconvolution._evaluation import evaluate
from spotfuse.deconvolution._fit import Settings
from spotfuse.deconvolution._input import Table
from spotfuse.errors import InputError


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
    device
        ``auto`` (a GPU if there is one), ``cpu`` or ``cuda``.

    Attributes
    ----------
    proportions_ : DataFrame of shape (n_spots, n_types)
        Rows sum to 1; a share below 1/64 is none.
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
        device: str = "auto",
    ) -> None:
        coordinates = np.asarray(st_coordinates, dtype=np.float64)
        if coordinates.ndim != 2 or coordinates.shape[1] < 2:
            raise InputError(f"st_coordinates must have two columns, x and y; its shape is {coordinates.shape}")
        labels = _input.labels_of(celltype)
        spots_first, cells_first = _input.orientation(st_data, sc_data, len(coordinates), len(labels))
        st = _input.to_anndata(st_data, spots_first)
        sc = _input.to_anndata(sc_data, cells_first)
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
                device=device,
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

        Returns
        -------
        The model, for `run`.

        Raises
        ------
        InputError
            For what is not counts, a missing column, too few shared genes, or numbers out of range.
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
        with threadpool_limits(1):  # batches of spots are what threads share, so that their number changes nothing
            self._learn()
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
        Sparse matrix of shape (n_spots, n_cells). Cells stand as in ``cells_``; those of a type sum to the spot's
        proportion, so that proportions are step 1's.
        """
        weights, factors = self.gene_weights_.to_numpy(), self.platform_factors_.to_numpy()
        with threadpool_limits(1):
            return _cell_level.cell_map(
                self._data.counts,
                self._data.cells,
                self._data.codes,
                self.proportions_.to_numpy(),
                weights,
                weights * factors,
                self.settings.lambda_cell,
                self.settings.threads,
            )

    def summary(self) -> dict[str, Any]:
        """Give what a report needs to know of the run, as plain numbers and text."""
        return {
            "method": "attention_regression",
            "output": self.settings.output,
            "proportions": "of the type level; the cell level divides them over cells and leaves them as they are",
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

    def _learn(self) -> None:
        found = _fit.Regression(self._data, self.settings)
        n_spots, n_genes = self._data.counts.shape
        # spots that were scaled to one depth are mixtures of scaled cells: there a share of counts is a share of cells
        self.scaled_spots_ = _profiles.totals_are_even(self._data.counts)
        sizes = np.ones(len(self.types_))
        if self.settings.output == "cells" and not self.scaled_spots_:
            # half of their logs is believed, or as much as of other detail
            sizes = found.profiles.size ** max(found.support, _profiles.SIZE_SHARE)
        posterior = found.posterior(sizes)
        # the point and the mean of the draws err differently: halfway is nearer than either, on slices of both kinds
        mode = _fit.rows_to_one(found.V / sizes)
        estimate = _fit.drop_traces((mode + posterior.mean) / 2)
        low, high = np.minimum(posterior.low, estimate), np.maximum(posterior.high, estimate)
        empty = found.squares == 0
        estimate[empty], low[empty], high[empty] = mode.mean(axis=0), 0.0, 1.0

        def frame(values: npt.NDArray[np.float64]) -> pd.DataFrame:
            return pd.DataFrame(values, self._index, self.types_)

        self.proportions_, self.mode_, self.abundance_ = frame(estimate), frame(mode), frame(found.V)
        self.uncertainty_, self.interval_ = frame(posterior.deviation), (frame(low), frame(high))
        whole = found.squares / found.scale
        self.fit_ = pd.DataFrame(
            {
                "residual": np.sqrt(found.residual / n_genes),
                "explained": 1 - np.divide(found.residual, whole, out=np.ones(n_spots), where=whole > 0),
                "uncertainty": np.sqrt(np.sum(posterior.deviation**2, axis=1)),
            },
            index=self._index,
        )
        self.profiles_ = pd.DataFrame(found.means, index=self.types_, columns=self.genes_)
        self.platform_factors_ = pd.Series(found.factors, index=self.genes_)
        self.gene_weights_ = pd.Series(found.weights, index=self.genes_)
        self.lambda_k_ = pd.Series(found.prior.strength, index=self.types_)
        self.attention_, self.phi_, self.support_ = found.prior.W, found.prior.phi, found.support
        self.objective_, self.converged_ = found.objective, found.converged
