"""Scores of proportions against known ones, in the three conventions of the field."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.spatial.distance import jensenshannon

from spotfuse import io
from spotfuse.deconvolution import _input
from spotfuse.errors import InputError

Array = npt.NDArray[np.float64]


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
    proportions, truth = _numbers(proportions, given), _numbers(_input.by_own_names(truth, proportions.index), known_as)
    if truth.shape[1] == proportions.shape[1] and _input.unnamed(truth.columns):
        truth = truth.set_axis(proportions.columns, axis=1)
    if not truth.columns.isin(proportions.columns).any():
        raise InputError(
            f"{known_as}: none of its columns is a cell type of {given}; it has '{str(truth.columns[0])[:40]}', "
            f"{given} '{str(proportions.columns[0])[:40]}'"
        )
    rows = np.arange(len(proportions))
    at = _input.aligned(proportions.index, truth.index)
    if at is None and (part := _input.aligned(truth.index, proportions.index)) is not None:
        at = np.argsort(part)
        rows = part[at]
    if at is None:
        at = _input.align(proportions.index, given, truth.index, known_as)
    types = sorted(set(proportions.columns) | set(truth.columns))
    P = proportions.iloc[rows].reindex(columns=types, fill_value=0.0).to_numpy(dtype=np.float64)
    T = truth.iloc[at].reindex(columns=types, fill_value=0.0).to_numpy(dtype=np.float64)
    total = T.sum(axis=1, keepdims=True)
    known = total[:, 0] > 0
    if not known.any():
        raise InputError(f"{known_as} is 0 in all the spots that are scored")
    P, T = P[known], T[known] / total[known]

    per_type = pd.DataFrame(
        {
            "RMSE": np.sqrt(np.mean((P - T) ** 2, axis=0)),
            "PCC": [_correlation(P[:, k], T[:, k]) for k in range(len(types))],
            "Spearman": [_correlation(_ranks(P[:, k]), _ranks(T[:, k])) for k in range(len(types))],
        },
        index=pd.Index(types, name="type"),
    )
    scored = np.ptp(T, axis=0) > 0 if len(T) else np.zeros(len(types), bool)
    means = per_type[scored].mean()
    distance = np.array([jensenshannon(p, t) for p, t in zip(P, T, strict=True)])
    bits = distance**2 / np.log(2)
    flat_p, flat_t = P.ravel(), T.ravel()
    spread = flat_p.var() + flat_t.var() + (flat_p.mean() - flat_t.mean()) ** 2
    return {
        "RMSE": float(means["RMSE"]),
        "PCC": float(means["PCC"]),
        "JSD": float(np.mean(distance)),
        "Spearman": float(means["Spearman"]),
        "PCC_per_spot": float(np.mean([_correlation(p, t) for p, t in zip(P, T, strict=True)])),
        "PCC_overall": _correlation(flat_p, flat_t),
        "CCC": float(2 * np.mean((flat_p - flat_p.mean()) * (flat_t - flat_t.mean())) / spread) if spread else 0.0,
        "MAE": float(np.mean(np.abs(P - T))),
        "RMSE_overall": float(np.sqrt(np.mean((P - T) ** 2))),
        "spotless": {
            "RMSE": float(np.mean(np.sqrt(np.mean((P - T) ** 2, axis=1)))),
            "JSD": float(np.mean(bits)),
        },
        "li2023": {"RMSE": float(np.sqrt(np.mean((P - T) ** 2))), "JSD": float(np.median(bits))},
        "per_type": per_type,
        "n_spots": int(known.sum()),
        "n_types_skipped": int((~scored).sum()),
        "missing_types": [name for name in types if name not in proportions.columns],
        "unknown_types": [name for name in types if name not in truth.columns],
    }


def _numbers(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Give a table of numbers from 0 whose columns are called by text, each once."""
    columns = io.text_index(table.columns)
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


def _correlation(a: Array, b: Array) -> float:
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def _ranks(values: Array) -> Array:
    return np.asarray(pd.Series(values).rank().to_numpy(dtype=np.float64))
