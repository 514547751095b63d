"""What went wrong in a run."""

from collections.abc import Sequence

import pandas as pd

from spotfuse.cohort import Row
from spotfuse.pipeline.steps import NEEDS, STEPS


def failures(sheet: Sequence[Row], notes: Sequence[Row]) -> pd.DataFrame:
    """List what went wrong.

    Parameters
    ----------
    sheet
        The sample sheet, a mapping a row.
    notes
        The steps' status notes: ``sample``, ``step``, ``failure`` (a sentence, or None when the step went well).

    Returns
    -------
    DataFrame with columns ``sample``, ``step``, ``reason``: what a step refused, and each step that left no note though
    all that it needs went well.
    """
    rows = []
    said: dict[str, dict[str, str | None]] = {}
    for note in notes:
        said.setdefault(note["sample"], {})[note["step"]] = note.get("failure")
    prepared = [row.get("group") for row in sheet if said.get(row["sample"], {}).get("prepare_slice", "none") is None]
    for row in sheet:
        steps = said.get(row["sample"], {})
        well = {step for step, failure in steps.items() if not failure}
        chain = _chain(row, together=bool(row.get("group")) and prepared.count(row["group"]) > 1)
        for step in chain:
            needs = [need for need in NEEDS.get(step, ()) if need in chain]
            if step == "evaluate" and "split_group" in needs:
                needs.remove("assign_domains")
            if failure := steps.get(step):
                rows.append((row["sample"], step, failure))
            elif step not in steps and (any if step == "evaluate" else all)(need in well for need in needs):
                rows.append((row["sample"], step, f"killed or out of memory in {step}"))
    # of the cohort's own steps
    compared = said.get("cohort", {})
    if failure := compared.get("compare_slices"):
        rows.append(("cohort", "compare_slices", failure))
    elif "compare_slices" not in compared and any("collect_slice" in steps for steps in said.values()):
        rows.append(("cohort", "compare_slices", "killed or out of memory in compare_slices"))
    return pd.DataFrame(rows, columns=["sample", "step", "reason"])


def _chain(row: Row, *, together: bool) -> list[str]:
    deconvolved = bool(row.get("reference"))
    skipped = set() if deconvolved else {"prepare_reference", "deconvolve"}
    if not together:
        skipped |= {"join_group", "split_group"}
    if not (row.get("annotation") or (row.get("proportions") and deconvolved)):
        skipped.add("evaluate")
    return [step for step in STEPS if step not in skipped]
