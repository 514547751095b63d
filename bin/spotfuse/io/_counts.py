"""Raw counts: told from what is none, and won back from what was made of them."""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

from spotfuse._core.errors import InputError
from spotfuse._core.notes import Notes
from spotfuse._core.types import Floats, Floats32

# in lower case, without what is no letter
_COUNT_LAYERS = ("counts", "rawcounts", "count", "rawcount", "raw", "countsraw", "umi", "umis", "umicounts", "umicount")
_PARTS = {"spliced", "unspliced", "ambiguous", "mature", "nascent"}  # of RNA velocity: none of them is all counts
_INVERSES: tuple[tuple[str, Callable[[Floats], Floats]], ...] = (
    ("log-transformed", np.expm1),
    ("log-transformed to base 2", lambda x: np.expm1(x * np.log(2))),
    ("log-transformed to base 10", lambda x: np.expm1(x * np.log(10))),
    ("log-transformed twice", lambda x: np.expm1(np.expm1(x))),
    ("arcsinh-transformed", np.sinh),
    ("normalised", lambda x: x),
    # last: squares of counts that were normalised and nothing else are multiples of each other too
    ("square-root-transformed", np.square),
    ("Freeman-Tukey-transformed", lambda x: np.square((x - 1 / x) / 2) * np.where(x < 1 - _ROUNDING, np.nan, 1)),
    ("Anscombe-transformed", lambda x: np.square(x / 2) - 0.375),
)
_ADVICE = "give raw counts (h5ad: in X, layers['counts'] or raw)"
_ROUNDING = 1e-6  # of single precision, of what was 0
_SAMPLE = 2000  # spots whose values are looked at
_LEAST_SPAN = 1.3  # between the means of genes, times
_LARGEST_ROUNDED = (
    20  # of logarithms and z-scores; markers of rare cells may be counted oftener than what all cells have
)


@dataclass(frozen=True)
class Candidate:
    """A matrix that may be the counts, read when it is asked for.

    Attributes
    ----------
    source
        What it is called in messages: ``X``, ``layers['counts']``, ``raw.X``.
    peek, matrix
        Give some of its values, and all of it.
    """

    source: str
    peek: Callable[[], npt.NDArray[Any]]
    matrix: Callable[[], sparse.csr_matrix]

    def counts(self, path: Path, logged: bool, notes: Notes) -> sparse.csr_matrix:
        """Read it as `raw_counts` takes it; what a file says of having been logged is not of its layers."""
        logged = logged and not self.source.startswith("layers")
        return raw_counts(path, self.matrix(), self.source, logged, notes)

    def values(self) -> npt.NDArray[Any]:
        """Peek; NaN where it holds no numbers."""
        try:
            return self.peek()
        except InputError:
            return np.array([np.nan])


def choose(
    path: Path,
    X: Candidate | None,
    layers: Mapping[str, Candidate],
    raw: Candidate | None,
    *,
    logged: bool,
    how: str,
    notes: Notes,
) -> tuple[sparse.csr_matrix, str]:
    """Give the counts, and what the matrix is called that they are.

    Whole numbers come before what counts may be won back from, and of these a layer called counts before X, X before
    raw. A layer of another name is taken where nothing else can be and it alone holds counts.
    """
    # of two spellings that in lower case
    named = {re.sub(r"[^a-z]", "", name.lower()): name for name in sorted(layers, key=str.islower)}
    usual = [at for at in (X, *(layers[named[name]] for name in _COUNT_LAYERS if name in named), raw) if at is not None]
    values = {at.source: at.values() for at in usual}
    whole = [at for at in usual if is_whole(values[at.source])]
    whole.sort(key=lambda at: (not (values[at.source] > 1).any(), not at.source.startswith("layers")))
    refusal = None
    for at in (*whole, *(at for at in usual if at not in whole)):
        try:
            found = at.counts(path, logged, notes)
        except InputError as error:
            refusal = refusal or error
            continue
        if at != X and X not in whole:
            notes.append(f"counts taken from {at.source}, X has none")
        elif at != X and X is not None and (at == raw or (X.matrix() != found).nnz):
            notes.append(f"counts taken from {at.source}; X holds other whole numbers")
        return found, at.source
    others = {name: at for name, at in layers.items() if at not in usual}
    counts = {}
    for name, at in others.items():
        part_of_several = name in _PARTS and len(_PARTS & set(layers)) > 1
        if not part_of_several and is_whole(at.values()):
            with suppress(InputError):
                counts[name] = at.counts(path, logged, notes)
    if len(counts) == 1:
        ((name, found),) = counts.items()
        notes.append(f"counts taken from {others[name].source}, which alone holds whole numbers")
        return found, others[name].source
    message = str(refusal or f"{path}: no counts; X, layers['counts'] and raw are all absent")
    if others:
        message = f"{path}: several layers may be the counts" if counts else message.split(" (h5ad:")[0]
        message += f"; there are {', '.join(list(counts or layers)[:8])}: {how}"
    raise InputError(message)


def is_whole(values: npt.NDArray[Any]) -> bool:
    """Tell whether all values are whole numbers, none of them negative."""
    values = values.ravel()
    slabs = (values[i : i + 2**22] for i in range(0, len(values), 2**22))
    return all(bool((np.isfinite(slab) & (slab >= 0) & (slab == np.rint(slab))).all()) for slab in slabs)


def raw_counts(path: Path, X: sparse.csr_matrix, source: str, logged: bool, notes: Notes) -> sparse.csr_matrix:
    """Give raw counts: as they are, or won back from what was normalised, logged or rooted.

    Without a normalisation the inverse gives whole numbers; after one, each spot's smallest value is taken for one
    count, and all others have to be multiples of it. What was neither, and does not vary as counts do, is refused.
    """
    X.sum_duplicates()
    X.eliminate_zeros()
    if not np.isfinite(X.data).all():
        raise InputError(f"{path}: {source} has NaN or infinite values; give raw counts")
    if (X.data < 0).any():
        raise InputError(f"{path}: {source} has negative values, so it was scaled; {_ADVICE}")
    told = None
    if not is_whole(X.data):
        sample = _sample(X)
        for what, inverse in _INVERSES:
            for scaled in (False, True):
                if _won_back(sample, inverse, scaled) is not None:
                    counts = _won_back(X, inverse, scaled)
                    if counts is not None:
                        X.data = counts
                        X.eliminate_zeros()
                        how = ", the smallest value of each row taken for one count" if scaled else ""
                        told = f"{source} was {what}; counts were won back{how}"
                        break
            if told:
                break
        else:
            for what, inverse in _INVERSES:
                if _same_totals(sample, inverse):
                    raise InputError(f"{path}: {source} was {what}; {_ADVICE}")
            if logged:
                raise InputError(f"{path}: {source} was log-transformed; {_ADVICE}")
            told = f"{source} has values that are not whole numbers; they are used as they are"
    reason = _no_counts(_sample(X))
    if reason:
        raise InputError(f"{path}: {source} {reason}; {_ADVICE}")
    if told:
        notes.append(told)
    return X


def _sample(X: sparse.csr_matrix) -> sparse.csr_matrix:
    return X[np.unique(np.linspace(0, X.shape[0] - 1, _SAMPLE).astype(int))] if X.shape[0] > _SAMPLE else X


def _won_back(X: sparse.csr_matrix, inverse: Callable[[Floats], Floats], scaled: bool) -> Floats32 | None:
    """Give whole numbers, of rows that were scaled as multiples of each one's smallest value; None unless they are."""
    if not X.nnz:
        return None
    with np.errstate(over="ignore"):
        values = inverse(X.data.astype(np.float64))
    if not -_ROUNDING <= values.min() <= values.max() <= 1e12:
        return None
    values[values <= _ROUNDING] = 0  # what some transforms make of no count is no zero
    if scaled:
        rows = np.diff(X.indptr)
        smallest = np.minimum.reduceat(np.where(values > 0, values, np.inf), X.indptr[:-1][rows > 0])
        values /= np.repeat(smallest, rows[rows > 0])
    whole = np.rint(values)
    fits = np.abs(values - whole) <= np.minimum(1e-3 * whole, 0.1)
    return whole.astype(np.float32) if fits.all() and whole.any() else None


def _same_totals(X: sparse.csr_matrix, inverse: Callable[[Floats], Floats]) -> bool:
    """Tell whether all spots have the same total, as only a normalisation gives it."""
    with np.errstate(over="ignore"):
        values = inverse(X.data.astype(np.float64))
    total = np.bincount(np.repeat(np.arange(X.shape[0]), np.diff(X.indptr)), values, minlength=X.shape[0])
    total = total[total > 0]
    return len(total) > 0 and bool(np.ptp(total) < 0.01 * total.max())


def _no_counts(X: sparse.csr_matrix) -> str | None:
    """Say why values cannot be counts, when they cannot.

    A gene of which more is counted varies more, at least in proportion (Poisson's noise), and is found in more spots;
    logarithms, roots and ranks do not follow the former, values scaled gene by gene not the latter, however rounded.
    """
    n = X.shape[0]
    if not X.nnz:
        return None
    found = X.getnnz(axis=0)
    total, squares = (np.bincount(X.indices, X.data.astype(np.float64) ** i, minlength=X.shape[1]) for i in (1, 2))
    largest = X.data.max()
    if (X.data == 1).all():
        # that none of them was counted twice, given how often each gene was found
        twice = found * -np.log1p(-np.minimum(found / n, 1 - 0.5 / n)) / 2
        return "has only zeros and ones, so it was binarised" if twice.sum() > 20 else None
    if is_whole(X.data):
        sums = np.asarray(X.sum(axis=1, dtype=np.float64)).ravel()
        round_total = 10.0 ** np.rint(np.log10(np.median(sums[sums > 0])))
        if round_total >= 1e4 and sums.min() < round_total < sums.max() and np.ptp(sums) < 0.01 * round_total:
            return f"adds up to {round_total:.0f} in each row but for rounding, so it was normalised"
    elif largest <= 1:
        return "lies between 0 and 1, so it was scaled"
    elif (X.data == largest).sum() >= 5 and (X.data == np.rint(X.data)).mean() < 0.1:
        return f"has many values of exactly {largest:g}, the largest, so it was scaled and clipped"
    elif (found > 0).sum() > 20 and np.ptp(X.max(axis=0).toarray().ravel()[found > 0]) < 1e-6 * largest:
        return f"has {largest:g} as the largest value of each gene, so it was scaled"
    common = found >= max(5, 0.05 * n)
    found, total, squares = found[common], total[common], squares[common]
    if n < 30 or len(found) < 20:
        return None
    mean = total / n
    variance = squares / n - mean**2
    if np.divide(*np.quantile(variance, [0.9, 0.1])) < 1.02:
        return "varies as much in each gene, so it was scaled"
    # a share of a fixed total varies less, by what it takes from the others
    spread = variance / mean / (1 - mean * n / X.data.sum(dtype=np.float64))
    if max(np.divide(*np.quantile(values, [0.9, 0.1])) for values in (mean, found)) < 1 + 8 / np.sqrt(n):
        return None  # genes that differ by chance alone tell nothing
    span = np.divide(*np.quantile(mean, [0.9, 0.1]))
    if span < _LEAST_SPAN and is_whole(X.data):
        return None  # of genes of one mean those that fewer spots have are counted oftener there, whatever they are
    small = largest <= _LARGEST_ROUNDED
    if (small or not is_whole(X.data)) and _falls(found, total / found):
        return "has smaller values of genes that more spots have, so it was scaled"
    smallest = np.median(np.minimum.reduceat(X.data, X.indptr[:-1][np.diff(X.indptr) > 0]))
    at_most = np.median(spread[mean >= np.quantile(mean, 0.9)]) / smallest
    if _falls(mean, spread) and (at_most < 1.25 or (small and span > 2) or not is_whole(X.data)):
        return "varies less the more there is of a gene, unlike counts, so it was log- or square-root-transformed"
    return None


def _falls(x: npt.NDArray[Any], y: npt.NDArray[Any]) -> bool:
    """Tell whether y falls as x grows: rank correlation, three standard errors below 0."""
    ranks = [pd.Series(values).rank().to_numpy() for values in (x, y)]
    if any(not np.ptp(values) for values in ranks):
        return False
    return bool(np.corrcoef(*ranks)[0, 1] * np.sqrt(len(x) - 1) < -3)
