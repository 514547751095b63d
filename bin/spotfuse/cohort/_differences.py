"""How the composition of slices, and what lies beside what in them, differ between conditions."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from spotfuse._core.order import natural
from spotfuse._core.probability import adjusted_p
from spotfuse.cohort._design import Design, compared_columns, donors, ordered_levels, sheet_metadata
from spotfuse.cohort._settings import SETTINGS, Settings
from spotfuse.cohort._sheet import Row

DIFFERENCES = [
    *("kind", "name", "column", "level", "reference_level", "n", "n_reference"),
    *("effect", "low", "high", "p", "p_adjusted", "note"),
]
_FIGURES = DIFFERENCES[7:12]


def differences(
    sheet: Sequence[Row],
    composition: pd.DataFrame,
    matched: pd.DataFrame,
    beside: pd.DataFrame | None = None,
    settings: Settings = SETTINGS,
) -> pd.DataFrame:
    """Compare shares of matched domains and of cell types, and neighbourhoods, between levels of the sheet's columns.

    Shares become centred log-ratios (Aitchison 1982, J R Stat Soc B 44:139), which are averaged over the slices of a
    donor; a linear model a name gives the difference of each level to the reference level. Where every donor stands on
    every level, donors are terms of the model: for two levels, a paired t-test. Neighbourhoods are log-ratios to chance
    already, and go through the same model.

    Parameters
    ----------
    sheet
        The sample sheet, a mapping a row; which columns are compared, and who a donor is, `spotfuse.cohort` says.
    composition
        From `spotfuse.cohort.composition`.
    matched
        From `spotfuse.cohort`.
    beside
        From `spotfuse.cohort.neighbourhoods`.
    settings
        What is added to shares, and how many donors tell a difference from chance.

    Returns
    -------
    DataFrame, smallest p first: ``kind`` (domain, cell_type, or one of the neighbourhoods'), ``name``, ``column``,
    ``level``, ``reference_level``, ``n`` and ``n_reference`` (donors), ``effect`` (of shares the difference of the
    centred log-ratio, base e; of neighbourhoods that of the log-ratio to chance, base 2), ``low`` and ``high`` (its 95
    % interval), ``p``, ``p_adjusted`` (Benjamini and Hochberg 1995, within a kind and a column), ``note``.
    """
    measured = {
        kind: _shares(composition[composition["kind"] == kind], matched if kind == "domain" else None)
        for kind in ("domain", "cell_type")
    }
    if beside is not None:
        for kind, part in beside.groupby("kind", sort=False):
            named = part.assign(
                pair=part["name"] + (" in domain " if "_in_" in str(kind) else " – ") + part["neighbour"]
            )
            measured[str(kind)] = named.pivot(index="sample", columns="pair", values="log2_ratio").sort_index()
    rows = []
    for kind, table in measured.items():
        of = sheet_metadata(sheet, list(table.index))
        for column in compared_columns(of):
            if kind in ("domain", "cell_type"):
                values = _log_ratios(table, of[column].dropna(), settings.pseudo_share)
            else:
                values = table
            found = pd.DataFrame(compare(values, of, column, settings), columns=[*DIFFERENCES[2:11], "note", "name"])
            found["p_adjusted"] = np.nan
            tested = found["p"].notna()
            if tested.any():
                found.loc[tested, "p_adjusted"] = adjusted_p(found.loc[tested, "p"].to_numpy(float))
            rows.append(found.assign(kind=kind)[DIFFERENCES])
    if not rows:
        return pd.DataFrame(columns=DIFFERENCES)
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


def donor_values(
    sheet: Sequence[Row], composition: pd.DataFrame, matched: pd.DataFrame, settings: Settings = SETTINGS
) -> pd.DataFrame:
    """Give what `differences` compares of shares: the centred log-ratio of each donor.

    Parameters
    ----------
    sheet, composition, matched, settings
        As for `differences`.

    Returns
    -------
    DataFrame: ``kind``, ``name``, ``column``, ``level``, ``donor``, ``value``.
    """
    parts = []
    for kind in ("domain", "cell_type"):
        table = _shares(composition[composition["kind"] == kind], matched if kind == "domain" else None)
        of = sheet_metadata(sheet, list(table.index))
        for column in compared_columns(of):
            level = of[column].dropna()
            values = _log_ratios(table, level, settings.pseudo_share)
            sides = [level.rename("level")[values.index], donors(of).rename("donor")[values.index]]
            means = values.groupby(sides).mean().reset_index()
            long = means.melt(["level", "donor"], var_name="name", value_name="value")
            parts.append(long.assign(kind=kind, column=column))
    columns = ["kind", "name", "column", "level", "donor", "value"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


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


def _log_ratios(shares: pd.DataFrame, level: pd.Series, pseudo: float) -> pd.DataFrame:
    """Give the centred log-ratios of the names that half of the slices of a level have at least."""
    shares = shares.loc[level.index]
    shares = shares.loc[:, (shares > 0).groupby(level).mean().ge(0.5).any()]
    shares = shares[shares.sum(axis=1) > 0]
    if shares.shape[1] < 2:
        return shares.iloc[:, :0]
    logs = np.log(shares.div(shares.sum(axis=1), axis=0) + pseudo)
    return logs.sub(logs.mean(axis=1), axis=0)


def compare(
    values: pd.DataFrame, facts: pd.DataFrame, column: str, settings: Settings = SETTINGS
) -> list[tuple[Any, ...]]:
    """Compare each column of values between the levels of a column of the sheet.

    Parameters
    ----------
    values
        Slices × names; a slice without a value counts as absent for that name.
    facts
        From `spotfuse.cohort.sheet_metadata`.
    column
        What is compared.
    settings
        How many donors tell a difference from chance.

    Returns
    -------
    For each name and level but the reference: column, level, reference_level, n, n_reference, effect, low, high, p,
    note, name. A name of which a level has no slice is not compared with it.
    """
    values = values.loc[[name for name in values.index if pd.notna(facts[column][name])]]
    level, donor = facts.loc[values.index, column], donors(facts).loc[values.index]
    levels = ordered_levels(level)
    rows = []
    alike: dict[bytes, list[str]] = {}  # names that the same slices have
    for name in values:
        alike.setdefault(values[name].notna().to_numpy().tobytes(), []).append(name)
    for names in alike.values():
        there = values[names[0]].notna()
        ratios = values.loc[there, names].groupby([level[there], donor[there]]).mean()
        present = [name for name in levels if name in ratios.index.get_level_values(0)]
        if len(present) < 2 or present[0] != levels[0]:
            continue
        design = Design.of(ratios.index, present)
        fits = _fits(design.matrix.to_numpy(float), ratios.to_numpy(float), len(present) - 1)
        for place, name in enumerate(present[1:]):
            sides = (column, name, levels[0], design.n[name], design.n[levels[0]])
            note = design.note(name, levels[0], settings.fewest)
            rows += [(*sides, *figures, note, part) for part, figures in zip(ratios, fits[place], strict=True)]
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
