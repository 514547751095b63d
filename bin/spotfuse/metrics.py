"""How near domains and proportions come to what is known."""

from typing import Any

import numpy as np
import pandas as pd

from spotfuse import tables
from spotfuse.errors import InputError


def domain_scores(domains: pd.Series, annotation: pd.Series, spots: pd.Index) -> dict[str, float | int | None]:
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
        All spots of the input.

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
    """
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    known = labelled(annotation, spots)
    found = domains.astype(str).reindex(known.index)
    n_scored = int(found.notna().sum())
    found = found.fillna("dropped")
    enough = len(known) > 1
    return {
        "ari": float(adjusted_rand_score(known, found)) if enough else None,
        "nmi": float(normalized_mutual_info_score(known, found)) if enough else None,
        "n_scored": n_scored,
        "n_annotated": len(known),
    }


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
    annotation = tables.named_as(tables.with_first(annotation, spots), spots)
    known = annotation[annotation.index.isin(spots)].astype(object)
    if known.empty:
        raise InputError(f"none of its spots is in the slice; it has '{annotation.index[0]}', the slice '{spots[0]}'")
    known = known[~known.isna()].astype(str).str.strip()
    known = known[~known.str.lower().isin(tables.NO_LABEL)]
    if known.empty:
        raise InputError("it labels no spot of the slice")
    return known


def proportion_scores(predicted: pd.DataFrame, truth: pd.DataFrame) -> dict[str, float | int | None]:
    """Compare proportions with known ones, over the spots that both have and the types that either has.

    Types constant in the truth are skipped where types are compared, and counted. A type that was not predicted is
    predicted 0 everywhere, one that the truth lacks is 0 there.

    Parameters
    ----------
    predicted, truth
        Proportions of shape (n_spots, n_types), indexed by spot; rows of the truth sum to 1.

    Returns
    -------
    dict
        ``rmse``: mean over types of the root mean square over spots. ``pcc_per_type``: mean over types of Pearson's
        correlation over spots, 0 where the prediction is constant. ``pcc_per_spot``: mean over spots of Pearson's
        correlation over types, likewise. ``js_distance``: mean over spots of the Jensen–Shannon distance (natural
        logarithm, the square root of the divergence; Endres & Schindelin 2003, IEEE Trans Inf Theory 49:1858).
        ``n_types_skipped``. What cannot be computed is None.

    Raises
    ------
    InputError
        When the two have no spot in common, or no type.
    """
    truth = tables.named_as(truth, predicted.index)
    spots = truth.index[truth.index.isin(predicted.index)]
    if spots.empty:
        raise InputError(
            f"none of the spots with known proportions is in the slice; they have '{truth.index[0]}', "
            f"the slice '{predicted.index[0]}'"
        )
    if not set(truth) & set(predicted):
        raise InputError(
            f"no cell type has known proportions; they are of '{truth.columns[0]}' …, "
            f"the reference has '{predicted.columns[0]}' …"
        )
    types = sorted(set(truth) | set(predicted))
    T = truth.loc[spots].reindex(columns=types, fill_value=0.0).to_numpy(dtype=np.float64)
    P = predicted.loc[spots].reindex(columns=types, fill_value=0.0).to_numpy(dtype=np.float64)
    varying = np.ptp(T, axis=0) > 0
    rmse = np.sqrt(np.mean((P - T) ** 2, axis=0))
    uneven = np.ptp(T, axis=1) > 0
    return {
        "rmse": _mean(rmse[varying]),
        "pcc_per_type": _mean(_pearson(P.T[varying], T.T[varying])),
        "pcc_per_spot": _mean(_pearson(P[uneven], T[uneven])),
        "js_distance": _mean(_js_distance(P, T)),
        "n_types_skipped": int((~varying).sum()),
    }


def check_proportions(truth: pd.DataFrame, name: Any) -> None:
    """Refuse known proportions that are none.

    Parameters
    ----------
    truth
        Numbers of shape (n_spots, n_types), indexed by spot.
    name
        The file, for the message.

    Raises
    ------
    InputError
        When a value is negative, or a row does not sum to 1 (to within 0.01).
    """
    negative = (truth < 0).any(axis=1)
    if negative.any():
        raise InputError(f"{name}: spot '{truth.index[negative.argmax()]}' has a negative proportion")
    total = truth.sum(axis=1)
    off = (total - 1).abs() > 0.01
    if off.any():
        row = off.to_numpy().argmax()
        raise InputError(
            f"{name}: the proportions of spot '{truth.index[row]}' sum to {total.iloc[row]:.4g}, not to 1; "
            "divide each row by its sum, and leave out spots without cells"
        )


def _pearson(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    """Correlate the rows of two matrices; 0 where a row of the first is constant."""
    constant = np.ptp(A, axis=1) == 0
    A = A - A.mean(axis=1, keepdims=True)
    B = B - B.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(A, axis=1) * np.linalg.norm(B, axis=1)
    r = np.divide((A * B).sum(axis=1), norm, out=np.zeros(len(A)), where=norm > 0)
    return np.where(constant, 0.0, np.clip(r, -1, 1))


def _js_distance(P: np.ndarray, T: np.ndarray) -> np.ndarray:
    from scipy.spatial.distance import jensenshannon

    some = (P.sum(axis=1) > 0) & (T.sum(axis=1) > 0)
    return np.asarray(jensenshannon(P[some], T[some], axis=1))


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None
