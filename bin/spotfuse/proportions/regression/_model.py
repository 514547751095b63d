"""AttentionRegressionDeconv: what its users know of it, on top of the steps."""

import dataclasses
import logging
import time
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from anndata import AnnData
from scipy import sparse
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from spotfuse import metrics
from spotfuse._core import progress
from spotfuse._core.errors import InputError
from spotfuse._core.notes import listed
from spotfuse.proportions import _input, _profiles
from spotfuse.proportions._classes import found_classes
from spotfuse.proportions._input import Labels, Places, Table
from spotfuse.proportions._settings import SETTINGS, Settings
from spotfuse.proportions.regression import _cell_level, _fit
from spotfuse.proportions.regression._fit import Arguments

log = logging.getLogger(__name__)


class AttentionRegressionDeconv:
    """Estimate the cell types of spots from a single-cell reference.

    Spots are regressed on the mean profiles of types, weighted non-negative least squares with a prior that holds
    neighbours in the tissue together by attention (`run`); each spot's proportions can then be laid on the reference's
    cells (`map_cells`).

    Names are used wherever there are any: genes of both sides are matched by name, and `celltype` and `st_coordinates`
    follow the index of the counts, whatever their order. What has no names, or a default index, is taken by position.

    Parameters
    ----------
    sc_data
        Raw counts of single cells: a DataFrame, array or sparse matrix, (n_cells, n_genes) or (n_genes, n_cells), or an
        AnnData with counts in X, ``layers['counts']`` or ``raw``. Without names of genes, both sides must have the same
        genes in one order.
    st_data
        Raw counts of spots, likewise: (n_spots, n_genes) or (n_genes, n_spots), or an AnnData.
    st_coordinates
        x and y of each spot, (n_spots, 2), in any unit: an array, or a DataFrame whose columns are called x and y, row
        and col … or are the only two of numbers. None for those of an AnnData, in ``obsm['spatial']``.
    celltype
        Type of each cell, (n_cells,): a Series, an array, a list or a dict by cell; a DataFrame with a column of them;
        or the name of a column of an AnnData's ``obs``. Cells without a type (NaN, '') are left out.
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
    settings
        What else decides it (`spotfuse.proportions.Settings`); None for the defaults.

    Attributes
    ----------
    proportions_ : DataFrame of shape (n_spots, n_types)
        Rows sum to 1; less than a sixteenth of a cell, or than 1/64 where a spot seems to hold less than four, is none.
    mode_, uncertainty_ : DataFrame of shape (n_spots, n_types)
        The first regression's own proportions, and standard deviations: of what the posterior's draws and the methods
        that are averaged differ by, and of other error.
    interval_ : two DataFrames of shape (n_spots, n_types)
        Ends of the 90 % interval.
    doubt_ : DataFrame of shape (n_types, n_types)
        Covariance of what a spot's proportions may be by the posterior's draws, mean over spots.
    classes_ : Series of length n_types
        Class of each type: types that the genes do not tell apart form one, which has their names.
    abundance_ : DataFrame of shape (n_spots, n_types)
        The regression's weights, before rows are scaled.
    fit_ : DataFrame of n_spots rows
        ``residual`` (weighted root mean square), ``explained`` (share of the weighted sum of squares) and
        ``uncertainty`` (length of the standard deviations) of each spot.
    support_ : float
        How much of what might be chance in the profiles the spots show, from 0 to 1: near 1 where the reference's
        cells are the slice's own, or as good as.
    scaled_spots_ : bool
        Whether spots were scaled to one depth.
    profiles_ : DataFrame of shape (n_types, n_genes)
        Mean share of each gene in each type.
    platform_factors_, gene_weights_ : Series of length n_genes
        What the slice's platform sees of a gene relative to the reference's, and how much the gene counts.
    attention_ : sparse matrix of shape (n_spots, n_spots)
        Weights of neighbours.
    phi_ : float
        The autocorrelation used.
    lambda_k_ : Series of length n_types
        How strongly each type is held together.
    objective_, converged_ : list of float, bool
        How the last solve went.
    elapsed_time_ : float or None
        Seconds that `run` took.
    types_, genes_, cells_, cell_types_
        Names of types, of genes used and of cells used, and the type of each cell; known before `run`, as is
    notes_ : list of str
        what was put right in the input; logged as warnings.

    Raises
    ------
    InputError
        A ValueError, in one line that names the argument: for names that fit in part or not at all, for what is not
        raw counts, for one type alone, coordinates that are missing, too few shared genes, numbers out of range.

    See Also
    --------
    spotfuse.deconvolution.evaluate : scores proportions against known ones
    spotfuse.cell_mapping.map_cells : SpatialFusion's way from cells to spots

    Notes
    -----
    `run` shows how far it is in a notebook or a terminal; ``logging.getLogger("spotfuse").setLevel("ERROR")`` is quiet.

    References
    ----------
    Ma and Zhou 2022, Nat Biotechnol 40:1349 (CARD): the regression with spatially correlated proportions that this one
    starts from.

    Examples
    --------
    >>> deconv = AttentionRegressionDeconv(sc_data, st_data, st_coordinates, celltype)  # doctest: +SKIP
    >>> proportions, seconds = deconv.run()  # doctest: +SKIP
    >>> deconv.evaluate(proportions, truth)["RMSE"]  # doctest: +SKIP

    With AnnData, whose ``obs`` has the types:

    >>> deconv = AttentionRegressionDeconv(adata_sc, adata, celltype="cell_type")  # doctest: +SKIP
    """

    def __init__(
        self,
        sc_data: Table,
        st_data: Table,
        st_coordinates: Places | None = None,
        celltype: Labels = "cell_type",
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
        settings: Settings | None = None,
    ) -> None:
        self.settings, self.arguments = (
            settings or SETTINGS,
            Arguments(
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
        st, cells, self._index = _input.read(
            sc_data, st_data, st_coordinates, celltype, max_cells_per_type=max_cells_per_type, seed=seed
        )
        self._data = data = _input.match(st, cells, self.settings.reference.least_genes)
        self.types_, self.genes_, self.cells_, self.notes_ = data.types, data.genes, data.cell_names, data.notes
        self.cell_types_ = pd.Series(np.array(data.types)[data.codes], index=data.cell_names)
        self._twins = _profiles.twins(data.cells, data.codes, len(data.types))
        alike = [name for name, n in zip(data.types, np.bincount(self._twins)[self._twins], strict=True) if n > 1]
        if alike:
            self.notes_.append(f"cell types of one profile, which nothing tells apart, share evenly: {listed(alike)}")
        self.elapsed_time_: float | None = None
        for note in self.notes_:
            log.warning(note)

    @classmethod
    def from_anndata(
        cls, st: AnnData, sc: AnnData, cell_type_key: str = "cell_type", max_cells_per_type: int = 1000, **settings: Any
    ) -> Self:
        """Start from a slice with coordinates in ``obsm['spatial']``, and a reference with labels in ``obs``.

        Parameters
        ----------
        st, sc
            Slice and reference: the class's `st_data` and `sc_data`.
        cell_type_key
            Column of the reference's ``obs``: its `celltype`.
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
            As for the class.
        """
        return cls(sc, st, celltype=cell_type_key, max_cells_per_type=max_cells_per_type, **settings)

    def __repr__(self) -> str:
        counts, data = self._data.counts, self._data
        sizes = f"{counts.shape[0]} spots × {counts.shape[1]} genes, {len(data.codes)} cells of {len(data.types)} types"
        changed = "".join(
            f", {field.name}={getattr(self.arguments, field.name)!r}"
            for field in dataclasses.fields(Arguments)
            if getattr(self.arguments, field.name) != field.default
        )
        state = "not run" if self.elapsed_time_ is None else f"run in {self.elapsed_time_:.1f} s"
        return f"AttentionRegressionDeconv({sizes}{changed}; {state})"

    def run(self) -> tuple[pd.DataFrame, float]:
        """Estimate proportions.

        Returns
        -------
        proportions : DataFrame of shape (n_spots, n_types)
            Types sorted by name; rows sum to 1.
        seconds : float
        """
        start = time.perf_counter()
        # batches of spots are what threads share, so that their number changes nothing
        with progress.shown(), threadpool_limits(1):
            self._learn()
            self.elapsed_time_ = time.perf_counter() - start
            log.info("%d spots deconvolved in %.1f s", len(self.proportions_), self.elapsed_time_)
        return self.proportions_, self.elapsed_time_

    def evaluate(self, deconv_celltypes: pd.DataFrame, result_x: pd.DataFrame | npt.NDArray[Any]) -> dict[str, Any]:
        """Score proportions against known ones, or against numbers of cells.

        Parameters
        ----------
        deconv_celltypes
            As `run` gives them.
        result_x
            The truth, of shape (n_spots, n_types): a DataFrame whose rows and columns are found by name, or, without
            names, in the order of `deconv_celltypes`. It covers these spots, or is of some of them.

        Returns
        -------
        dict
            ``RMSE``, ``PCC`` and ``JSD`` first; see `spotfuse.metrics.evaluate`.

        Raises
        ------
        InputError
            For a truth of other spots or types, or with anything but numbers from 0.
        """
        if not isinstance(deconv_celltypes, pd.DataFrame):
            raise InputError(
                f"deconv_celltypes is a {type(deconv_celltypes).__name__}; give the DataFrame that run() returns"
            )
        if not isinstance(result_x, pd.DataFrame):
            values = np.asarray(result_x)
            if values.shape != deconv_celltypes.shape:
                raise InputError(
                    f"result_x has the shape {values.shape}, deconv_celltypes {deconv_celltypes.shape}: give both the "
                    "same, or a DataFrame with names"
                )
            result_x = pd.DataFrame(values, deconv_celltypes.index, deconv_celltypes.columns)
        return metrics.scores(deconv_celltypes, result_x, "deconv_celltypes", "result_x")

    def map_cells(self) -> sparse.csr_matrix:
        """Distribute each spot's proportions over cells of the reference (step 2), after `run`.

        Returns
        -------
        Sparse matrix of shape (n_spots, n_cells). Cells stand as in ``cells_``; those of a type sum to the spot's
        proportion, so that proportions are step 1's.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before `run`.
        """
        self._check_is_fitted()
        weights, factors = self.gene_weights_.to_numpy(), self.platform_factors_.to_numpy()
        with threadpool_limits(1):
            return _cell_level.cell_map(
                self._data.counts,
                self._data.cells,
                self._data.codes,
                self.proportions_.to_numpy(),
                weights,
                weights * factors,
                self.arguments.lambda_cell,
                self.arguments.threads,
                self.settings.regression,
            )

    def summary(self) -> dict[str, Any]:
        """Give what a report needs to know of the run, as plain numbers and text; `NotFittedError` before `run`."""
        self._check_is_fitted()
        return {
            "method": "attention_regression",
            "output": self.arguments.output,
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
            "classes": [own.index.tolist() for _, own in self.classes_.groupby(self.classes_) if len(own) > 1],
            "notes": self.notes_,
        }

    def _check_is_fitted(self) -> None:
        if self.elapsed_time_ is None:
            from sklearn.exceptions import NotFittedError

            raise NotFittedError("This AttentionRegressionDeconv has not been run: call run() before")

    def _learn(self) -> None:
        told_apart = np.unique(self._twins, return_index=True)[1]
        data = dataclasses.replace(
            self._data, codes=self._twins[self._data.codes], types=[self._data.types[k] for k in told_apart]
        )
        found = _fit.Regression(data, self.arguments, self.settings)
        n_spots, n_genes = self._data.counts.shape
        # spots that were scaled to one depth are mixtures of scaled cells: there a share of counts is a share of cells
        self.scaled_spots_ = _profiles.totals_are_even(self._data.counts, self.settings.profiles)
        sizes = np.ones(len(data.types))
        if self.arguments.output == "cells" and not self.scaled_spots_:
            sizes = found.profiles.size**self.settings.profiles.size_share
        estimate = _fit.averaged(*found.members(sizes), self.settings.regression)
        mode = _fit.rows_to_one(found.V / sizes)
        empty = found.squares == 0
        estimate.proportions[empty], estimate.low[empty], estimate.high[empty] = mode.mean(axis=0), 0.0, 1.0

        def frame(values: npt.NDArray[np.float64]) -> pd.DataFrame:
            return pd.DataFrame((values / np.bincount(self._twins))[:, self._twins], self._index, self.types_)

        self.proportions_, self.mode_, self.abundance_ = (
            frame(values) for values in (estimate.proportions, mode, found.V)
        )
        self.uncertainty_, self.interval_ = frame(estimate.deviation), (frame(estimate.low), frame(estimate.high))
        whole = found.squares / found.scale
        self.fit_ = pd.DataFrame(
            {
                "residual": np.sqrt(found.residual / n_genes),
                "explained": 1 - np.divide(found.residual, whole, out=np.ones(n_spots), where=whole > 0),
                "uncertainty": np.sqrt(np.sum(estimate.deviation**2, axis=1)),
            },
            index=self._index,
        )
        self.profiles_ = pd.DataFrame(found.means[self._twins], index=self.types_, columns=self.genes_)
        self.platform_factors_ = pd.Series(found.factors, index=self.genes_)
        self.gene_weights_ = pd.Series(found.weights, index=self.genes_)
        self.lambda_k_ = pd.Series(found.prior.strength[self._twins], index=self.types_)
        self.attention_, self.phi_, self.support_ = found.prior.W, found.prior.phi, found.support
        self.objective_, self.converged_ = found.objective, found.converged
        shared = self._twins[:, None] == self._twins
        doubt = found.doubt[self._twins][:, self._twins] / np.outer(shared.sum(axis=1), shared.sum(axis=1))
        self.doubt_ = pd.DataFrame(doubt, self.types_, self.types_)
        self.classes_ = found_classes(self.proportions_, doubt, self.settings.classes)
