"""What went wrong in a run."""

from collections.abc import Sequence
from pathlib import PurePath

import pandas as pd

from spotfuse.cohort import Row
from spotfuse.pipeline import steps


def failures(sheet: Sequence[Row], notes: Sequence[Row]) -> pd.DataFrame:
    """List what went wrong.

    Parameters
    ----------
    sheet
        The sample sheet, a mapping a row.
    notes
        The steps' status notes: ``sample``, ``step``, ``failure`` (a sentence, or None when the step went well); and of
        tasks that ended without one, ``sample`` (a slice, its group, its reference's name or cohort), ``step`` and how
        it ``ended``, where that is known.

    Returns
    -------
    DataFrame with columns ``sample``, ``step``, ``reason``: what a step refused, and each step that left no note though
    all that it needs went well.
    """
    rows = []
    said: dict[str, dict[str, str | None]] = {}
    ended = {(note["sample"], note["step"]): note["ended"] for note in notes if "ended" in note}
    for note in notes:
        if "ended" not in note:
            said.setdefault(note["sample"], {})[note["step"]] = note.get("failure")

    def end(step: str, *names: str) -> str:
        known = (ended[name, step] for name in names if (name, step) in ended)
        return next(known, f"killed or out of memory in {step}")

    prepared = [row.get("group") for row in sheet if said.get(row["sample"], {}).get("prepare_slice", "none") is None]
    for row in sheet:
        told = said.get(row["sample"], {})
        well = {step for step, failure in told.items() if not failure}
        own = steps.steps_of(row, together=bool(row.get("group")) and prepared.count(row["group"]) > 1)
        for step in own:
            if failure := told.get(step):
                rows.append((row["sample"], step, failure))
            elif step not in told and steps.can_start(step, row, own, well):
                names = (row["sample"], row.get("group") or "", PurePath(row.get("reference") or "").name)
                rows.append((row["sample"], step, end(step, *names)))
    # of the cohort's own steps
    compared = said.get("cohort", {})
    if failure := compared.get("compare_slices"):
        rows.append(("cohort", "compare_slices", failure))
    elif "compare_slices" not in compared and any("collect_slice" in told for told in said.values()):
        rows.append(("cohort", "compare_slices", end("compare_slices", "cohort")))
    return pd.DataFrame(rows, columns=["sample", "step", "reason"])
