"""Tools: embedding, domains, cell types, and what genes and neighbours do in the tissue.

Each reads what the ones before wrote and says, where that is missing, which call makes it. The order of rows and
columns, and the names of spots, change no result.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from spotfuse import io, patterns
from spotfuse._core import keys
from spotfuse._core.errors import InputError
from spotfuse._facade import at_work, begin, tell, write_obs
from spotfuse.preparation import InOrder

if TYPE_CHECKING:
    from spotfuse import domains as _domains
    from spotfuse import embedding
    from spotfuse import group as _group
    from spotfuse import proportions as _proportions

__all__ = ["domains", "embed", "join", "markers", "neighbourhoods", "proportions", "spatial_genes", "split"]

_PREPARED = ((keys.X_PCA, keys.X_PCA_LOG), (keys.SPATIAL_GRAPH, keys.FEATURE_GRAPH))
_LEARNED = (keys.X_SPOTFUSE, keys.ATTENTION, keys.PROBABILITIES)  # obsm that a slice of a group gets of the group's


def embed(
    adata: AnnData,
    *,
    encoder: str = "spotfuse",
    epochs: int | None = None,
    seed: int = 1,
    device: str = "auto",
    threads: int = 1,
    settings: "embedding.Settings | None" = None,
    copy: bool = False,
) -> AnnData | None:
    """Learn an embedding of the spots, without labels.

    Parameters
    ----------
    adata
        Slice of n_spots × n_genes after `spotfuse.pp.prepare`, or slices joined by `join`.
    encoder
        ``spotfuse``, or ``published`` for SpatialFusion's model as published: a name in `spotfuse.embedding.ENCODERS`.
    epochs
        Steps of the optimiser; None for the encoder's own number.
    seed
        Of weights, dropout and corruption.
    device
        ``auto`` (a GPU if there is one), ``cpu`` or ``cuda``.
    threads
        Processor threads. The same number gives the same bytes.
    settings
        What else decides the encoder ``spotfuse`` (`spotfuse.embedding.Settings`); None for the defaults.
    copy
        Leave `adata` as it is and give a changed copy.

    Returns
    -------
    None, or the copy. Written are

    ``obsm['X_spotfuse']``
        The embedding, float32 of shape (n_spots, d).
    ``obsm['attention']``
        Weights of the spatial and the feature branch, float32 of shape (n_spots, 2); rows sum to 1.
    ``uns['spotfuse']['loss']``
        DataFrame with a row an epoch: ``epoch``, ``loss`` and its terms.
    ``uns['spotfuse']['seed']``, ``uns['spotfuse']['encoder']``
        As given.

    Raises
    ------
    InputError
        Before `spotfuse.pp.prepare`, for an unknown encoder, settings with another one than ``spotfuse``, ``cuda``
        without a GPU, and numbers out of range.

    Examples
    --------
    >>> sf.tl.embed(adata, seed=1)  # doctest: +SKIP
    >>> sc.pp.neighbors(adata, use_rep="X_spotfuse")  # doctest: +SKIP
    """
    from spotfuse.embedding import train  # torch, which takes seconds

    adata = begin(adata, copy)
    obsm, obsp = _PREPARED
    keys.need(adata, "obsm", *obsm)
    keys.need(adata, "obsp", *obsp)
    keys.need(adata, "var", keys.HIGHLY_VARIABLE)
    work = InOrder.of(adata, counts=encoder != "spotfuse", obsm=[keys.SPATIAL, *obsm], obsp=obsp)
    with at_work():
        learned = train(
            work.adata,
            encoder=encoder,
            epochs=epochs,
            seed=seed,
            device=device,
            threads=threads,
            settings=settings,
        )
    adata.obsm[keys.X_SPOTFUSE] = work.back(learned.values)
    adata.obsm[keys.ATTENTION] = work.back(learned.attention)
    keys.note_of(adata).update({keys.LOSS: learned.losses, "seed": seed, "encoder": encoder})
    return adata if copy else None


def domains(
    adata: AnnData,
    n_domains: int | str | None = "auto",
    *,
    key: str = keys.X_SPOTFUSE,
    seed: int = 1,
    refine: bool = True,
    domains_from: str = "expression",
    settings: "_domains.Settings | None" = None,
    copy: bool = False,
) -> AnnData | None:
    """Divide a slice, or joined slices, into domains.

    Mixtures of the embedding and of the components of the counts, averaged over the tissue by several numbers of
    steps, vote, weighted by how well each agrees with all (`spotfuse.domains.assign`). Below 2,000 spots the components
    alone do.

    Parameters
    ----------
    adata
        Slice of n_spots after `embed`, or slices joined by `join`.
    n_domains
        K, exactly; ``auto`` to choose one without labels.
    key
        Another embedding in ``obsm``, of shape (n_spots, d).
    seed
        Of the mixtures' starts.
    refine
        Let a spot's neighbours in the tissue correct it.
    domains_from
        ``expression``; ``composition``, for the cell types around each spot (``obsm['proportions']``); or ``both``, for
        the one whose domains are worth more: they tell what spots express, and labellings agree on them.
    settings
        What else decides them (`spotfuse.domains.Settings`); None for the defaults.
    copy
        Leave `adata` as it is and give a changed copy.

    Returns
    -------
    None, or the copy. Written are

    ``obs['domain']``
        Categorical, ``1`` … ``K`` by falling size. A column of your own that is called so becomes ``input_domain``.
    ``obs['domain_confidence']``
        How often annotated spots with such a posterior lay in their domain's region, float32.
    ``obsm['domain_probabilities']``
        The posterior of each domain as the vote gives it, not calibrated, float32 of shape (n_spots, K); rows sum to 1.
    ``uns['spotfuse']['n_domains']``
        With ``auto``, DataFrame with a row a number that was looked at: ``n_domains``, ``told``, ``stability``,
        ``worth``, ``bic``, ``chosen``.
    ``uns['spotfuse']['domains_from']``
        What was divided, ``expression`` or ``composition``.

    Raises
    ------
    InputError
        Before `embed`, and for K below 1, above the number of spots, or above 1 where all spots are alike; for
        composition before `proportions`, and of joined slices.

    Examples
    --------
    >>> sf.tl.domains(adata, n_domains=7)  # doctest: +SKIP
    >>> adata.obs["domain"].value_counts()  # doctest: +SKIP
    """
    from spotfuse.domains import PLAIN, Settings, assign

    adata = begin(adata, copy)
    if n_domains is not None and n_domains != "auto" and not isinstance(n_domains, int | np.integer):
        raise InputError(f"n_domains is {n_domains!r}; take a whole number, or 'auto'")
    keys.need(adata, "obsm", key)
    plain = [name for name in (*PLAIN, keys.X_PCA_ALONE, keys.X_PCA_LOG_ALONE) if name in adata.obsm]
    composition = None if domains_from == "expression" else keys.proportions_of(adata)
    work = InOrder.of(adata, obsm=[key, *plain], obsp=[keys.SPATIAL_GRAPH])
    values = np.asarray(work.adata.obsm[key])
    if key not in PLAIN:
        del work.adata.obsm[key]
    note = keys.note_of(adata)
    with at_work():
        found = assign(
            work.adata,
            values,
            None if n_domains in (None, "auto") else int(n_domains),  # type: ignore[arg-type]
            slices=work.adata.obs["slice"] if "group" in note else None,
            seed=seed,
            refine=refine,
            composition=None if composition is None else composition.loc[work.adata.obs_names],
            domains_from=domains_from,
            settings=settings or Settings(),
        )
    spots, names = work.adata.obs_names, [str(number) for number in range(1, found.labels.max() + 1)]
    columns = {
        keys.DOMAIN: pd.Series(pd.Categorical(found.labels.astype(str), categories=names), index=spots),
        keys.CONFIDENCE: pd.Series(found.confidence, index=spots),
    }
    write_obs(adata, columns, ours=keys.PROBABILITIES in adata.obsm)
    adata.obsm[keys.PROBABILITIES] = work.back(found.probabilities)
    note.pop(keys.N_DOMAINS, None)
    note[keys.DOMAINS_FROM] = found.source
    if len(found.curve):
        note[keys.N_DOMAINS] = found.curve
    return adata if copy else None


def proportions(
    adata: AnnData,
    reference: AnnData | Path | str,
    cell_type_key: str = "cell_type",
    *,
    method: str = "attention_regression",
    output: str = "cells",
    max_cells_per_type: int = 1000,
    min_cells_per_type: int = 1,
    k_neighbors: int = 6,
    cell_map: bool = False,
    seed: int = 1,
    device: str = "auto",
    threads: int = 1,
    settings: "_proportions.Settings | None" = None,
    copy: bool = False,
    **options: Any,
) -> AnnData | None:
    """Estimate the cell types of each spot from a single-cell reference.

    Parameters
    ----------
    adata
        Slice of n_spots × n_genes with raw counts and coordinates where `spotfuse.pp.qc` finds them, best after it.
    reference
        Raw counts of n_cells × n_genes: an AnnData, which stays as it is, or a file (.h5ad, 10x .h5 or folder, table).
        Genes are matched by symbol or id.
    cell_type_key
        Its column of ``obs`` with the cell types; for a file also a table of cell and type.
    method
        ``attention_regression``, or ``cell_mapping``: a name in `spotfuse.proportions.METHODS`.
    output
        ``cells``: shares of cells; ``molecules``: shares of counts.
    max_cells_per_type, min_cells_per_type
        Of a type with more cells, so many are drawn; types with fewer are dropped.
    k_neighbors
        Spatial neighbours of a spot.
    cell_map
        Also say which cells of the reference each spot is made of, which takes time and memory.
    seed
        Of what is drawn.
    device
        ``auto`` (a GPU if there is one), ``cpu`` or ``cuda``.
    threads
        Processor threads; their number changes nothing.
    settings
        What else decides them (`spotfuse.proportions.Settings`); None for the defaults.
    copy
        Leave `adata` as it is and give a changed copy.
    **options
        The method's own, such as ``phi`` or ``temperature`` (`spotfuse.proportions.options_of`).

    Returns
    -------
    None, or the copy. Written are

    ``obsm['proportions']``
        DataFrame of shape (n_spots, n_types), types sorted by name; rows sum to 1.
    ``obsm['proportions_sd']``
        Their standard deviations, likewise, where the method knows them.
    ``obsm['deconvolution_fit']``
        DataFrame of n_spots rows: ``residual`` and ``explained``, a share, of how well the types explain a spot.
    ``obsm['cell_map']``, ``uns['spotfuse']['cell_map']``
        With `cell_map`: shares of cells, sparse float32 of shape (n_spots, n_cells), and DataFrame with the
        ``cell_type`` of each cell, indexed by cell.
    ``obs['cell_type']``, ``obs['cell_type_class']``, ``obsm['cell_types']``
        Of a slice whose spots are cells (``uns['spotfuse']['platform']``): their types, missing where a cell is like
        none; singlet, doublet, unsure or no type; and DataFrame of n_cells rows with ``first_type``, its
        ``probability``, ``second_type`` and ``class``.
    ``uns['spotfuse']['cell_types']``, ``uns['spotfuse']['deconvolution']``
        Names of the types, and how it went, as JSON; ``classes`` in it are types that the genes do not tell apart,
        whose sums are to be trusted more than their shares (`spotfuse.proportions.of_classes`).

    Raises
    ------
    InputError
        For what is not counts, a missing column, too few shared genes, and numbers out of range.

    Examples
    --------
    >>> sf.tl.proportions(adata, reference, cell_type_key="celltype_major")  # doctest: +SKIP
    >>> adata.obsm["proportions"].mean()  # doctest: +SKIP
    """
    from spotfuse import proportions as room

    adata, settings = begin(adata, copy), settings or room.Settings()
    work = InOrder.of(adata, counts=True)
    with at_work():
        cells = room.as_reference(
            reference,
            cell_type_key,
            max_cells_per_type=max_cells_per_type,
            min_cells_per_type=min_cells_per_type,
            seed=seed,
            settings=settings.reference,
        )
        found = room.estimate(
            work.adata,
            cells,
            method,
            output=output,
            k_neighbors=k_neighbors,
            seed=seed,
            device=device,
            threads=threads,
            settings=settings,
            **options,
        )
        weights = found.weigh() if cell_map else None
        typed = room.cell_types(work.adata, cells, seed=seed, settings=settings) if io.holds_cells(adata) else None
    note, tables = keys.note_of(adata), {keys.PROPORTIONS: found.proportions, keys.FIT: found.fit}
    adata.obsm.pop(keys.PROPORTIONS_SD, None)
    adata.obsm.pop(keys.CELL_MAP, None)
    note.pop(keys.CELL_MAP, None)
    if found.sd is not None:
        tables[keys.PROPORTIONS_SD] = found.sd
    for name, table in tables.items():
        adata.obsm[name] = table.loc[adata.obs_names]
    if weights is not None:
        adata.obsm[keys.CELL_MAP] = work.back(sparse.csr_matrix(weights, dtype=np.float32))
        note[keys.CELL_MAP] = pd.DataFrame({"cell_type": found.cells.astype(str)})
    note[keys.CELL_TYPES] = [str(name) for name in found.proportions]
    summary = found.summary
    if typed is not None:
        write_obs(adata, dict(room.obs_of(typed.table).items()), ours=keys.CELL_CLASS in adata.obs)
        adata.obsm[keys.CELL_TYPES] = typed.table.loc[adata.obs_names]
        summary = {**summary, "cell_types": typed.summary}
        tell(adata, typed.summary["notes"])
    note["deconvolution"] = json.dumps(summary)
    slashed = [name for name in note[keys.CELL_TYPES] if "/" in name]
    if slashed:
        tell(adata, [f"cell type '{slashed[0]}' has a slash, which write_h5ad refuses: write the slice by sf.write"])
    return adata if copy else None


def markers(
    adata: AnnData, *, n_genes: int = 100, settings: patterns.Settings | None = None, copy: bool = False
) -> AnnData | None:
    """Give the genes that mark each domain: higher in it than in all the others, by Wilcoxon's rank-sum test.

    Only genes with an adjusted p below 0.05 that are at least 1.5 times as high inside as outside, without those that
    every spot has; first come genes that are much higher, and so in most of the domain's spots.

    Parameters
    ----------
    adata
        Slice of n_spots × n_genes after `domains`, with raw counts where `spotfuse.pp.qc` finds them.
    n_genes
        Genes of each domain that are given, at most.
    settings
        What else decides them (`spotfuse.patterns.Settings`); None for the defaults.
    copy
        Leave `adata` as it is and give a changed copy.

    Returns
    -------
    None, or the copy. Written is ``uns['spotfuse']['markers']``, a DataFrame, best genes first within each domain:
    ``domain``, ``gene``, ``log_fold_change`` (to base 2, one count added to both sides), ``auc`` (the chance that a
    spot inside has more of the gene than one outside), ``p_adjusted`` (Benjamini & Hochberg), ``share_in`` and
    ``share_out`` (of the domain's and of the other spots, those with counts of the gene).

    Raises
    ------
    InputError
        Before `domains`, and without counts.

    Examples
    --------
    >>> sf.tl.markers(adata)  # doctest: +SKIP
    >>> adata.uns["spotfuse"]["markers"].groupby("domain").head(3)  # doctest: +SKIP
    """
    adata = begin(adata, copy)
    domains = _numbers(adata)
    work = InOrder.of(adata, counts=True)
    with at_work():
        found = patterns.markers(work.adata, domains, n_genes=n_genes, settings=settings or patterns.Settings())
    keys.note_of(adata)[keys.MARKERS] = found.assign(domain=found["domain"].astype(str))
    return adata if copy else None


def spatial_genes(adata: AnnData, *, copy: bool = False) -> AnnData | None:
    """Rank genes by how alike neighbours in the tissue are in them: Moran's I, with exact moments.

    Parameters
    ----------
    adata
        Slice of n_spots × n_genes after `spotfuse.pp.prepare`, with raw counts.
    copy
        Leave `adata` as it is and give a changed copy.

    Returns
    -------
    None, or the copy. Written is ``uns['spotfuse']['spatial_genes']``, a DataFrame, highest I first: ``gene``,
    ``morans_i`` (0 without a pattern, 1 where neighbours are equal), ``z``, ``p_adjusted`` (one-sided, Benjamini &
    Hochberg) and ``share`` of the spots that have the gene.

    Raises
    ------
    InputError
        Before `spotfuse.pp.prepare`, and without counts.

    Examples
    --------
    >>> sf.tl.spatial_genes(adata)  # doctest: +SKIP
    >>> sf.pl.gene(adata, adata.uns["spotfuse"]["spatial_genes"]["gene"][0])  # doctest: +SKIP
    """
    adata = begin(adata, copy)
    work = InOrder.of(adata, counts=True, obsp=[keys.SPATIAL_GRAPH])
    with at_work():
        found = patterns.spatial_genes(work.adata)
    keys.note_of(adata)[keys.SPATIAL_GENES] = found
    return adata if copy else None


def neighbourhoods(adata: AnnData, *, settings: patterns.Settings | None = None, copy: bool = False) -> AnnData | None:
    """Compare what lies beside what, domains and cell types, with what chance would put there.

    Parameters
    ----------
    adata
        Slice of n_spots after `domains`, `proportions` or both.
    settings
        What else decides them (`spotfuse.patterns.Settings`); None for the defaults.
    copy
        Leave `adata` as it is and give a changed copy.

    Returns
    -------
    None, or the copy. Written is ``uns['spotfuse']['neighbourhoods']``, a DataFrame with a row a pair: ``kind``
    (``domain_contact``, ``cell_type_contact``, ``cell_type_in_domain``), ``name``, ``neighbour``, ``observed``,
    ``expected``, ``log2_ratio`` of the two, and ``z`` (`spotfuse.patterns.neighbourhoods`).

    Raises
    ------
    InputError
        Before `spotfuse.pp.prepare`, and without domains and cell types.

    Examples
    --------
    >>> sf.tl.neighbourhoods(adata)  # doctest: +SKIP
    >>> adata.uns["spotfuse"]["neighbourhoods"].query("z > 5")  # doctest: +SKIP
    """
    adata = begin(adata, copy)
    if keys.PROPORTIONS not in adata.obsm or keys.DOMAIN in adata.obs:
        _numbers(adata)
    work = InOrder.of(adata, obsp=[keys.SPATIAL_GRAPH])
    if keys.PROPORTIONS in adata.obsm:
        work.adata.obsm[keys.PROPORTIONS] = keys.proportions_of(adata).iloc[work.rows]
    with at_work():
        found = patterns.neighbourhoods(work.adata, settings or patterns.Settings())
    keys.note_of(adata)[keys.NEIGHBOURHOODS] = found
    return adata if copy else None


def join(
    slices: Mapping[str, AnnData],
    *,
    group: str = "group",
    frame: str = "own",
    z: Mapping[str, float] | None = None,
    settings: "_group.Settings | None" = None,
) -> AnnData:
    """Join slices, to be learned together: one encoder and one set of domains for all, batch differences taken out.

    Parameters
    ----------
    slices
        By name, each of n_spots × n_genes after `spotfuse.pp.prepare`; they stay as they are. Genes are matched by
        name.
    group
        What the slices are called together, for messages.
    frame
        Of the coordinates: ``own``, each slice its own; ``common``, one for all; ``transport``, each is laid on the one
        before it by optimal transport.
    z
        Place of each slice along the third axis, in the unit of its coordinates; None: slices follow by name.
    settings
        What else decides how they are joined and laid on each other (`spotfuse.group.Settings`); None for the defaults.

    Returns
    -------
    AnnData of shape (n_spots of all slices, n variable genes), for `embed`, `domains` and then `split`. Spots are
    called ``slice/spot`` and stand slice by slice, by the slices' names, each in its own order. It has

    ``obs['slice']``, ``obs['neutral_order']``
        The slice of each spot, and its place in the order in which all is computed.
    ``obsm['spatial']``, with a frame ``obsm['spatial_aligned']``
        The slices side by side, and on each other.
    ``obsm['X_pca']``, ``obsm['X_pca_log']``, ``obsp['spatial_connectivities']``, ``obsp['feature_connectivities']``
        As `spotfuse.pp.prepare` writes them.
    ``obsm['X_pca_alone']``, ``obsm['X_pca_log_alone']``
        The components that each slice has alone.
    ``uns['spotfuse']``
        ``group``; as JSON ``in_common``, the share of its tissue that each slice has in common with the others, and
        ``left_out``, why a slice is not among them; with a frame ``alignment``, a DataFrame of where each slice lies.

    Raises
    ------
    InputError
        With fewer than two slices, before `spotfuse.pp.prepare`, when no two slices share enough genes, or none lies on
        another.

    Examples
    --------
    >>> joined = sf.tl.join({"A": a, "B": b})  # doctest: +SKIP
    >>> sf.tl.embed(joined); sf.tl.domains(joined, n_domains=7)  # doctest: +SKIP
    >>> sf.tl.split(joined, {"A": a, "B": b})  # doctest: +SKIP
    """
    from spotfuse.group import Settings, join_in_frame

    if not isinstance(slices, Mapping) or len(slices) < 2:
        raise InputError("slices: give two or more, in a dict by name")
    if z is not None and set(z) != set(slices):
        raise InputError("z: give one number for each slice, by its name")
    prepared = {}
    for name, adata in slices.items():
        if "/" in str(name):
            raise InputError(f"slices: '{name}' has a slash; call it otherwise")
        adata = begin(adata, copy=False)
        try:
            components = [keys.X_PCA, keys.X_PCA_LOG]
            work = InOrder.of(adata, counts=True, obsm=components, obsp=[keys.SPATIAL_GRAPH])
            keys.need(adata, "obs", keys.ORDER)
        except InputError as error:
            raise type(error)(f"slice '{name}': {error}") from None
        note = work.adata.uns[keys.NOTE]
        note.setdefault("platform", "other")
        work.adata.obs["input_row"] = work.rows
        prepared[str(name)] = work.adata
    with at_work():
        joined, aligned = join_in_frame(group, prepared, frame, z, settings or Settings())
    joined.obs[keys.ORDER] = np.arange(joined.n_obs)
    joined = joined[np.argsort(joined.obs.pop("input_row").to_numpy())].copy()
    if aligned is not None:
        joined.uns[keys.NOTE][keys.ALIGNMENT] = aligned
    return joined


def split(joined: AnnData, slices: Mapping[str, AnnData]) -> None:
    """Give each slice its part of what was learned of all together, in place.

    Parameters
    ----------
    joined
        From `join`, after `embed` and `domains`.
    slices
        Those that were joined, by name.

    Returns
    -------
    None. Written into each slice are ``obs['domain']`` (of the group's domains, of which it may lack some),
    ``obs['domain_confidence']``, ``obsm['X_spotfuse']``, ``obsm['attention']``, ``obsm['domain_probabilities']`` and,
    with a frame, ``obsm['spatial_aligned']``, as `embed` and `domains` write them; ``uns['spotfuse']['in_common']``,
    the share of its tissue that it has in common with the others.

    Raises
    ------
    InputError
        Before `embed` and `domains`, and for slices of other names or spots.

    Examples
    --------
    >>> sf.tl.split(joined, {"A": a, "B": b})  # doctest: +SKIP
    >>> a.obs["domain"]  # doctest: +SKIP
    """
    joined = begin(joined, copy=False)
    if "slice" not in joined.obs or "group" not in joined.uns.get(keys.NOTE, {}):
        raise InputError("joined has no slices; give what sf.tl.join returned")
    keys.need(joined, "obsm", *_LEARNED)
    keys.need(joined, "obs", keys.DOMAIN)
    note = joined.uns[keys.NOTE]
    for name, adata in slices.items():
        if name in json.loads(note["left_out"]):
            continue
        rows = joined.obs_names.get_indexer([f"{name}/{spot}" for spot in adata.obs_names])
        if (rows < 0).any():
            raise InputError(f"slice '{name}': {(rows < 0).sum()} of its {len(rows)} spots were not joined")
        columns = {
            column: joined.obs[column].iloc[rows].set_axis(adata.obs_names) for column in (keys.DOMAIN, keys.CONFIDENCE)
        }
        write_obs(adata, columns, ours=keys.PROBABILITIES in adata.obsm)
        for key in (*_LEARNED, *(key for key in ("spatial_aligned",) if key in joined.obsm)):
            adata.obsm[key] = joined.obsm[key][rows]
        keys.note_of(adata)["in_common"] = json.loads(note["in_common"])[name]


def _numbers(adata: AnnData) -> pd.Series:
    """Give the domain of each spot as a number, or refuse labels that are none of ours."""
    keys.need(adata, "obs", keys.DOMAIN)
    labels = adata.obs[keys.DOMAIN]
    try:
        return labels.astype(str).astype(int)
    except ValueError:
        raise InputError(
            f"obs['{keys.DOMAIN}'] holds '{labels.iloc[0]}' where numbers from 1 are expected; call sf.tl.domains first"
        ) from None
