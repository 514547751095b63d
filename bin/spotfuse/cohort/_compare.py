"""All tables that compare the slices of a run."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from spotfuse.cohort._composition import composition
from spotfuse.cohort._differences import differences
from spotfuse.cohort._differential_expression import differential_expression
from spotfuse.cohort._markers import recurring_markers
from spotfuse.cohort._matched_domains import cohort_names, learned_together, match_domains, read_counts
from spotfuse.cohort._mixing import join_mixing
from spotfuse.cohort._neighbourhoods import mean_neighbourhoods, neighbourhoods
from spotfuse.cohort._settings import SETTINGS, Settings
from spotfuse.cohort._sheet import Row


def compare(
    sheet: Sequence[Row], slices: Mapping[str, Path], mixing: Sequence[Path] = (), settings: Settings = SETTINGS
) -> dict[str, pd.DataFrame]:
    """Compare the slices of a run: domains, composition, neighbourhoods, markers, and expression between conditions.

    Parameters
    ----------
    sheet
        Rows of the sample sheet.
    slices
        Folder of each finished slice, by its name; only its tables are read.
    mixing
        How groups mix, a table each.
    settings
        What else decides the tables.

    Returns
    -------
    Tables by the names of their files: ``matched_domains``, ``mixing``, ``composition``, ``neighbourhoods``,
    ``differences``, ``markers``, ``differential_expression``.

    Raises
    ------
    InputError
        When a table cannot be read.
    """
    counts = read_counts(slices)
    matched = match_domains(counts, learned_together(sheet, slices), settings)
    shares = composition(sheet, slices, cohort_names(matched))
    beside = neighbourhoods(slices, matched)
    return {
        "matched_domains": matched,
        "mixing": join_mixing(mixing),
        "composition": shares,
        "neighbourhoods": mean_neighbourhoods(sheet, beside, settings),
        "differences": differences(sheet, shares, matched, beside, settings),
        "markers": recurring_markers(slices, counts, matched, settings),
        "differential_expression": differential_expression(sheet, counts, matched, settings),
    }
