"""How many domains a slice has, where nobody says."""

import logging
from collections.abc import Callable
from statistics import fmean

import numpy as np
import pandas as pd

from spotfuse._core.types import Floats, Ints
from spotfuse.domains import _mixtures
from spotfuse.domains._consensus import stability
from spotfuse.domains._settings import SETTINGS, Settings

log = logging.getLogger(__name__)

COLUMNS = ["n_domains", "told", "stability", "worth", "bic", "chosen"]
_CLEAR, _LIKELY = 0.6, 0.1  # lead in worth on numbers that are off by more than one


def curve(
    views: list[Floats],
    missed: Callable[[Ints], Floats],
    missed_residuals: Callable[[Ints], Floats] | None,
    seed: int,
    settings: Settings = SETTINGS,
) -> pd.DataFrame:
    """How much the domains of a spot's neighbours tell of it, and how well labellings agree, for each number of them.

    Few domains tell little, and too many follow noise, on which labellings do not agree: chosen is the number with the
    largest product of both, of numbers that are as good the one nearer to what tissues usually have. A slice is one
    domain where no number tells anything of a spot, to within a few standard errors, or nothing of its residuals:
    logarithms follow the depth of spots too.

    Parameters
    ----------
    views
        What is divided.
    missed
        Of a labelling, each spot's squared distance from what its neighbours' domains tell, in shares of the variance.
    missed_residuals
        The same of residuals, where there are any.
    seed
        Of the mixtures' starts.
    settings
        Numbers that are looked at, and what decides among them.
    """
    n_spots = len(views[0])
    samples = [_mixtures.sample(view, seed, settings) for view in views]
    tellers = [missed] if missed_residuals is None else [missed, missed_residuals]
    rows, misses = [], []
    for n_domains in range(1, max(min(settings.most_domains, n_spots // settings.spots_a_domain), 1) + 1):
        found = [_mixtures.likeliest(x, n_domains, seed, settings.curve_starts) for x in samples]
        fits = [(view, x, *fit) for view, x, fit in zip(views, samples, found, strict=True) if fit is not None]
        if n_domains > 1 and len(fits) < 2:
            continue
        agreed = stability([np.eye(n_domains)[labels] for *_, labels in fits]) if n_domains > 1 else 1.0
        bic = fmean([_mixtures.bic(x, n_domains, likelihood) for _, x, likelihood, _ in fits] or [0.0])
        rows.append((n_domains, agreed, bic))
        spread = [_mixtures.extended(view, x, labels) for view, x, _, labels in fits] or [np.zeros(n_spots, np.int64)]
        misses.append([np.mean([teller(labels) for labels in spread], axis=0) for teller in tellers])
    curve = pd.DataFrame(rows, columns=["n_domains", "stability", "bic"])
    curve["told"] = [told(miss[0]) for miss in misses]
    gain = misses[0][0] - misses[int(curve["told"].argmax())][0]
    telling = gain.sum() > settings.sure * gain.std() * np.sqrt(len(gain)) if len(gain) else False
    curve["worth"] = worth(curve, settings) * (telling and max(told(miss[-1]) for miss in misses) > told(misses[0][-1]))
    curve["chosen"] = (curve["n_domains"] == taken(curve)).astype(int)
    log.info("%s", said(curve))
    return curve[COLUMNS]


def told(miss: Floats) -> float:
    return float(1 - miss.sum() / max(len(miss), 1))


def worth(curve: pd.DataFrame, settings: Settings = SETTINGS) -> pd.Series:
    """Give what each number of domains is worth where anything is told; one domain is worth nothing."""
    product = curve["told"].clip(lower=0) * curve["stability"].clip(lower=0) ** settings.agreed
    product *= np.exp(-settings.pull * np.log(curve["n_domains"] / settings.usual) ** 2)
    return product.where(curve["n_domains"] > 1, 0.0)


def taken(curve: pd.DataFrame) -> int:
    """Give the number of most worth, or one where none is worth anything."""
    return int(curve["n_domains"][curve["worth"].idxmax()]) if curve["worth"].max() > 0 else 1


def sure(curve: pd.DataFrame) -> str:
    """Say how sure the number is, by its lead on numbers that are off by more than one."""
    number, most = curve.loc[curve["chosen"] == 1, ["n_domains", "worth"]].to_numpy()[0]
    others = curve["worth"][(curve["n_domains"] - number).abs() > 1]
    lead = 1 - others.max() / most if len(others) and most > 0 else 0.0
    return "clearly" if lead >= _CLEAR else "likely" if lead >= _LIKELY else "hardly more than another number"


def said(curve: pd.DataFrame) -> str:
    """Say in a line what was chosen, and why."""
    number, told, stability = curve.loc[curve["chosen"] == 1, ["n_domains", "told", "stability"]].to_numpy()[0]
    if len(curve) == 1:
        return "1 domain: no other number could be compared"
    if number == 1:
        return "1 domain: no division of the slice tells what its spots express"
    return (
        f"{number:.0f} domains, {sure(curve)}: those of its neighbours tell {told:.0%} of what a spot expresses, and "
        f"the labellings agree by {stability:.2f}"
    )
