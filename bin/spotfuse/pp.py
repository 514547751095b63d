"""Preparation: from raw counts to what `spotfuse.tl` reads."""

from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from spotfuse import io, preparation
from spotfuse._core import keys, tables
from spotfuse._core.errors import InputError
from spotfuse._core.notes import Notes
from spotfuse._facade import at_work, begin, tell, write_obs

__all__ = ["prepare", "qc"]


def qc(
    adata: AnnData,
    *,
    min_counts: int = 1,
    min_genes: int = 1,
    max_mt_share: float = 1.0,
    min_spots: int = 3,
    copy: bool = False,
) -> AnnData | None:
    """Drop spots that are empty, off the tissue or poor, then genes that next to no spot has.

    Parameters
    ----------
    adata
        Slice of n_spots × n_genes with raw counts in X, ``layers['counts']`` or ``raw``, and coordinates in
        ``obsm['spatial']`` or columns of ``obs``. ``obs['in_tissue']``, when it is there, is 0 off the tissue.
    min_counts, min_genes
        Least counts, and genes with counts, of a spot that is kept; a spot without counts never is.
    max_mt_share
        Largest share, 0 to 1, of a spot's counts in mitochondrial genes (symbols such as MT-CO1 or mt.Co1).
    min_spots
        A gene is kept when at least so many of the kept spots have counts of it.
    copy
        Leave `adata` as it is and give a changed copy.

    Returns
    -------
    None, or the copy. Spots and genes go, and written are

    ``obs['n_counts']``, ``obs['n_genes']``, ``obs['mt_share']``
        Of all genes of the input. Columns of your own that are called so become ``input_…``.
    ``obsm['spatial']``
        x and y, float of shape (n_spots, 2), as they were found.
    ``uns['spotfuse']['qc']``
        DataFrame with a row for every spot of the input, in its order: spot, n_counts, n_genes, mt_share, kept, reason.
    ``uns['spotfuse']``
        Also ``n_spots_input``, ``n_genes_input`` and, in ``prepare``, the thresholds.

    Raises
    ------
    InputError
        Without counts or coordinates, and when nothing is left.

    Examples
    --------
    >>> sf.pp.qc(adata, min_counts=100, max_mt_share=0.3)  # doctest: +SKIP
    >>> adata.uns["spotfuse"]["qc"].query("not kept")["reason"].value_counts()  # doctest: +SKIP
    """
    adata = begin(adata, copy)
    notes = Notes()
    place = io.coordinates_of(adata, "adata", notes)
    raw = AnnData(preparation.counts_of(adata), obs=adata.obs, var=pd.DataFrame(index=adata.var_names))
    raw.obsm[keys.SPATIAL] = place
    thresholds: dict[str, Any] = {
        "min_counts": min_counts,
        "min_genes": min_genes,
        "max_mt_share": max_mt_share,
        "min_spots": min_spots,
    }
    kept, table = preparation.quality_control(raw, **thresholds)
    n_spots, n_genes = adata.shape
    adata._inplace_subset_obs(table["kept"].to_numpy())
    adata._inplace_subset_var(adata.var_names.isin(kept.var_names))
    adata.obsm[keys.SPATIAL] = place[table["kept"].to_numpy()]
    note = keys.note_of(adata)
    write_obs(adata, {name: kept.obs[name] for name in preparation.QC_COLUMNS}, ours=keys.QC in note)
    note |= {"n_spots_input": n_spots, "n_genes_input": n_genes, keys.QC: table}
    note["prepare"] = {**note.get("prepare", {}), **thresholds}
    tell(adata, notes)
    return adata if copy else None


def prepare(
    adata: AnnData,
    *,
    n_top_genes: int = 3000,
    n_components: int = 50,
    n_neighbors: int = 6,
    settings: preparation.Settings | None = None,
    copy: bool = False,
) -> AnnData | None:
    """Add variable genes, principal components and the two graphs that all later steps share.

    Parameters
    ----------
    adata
        Slice of n_spots × n_genes after `qc`, with raw counts where `qc` finds them.
    n_top_genes
        Genes of which the components are made, the most variable ones (Seurat v3's criterion: Stuart et al. 2019,
        Cell 177:1888); all, if there are no more.
    n_components
        Principal components; fewer where spots or genes are fewer.
    n_neighbors
        Spatial neighbours of a spot that lies on no array.
    settings
        What else decides them (`spotfuse.preparation.Settings`); None for the defaults.
    copy
        Leave `adata` as it is and give a changed copy.

    Returns
    -------
    None, or the copy. Written are

    ``var['highly_variable']``
        Of the components' genes True. A column of your own that is called so becomes ``input_highly_variable``.
    ``obsm['X_pca']``, ``obsm['X_pca_log']``
        Components of Pearson residuals, and of ln(1 + counts per 10,000); float32 of shape (n_spots, n_components).
    ``obsp['spatial_connectivities']``, ``obsp['feature_connectivities']``
        Neighbours in the tissue, 0 or 1, and in expression, 0, ½ or 1; sparse and symmetric.
    ``obs['neutral_order']``
        The place of each spot in the order in which all later calls compute: what the spots hold decides it, so that
        the order and names of rows and columns change no result.

    Raises
    ------
    InputError
        Without counts or coordinates, with fewer than 3 spots or 2 genes, or a number below 1.

    Examples
    --------
    >>> sf.pp.prepare(adata)  # doctest: +SKIP
    """
    adata = begin(adata, copy)
    if "group" in adata.uns.get(keys.NOTE, {}):
        raise InputError("adata holds the slices of a group, which sf.tl.join has prepared; go on with sf.tl.embed")
    sizes: dict[str, Any] = {"n_top_genes": n_top_genes, "n_components": n_components, "n_neighbors": n_neighbors}
    work = preparation.InOrder.of(adata, counts=True, anew=True)
    with at_work():
        preparation.prepare(work.adata, **sizes, settings=settings or preparation.Settings())
    if keys.ORDER not in adata.obs:  # a highly_variable that is there is not ours
        adata.var = tables.make_room(adata.var, [keys.HIGHLY_VARIABLE])
    adata.var[keys.HIGHLY_VARIABLE] = work.adata.var[keys.HIGHLY_VARIABLE].reindex(adata.var_names)
    adata.obs[keys.ORDER] = np.argsort(work.rows)
    adata.obsm[keys.SPATIAL] = work.back(work.adata.obsm[keys.SPATIAL])
    for name in (keys.X_PCA, keys.X_PCA_LOG):
        adata.obsm[name] = work.back(work.adata.obsm[name])
    for name in (keys.SPATIAL_GRAPH, keys.FEATURE_GRAPH):
        adata.obsp[name] = work.graph_back(work.adata.obsp[name])
    note = keys.note_of(adata)
    note["prepare"] = {**note.get("prepare", {}), **sizes}
    tell(adata, work.adata.uns[keys.NOTE]["notes"])
    return adata if copy else None
