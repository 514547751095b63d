"""From an embedding to spatial domains: mixtures at several scales, their consensus, and its refinement.

No scale of smoothing suits every tissue, nor does one scale of the counts. Each gives one labelling; a labelling that
agrees with the others is right more often than one that does not (no labels are needed to see that), so they vote,
weighted by their agreement.
"""

import logging
import warnings
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import numpy.typing as npt
import pandas as pd
from anndata import AnnData
from scipy import sparse
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from spotfuse._core.errors import InputError
from spotfuse.domains import _mixtures
from spotfuse.domains._refinement import refine as refined
from spotfuse.preparation import averaging, fixed_signs

log = logging.getLogger(__name__)

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

_SCALES = (0, 2, 6, 14)  # steps of averaging over the tissue, on top of the encoder's own
_ENCODER_STEPS = 2  # which components that did not go through an encoder get here
PLAIN = ("X_pca", "X_pca_log")  # components that vote beside the embedding
_DIMENSIONS = (8, 15)  # principal components of the averaged embedding
_MORE = (0, 1)  # domains too many that each view's two mixtures have, before those told apart worst are merged
_REFERENCES = 8  # labellings that are tried as the one whose domains count, until none of these is empty
_CURVE_STARTS = 3
_CURVE_VIEWS = 3  # every third view is enough to compare numbers of domains
_CLEAR, _LIKELY = 0.1, 0.03  # lead in agreement of the chosen number on the next best
_MOST_DOMAINS = 15  # that `auto` looks at
_CURVE = ["n_domains", "stability", "bic", "chosen"]


@dataclass(frozen=True)
class Domains:
    """Domains of a slice.

    Attributes
    ----------
    labels
        1…K for each spot, by falling size; domains of equal size in the order of their first spots.
    confidence
        Probability of the spot's own domain.
    probabilities
        Of each domain, float32 of shape (n_spots, K); rows sum to 1.
    curve
        What `auto` looked at: ``n_domains``, ``stability`` (mean agreement of the labellings), ``bic``, ``chosen``
        (0 or 1); without rows when the number was given.
    """

    labels: Labels
    confidence: npt.NDArray[np.float32]
    probabilities: npt.NDArray[np.float32]
    curve: pd.DataFrame


def assign(
    adata: AnnData,
    embedding: Floats,
    n_domains: int | None,
    *,
    slices: pd.Series | None = None,
    seed: int = 1,
    refine: bool = True,
) -> Domains:
    """Divide a slice into domains, or a group of slices.

    The embedding is averaged over the spatial graph by several numbers of steps, and its leading components are
    clustered by Gaussian mixtures with one covariance (mclust's EEE), each from several starts; from there, each domain
    gets a covariance of its own, drawn towards the common one (mclust's VVV with its prior). A second mixture has one
    domain too many, of which the two that are told apart worst are merged: a small domain is found that would not be
    worth splitting a large one. The same is done with the components of residuals and of logarithms, where they are
    there. All probabilities are averaged, weighted by the mean agreement (adjusted Rand index) of each labelling with
    all.

    Slices that were joined have their mixtures together. In each slice that has spots enough the mixture then goes on
    alone: what a domain expresses differs a little from slice to slice, which is not to decide where it ends. Both
    vote.

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
        views = _views(adata, embedding, graph)
        if n_domains not in (1, None) and not any(view.size for view in views):
            raise InputError(
                f"n_domains is {n_domains}, but all spots are alike and cannot be divided; take 1, or auto"
            )
        curve = pd.DataFrame(columns=_CURVE)
        if n_domains is None:
            curve = _curve(views[::_CURVE_VIEWS], min(_MOST_DOMAINS, n_spots - 1), seed)
            n_domains = int(curve.loc[curve["chosen"] == 1, "n_domains"].iloc[0])
        probabilities = _consensus(_members(views, n_domains, seed, _rows(slices)), graph if refine else None)
    labels = _occupied(probabilities)
    order = _by_size(labels, n_domains)
    labels = np.argsort(order)[labels]
    ordered = probabilities[:, order].astype(np.float32)
    return Domains(labels + 1, ordered[np.arange(n_spots), labels], ordered, curve)


def _views(adata: AnnData, embedding: Floats, graph: sparse.csr_matrix) -> list[Floats]:
    """Leading components of the embedding and of the plain components, at every scale."""
    average = averaging(graph, self_weight=0.5)
    views = []
    for values, steps in [(embedding, 0)] + [(adata.obsm[key], _ENCODER_STEPS) for key in PLAIN if key in adata.obsm]:
        averaged = np.asarray(values, dtype=np.float64)
        for _ in range(steps):
            averaged = average @ averaged
        for before, scale in zip((0, *_SCALES), _SCALES, strict=False):
            for _ in range(scale - before):
                averaged = average @ averaged
            scores = _scores(averaged)
            views += [scores[:, :d] for d in sorted({min(d, scores.shape[1]) for d in _DIMENSIONS})]
    return views


def _scores(values: Floats) -> Floats:
    """Scores on the leading components, with fixed signs."""
    centred = values - values.mean(axis=0)
    size, vectors = np.linalg.eigh(centred.T @ centred)
    order = np.argsort(size)[::-1][: max(_DIMENSIONS)]
    vectors = vectors[:, order[size[order] > 1e-9 * size.max()]]
    return np.asarray(centred @ fixed_signs(vectors))


def _rows(slices: pd.Series | None) -> list[Labels]:
    """Rows of each of several slices."""
    if slices is None:
        return []
    codes, names = pd.factorize(slices)
    return [np.flatnonzero(codes == code) for code in range(len(names))] if len(names) > 1 else []


def _members(views: list[Floats], n_domains: int, seed: int, slices: list[Labels]) -> list[Floats]:
    """Probabilities of the domains (n_spots, K) by every view in which a mixture with K occupied domains was found."""
    if n_domains == 1:
        return [np.ones((len(views[0]), 1))]
    members = []
    for view in views:
        for more in _MORE:
            if (member := _mixtures.mixture(view, n_domains, seed, more=more)) is None:
                continue
            members.append(member)
            if slices:
                members.append(member.copy())
                for rows in slices:
                    members[-1][rows] = _adapted(view[rows], member[rows], seed)
    if members:
        return members
    log.warning("no mixture with %d occupied domains was found: k-means decides", n_domains)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer places than domains: _occupied fills them up
        partition = KMeans(n_domains, n_init=_mixtures.STARTS, random_state=seed).fit(views[0]).labels_
    return [np.eye(n_domains)[partition]]


def _adapted(view: Floats, probabilities: Floats, seed: int) -> Floats:
    """Let the mixture of several slices go on in one of them, with the domains that this one has."""
    labels = probabilities.argmax(axis=1)
    present, start = np.unique(labels, return_inverse=True)
    if len(present) < 2 or len(view) <= view.shape[1] + len(present):
        return probabilities
    sample = _mixtures.sample(np.column_stack([view, start]), seed)
    fitted = _mixtures.fitted(view, sample[:, :-1], sample[:, -1].astype(np.int64), len(present))
    if fitted is None:
        return probabilities
    adapted = np.zeros_like(probabilities)
    adapted[:, present] = fitted
    return adapted


def _agreement(members: list[Floats]) -> npt.NDArray[np.float64]:
    """Compute the adjusted Rand index of each pair of labellings."""
    labels, k = [member.argmax(axis=1) for member in members], members[0].shape[1]
    agreement = np.eye(len(labels))
    for i in range(len(labels)):
        for j in range(i):
            shared = np.bincount(labels[i] * k + labels[j], minlength=k * k).reshape(k, k)
            agreement[i, j] = agreement[j, i] = _rand_index(shared)
    return agreement


def _rand_index(shared: Labels) -> float:
    """Compute the adjusted Rand index from how many spots each pair of domains shares, quicker than from the labels."""

    def pairs(size: Labels) -> float:
        return float((size * (size - 1.0)).sum())

    rows, columns = pairs(shared.sum(axis=1)), pairs(shared.sum(axis=0))
    chance = rows * columns / pairs(shared.sum(keepdims=True))
    most = (rows + columns) / 2
    return (pairs(shared) - chance) / (most - chance) if most > chance else 1.0


def _consensus(members: list[Floats], graph: sparse.csr_matrix | None) -> Floats:
    """Mean probabilities, each labelling weighted by its mean agreement with all; corrected by neighbours in `graph`.

    Domains are matched to those of the labelling that agrees most. Where one of these is the most probable nowhere, for
    the labellings put it in different places, the next best is matched to.
    """
    worth = _agreement(members).mean(axis=1)
    found = []
    for best in np.argsort(-worth, kind="stable")[:_REFERENCES]:
        total = np.zeros(members[best].shape)
        for member, weight in zip(members, worth, strict=True):
            shared = members[best].T @ member
            total += max(weight, 0) * member[:, linear_sum_assignment(-shared)[1]]
        total /= total.sum(axis=1, keepdims=True)
        found.append(total if graph is None else refined(total, graph))
        if len(np.unique(found[-1].argmax(axis=1))) == total.shape[1]:
            return found[-1]
    log.warning("%d domains: the labellings agree on fewer, and some have a single spot; ask for less", total.shape[1])
    return found[0]


def _curve(views: list[Floats], most: int, seed: int) -> pd.DataFrame:
    """How well the labellings agree, and their mean BIC, for each number of domains from 2 on.

    The most stable number is chosen. Two is left to tissues where nothing else is possible: a split in halves is stable
    almost anywhere.
    """
    samples = [_mixtures.sample(view, seed) for view in views]
    rows = []
    for n_domains in range(2, most + 1):
        fits = [
            (x, fit) for x in samples if (fit := _mixtures.likeliest(x, n_domains, seed, _CURVE_STARTS)) is not None
        ]
        if len(fits) < 2:
            continue
        agreement = _agreement([np.eye(n_domains)[labels] for _, (_, labels) in fits])
        stability = float((agreement.sum() / len(fits) - 1) / (len(fits) - 1))
        bic = fmean([_mixtures.bic(x, n_domains, likelihood) for x, (likelihood, _) in fits])
        rows.append((n_domains, stability, bic, 0))
    curve = pd.DataFrame(rows or [(1, 1.0, 0.0, 0)], columns=_CURVE)
    chosen = curve["stability"].where(curve["n_domains"] != 2, curve["stability"] - 2).idxmax()
    curve.loc[chosen, "chosen"] = 1
    number, stability = curve.loc[chosen, ["n_domains", "stability"]]
    others = curve[(curve.index != chosen) & (curve["n_domains"] > 2)]
    if others.empty:
        log.info("%d domains: no other number could be compared", number)
        return curve
    second, less = others.loc[others["stability"].idxmax(), ["n_domains", "stability"]]
    lead = stability - less
    sure = "clearly" if lead >= _CLEAR else "likely" if lead >= _LIKELY else "hardly more than another number"
    log.info("%d domains, %s: the labellings agree by %.2f, with %d by %.2f", number, sure, stability, second, less)
    return curve


def _occupied(probabilities: Floats) -> Labels:
    """Most probable domain of each spot; a domain that is nowhere the most probable gets its most probable spot."""
    labels = probabilities.argmax(axis=1)
    for _ in range(probabilities.shape[1]):
        size = np.bincount(labels, minlength=probabilities.shape[1])
        empty = np.flatnonzero(size == 0)
        if not len(empty):
            break
        free = np.flatnonzero(size[labels] > 1)
        labels[free[probabilities[free, empty[0]].argmax()]] = empty[0]
    return labels


def _by_size(labels: Labels, n_domains: int) -> Labels:
    """Order domains by falling size, those of equal size by their first spot."""
    first = np.full(n_domains, len(labels))
    np.minimum.at(first, labels, np.arange(len(labels)))
    return np.asarray(np.lexsort((first, -np.bincount(labels, minlength=n_domains))))
