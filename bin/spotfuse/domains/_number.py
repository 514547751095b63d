"""How many domains a slice has, where nobody says."""

import logging
from statistics import fmean

import numpy as np
import pandas as pd

from spotfuse._core.types import Floats
from spotfuse.domains import _mixtures
from spotfuse.domains._consensus import agreement

log = logging.getLogger(__name__)

COLUMNS = ["n_domains", "stability", "bic", "chosen"]
_STARTS = 3
_CLEAR, _LIKELY = 0.1, 0.03  # lead in agreement of the chosen number on the next best


def curve(views: list[Floats], most: int, seed: int) -> pd.DataFrame:
    """How well the labellings agree, and their mean BIC, for each number of domains from 2 on.

    The most stable number is chosen. Two is left to tissues where nothing else is possible: a split in halves is stable
    almost anywhere.
    """
    samples = [_mixtures.sample(view, seed) for view in views]
    rows = []
    for n_domains in range(2, most + 1):
        fits = [(x, fit) for x in samples if (fit := _mixtures.likeliest(x, n_domains, seed, _STARTS)) is not None]
        if len(fits) < 2:
            continue
        agreed = agreement([np.eye(n_domains)[labels] for _, (_, labels) in fits])
        stability = float((agreed.sum() / len(fits) - 1) / (len(fits) - 1))
        bic = fmean([_mixtures.bic(x, n_domains, likelihood) for x, (likelihood, _) in fits])
        rows.append((n_domains, stability, bic, 0))
    curve = pd.DataFrame(rows or [(1, 1.0, 0.0, 0)], columns=COLUMNS)
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
