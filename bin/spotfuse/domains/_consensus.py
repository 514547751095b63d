"""From many labellings to one: which of them vote, what they agree on, and that no domain is left without spots."""

import logging
from collections.abc import Callable, Sequence

import numpy as np
from scipy import sparse
from scipy.optimize import linear_sum_assignment

from spotfuse._core.types import Floats, Floats32, Ints
from spotfuse.domains._refinement import refine as refined
from spotfuse.domains._settings import SETTINGS, Settings
from spotfuse.domains._views import LOGARITHMS, RESIDUALS
from spotfuse.metrics import rand_index

log = logging.getLogger(__name__)

Probabilities = Floats32 | Floats  # single precision where many are kept
Member = tuple[str, Probabilities]  # what was divided, and each spot's probabilities of the domains


def voting(
    members: list[Member], told: Callable[[Ints, str], float], many: bool, settings: Settings = SETTINGS
) -> list[Probabilities]:
    """Give the members that vote: all where spots are many, otherwise those of the components that tell most.

    These are the logarithms, and the residuals where neighbours tell them at least as well; all, where they tell
    nothing. A labelling with a domain of hardly any spots is no result where another has none such.
    """
    of = np.array([key for key, _ in members])
    labels = [member.argmax(axis=1) for _, member in members]
    votes = np.ones(len(members), dtype=bool)
    if not many and LOGARITHMS in of:
        best = {
            key: max((told(labels[i], key) for i in np.flatnonzero(of == key)), default=-np.inf)
            for key in (LOGARITHMS, RESIDUALS)
        }
        if best[LOGARITHMS] > 0:
            votes = (of == LOGARITHMS) | ((of == RESIDUALS) & (best[RESIDUALS] >= best[LOGARITHMS]))
    least = np.array([np.bincount(found, minlength=members[0][1].shape[1]).min() for found in labels])
    large = votes & (least >= _least(members[0][1], settings))
    return [member for (_, member), vote in zip(members, large if large.any() else votes, strict=True) if vote]


def _least(probabilities: Probabilities, settings: Settings) -> int:
    """Fewest spots of a domain."""
    n_spots, n_domains = probabilities.shape
    return int(min(settings.least, n_spots // n_domains))


def agreement(members: Sequence[Probabilities]) -> Floats:
    """Compute the adjusted Rand index of each pair of labellings."""
    labels, k = [member.argmax(axis=1) for member in members], members[0].shape[1]
    agreed = np.eye(len(labels))
    for i in range(len(labels)):
        for j in range(i):
            shared = np.bincount(labels[i] * k + labels[j], minlength=k * k).reshape(k, k)
            agreed[i, j] = agreed[j, i] = rand_index(shared)
    return agreed


def stability(members: Sequence[Probabilities]) -> float:
    """Mean agreement of each two labellings; none of a single one."""
    n_members = len(members)
    return float((agreement(members).sum() / n_members - 1) / (n_members - 1)) if n_members > 1 else 0.0


def consensus(
    members: Sequence[Probabilities], graph: sparse.csr_matrix | None, settings: Settings = SETTINGS
) -> Floats:
    """Mean probabilities, weighted by a power of each labelling's agreement; corrected by neighbours in `graph`.

    Domains are matched to those of the labelling that agrees most. Where one of these is left with hardly any spots,
    for the labellings put it in different places, the next best is matched to.
    """
    worth = np.maximum(agreement(members).mean(axis=1), 0) ** settings.power
    found = []
    for best in np.argsort(-worth, kind="stable")[: settings.matched]:
        total = _mean(members, worth, members[best])
        found.append(total if graph is None else refined(total, graph, settings))
        if np.bincount(found[-1].argmax(axis=1), minlength=total.shape[1]).min() >= _least(total, settings):
            return found[-1]
    log.warning(
        "%d domains: the labellings agree on fewer, and some have hardly any spots; ask for less", total.shape[1]
    )
    return found[0]


def matched(members: Sequence[Probabilities], together: Floats, settings: Settings = SETTINGS) -> Floats:
    """Mean probabilities in one of several slices, whose domains are those of all together; some may be absent."""
    return _mean(members, np.maximum(agreement(members).mean(axis=1), 0) ** settings.power, together)


def _mean(members: Sequence[Probabilities], worth: Floats, reference: Probabilities) -> Floats:
    """Weighted mean of labellings, the domains of each matched to those of `reference`."""
    total = np.zeros(reference.shape)
    for member, weight in zip(members, worth, strict=True):
        total += weight * member[:, linear_sum_assignment(-(reference.T @ member))[1]]
    return total / total.sum(axis=1, keepdims=True)


def occupied(probabilities: Floats, settings: Settings = SETTINGS) -> Ints:
    """Most probable domain of each spot; a domain with hardly any spots gets its most probable ones."""
    labels = probabilities.argmax(axis=1)
    least = _least(probabilities, settings)
    for _ in range(least * probabilities.shape[1]):
        size = np.bincount(labels, minlength=probabilities.shape[1])
        small = np.flatnonzero(size < least)
        if not len(small):
            break
        free = np.flatnonzero(size[labels] > least)
        labels[free[probabilities[free, small[0]].argmax()]] = small[0]
    return labels
