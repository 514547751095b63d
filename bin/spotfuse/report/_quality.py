"""What a report says and draws of quality control."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from spotfuse._core.types import Array
from spotfuse.report import _figures, _words
from spotfuse.report._page import Pack
from spotfuse.report._read import Slice

MOST_DROPPED = 20_000  # spots that the map of dropped ones shows
FAR = 3.0  # spreads from the middle beyond which a spot is unlike the others
_MAD = 1.4826  # from a median distance to a standard deviation
_BACKGROUND = "#d0d5da"
_COLOURS = ("#bd1f01", "#3f90da", "#832db6", "#ffa90e", "#a96b59", "#717581")


class _Measure(NamedTuple):
    column: str
    title: str
    short: str
    option: str
    beyond: int  # −1: spots below the threshold are dropped, 1: those above it
    none: float  # the threshold that drops nothing but empty spots


MEASURES = (
    _Measure("n_counts", "counts in a {unit}", "counts", "min_counts", -1, 1),
    _Measure("n_genes", "genes found in a {unit}", "genes", "min_genes", -1, 1),
    _Measure("mt_share", "mitochondrial share of the counts", "a mitochondrial share", "max_mt_share", 1, 1.0),
)


def fate(data: Slice, tables: dict[str, list[list[Any]]]) -> dict[str, Any] | None:
    """Say how many spots quality control dropped and why, draw them beside the thresholds, and give advice.

    Parameters
    ----------
    data
        The slice.
    tables
        Takes what the page offers as TSV.

    Returns
    -------
    What the template shows; None without a table of quality control.
    """
    qc = data.tables["qc"]
    if qc is None:
        return None
    kept = _words.kept(data)
    asked = data.uns.get("prepare", {})
    reasons = list(qc.loc[~kept, "reason"].fillna("no reason given").value_counts().items())
    drawn = []
    edges_of, values_of = {}, {}
    for one in MEASURES:
        values = values_of[one.column] = qc[one.column].fillna(0).to_numpy(float)
        # a share is drawn as a percentage: the axis is logarithmic in 1 + value
        shown, unit = (100 * values, ", %") if one.column == "mt_share" else (values, "")
        if not shown.any():
            continue
        edges = edges_of[one.column] = _figures.log_edges(shown)
        bars = [np.histogram(shown[which], edges)[0] for which in (kept, ~kept)]
        threshold = asked.get(one.option, one.none)
        line = None if threshold == one.none else float(threshold) * (100 if unit else 1)
        title = one.title.format(unit=data.unit)
        label = f"Histogram of {title}: kept and dropped {data.unit}s"
        figure = _figures.histogram(edges, bars[0], bars[1], title + unit, label, threshold=line)
        caption = f"{data.unit.capitalize()}s by {title.removesuffix(f' in a {data.unit}')}"
        drawn.append((f"qc_{one.column}", caption, figure))
        tables[f"qc_{one.column}"] = [
            ["from", "below", "kept", "dropped"],
            *(
                [round(float(low), 3), round(float(high), 3), int(stayed), int(went)]
                for low, high, stayed, went in zip(edges[:-1], edges[1:], *bars, strict=True)
            ),
        ]
    if {"n_counts", "n_genes"} <= set(edges_of):
        x, y = edges_of["n_counts"], edges_of["n_genes"]
        both = np.histogram2d(values_of["n_counts"], values_of["n_genes"], (x, y))[0].astype(int)
        lines = (float(asked.get("min_counts", 0)), float(asked.get("min_genes", 0)))
        label = f"{data.unit.capitalize()}s by their counts and genes; brighter is more {data.unit}s"
        figure = _figures.density(x, y, both, ("counts", "genes"), label, lines=lines)
        drawn.insert(0, ("qc_counts_genes", label, figure))
        tables["qc_counts_genes"] = [
            ["counts_from", "genes_from", "spots"],
            *([round(float(x[i]), 3), round(float(y[j]), 3), int(both[i, j])] for i, j in np.argwhere(both).tolist()),
        ]
    tables["dropped"] = [["reason", "spots"], *([reason, int(count)] for reason, count in reasons)]
    return {
        "total": len(qc),
        "dropped": int((~kept).sum()),
        "reasons": reasons,
        "figures": drawn,
        "advice": advice(values_of, kept, asked),
    }


def advice(values: dict[str, Array], kept: Array, asked: dict[str, Any]) -> dict[str, Any] | None:
    """Propose thresholds where none was asked for: those beyond which spots are unlike the others.

    Parameters
    ----------
    values
        Of each measure, one a spot.
    kept
        Which spots were.
    asked
        The thresholds of the run.

    Returns
    -------
    ``found``: of each measure beyond whose threshold there are spots, in words what that is and how many; ``options``:
    for the command line. None where thresholds were asked for, or none can be told.
    """
    if any(asked.get(one.option, one.none) != one.none for one in MEASURES) or kept.sum() < 20:
        return None
    found, options = [], []
    for one in MEASURES:
        of = values[one.column][kept]
        if not of.any():
            continue
        scale = of if one.column == "mt_share" else np.log1p(of)  # counts vary by factors
        middle = float(np.median(scale))
        spread = _MAD * float(np.median(np.abs(scale - middle)))
        edge = middle + one.beyond * FAR * spread
        if one.column == "mt_share":
            edge = min(float(np.ceil(100 * edge) / 100), 1.0)
            beyond, said = int((of > edge).sum()), f"{edge:g}"
        else:
            edge = float(np.floor(np.expm1(edge)))
            beyond, said = int((of < edge).sum()), f"{edge:.0f}"
        if spread > 0 and beyond:
            found.append((f"{one.short} {'above' if one.beyond > 0 else 'below'} {said}", beyond))
            options.append(f"--{one.option} {said}")
    return {"found": found, "options": " ".join(options)}


def dropped(data: Slice, xy: Array, pack: Pack) -> dict[str, Any] | None:
    """Pack where the dropped spots lie, by reason, above all others in grey.

    Parameters
    ----------
    data
        The slice.
    xy
        The points that the page shows, shape (n, 2).
    pack
        Takes the numbers.

    Returns
    -------
    What the page draws; None where no dropped spot has a place.
    """
    qc = data.tables["qc"]
    if qc is None or not {"x", "y"} <= set(qc):
        return None
    went = qc[~_words.kept(data)]
    went = went[np.isfinite(went[["x", "y"]].to_numpy(float)).all(axis=1)]
    if not len(went):
        return None
    n = len(went)
    went = went.iloc[np.linspace(0, n - 1, min(n, MOST_DROPPED)).astype(int)]
    reason = went["reason"].fillna("no reason given").astype(str)
    names = list(reason.value_counts().index)
    codes = pd.Categorical(reason, names).codes.astype(int)
    colours = [_COLOURS[min(k, len(_COLOURS) - 1)] for k in range(len(names))]
    places = np.concatenate([xy, went[["x", "y"]].to_numpy(float)])
    return {
        "x": pack.numbers(places[:, 0]),
        "y": pack.numbers(places[:, 1]),
        "codes": pack.codes(np.concatenate([np.zeros(len(xy), int), codes + 1])),
        "names": ["kept", *names],
        "colours": [_BACKGROUND, *colours],
    }
