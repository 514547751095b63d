"""How the composition of slices differs between conditions."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control

from spotfuse.cohort import Row, metadata, natural

COLUMNS = [
    *("kind", "name", "column", "level", "reference_level", "n", "n_reference"),
    *("effect", "low", "high", "p", "p_adjusted", "note"),
]
_FIGURES = COLUMNS[7:12]
PSEUDO_SHARE = 1e-3  # added to every share, so that none is 0
FEWEST = 3  # donors on a side that say anything of chance
_DONORS = ("donor", "patient", "subject", "individual")
# levels that others are compared with; without one of them the first by name
_REFERENCES = ("control", "ctrl", "healthy", "normal", "untreated", "wildtype", "wt", "baseline")


def find(sheet: Sequence[Row], composition: pd.DataFrame, matched: pd.DataFrame) -> pd.DataFrame:
    """Compare the shares of matched domains and of cell types between the levels of the sheet's columns.

    Shares become centred log-ratios (Aitchison 1982, J R Stat Soc B 44:139), which are averaged over the slices of a
    donor; a linear model a name gives the difference of each level to the reference level. Where every donor stands on
    every level, donors are terms of the model: for two levels, a paired t-test.

    Parameters
    ----------
    sheet
        The sample sheet, a mapping a row. Compared are ``condition`` and the other columns of text that have at least
        two values and, on average, two slices a value; the donor is ``donor``, ``patient``, ``subject`` or
        ``individual``, and a slice without one counts as a donor of its own.
    composition
        From `spotfuse.cohort.composition`.
    matched
        From `spotfuse.matching`.

    Returns
    -------
    DataFrame, smallest p first: ``kind`` (domain or cell_type), ``name``, ``column``, ``level``, ``reference_level``,
    ``n`` and ``n_reference`` (donors), ``effect`` (of the centred log-ratio, base e), ``low`` and ``high`` (its 95 %
    interval), ``p``, ``p_adjusted`` (Benjamini and Hochberg 1995, within a kind and a column), ``note``.
    """
    facts = {row["sample"]: metadata(row) for row in sheet}
    rows = []
    for kind in ("domain", "cell_type"):
        shares = _shares(composition[composition["kind"] == kind], matched if kind == "domain" else None)
        of = pd.DataFrame({name: facts[name] for name in shares.index}, dtype=object).T
        for column in _compared(of):
            found = pd.DataFrame(_compare(shares, of, column), columns=[*COLUMNS[2:11], "note", "name"])
            found["p_adjusted"] = np.nan
            tested = found["p"].notna()
            if tested.any():
                found.loc[tested, "p_adjusted"] = false_discovery_control(found.loc[tested, "p"].to_numpy(float))
            rows.append(found.assign(kind=kind)[COLUMNS])
    if not rows:
        return pd.DataFrame(columns=COLUMNS)
    whole = pd.concat(rows, ignore_index=True).astype(dict.fromkeys(_FIGURES, float))
    whole["effect"] = whole["effect"].round(9) + 0.0  # equal shares differ by nothing
    order = sorted(
        range(len(whole)),
        key=lambda i: (
            *(np.inf if pd.isna(whole["p"][i]) else whole["p"][i], whole["column"][i]),
            *(natural(whole["level"][i]), whole["kind"][i], natural(whole["name"][i])),
        ),
    )
    return whole.iloc[order].reset_index(drop=True)


def _shares(part: pd.DataFrame, matched: pd.DataFrame | None) -> pd.DataFrame:
    """Give the shares that can be compared: slices × names."""
    if matched is not None:
        part = part[part["name"].isin({str(number) for number in matched["matched"].dropna()})]
    if not len(part):
        return pd.DataFrame()
    table = part.pivot(index="sample", columns="name", values="share").sort_index()
    table = table[sorted(table, key=natural)]
    if matched is not None:
        return table.fillna(0.0)
    # references may know different types
    return table.loc[:, table.notna().mean() > 0.5].dropna()


def _compared(facts: pd.DataFrame) -> list[str]:
    columns = []
    for name in sorted(facts):
        values = facts[name].dropna()
        described = name == "condition" or 2 * values.nunique() <= len(values)
        if name not in {"group", *_DONORS} and described and values.nunique() > 1 and values.map(_is_text).all():
            columns.append(name)
    return columns


def _is_text(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return isinstance(value, str)
    return False


def _compare(shares: pd.DataFrame, facts: pd.DataFrame, column: str) -> list[tuple[Any, ...]]:
    level = facts[column].dropna()
    shares = shares.loc[level.index]
    found = (shares > 0).groupby(level).mean().ge(0.5).any()
    shares = shares.loc[:, found]
    shares = shares[shares.sum(axis=1) > 0]
    level = level[shares.index]
    if level.nunique() < 2 or shares.shape[1] < 2:
        return []
    logs = np.log(shares.div(shares.sum(axis=1), axis=0) + PSEUDO_SHARE)
    ratios = logs.sub(logs.mean(axis=1), axis=0)
    key = next((name for name in _DONORS if name in facts), None)
    donor = pd.Series([f"slice {name}" for name in level.index], index=level.index)
    if key is not None:
        donor = facts.loc[level.index, key].map(lambda name: f"donor {name}", na_action="ignore").fillna(donor)
    ratios = ratios.groupby([level, donor]).mean()
    levels, donors = (ratios.index.get_level_values(i) for i in (0, 1))
    order = sorted(set(levels), key=lambda name: (name.lower() not in _REFERENCES, natural(name)))
    per_donor = donors.value_counts()
    paired = bool((per_donor == len(order)).all())
    design = pd.DataFrame({name: levels == name for name in order[1:]}).assign(intercept=1.0)
    if paired:
        design = design.join(pd.get_dummies(pd.Series(donors), drop_first=True))
    n = levels.value_counts()
    rows = []
    fits = _fits(design.to_numpy(float), ratios.to_numpy(float), len(order) - 1)
    for place, name in enumerate(order[1:]):
        notes = []
        if (fewest := min(n[name], n[order[0]])) < FEWEST:
            notes.append(f"{'only one' if fewest == 1 else 'two'} on a side: too few to tell a difference from chance")
        if not paired and (donors[levels == name].isin(donors[levels == order[0]])).any():
            notes.append("some donors stand on both sides and are taken as independent")
        for part, figures in zip(ratios, fits[place], strict=True):
            rows.append((column, name, order[0], n[name], n[order[0]], *figures, "; ".join(notes), part))
    return rows


def _fits(design: np.ndarray, values: np.ndarray, n_levels: int) -> list[list[tuple[float, ...]]]:
    """Fit each column of values; effect, interval and p of each level, nan where nothing is left to vary."""
    from statsmodels.regression.linear_model import OLS

    found: list[list[tuple[float, ...]]] = [[] for _ in range(n_levels)]
    for column in values.T:
        fit = OLS(column, design).fit()
        known = fit.df_resid > 0 and fit.ssr > 1e-18
        limits = fit.conf_int(0.05) if known else np.full((n_levels, 2), np.nan)
        for i in range(n_levels):
            found[i].append((fit.params[i], *limits[i], fit.pvalues[i] if known else np.nan))
    return found
