"""Which columns of the sheet are compared, and how their levels and donors make a design."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from spotfuse._core.order import natural
from spotfuse.cohort._sheet import Row, metadata

_DONORS = ("donor", "patient", "subject", "individual")
# levels that others are compared with; without one of them the first by name
_REFERENCES = ("control", "ctrl", "healthy", "normal", "untreated", "wildtype", "wt", "baseline")


def sheet_metadata(sheet: Sequence[Row], samples: Sequence[str]) -> pd.DataFrame:
    """Give the sheet's metadata of some slices.

    Parameters
    ----------
    sheet
        The sample sheet, a mapping a row.
    samples
        Names of the slices, all in the sheet.

    Returns
    -------
    DataFrame of samples × columns; None where a slice has no value.
    """
    of = {row["sample"]: metadata(row) for row in sheet}
    return pd.DataFrame({name: of[name] for name in samples}, dtype=object).T


def compared_columns(facts: pd.DataFrame) -> list[str]:
    """Give the columns whose levels are compared.

    Parameters
    ----------
    facts
        From `sheet_metadata`.

    Returns
    -------
    ``condition`` and every other column of text with two values or more and, on average, two slices a value, but
    ``group`` and the donor's own; sorted.
    """
    columns = []
    for name in sorted(facts):
        values = facts[name].dropna()
        described = name == "condition" or 2 * values.nunique() <= len(values)
        if name not in {"group", *_DONORS} and described and values.nunique() > 1 and values.map(_is_text).all():
            columns.append(name)
    return columns


def ordered_levels(levels: pd.Series) -> list[str]:
    """Give the levels of a column, the reference first."""
    return sorted(set(levels), key=lambda name: (name.lower() not in _REFERENCES, natural(name)))


def donors(facts: pd.DataFrame) -> pd.Series:
    """Give whose each slice is; a slice without a donor is its own."""
    own = pd.Series([f"slice {name}" for name in facts.index], index=facts.index, dtype=object)
    key = next((name for name in _DONORS if name in facts), None)
    if key is None:
        return own
    return facts[key].map(lambda name: f"donor {name}", na_action="ignore").fillna(own)


@dataclass(frozen=True)
class Design:
    """A linear model of levels, and of donors where every donor stands on every level.

    Parameters
    ----------
    matrix
        Units × terms: a level each but the reference, ``intercept``, and donors but one.
    n
        Donors of each level.
    paired
        Whether donors are terms.
    shared
        Levels of which some, but not all, donors stand on the reference too.
    """

    matrix: pd.DataFrame
    n: dict[str, int]
    paired: bool
    shared: frozenset[str]

    @classmethod
    def of(cls, units: pd.MultiIndex, levels: Sequence[str]) -> "Design":
        """Make it for units, pairs of level and donor, and levels of which the first is the reference."""
        level, donor = (units.get_level_values(i) for i in (0, 1))
        paired = bool((donor.value_counts() == len(levels)).all())
        matrix = pd.DataFrame({name: level == name for name in levels[1:]}, dtype=float).assign(intercept=1.0)
        if paired:
            matrix = matrix.join(pd.get_dummies(pd.Series(donor), drop_first=True, dtype=float))
        reference = donor[level == levels[0]]
        shared = () if paired else (name for name in levels[1:] if donor[level == name].isin(reference).any())
        return cls(matrix, level.value_counts().to_dict(), paired, frozenset(shared))

    def note(self, level: str, reference: str, least: int) -> str:
        """Say what of a comparison is to be doubted; `least` donors on a side tell a difference from chance."""
        notes = []
        if (fewest := min(self.n[level], self.n[reference])) < least:
            notes.append(f"{'only one' if fewest == 1 else 'two'} on a side: too few to tell a difference from chance")
        if level in self.shared:
            notes.append("some donors stand on both sides and are taken as independent")
        return "; ".join(notes)


def _is_text(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return isinstance(value, str)
    return False
