"""The ways from a slice and a reference to proportions, and what each of them gives."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
from anndata import AnnData
from scipy import sparse

from spotfuse._core import backend
from spotfuse._core.errors import InputError
from spotfuse.proportions._registry import METHODS
from spotfuse.proportions._settings import SETTINGS, Settings


@dataclass(frozen=True)
class Proportions:
    """What a method found.

    Attributes
    ----------
    proportions
        Share of each cell type in each spot, of shape (n_spots, n_types), types sorted by name; rows sum to 1.
    sd
        Their standard deviations, likewise; None where the method knows none.
    fit
        How well the types explain each spot, of n_spots rows: ``residual``, ``explained`` (a share) and what else the
        method tells.
    cells
        Type of each cell of the reference that was used, indexed by cell.
    weigh
        Gives the share of each of these cells in each spot, sparse, of shape (n_spots, n_cells): a second way that
        takes time, for who asks.
    summary
        What a report needs to know, as plain numbers and text; ``notes`` among it.
    classes
        Class of each type, by type: as the reference says, or of those that the genes do not tell apart; None where
        the method knows none.
    """

    proportions: pd.DataFrame
    sd: pd.DataFrame | None
    fit: pd.DataFrame
    cells: pd.Series
    weigh: Callable[[], sparse.csr_matrix]
    summary: dict[str, Any]
    classes: pd.Series | None = None

    def cell_map(self) -> AnnData:
        """Give which cells each spot is made of: float32 of shape (n_spots, n_cells), ``var['cell_type']``."""
        types = pd.DataFrame({"cell_type": pd.Categorical(self.cells)}, index=self.cells.index)
        weights = sparse.csr_matrix(self.weigh(), dtype="float32")
        return AnnData(weights, obs=pd.DataFrame(index=self.proportions.index), var=types)


def estimate(
    st: AnnData,
    sc: AnnData,
    method: str = "attention_regression",
    *,
    output: str = "cells",
    k_neighbors: int = 6,
    seed: int = 1,
    device: str = "auto",
    threads: int = 1,
    settings: Settings = SETTINGS,
    **options: Any,
) -> Proportions:
    """Estimate the cell types of spots.

    Parameters
    ----------
    st
        Prepared slice with raw counts, of shape (n_spots, n_genes), and ``obsm['spatial']``.
    sc
        Reference as `read_reference` or `as_reference` gives it, with ``obs['cell_type']``; where its ``obs['class']``
        says of which class each type is, classes are these, and none are looked for.
    method
        One of `METHODS`.
    output
        ``cells``: shares of cells; ``molecules``: shares of counts.
    k_neighbors
        Spatial neighbours of a spot.
    seed
        Of what is drawn.
    device
        ``auto`` (a GPU if there is one), ``cpu`` or ``cuda``.
    threads
        Processor threads; their number changes nothing.
    settings
        What else decides them.
    **options
        The method's own (`options_of`).

    Returns
    -------
    Proportions
        Of the spots, in their order in `st`.

    Raises
    ------
    InputError
        For an unknown method or option, for what is not counts, too few shared genes and numbers out of range.

    Examples
    --------
    >>> found = estimate(prepared, reference, "attention_regression", phi=0.5)  # doctest: +SKIP
    >>> found.proportions  # doctest: +SKIP
    """
    known = options_of(method)
    strange = [name for name in options if name not in known]
    if strange:
        raise InputError(f"{strange[0]} is no option of method {method}; it has {', '.join(known)}")
    shared: dict[str, Any] = {"output": output, "k_neighbors": k_neighbors, "seed": seed, "threads": threads}
    shared |= {"settings": settings}
    found: Proportions = _run(method)(st, sc, device=backend.device(device), **shared, **options)
    if "class" in sc.obs:
        given = sc.obs.drop_duplicates("cell_type").set_index("cell_type")["class"].astype(str)
        found = replace(found, classes=given.reindex(found.proportions.columns))
    return found


def options_of(method: str) -> dict[str, Any]:
    """Give the options that a method alone has, and their defaults.

    Parameters
    ----------
    method
        One of `METHODS`.

    Returns
    -------
    dict

    Raises
    ------
    InputError
        For an unknown method.
    """
    shared = inspect.signature(estimate).parameters
    own = inspect.signature(_run(method)).parameters
    return {name: parameter.default for name, parameter in own.items() if name not in shared}


def attention_regression(
    st: AnnData,
    sc: AnnData,
    *,
    output: str,
    k_neighbors: int,
    seed: int,
    device: str,
    threads: int,
    settings: Settings,
    phi: float | str = 0.8,
    lambda_cell: float = 1.0,
    lambda_spatial: float = 1.0,
    lambda_ridge: float = 1.0,
    n_iter: int = 5,
) -> Proportions:
    """Regress spots on the types' profiles; options as for `AttentionRegressionDeconv`."""
    from spotfuse.proportions.regression._model import AttentionRegressionDeconv

    model = AttentionRegressionDeconv.from_anndata(
        st,
        sc,
        max_cells_per_type=sc.n_obs,
        phi=phi,
        lambda_cell=lambda_cell,
        lambda_spatial=lambda_spatial,
        lambda_ridge=lambda_ridge,
        n_iter=n_iter,
        n_jobs=threads,
        k_neighbors=k_neighbors,
        output=output,
        seed=seed,
        device=device,
        settings=settings,
    )
    model.run()
    return Proportions(
        model.proportions_,
        model.uncertainty_,
        model.fit_,
        model.cell_types_,
        model.map_cells,
        model.summary(),
        model.classes_,
    )


def cell_mapping(
    st: AnnData,
    sc: AnnData,
    *,
    output: str,
    k_neighbors: int,
    seed: int,
    device: str,
    threads: int,
    settings: Settings,
    temperature: float = 1.0,
    retain_percent: float = 1.0,
) -> Proportions:
    """Mix each spot of the reference's cells; options as for `map_cells` and `CellMap.proportions`."""
    from spotfuse.proportions._cell_mapping import map_cells

    found = map_cells(
        st,
        sc,
        temperature=temperature,
        k_neighbors=k_neighbors,
        output=output,
        max_cells_per_type=sc.n_obs,
        seed=seed,
        device=device,
        settings=settings,
    )
    cells = pd.Series(found.types, index=found.cells)
    return Proportions(
        found.proportions(retain_percent), None, found.fit(), cells, lambda: found.weights, found.summary
    )


def _run(method: str) -> Callable[..., Proportions]:
    if method not in METHODS:
        raise InputError(f"method is {method!r}; it must be one of {', '.join(METHODS)}")
    return METHODS[method]()
