"""How near domains and proportions come to what is known."""

import numpy as np
import pandas as pd

from spotfuse import io
from spotfuse._core import naming
from spotfuse._core.errors import InputError
from spotfuse._core.types import Ints


def domain_scores(
    domains: pd.Series, annotation: pd.Series, spots: pd.Index | None = None
) -> dict[str, float | int | None]:
    """Compare domains with known ones.

    Annotated spots that have no domain, because quality control dropped them, count as one more domain: dropping the
    hard ones must not raise a score.

    Parameters
    ----------
    domains
        The domain of each kept spot, indexed by spot.
    annotation
        The known label of each spot, indexed by spot; empty text, NA, NaN, none and null are no labels.
    spots
        All spots of the input; those of `annotation` when they are not given.

    Returns
    -------
    dict
        ``ari`` (Hubert & Arabie 1985, J Classif 2:193) and ``nmi`` (arithmetic mean of the entropies), None when fewer
        than two spots are annotated; ``n_scored``, annotated spots with a domain; ``n_annotated``, annotated spots of
        the input.

    Raises
    ------
    InputError
        When the annotation is of other spots, or labels none.

    Examples
    --------
    >>> sf.metrics.domains(adata.obs["domain"], adata.obs["layer"])["ari"]  # doctest: +SKIP
    """
    known = labelled(annotation, annotation.index if spots is None else spots)
    found = domains.astype(str).reindex(known.index)
    n_scored = int(found.notna().sum())
    found = found.fillna("dropped")
    shared = pd.crosstab(known, found).to_numpy()
    enough = len(known) > 1
    return {
        "ari": rand_index(shared) if enough else None,
        "nmi": _mutual_information(shared) if enough else None,
        "n_scored": n_scored,
        "n_annotated": len(known),
    }


def rand_index(shared: Ints) -> float:
    """Compute the adjusted Rand index from how many spots each pair of domains shares.

    Parameters
    ----------
    shared
        Of shape (n_domains of one, n_domains of the other).

    Returns
    -------
    1 where they are the same, 0 as at random.
    """

    def pairs(size: Ints) -> float:
        return float((size * (size - 1.0)).sum())

    rows, columns = pairs(shared.sum(axis=1)), pairs(shared.sum(axis=0))
    chance = rows * columns / pairs(shared.sum(keepdims=True))
    most = (rows + columns) / 2
    return (pairs(shared) - chance) / (most - chance) if most > chance else 1.0


def _mutual_information(shared: Ints) -> float:
    """Compute the mutual information, divided by the mean of both entropies."""

    def entropy(size: Ints) -> float:
        share = size[size > 0] / size.sum()
        return -float((share * np.log(share)).sum())

    one, other = entropy(shared.sum(axis=1)), entropy(shared.sum(axis=0))
    return max(2 * (one + other - entropy(shared)) / (one + other), 0.0) if one + other > 0 else 1.0


def labelled(annotation: pd.Series, spots: pd.Index) -> pd.Series:
    """Leave the labels that are some, of the spots that there are.

    Parameters
    ----------
    annotation
        The known label of each spot, indexed by spot.
    spots
        All spots of the input.

    Returns
    -------
    Series of text, indexed by spot.

    Raises
    ------
    InputError
        When nothing is left.
    """
    annotation = naming.named_as(io.with_first(annotation, spots), spots)
    known = annotation[annotation.index.isin(spots)].astype(object)
    if known.empty:
        raise InputError(f"none of its spots is in the slice; it has '{annotation.index[0]}', the slice '{spots[0]}'")
    known = known[~known.isna()].astype(str).str.strip()
    known = known[~known.str.lower().isin(naming.NO_LABEL)]
    if known.empty:
        raise InputError("it labels no spot of the slice")
    return known
