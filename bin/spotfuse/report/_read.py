"""A finished slice, as its report reads it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd

from spotfuse import io
from spotfuse._core import guard, keys
from spotfuse._core.colours import domain_colours
from spotfuse._core.order import natural
from spotfuse._core.tables import read_back
from spotfuse._core.types import Array
from spotfuse.cohort import flatten

LISTED_GENES = 60  # markers of a domain that the page lists

_TABLES = (*keys.TABLES, keys.FIT, "status")


@dataclass(frozen=True)
class Slice:
    """What `collect_slice` wrote of a slice; what a lost step would have added is empty or None.

    Parameters
    ----------
    sample
        Its name.
    adata
        Its h5ad, with the counts left on disk.
    uns
        ``uns['spotfuse']`` in plain Python.
    metrics
        metrics.json, nested keys joined by a dot.
    deconvolution
        deconvolution.json.
    notes
        On the input.
    tables
        The .tsv files by name.
    """

    sample: str
    adata: ad.AnnData
    uns: dict[str, Any]
    metrics: dict[str, Any]
    deconvolution: dict[str, Any]
    notes: list[str]
    tables: dict[str, pd.DataFrame | None]

    # of the domains; a slice without any has one, called none
    names: list[str]
    codes: Array
    colours: list[str]
    confidence: Array
    attention: Array | None
    markers: dict[str, list[str]]

    types: list[str]
    proportions: Array | None  # of a single cell 1 for its type, nan where it has none
    unit: str  # "spot" or "cell"
    typed: bool  # whether each cell has a type of its own

    @classmethod
    def read(cls, folder: Path, sample: str) -> "Slice":
        """Read the folder of a slice."""
        paths = {name: folder / f"{name}.tsv" for name in _TABLES}
        return cls.of(
            guard.read_h5ad(folder / f"{sample}.h5ad", backed=True),
            sample,
            {name: read_back(path) if path.exists() else None for name, path in paths.items()},
            metrics=_json(folder / "metrics.json"),
            deconvolution=_json(folder / "deconvolution.json"),
            notes=_json(folder / "check.json").get("notes"),
        )

    @classmethod
    def of(
        cls,
        adata: ad.AnnData,
        sample: str,
        tables: dict[str, pd.DataFrame | None],
        *,
        metrics: dict[str, Any],
        deconvolution: dict[str, Any],
        notes: list[str] | None = None,
    ) -> "Slice":
        """Take a slice whose parts are in memory, as `read` finds them; notes are the slice's where none are given."""
        uns = _plain(adata.uns.get(keys.NOTE, {}))
        told = [*(notes or uns.get("notes", [])), *deconvolution.get("notes", [])]
        labels, confidence = np.full(adata.n_obs, "none", object), np.full(adata.n_obs, np.nan)
        if keys.DOMAIN in adata.obs:
            labels = adata.obs[keys.DOMAIN].astype(str).to_numpy()
            confidence = adata.obs[keys.CONFIDENCE].to_numpy(float)
        names = sorted(set(labels), key=natural)
        attention = np.asarray(adata.obsm[keys.ATTENTION], float)[:, 0] if keys.ATTENTION in adata.obsm else None
        proportions = keys.proportions_of(adata) if keys.PROPORTIONS in adata.obsm else None
        unit = "cell" if io.holds_cells(adata) else "spot"
        typed = keys.CELL_CLASS in adata.obs
        if typed and proportions is not None:
            own = adata.obs[keys.CELL_TYPE].astype(object).to_numpy()
            proportions = pd.DataFrame(
                {name: np.where(pd.isna(own), np.nan, own == name) for name in proportions}, adata.obs_names
            )
        return cls(
            sample=sample,
            adata=adata,
            uns=uns,
            metrics=flatten(metrics),
            deconvolution=deconvolution,
            notes=list(dict.fromkeys(map(str, told))),
            tables=tables,
            names=names,
            codes=pd.Categorical(labels, names).codes.astype(int),
            colours=domain_colours(names),
            confidence=confidence,
            attention=attention,
            markers=_markers(tables["markers"], names),
            types=[] if proportions is None else list(proportions),
            proportions=None if proportions is None else proportions.to_numpy(),
            unit=unit,
            typed=typed,
        )

    @property
    def has_domains(self) -> bool:
        """Whether the slice was divided."""
        return keys.DOMAIN in self.adata.obs

    @property
    def xy(self) -> Array:
        """Coordinates of the spots, shape (n, 2)."""
        return np.asarray(self.adata.obsm[keys.SPATIAL], float)[:, :2]

    @property
    def shares(self) -> Array:
        """Share of the spots that lie in each domain."""
        return np.bincount(self.codes, minlength=len(self.names)) / max(len(self.codes), 1)

    @property
    def composition(self) -> Array | None:
        """Mean proportion of each type in each domain, shape (domains, types); nan where no spot has an estimate."""
        if self.proportions is None:
            return None
        known = ~np.isnan(self.proportions).any(axis=1)
        empty = np.full(len(self.types), np.nan)
        of = [self.proportions[known & (self.codes == k)] for k in range(len(self.names))]
        return np.stack([some.mean(axis=0) if len(some) else empty for some in of])


def _markers(table: pd.DataFrame | None, names: list[str]) -> dict[str, list[str]]:
    """Give the names of each domain's markers, best first."""
    if table is None:
        return {name: [] for name in names}
    up = table[table["log_fold_change"] > 0]
    return {name: up.loc[up["domain"] == name, "gene"].head(LISTED_GENES).tolist() for name in names}


def _json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def _plain(value: Any) -> Any:
    """Turn what h5ad gives back into plain Python; text that is JSON is read."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return [_plain(item) for item in value.tolist()]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            return value
    return value
