"""From an embedding to spatial domains: mixtures at several scales, their consensus, and its refinement.

No scale of smoothing suits every tissue. Each gives one labelling; a labelling that agrees with the others is right
more often than one that does not (no labels are needed to see that), so they vote, weighted by their agreement.
"""

import logging
import warnings
from collections.abc import Callable
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
    source
        What was divided: ``expression`` or ``composition``.
    """

    labels: Ints
    confidence: Floats32
    probabilities: Floats32
    curve: pd.DataFrame
    source: str = "expression"


def assign(
    adata: AnnData,
    embedding: Floats,
    n_domains: int | None,
    *,
    slices: pd.Series | None = None,
    seed: int = 1,
    refine: bool = True,
    composition: pd.DataFrame | None = None,
    domains_from: str = "expression",
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

    The cell types around a spot can be divided in place of its expression: square roots of their averaged shares go
    through the same mixtures and vote. Of both, that is taken whose domains are worth more, as for `auto`: how much of
    a spot's expression those of its neighbours tell, times a power of the agreement of the labellings.

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
    composition
        Shares of cell types (n_spots, n_types), which all but ``expression`` needs.
    domains_from
        ``expression``, ``composition``, or ``both``, for the one whose domains are worth more; the number of `auto` is
        then that of expression, or, where that is one, of composition.
    settings
        What else decides the domains; above with its defaults.

    Raises
    ------
    InputError
        For K below 1 or above the number of spots, and above 1 where all spots are alike; for composition without
        shares of any spot, and of joined slices.
    """
    n_spots = len(embedding)
    if n_domains is not None and not 1 <= n_domains <= n_spots:
        raise InputError(f"n_domains is {n_domains}; take a number from 1 to {n_spots}, the number of spots, or auto")
    graph = sparse.csr_matrix(adata.obsp["spatial_connectivities"])
    shares = None if domains_from == "expression" else _shares(composition, domains_from, slices, graph)
    with threadpool_limits(1):  # sums by several threads differ from run to run
        divided = (
            {} if domains_from == "composition" else {"expression": _views.views(adata, embedding, graph, settings)}
        )
        if shares is not None:
            divided["composition"] = _views.of_composition(shares, graph, settings)
        divisible = {source: views for source, views in divided.items() if any(view.size for _, view in views)}
        if n_domains not in (1, None) and not divisible:
            raise InputError(
                f"n_domains is {n_domains}, but all spots are alike and cannot be divided; take 1, or auto"
            )
        divided = divisible or divided
        curve = pd.DataFrame(columns=_number.COLUMNS)
        number = n_domains or 1
        for source, views in divided.items() if n_domains is None else ():
            residuals = adata.obsm.get(_views.RESIDUALS) if source == "expression" else None
            own = _expressed(adata, embedding) if shares is None or source == "expression" else _views.composed(shares)
            curve = _curve(views, own, residuals, graph, seed, settings)
            number = int(curve.loc[curve["chosen"] == 1, "n_domains"].iloc[0])
            if number > 1:
                break
        told, several, voted = _views.telling(adata, graph, settings), _rows(slices), {}
        for source, views in divided.items():
            members, probabilities = _voted(
                adata, embedding, graph, views, number, told, several, seed, refine, settings
            )
            voted[source] = members, probabilities, _consensus.occupied(probabilities, settings)
        source = next(iter(voted))
        if len(voted) > 1:
            missed = _views.missing(_expressed(adata, embedding), graph, settings)
            rows = [
                (source, number, _number.told(missed(labels)), _consensus.stability(voters))
                for source, (voters, _, labels) in voted.items()
            ]
            source = _worthiest(pd.DataFrame(rows, columns=["source", "n_domains", "told", "stability"]), settings)
    _, probabilities, labels = voted[source]
    order = _by_size(labels, number)
    labels = np.argsort(order)[labels]
    ordered = probabilities[:, order].astype(np.float32)
    return Domains(labels + 1, confidence(ordered, labels, settings), ordered, curve, source)


def _voted(
    adata: AnnData,
    embedding: Floats,
    graph: sparse.csr_matrix,
    views: list[tuple[str, Floats]],
    n_domains: int,
    told: Callable[[Ints, str], float],
    several: list[Ints],
    seed: int,
    refine: bool,
    settings: Settings,
) -> tuple[list[_consensus.Probabilities], Floats]:
    """Give the labellings that vote on views, and what they come to, in each of several slices on its own."""
    many = (
        max(map(len, several), default=len(embedding)) >= settings.many
    )  # of slices together, as of the largest alone
    members = _members(views, n_domains, seed, many, settings)
    voters = _consensus.voting(members, told, many, settings)
    if not several or n_domains == 1:
        return voters, _consensus.consensus(voters, graph if refine else None, settings)
    together = _consensus.consensus(voters, None, settings)
    each = (
        _in_slice(_alone(adata, graph, rows), embedding[rows], members, together, rows, seed, settings)
        for rows in several
    )
    probabilities = np.vstack([*each])[np.argsort(np.concatenate(several))]
    return voters, refined(probabilities, graph, settings) if refine else probabilities


def _shares(
    composition: pd.DataFrame | None, domains_from: str, slices: pd.Series | None, graph: sparse.csr_matrix
) -> Floats:
    """Check what is known of the cell types, and fill what is missing."""
    if domains_from not in ("composition", "both"):
        raise InputError(f"domains_from is '{domains_from}'; take expression, composition or both")
    if composition is None:
        raise InputError(f"domains_from is '{domains_from}', but there are no proportions of cell types; give these")
    if slices is not None and slices.nunique() > 1:
        raise InputError(f"domains_from is '{domains_from}', but joined slices are divided by expression; take that")
    shares: Floats = composition.to_numpy(np.float64)
    known = np.isfinite(shares).all(axis=1) & (shares.clip(0).sum(axis=1) > 0)
    if not known.any():
        raise InputError("proportions: no spot has any; take domains_from 'expression'")
    # a spot without counts of the reference's genes has its neighbours' mean, or where they have none that of all
    shares = np.where(known[:, None], shares, 0)
    near = np.asarray((graph @ known).reshape(-1, 1), np.float64)
    mean = np.where(near > 0, graph @ shares / np.maximum(near, 1e-12), shares[known].mean(axis=0))
    return np.where(known[:, None], shares, mean)


def _worthiest(compared: pd.DataFrame, settings: Settings) -> str:
    """Of what was divided, give that whose domains are worth most, as `auto` has it; the last one of equals."""
    compared["worth"] = _number.worth(compared, settings)
    source = str(compared["source"][compared["worth"][::-1].idxmax()])
    log.info("divided by %s: %s", source, compared.drop(columns="n_domains").to_dict("records"))
    return source


def _expressed(adata: AnnData, embedding: Floats) -> Floats:
    """Give the logarithms, or the embedding where there are none."""
    return np.asarray(adata.obsm.get(_views.LOGARITHMS, embedding))


def _curve(
    views: list[tuple[str, Floats]],
    own: Floats,
    residuals: Floats | None,
    graph: sparse.csr_matrix,
    seed: int,
    settings: Settings,
) -> pd.DataFrame:
    """Compare numbers of domains by averages of the logarithms, else of what is divided first, and what they tell."""
    missed = _views.missing(own, graph, settings)
    missed_residuals = None if residuals is None else _views.missing(residuals, graph, settings)
    keys = {key for key, _ in views} & {_views.LOGARITHMS} or {views[0][0]}
    of = [view for key, view in views if key in keys]
    # views of more components, from the second scale on, are enough to compare numbers
    return _number.curve(of[3 :: settings.every] or of, missed, missed_residuals, seed, settings)


def _rows(slices: pd.Series | None) -> list[Ints]:
    """Rows of each of several slices."""
    if slices is None:
        return []
    codes, names = pd.factorize(slices)
    return [np.flatnonzero(codes == code) for code in range(len(names))] if len(names) > 1 else []


def _members(
    views: list[tuple[str, Floats]], n_domains: int, seed: int, many: bool, settings: Settings = SETTINGS
) -> list[_consensus.Member]:
    """Probabilities of the domains (n_spots, K) by every view in which a mixture with K occupied domains was found."""
    if n_domains == 1:
        return [(views[0][0], np.ones((len(views[0][1]), 1)))]
    kinds: list[list[_consensus.Member]] = [[], []]  # one covariance, and own ones
    for key, view in views:
        found = _mixtures.mixture(view, n_domains, seed, own=many, settings=settings)
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
    many = len(rows) >= settings.many
    own = _members(own_views, n_domains, seed, many, settings) if own_views and n_domains > 1 else []
    absent = np.zeros((len(rows), together.shape[1] - n_domains), np.float32)
    both = [(key, member[rows]) for key, member in members]
    both += [(key, np.hstack([member, absent])) for key, member in own]
    told = _views.telling(slice_, graph, settings)
    # a slice may lack domains of the others
    voters = _consensus.voting(both, told, many, replace(settings, least=0))
    return _consensus.matched(voters, together[rows], settings)


def _by_size(labels: Ints, n_domains: int) -> Ints:
    """Order domains by falling size, those of equal size by their first spot."""
    first = np.full(n_domains, len(labels))
    np.minimum.at(first, labels, np.arange(len(labels)))
    return np.asarray(np.lexsort((first, -np.bincount(labels, minlength=n_domains))))
