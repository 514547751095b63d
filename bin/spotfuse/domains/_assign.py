"""From an embedding to spatial domains: mixtures at several scales, their consensus, and its refinement.

No scale of smoothing suits every tissue. Each gives one labelling; a labelling that agrees with the others is right
more often than one that does not (no labels are needed to see that), so they vote, weighted by their agreement.
"""

import logging
import warnings
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from spotfuse._core import keys
from spotfuse._core.errors import InputError
from spotfuse._core.types import Floats, Floats32, Ints
from spotfuse.domains import _consensus, _mixtures, _number, _views
from spotfuse.domains._confidence import confidence
from spotfuse.domains._refinement import refine as refined
from spotfuse.domains._settings import SETTINGS, Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Domains:
    """Domains of a slice.

    Attributes
    ----------
    labels
        1…K for each spot, by falling size; domains of equal size in the order of their first spots.
    confidence
        How often annotated spots with such a posterior lay in their domain's region, calibrated over tissues.
    probabilities
        The posterior of each domain as the vote gives it, float32 of shape (n_spots, K); rows sum to 1.
    curve
        What `auto` looked at: ``n_domains``, ``told`` (share of a spot's variance that its neighbours' domains tell),
        ``stability`` (mean agreement of the labellings), ``worth`` (both together), ``bic``, ``chosen`` (0 or 1);
        without rows when the number was given.
    """

    labels: Ints
    confidence: Floats32
    probabilities: Floats32
    curve: pd.DataFrame


def assign(
    adata: AnnData,
    embedding: Floats,
    n_domains: int | None,
    *,
    slices: pd.Series | None = None,
    seed: int = 1,
    refine: bool = True,
    settings: Settings = SETTINGS,
) -> Domains:
    """Divide a slice into domains, or a group of slices.

    Components are averaged over the spatial graph by several numbers of steps, and the leading ones of the average
    clustered by Gaussian mixtures with one covariance (mclust's EEE), each from several starts. All probabilities are
    averaged, weighted by the square of the mean agreement (adjusted Rand index) of each labelling with all.

    Slices below 2,000 spots are divided by the components of logarithms, where they are there; by those of residuals as
    well, where the domains of a spot's neighbours tell these at least as well; and by all, where they tell nothing.
    From 2,000 on, the embedding and both components vote, and each domain gets a covariance of its own, drawn towards
    the common one (mclust's VVV with its prior), unless the labellings then agree much less.

    Slices that were joined have their mixtures together, whose consensus says what the domains are. In each slice, its
    own mixtures vote with them, by its own components and as it would have alone: what a domain expresses differs from
    slice to slice, which is not to decide where it ends, nor are large slices to outvote small ones.

    Parameters
    ----------
    adata
        Prepared slice: its ``obsp['spatial_connectivities']`` is read, and ``obsm['X_pca']`` and
        ``obsm['X_pca_log']`` if they are there.
    embedding
        Of shape (n_spots, d).
    n_domains
        K, exactly; None to choose one.
    slices
        Of each spot its slice, where several were joined (`spotfuse.group.join`).
    seed
        Of the mixtures' starts.
    refine
        Let a spot's neighbours correct it (`spotfuse.domains`).
    settings
        What else decides the domains; above with its defaults.

    Raises
    ------
    InputError
        For K below 1 or above the number of spots, and above 1 where all spots are alike.
    """
    n_spots = len(embedding)
    if n_domains is not None and not 1 <= n_domains <= n_spots:
        raise InputError(f"n_domains is {n_domains}; take a number from 1 to {n_spots}, the number of spots, or auto")
    graph = sparse.csr_matrix(adata.obsp["spatial_connectivities"])
    with threadpool_limits(1):  # sums by several threads differ from run to run
        views = _views.views(adata, embedding, graph, settings)
        if n_domains not in (1, None) and not any(view.size for _, view in views):
            raise InputError(
                f"n_domains is {n_domains}, but all spots are alike and cannot be divided; take 1, or auto"
            )
        curve = pd.DataFrame(columns=_number.COLUMNS)
        if n_domains is None:
            curve = _curve(views, adata, embedding, graph, seed, settings)
            n_domains = int(curve.loc[curve["chosen"] == 1, "n_domains"].iloc[0])
        members = _members(views, n_domains, seed, settings)
        voters = _consensus.voting(members, _views.telling(adata, graph, settings), n_spots >= settings.many, settings)
        several = _rows(slices)
        probabilities = _consensus.consensus(voters, graph if refine and not several else None, settings)
        if several and n_domains > 1:
            probabilities = np.vstack(
                [
                    _in_slice(_alone(adata, graph, rows), embedding[rows], members, probabilities, rows, seed, settings)
                    for rows in several
                ]
            )[np.argsort(np.concatenate(several))]
            probabilities = refined(probabilities, graph, settings) if refine else probabilities
    labels = _consensus.occupied(probabilities, settings)
    order = _by_size(labels, n_domains)
    labels = np.argsort(order)[labels]
    ordered = probabilities[:, order].astype(np.float32)
    return Domains(labels + 1, confidence(ordered, labels, settings), ordered, curve)


def _curve(
    views: list[tuple[str, Floats]],
    adata: AnnData,
    embedding: Floats,
    graph: sparse.csr_matrix,
    seed: int,
    settings: Settings,
) -> pd.DataFrame:
    """Compare numbers of domains by the averages of the logarithms, or of the embedding where there are none."""
    key = _views.LOGARITHMS if _views.LOGARITHMS in adata.obsm else _views.EMBEDDING
    missed = _views.missing(adata.obsm[key] if key else embedding, graph, settings)
    residuals = adata.obsm.get(_views.RESIDUALS)
    missed_residuals = None if residuals is None else _views.missing(residuals, graph, settings)
    of = [view for source, view in views if source == key]
    # views of more components, from the second scale on, are enough to compare numbers
    return _number.curve(of[3 :: settings.every] or of, missed, missed_residuals, seed, settings)


def _rows(slices: pd.Series | None) -> list[Ints]:
    """Rows of each of several slices."""
    if slices is None:
        return []
    codes, names = pd.factorize(slices)
    return [np.flatnonzero(codes == code) for code in range(len(names))] if len(names) > 1 else []


def _members(
    views: list[tuple[str, Floats]], n_domains: int, seed: int, settings: Settings = SETTINGS
) -> list[_consensus.Member]:
    """Probabilities of the domains (n_spots, K) by every view in which a mixture with K occupied domains was found."""
    if n_domains == 1:
        return [(views[0][0], np.ones((len(views[0][1]), 1)))]
    kinds: list[list[_consensus.Member]] = [[], []]  # one covariance, and own ones
    for key, view in views:
        found = _mixtures.mixture(view, n_domains, seed, own=len(view) >= settings.many, settings=settings)
        for members, member in zip(kinds, found, strict=True):
            if member is not None:
                members.append((key, member.astype(np.float32)))
    tied, own = kinds
    agreed, agreed_own = (
        _consensus.agreement([member for _, member in members]).mean() if members else 0 for members in kinds
    )
    if own and agreed_own >= settings.as_agreed * agreed:
        return own
    if tied:
        return tied
    log.warning("no mixture with %d occupied domains was found: k-means decides", n_domains)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer places than domains: _occupied fills them up
        partition = KMeans(n_domains, n_init=settings.starts, random_state=seed).fit(views[0][1]).labels_
    return [(views[0][0], np.eye(n_domains)[partition])]


def _alone(adata: AnnData, graph: sparse.csr_matrix, rows: Ints) -> AnnData:
    """Give one of several slices with the components that it has alone."""
    slice_ = AnnData(obs=adata.obs[[]].iloc[rows], obsp={keys.SPATIAL_GRAPH: graph[rows][:, rows]})
    for key, own in ((keys.X_PCA, keys.X_PCA_ALONE), (keys.X_PCA_LOG, keys.X_PCA_LOG_ALONE)):
        if own in adata.obsm or key in adata.obsm:
            slice_.obsm[key] = np.asarray(adata.obsm[own if own in adata.obsm else key])[rows]
    return slice_


def _in_slice(
    slice_: AnnData,
    embedding: Floats,
    members: list[_consensus.Member],
    together: Floats,
    rows: Ints,
    seed: int,
    settings: Settings,
) -> Floats:
    """Let a slice's own mixtures vote with those of all slices, on the domains that it has of these."""
    graph = slice_.obsp[keys.SPATIAL_GRAPH]
    size = np.bincount(together[rows].argmax(axis=1), minlength=together.shape[1])
    n_domains = int((size >= settings.least).sum())
    own_views = [(key, view) for key, view in _views.views(slice_, embedding, graph, settings) if view.size]
    own = _members(own_views, n_domains, seed, settings) if own_views and n_domains > 1 else []
    absent = np.zeros((len(rows), together.shape[1] - n_domains), np.float32)
    both = [(key, member[rows]) for key, member in members]
    both += [(key, np.hstack([member, absent])) for key, member in own]
    told = _views.telling(slice_, graph, settings)
    # a slice may lack domains of the others
    voters = _consensus.voting(both, told, len(rows) >= settings.many, replace(settings, least=0))
    return _consensus.matched(voters, together[rows], settings)


def _by_size(labels: Ints, n_domains: int) -> Ints:
    """Order domains by falling size, those of equal size by their first spot."""
    first = np.full(n_domains, len(labels))
    np.minimum.at(first, labels, np.arange(len(labels)))
    return np.asarray(np.lexsort((first, -np.bincount(labels, minlength=n_domains))))
