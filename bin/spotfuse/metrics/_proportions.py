"""Scores of proportions against known ones, in the three conventions of the field."""

from typing import Any

import numpy as np
import pandas as pd
from scipy.spatial.distance import jensenshannon

from spotfuse._core import naming
from spotfuse._core.errors import InputError
from spotfuse._core.types import Floats


def evaluate(proportions: pd.DataFrame, truth: pd.DataFrame) -> dict[str, Any]:
    """Score proportions.

    Parameters
    ----------
    proportions
        Of shape (n_spots, n_types), rows and columns named.
    truth
        Proportions or numbers of cells, named likewise; rows are scaled to sum to 1. Types that only one side has
        count as 0 on the other; spots that only one side has are not scored. Rows and columns with a default index
        are taken in the order given.

    Returns
    -------
    dict
        ``RMSE``, ``PCC`` (means over types; a type constant in the truth is skipped and counted in
        ``n_types_skipped``, one constant in the estimate has PCC 0), ``JSD`` (Jensen–Shannon distance, base e, mean
        over spots), ``PCC_per_spot``, ``PCC_overall``, ``Spearman``, ``CCC``, ``MAE``, ``RMSE_overall``,
        ``spotless`` (mean over spots of RMSE and of the divergence in bits), ``li2023`` (median divergence in bits,
        overall RMSE), ``per_type`` (a DataFrame), ``n_spots``, ``missing_types`` and ``unknown_types``.

    Raises
    ------
    InputError
        For a truth whose spots neither cover nor are among those of `proportions`, without a type in common, or with
        anything but numbers from 0.
    """
    return scores(proportions, truth, "proportions", "truth")


def scores(proportions: pd.DataFrame, truth: pd.DataFrame, given: str, known_as: str) -> dict[str, Any]:
    """Score as `evaluate` does, where the caller calls the two otherwise."""
    proportions, truth = _numbers(proportions, given), _numbers(naming.by_own_names(truth, proportions.index), known_as)
    if truth.shape[1] == proportions.shape[1] and naming.unnamed(truth.columns):
        truth = truth.set_axis(proportions.columns, axis=1)
    if not truth.columns.isin(proportions.columns).any():
        raise InputError(
            f"{known_as}: none of its columns is a cell type of {given}; it has '{str(truth.columns[0])[:40]}', "
            f"{given} '{str(proportions.columns[0])[:40]}'"
        )
    rows = np.arange(len(proportions))
    at = naming.aligned(proportions.index, truth.index)
    if at is None and (part := naming.aligned(truth.index, proportions.index)) is not None:
        at = np.argsort(part)
        rows = part[at]
    if at is None:
        at = naming.align(proportions.index, given, truth.index, known_as)
    types = sorted(set(proportions.columns) | set(truth.columns))
    P = proportions.iloc[rows].reindex(columns=types, fill_value=0.0).to_numpy(dtype=np.float64)
    T = truth.iloc[at].reindex(columns=types, fill_value=0.0).to_numpy(dtype=np.float64)
    total = T.sum(axis=1, keepdims=True)
    known = total[:, 0] > 0
    if not known.any():
        raise InputError(f"{known_as} is 0 in all the spots that are scored")
    P, T = P[known], T[known] / total[known]

    return _compared(P, T, types) | {
        "n_spots": int(known.sum()),
        "missing_types": [name for name in types if name not in proportions.columns],
        "unknown_types": [name for name in types if name not in truth.columns],
    }


def _compared(P: Floats, T: Floats, types: list[str]) -> dict[str, Any]:
    """Compare two matrices of spots × types in all conventions; what cannot be computed is NaN."""
    per_type = pd.DataFrame(
        {
            "RMSE": np.sqrt(np.mean((P - T) ** 2, axis=0)),
            "PCC": _pearson(P.T, T.T),
            "Spearman": _pearson(*(pd.DataFrame(values).rank().to_numpy(np.float64).T for values in (P, T))),
        },
        index=pd.Index(types, name="type"),
    )
    varying, uneven = np.ptp(T, axis=0) > 0, np.ptp(T, axis=1) > 0
    means = per_type[varying].mean()
    some = (P.sum(axis=1) > 0) & (T.sum(axis=1) > 0)
    with np.errstate(invalid="ignore"):  # of equal distributions rounding can leave the root of less than 0
        distance = np.nan_to_num(jensenshannon(P[some], T[some], axis=1))
    bits = distance**2 / np.log(2)
    flat = P.ravel(), T.ravel()
    spread = flat[0].var() + flat[1].var() + (flat[0].mean() - flat[1].mean()) ** 2
    return {
        "RMSE": float(means["RMSE"]),
        "PCC": float(means["PCC"]),
        "JSD": _mean(distance),
        "Spearman": float(means["Spearman"]),
        "PCC_per_spot": _mean(_pearson(P[uneven], T[uneven])),
        "PCC_overall": float(_pearson(flat[0][None], flat[1][None])[0]),
        "CCC": float(2 * np.mean((flat[0] - flat[0].mean()) * (flat[1] - flat[1].mean())) / spread) if spread else 0.0,
        "MAE": float(np.mean(np.abs(P - T))),
        "RMSE_overall": float(np.sqrt(np.mean((P - T) ** 2))),
        "spotless": {"RMSE": float(np.mean(np.sqrt(np.mean((P - T) ** 2, axis=1)))), "JSD": _mean(bits)},
        "li2023": {
            "RMSE": float(np.sqrt(np.mean((P - T) ** 2))),
            "JSD": float(np.median(bits)) if len(bits) else np.nan,
        },
        "per_type": per_type,
        "n_types_skipped": int((~varying).sum()),
    }


def _numbers(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Give a table of numbers from 0 whose columns are called by text, each once."""
    columns = naming.text_index(table.columns)
    if not columns.is_unique:
        raise InputError(f"{name}: two columns are named '{columns[columns.duplicated()][0][:40]}'")
    numbers = table.apply(pd.to_numeric, errors="coerce").set_axis(columns, axis=1)
    bad = np.argwhere(~(numbers.to_numpy(dtype=np.float64) >= 0))
    if len(bad):
        row, column = bad[0]
        raise InputError(
            f"{name}: row '{str(table.index[row])[:40]}', column '{columns[column][:40]}': "
            f"'{str(table.iloc[row, column])[:40]}' is not a number from 0"
        )
    return numbers


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
    truth = naming.named_as(truth, predicted.index)
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
    scores = _compared(P, T, types)
    named = {"rmse": "RMSE", "pcc_per_type": "PCC", "pcc_per_spot": "PCC_per_spot", "js_distance": "JSD"}
    found = {ours: None if np.isnan(scores[name]) else scores[name] for ours, name in named.items()}
    return found | {"n_types_skipped": scores["n_types_skipped"]}


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


def _pearson(A: Floats, B: Floats) -> Floats:
    """Correlate the rows of two matrices; 0 where a row of either is constant."""
    constant = (np.ptp(A, axis=1) == 0) | (np.ptp(B, axis=1) == 0)
    A = A - A.mean(axis=1, keepdims=True)
    B = B - B.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(A, axis=1) * np.linalg.norm(B, axis=1)
    r = np.divide((A * B).sum(axis=1), norm, out=np.zeros(len(A)), where=norm > 0)
    return np.where(constant, 0.0, np.clip(r, -1, 1))


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else np.nan
