"""The pipeline's steps, as ``steps.json`` beside this file tells them to Nextflow too.

In the order in which a slice walks, of each step:

- ``runs``: for which slices, by a name that stands above the steps with the columns of the sheet that ask for it
- ``needs``: the steps that must have gone well
- ``needs_too``: further ones, each for slices of the kind beside it
- ``takes``: the steps whose files it waits for, however they went; those that it needs where none stand here
- ``makes``: files for the steps after it
- ``results``: files that stand in the slice's folder

Columns and needs are lists of alternatives, of which one must be met whole; of needs, steps that do not run for a slice
ask nothing of it.
"""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

_TOLD = json.loads(Path(__file__).with_suffix(".json").read_text())
STEPS: tuple[str, ...] = tuple(_TOLD["steps"])
RESULTS: frozenset[str] = frozenset(name for told in _TOLD["steps"].values() for name in told["results"])


def _is(kind: str, row: Mapping[str, Any]) -> bool:
    given = {column for column, value in row.items() if value}
    return any(given.issuperset(columns) for columns in _TOLD["runs"][kind])


def steps_of(row: Mapping[str, Any], *, together: bool) -> list[str]:
    """List the steps of one slice.

    Parameters
    ----------
    row
        Its row of the sample sheet.
    together
        Whether other slices of its group got as far as to be learned together with it.

    Returns
    -------
    Names in order.
    """
    asking = {**row, "group": together and row.get("group")}
    return [step for step in STEPS if _is(_TOLD["steps"][step]["runs"], asking)]


def can_start(step: str, row: Mapping[str, Any], steps: Collection[str], well: Collection[str]) -> bool:
    """Tell whether all that a step needs went well.

    Parameters
    ----------
    step
        Its name.
    row
        The slice's row of the sample sheet.
    steps
        Those that the slice has.
    well
        Those that went well.

    Returns
    -------
    bool
    """
    told = _TOLD["steps"][step]
    if any(need not in well for need, kind in told.get("needs_too", {}).items() if _is(kind, row)):
        return False
    asked = [(names, [name for name in names if name in steps]) for names in told["needs"]]
    return any(all(need in well for need in needs) for names, needs in asked if needs or not names)
