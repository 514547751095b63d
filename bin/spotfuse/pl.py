"""The reports' figures in a notebook: what a slice looks like, in the same colours.

Slices are the pipeline's ``<sample>.h5ad``, or what `spotfuse.tl` or GraphST's calls have written into.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection
from matplotlib.patches import Patch

from spotfuse import io
from spotfuse._core import keys
from spotfuse._core.colours import domain_colours
from spotfuse._core.errors import InputError
from spotfuse._core.notes import Notes
from spotfuse._core.types import Array, Floats
from spotfuse.preparation import counts_of, log_normalise, spacing
from spotfuse.report import two_components

_GREY = "#94a4a2"


def domains(adata: AnnData, *, ax: Axes | None = None, image: bool = True) -> Axes:
    """Map the domains, each in the colour that it has in the report.

    Parameters
    ----------
    adata
        A slice with ``obs['domain']`` and coordinates.
    ax
        Where to draw; a new figure if not given.
    image
        Whether to put the tissue's image, if the slice has one, under the spots.

    Returns
    -------
    The axes.

    Raises
    ------
    InputError
        Before `spotfuse.tl.domains`.

    Examples
    --------
    >>> sf.pl.domains(adata).figure.savefig("domains.png")  # doctest: +SKIP
    """
    labels = _domains(adata)
    names = list(labels.cat.categories)
    colours = domain_colours([str(name) for name in names])
    ax = _canvas(adata, ax, image)
    ax.add_collection(_spots(adata, ax, facecolors=[colours[code] for code in labels.cat.codes]))
    handles = [Patch(color=colour, label=name) for name, colour in zip(names, colours, strict=True)]
    ax.legend(handles=handles, title="domain", loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return ax


def confidence(adata: AnnData, *, ax: Axes | None = None, image: bool = True) -> Axes:
    """Map the confidence of each spot's domain, 0 to 1.

    Parameters and returned axes are those of `domains`.
    """
    keys.need(adata, "obs", keys.CONFIDENCE)
    return _levels(adata, adata.obs[keys.CONFIDENCE].to_numpy(float), "confidence", ax, image, (0, 1))


def proportions(adata: AnnData, cell_type: str, *, ax: Axes | None = None, image: bool = True) -> Axes:
    """Map the share of a cell type in each spot.

    Parameters
    ----------
    adata
        A slice with ``obsm['proportions']``.
    cell_type
        One of its columns.
    ax, image
        As in `domains`.

    Returns
    -------
    The axes.

    Raises
    ------
    InputError
        Before `spotfuse.tl.proportions`, and when the slice has no such cell type.
    """
    shares = keys.proportions_of(adata)
    if cell_type not in shares:
        raise InputError(f"cell_type is '{cell_type}'; there are {', '.join(shares)}")
    return _levels(adata, shares[cell_type].to_numpy(), cell_type, ax, image)


def gene(adata: AnnData, name: str, *, ax: Axes | None = None, image: bool = True) -> Axes:
    """Map a gene's expression, ln(1 + counts per 10,000); the colours end at the 99th percentile.

    Parameters
    ----------
    adata
        A slice with raw counts, in X, ``layers['counts']`` or ``raw``.
    name
        One of ``adata.var_names``.
    ax, image
        As in `domains`.

    Returns
    -------
    The axes.

    Raises
    ------
    InputError
        Without counts, and when the slice has no such gene.
    """
    values = _expression(adata, [name])[:, 0]
    top = float(np.percentile(values, 99)) or float(values.max()) or 1.0
    return _levels(adata, values, name, ax, image, (0, top))


def attention(adata: AnnData, *, ax: Axes | None = None, image: bool = True) -> Axes:
    """Map how much each spot's embedding rests on neighbours in the tissue (1) and not on spots of like expression (0).

    Parameters and returned axes are those of `domains`.
    """
    keys.need(adata, "obsm", keys.ATTENTION)
    return _levels(adata, np.asarray(adata.obsm[keys.ATTENTION], float)[:, 0], "attention on space", ax, image, (0, 1))


def embedding(adata: AnnData, *, ax: Axes | None = None) -> Axes:
    """Draw the first two principal components of the embedding, each spot in the colour of its domain if it has one.

    Parameters
    ----------
    adata
        A slice with ``obsm['X_spotfuse']``, ``emb`` or ``X_pca``; the first of them is taken.
    ax
        As in `domains`.

    Returns
    -------
    The axes.

    Raises
    ------
    InputError
        Before `spotfuse.tl.embed`.
    """
    two = two_components(adata)
    if ax is None:
        ax = plt.subplots(figsize=(6, 5), layout="constrained")[1]
    ax.set(xlabel="first component", ylabel="second component", xticks=[], yticks=[])
    if keys.DOMAIN not in adata.obs:
        ax.scatter(two[:, 0], two[:, 1], s=6, color=_GREY, linewidths=0)
        return ax
    labels = _domains(adata)
    names = list(labels.cat.categories)
    for name, colour in zip(names, domain_colours([str(name) for name in names]), strict=True):
        x, y = two[(labels == name).to_numpy()].T
        ax.scatter(x, y, s=6, color=colour, label=name, linewidths=0)
    ax.legend(title="domain", loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, markerscale=2)
    return ax


def dots(adata: AnnData, genes: Sequence[str], *, ax: Axes | None = None) -> Axes:
    """Draw genes by domain: a dot's area is the share of spots that have the gene, its colour the mean expression.

    Parameters
    ----------
    adata
        A slice with domains and raw counts.
    genes
        Of ``adata.var_names``, such as the first markers of each domain.
    ax
        As in `domains`.

    Returns
    -------
    The axes; colours go from 0 to each gene's highest mean of ln(1 + counts per 10,000).

    Raises
    ------
    InputError
        Before `spotfuse.tl.domains`, without counts, and when the slice has no such gene.
    """
    labels = _domains(adata)
    names = list(labels.cat.categories)
    values = _expression(adata, genes)
    of = [values[(labels == name).to_numpy()] for name in names]
    mean = np.stack([some.mean(axis=0) for some in of], axis=1)
    share = np.stack([(some > 0).mean(axis=0) for some in of], axis=1)
    if ax is None:
        ax = plt.subplots(figsize=(2.5 + 0.4 * len(names), 1 + 0.27 * len(genes)), layout="constrained")[1]
    y, x = np.mgrid[: len(genes), : len(names)]
    level = mean / np.maximum(mean.max(axis=1, keepdims=True), 1e-12)
    drawn = ax.scatter(x.ravel(), y.ravel(), s=140 * share.ravel(), c=level.ravel(), cmap="viridis", vmin=0, vmax=1)
    ax.set(xticks=range(len(names)), yticks=range(len(genes)), xlabel="domain")
    ax.set(xlim=(-0.7, len(names) - 0.3), ylim=(len(genes) - 0.3, -0.7))
    ax.set_xticklabels(names)
    ax.set_yticklabels(genes)
    ax.figure.colorbar(drawn, ax=ax, label="mean expression, of the gene's highest")
    return ax


def composition(adata: AnnData, *, ax: Axes | None = None) -> Axes:
    """Draw the mean proportion of each cell type in each domain.

    Parameters
    ----------
    adata
        A slice with domains and cell types.
    ax
        As in `domains`.

    Returns
    -------
    The axes.

    Raises
    ------
    InputError
        Before `spotfuse.tl.domains` and `spotfuse.tl.proportions`.
    """
    table, labels = keys.proportions_of(adata), _domains(adata)
    names, types, shares = list(labels.cat.categories), list(table), table.to_numpy()
    means = np.stack([np.nanmean(shares[(labels == name).to_numpy()], axis=0) for name in names], axis=1)
    if ax is None:
        size = (2.5 + 0.45 * len(names), 1 + 0.3 * len(types))
        ax = plt.subplots(figsize=size, layout="constrained")[1]
    drawn = ax.imshow(means, aspect="auto", cmap="viridis", vmin=0)
    ax.set(xticks=range(len(names)), yticks=range(len(types)), xlabel="domain")
    ax.set_xticklabels(names)
    ax.set_yticklabels(types)
    ax.figure.colorbar(drawn, ax=ax, label="mean proportion")
    return ax


def _expression(adata: AnnData, genes: Sequence[str]) -> Floats:
    """ln(1 + counts per 10,000) of genes, of shape (n_spots, n_genes)."""
    at = adata.var_names.get_indexer(pd.Index(genes))
    if (at < 0).any():
        missing = genes[int(at.argmin())]
        raise InputError(f"no gene '{missing}' in var_names; {io.nearest(missing, adata.var_names)}")
    counts = counts_of(adata)
    found: Floats = log_normalise(counts[:, at], np.asarray(counts.sum(axis=1), float).ravel()).toarray()
    return found


def _levels(
    adata: AnnData,
    values: Array,
    label: str,
    ax: Axes | None,
    image: bool,
    limits: tuple[float, float] | None = None,
) -> Axes:
    ax = _canvas(adata, ax, image)
    spots = _spots(adata, ax, array=values, cmap="viridis")
    if limits:
        spots.set_clim(*limits)
    ax.add_collection(spots)
    ax.figure.colorbar(spots, ax=ax, label=label, shrink=0.7)
    return ax


def _canvas(adata: AnnData, ax: Axes | None, image: bool) -> Axes:
    """Prepare axes in the units of the coordinates, y downwards as in the image."""
    if ax is None:
        ax = plt.subplots(figsize=(6, 5), layout="constrained")[1]
    xy = _xy(adata)
    if image:
        for library in io.laid_out(adata.uns.get("spatial", {}), []).values():
            _underlay(library, ax)
    margin = 0.03 * np.ptp(xy, axis=0).max()
    low, high = xy.min(axis=0) - margin, xy.max(axis=0) + margin
    ax.set(xlim=(low[0], high[0]), ylim=(high[1], low[1]), aspect="equal")
    ax.set_axis_off()
    return ax


def _underlay(library: Mapping[str, Any], ax: Axes) -> None:
    for name in ("hires", "lowres"):
        if name in library["images"]:
            picture, scale = library["images"][name], library["scalefactors"][f"tissue_{name}_scalef"]
            ax.imshow(picture, extent=(0, picture.shape[1] / scale, picture.shape[0] / scale, 0))
            return


def _spots(adata: AnnData, ax: Axes, **style: Any) -> EllipseCollection:
    """Circles in units of the coordinates, so that they grow with the figure."""
    xy = _xy(adata)
    width = 0.92 * spacing(xy)
    return EllipseCollection(
        [width], [width], [0], units="x", offsets=xy, offset_transform=ax.transData, edgecolors="none", **style
    )


def _domains(adata: AnnData) -> pd.Series:
    """Give the domain of each spot, without those of its group that the slice lacks."""
    keys.need(adata, "obs", keys.DOMAIN)
    return adata.obs[keys.DOMAIN].astype("category").cat.remove_unused_categories()


def _xy(adata: AnnData) -> Floats:
    return io.coordinates_of(adata, "adata", Notes())
