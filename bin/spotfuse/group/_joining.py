"""Slices of one group, learned together: joined before the encoder, taken apart after the domains."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from spotfuse import preparation
from spotfuse._core import keys, tables
from spotfuse._core.errors import InputError
from spotfuse._core.types import Floats, Floats32, Ints
from spotfuse.group import _placement, _shared_tissue
from spotfuse.group._settings import SETTINGS, Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Common:
    """What slices of a group have in common.

    Attributes
    ----------
    group
        Its name, for messages.
    prepared
        Prepared file of each slice, or the slice, by its name. One after the other is read.
    names
        Slices that share enough genes, sorted.
    left_out
        What is to be said of the others.
    genes, variable
        Genes that all have, and which of them are variable in most.
    n_components
        As the slices were prepared.
    settings
        What else decides how they are joined and laid on each other.
    """

    group: str
    prepared: Mapping[str, Path | AnnData]
    names: list[str]
    left_out: dict[str, str]
    genes: list[str]
    variable: Ints
    n_components: int
    settings: Settings = SETTINGS

    @classmethod
    def of(cls, group: str, prepared: Mapping[str, Path | AnnData], settings: Settings = SETTINGS) -> "Common":
        """Look into the prepared slices of a group, in any order; `InputError` when no two share enough genes."""
        genes = {name: _opened(prepared[name], counts=False).var_names for name in sorted(prepared)}
        names, left_out = _fitting(group, genes, settings)
        common = sorted(set.intersection(*(set(genes[name]) for name in names)))
        sizes = _opened(prepared[names[0]], counts=False).uns["spotfuse"]["prepare"]
        n_top_genes = int(sizes["n_top_genes"])
        ranks = np.stack([_ranks(_slice(prepared[name], common), n_top_genes) for name in names])
        variable = _most_variable(ranks, n_top_genes)
        return cls(group, prepared, names, left_out, common, variable, int(sizes["n_components"]), settings)

    def read(self, name: str) -> AnnData:
        """Give a prepared slice with the common genes."""
        return _slice(self.prepared[name], self.genes)

    def part(self, adata: AnnData) -> preparation.Part:
        """Give the counts of the variable ones of a slice's common genes, and its spots' totals."""
        return adata.X[:, self.variable], np.asarray(adata.X.sum(axis=1), dtype=np.float32)


def join(common: Common, alignment: pd.DataFrame | None = None) -> AnnData:
    """Join prepared slices into one that the encoder and the domains take for a slice.

    Slices meet in the genes that they share, of which those are taken that are among the most variable ones of most
    slices. Expression is standardised in each slice by itself, which takes out what differs between slices as wholes;
    components are those of all slices together, and slices that hold tissue in different shares are moved until the
    same tissue lies together (`spotfuse.preparation.without_batch_shift`). The spatial graph has no edge between
    slices unless they lie in one frame (`spotfuse.preparation.between_slices`); the feature graph may.

    Parameters
    ----------
    common
        The slices, and what they have in common.
    alignment
        Where the slices lie in one frame, if they do (`spotfuse.group.align`).

    Returns
    -------
    The joined slice, of shape (n_spots of all slices, n variable genes): spots are called ``slice/spot``;
    ``obs['slice']``; ``obsm['spatial']`` with the slices side by side, and with `alignment`
    ``obsm['spatial_aligned']``; components and graphs as `spotfuse.preparation.prepare` adds them, and
    ``obsm['X_pca_alone']`` and ``obsm['X_pca_log_alone']``, the components of each slice alone.
    ``uns['spotfuse']`` has ``group`` and, as JSON, ``left_out``: why a slice is not among them, by its name, and
    ``in_common``: the share of its tissue that a slice has in common with the others.
    """
    parts: list[preparation.Part] = []
    obs: list[pd.DataFrame] = []
    places: dict[str, Floats] = {}
    graphs, platforms = [], set()
    alone: dict[str, list[Floats32]] = {keys.X_PCA_ALONE: [], keys.X_PCA_LOG_ALONE: []}
    before = 0
    for name in common.names:
        adata = common.read(name)
        parts.append(common.part(adata))
        row = np.argsort(tables.in_input_order(adata)) + before
        before += adata.n_obs
        obs.append(
            pd.DataFrame({"slice": name, "input_row": row}, index=[f"{name}/{spot}" for spot in adata.obs_names])
        )
        places[name] = np.asarray(adata.obsm["spatial"], dtype=float)[:, :2]
        graphs.append(adata.obsp["spatial_connectivities"])
        for of, own in zip((keys.X_PCA, keys.X_PCA_LOG), alone.values(), strict=True):
            own.append(np.asarray(adata.obsm[of], dtype=np.float32))
        platforms.add(str(adata.uns["spotfuse"]["platform"]))
    var = pd.DataFrame({"highly_variable": True}, index=np.array(common.genes, dtype=object)[common.variable])
    joined = AnnData(sparse.vstack([counts for counts, _ in parts], format="csr"), obs=pd.concat(obs), var=var)
    joined.obs["slice"] = joined.obs["slice"].astype("category")
    joined.obsm["spatial"] = _side_by_side(places, common.settings.gap)
    joined.obsp["spatial_connectivities"] = sparse.block_diag(graphs, format="csr", dtype=np.float32)
    if alignment is not None:
        _placement.join_frames(joined, places, alignment)
    preparation.add_components(joined, parts, common.n_components)
    for key, own in alone.items():
        most = max(values.shape[1] for values in own)  # few spots or genes have fewer components
        joined.obsm[key] = np.vstack([np.pad(values, ((0, 0), (0, most - values.shape[1]))) for values in own])
    joined.uns["spotfuse"] = {
        "group": common.group,
        "platform": platforms.pop() if len(platforms) == 1 else "other",
        "n_genes_shared": len(common.genes),
        "left_out": json.dumps(common.left_out),
        "in_common": json.dumps(_in_common(common.group, joined, common.settings)),
    }
    log.info(
        "%d slices, %d spots, %d of %d shared genes",
        *(len(common.names), joined.n_obs, joined.n_vars, len(common.genes)),
    )
    return joined


def _side_by_side(places: Mapping[str, Floats], gap: float) -> Floats:
    """Put slices in a row from left to right, with a gap between them."""
    row, edge = [], 0.0
    for place in places.values():
        moved = place - place.min(axis=0) + [edge, 0]
        edge = moved[:, 0].max() + gap * np.ptp(moved[:, 0])
        row.append(moved)
    return np.vstack(row)


def _in_common(group: str, joined: AnnData, settings: Settings) -> dict[str, float]:
    """Give the share of its tissue that each slice has in common with the others, and warn where it is small."""
    slices = joined.obs["slice"].cat
    shares = _shared_tissue.shared_tissue(
        preparation.smoothed(joined, joined.obsm["X_pca"]), slices.codes.to_numpy(np.int64), settings
    )
    found = {str(name): round(float(share), 3) for name, share in zip(slices.categories, shares, strict=True)}
    for name, share in found.items():
        if share < settings.least_in_common:
            log.warning(
                "slice %s seems to have %.0f %% of its tissue in common with the rest of group %s: if its domains look "
                "wrong, learn it without a group",
                name,
                100 * share,
                group,
            )
    return found


def _opened(prepared: Path | AnnData, *, counts: bool = True) -> AnnData:
    return prepared if isinstance(prepared, AnnData) else tables.read_prepared(prepared, counts=counts)


def _slice(prepared: Path | AnnData, genes: list[str]) -> AnnData:
    adata = _opened(prepared)[:, genes].copy()
    adata.X = sparse.csr_matrix(adata.X, dtype=np.float32)
    return adata


def _fitting(group: str, genes: Mapping[str, pd.Index], settings: Settings) -> tuple[list[str], dict[str, str]]:
    """Give the slices that share enough genes, sorted, and what is to be said of the others."""
    number = pd.Series(np.concatenate([names.to_numpy(str) for names in genes.values()])).value_counts()
    usual = set(number.index[number > len(genes) / 2])
    order = sorted(genes, key=lambda name: (-len(usual.intersection(genes[name])), name))
    kept, common, left_out = [order[0]], set(genes[order[0]]), {}
    for name in order[1:]:
        shared = common.intersection(genes[name])
        least = max(settings.least_genes, int(np.ceil(settings.least_shared * min(len(common), len(genes[name])))))
        if len(shared) >= least:
            kept.append(name)
            common = shared
        else:
            left_out[name] = (
                f"shares {len(shared)} of its {len(genes[name])} genes with {', '.join(sorted(kept)[:3])}"
                f"{' …' if len(kept) > 3 else ''} of group {group}, {least} are needed to learn them together: name "
                "genes alike in all slices, or give it another group"
            )
    if len(kept) < 2:
        name, why = min(left_out.items())
        raise InputError(f"{name} {why}")
    return sorted(kept), left_out


def _ranks(adata: AnnData, n_top_genes: int) -> Ints:
    """Give the place of each gene among the most variable ones of a slice; all others are last."""
    ranks = np.full(adata.n_vars, n_top_genes)
    best = preparation.most_variable(adata, n_top_genes)
    ranks[best] = np.arange(len(best))
    return ranks


def _most_variable(ranks: Ints, n_top_genes: int) -> Ints:
    """Choose genes that are variable in most slices, of those the ones that are it most; columns in their order."""
    n_slices = (ranks < n_top_genes).sum(axis=0)
    return np.sort(np.lexsort((ranks.mean(axis=0), -n_slices))[:n_top_genes])
