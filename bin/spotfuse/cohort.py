"""What the slices of one run look like side by side, and which of them are missing and why."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from spotfuse.tables import read_back

Row = Mapping[str, Any]

# columns of the sheet that have a meaning, as it is written; all others describe the slice, and these two do too
SHEET = (
    *("sample", "data", "group", "z", "n_domains"),
    *("reference", "cell_type_key", "annotation", "proportions", "platform"),
    *("section", "layer", "spatial_key", "symbol_column"),
)
_INPUTS = frozenset(SHEET) - {"group", "z"}

STEPS = (
    *("check_slice", "prepare_slice", "join_group", "train", "assign_domains", "split_group"),
    *("prepare_reference", "deconvolve", "find_markers", "evaluate", "collect_slice", "report_slice"),
)
# what must have gone well before a step can start; to evaluate, one of them is enough
_NEEDS = {
    "prepare_slice": ("check_slice",),
    "join_group": ("prepare_slice",),
    "train": ("prepare_slice", "join_group"),
    "assign_domains": ("train",),
    "split_group": ("assign_domains",),
    "deconvolve": ("prepare_slice", "prepare_reference"),
    "find_markers": ("assign_domains", "split_group"),
    "evaluate": ("assign_domains", "split_group", "deconvolve"),
    "collect_slice": ("prepare_slice",),
    "report_slice": ("collect_slice",),
}
# what is told of a slice beside the others: a title and how it is written
MEASURES = {
    "n_spots": ("Spots", "{:,.0f}"),
    "n_genes": ("Genes", "{:,.0f}"),
    "n_domains": ("Domains", "{:,.0f}"),
    "domains.ari": ("ARI", "{:,.3f}"),
    "domains.nmi": ("NMI", "{:,.3f}"),
    "proportions.rmse": ("RMSE", "{:,.3f}"),
    "proportions.pcc_per_type": ("Pearson r", "{:,.3f}"),
}
_SCORED = ("domains", "proportions")
MIXING = [
    "group",
    "n_slices",
    "n_spots",
    "n_genes_shared",
    "n_domains",
    "ilisi",
    "ilisi_at_random",
    "ari",
    "in_common",
    "unlike",
]
_LAST = (*_SCORED, "seconds", "peak_rss_mb")
_FIRST = ("n_spots", "n_genes", "n_domains")


def metrics(sheet: Sequence[Row], slices: Mapping[str, Path]) -> pd.DataFrame:
    """Gather the slices' metrics.

    Parameters
    ----------
    sheet
        The sample sheet, a mapping a row.
    slices
        Folder of each finished slice, by sample.

    Returns
    -------
    DataFrame with a row for each finished slice, in the sheet's order: ``sample``, the sheet's metadata (columns called
    as metrics are, ``n_spots``, ``domains.ari``, as ``sheet.n_spots``, ``sheet.domains.ari``), then metrics.json with
    nested keys joined by a dot (``domains.ari``, ``seconds.train``).
    """
    rows = []
    for row in sheet:
        if row["sample"] in slices:
            found = json.loads((slices[row["sample"]] / "metrics.json").read_text())
            scored = {key: value for key, value in found.items() if value is not None or key not in _SCORED}
            facts = {_beside_metrics(key): value for key, value in metadata(row).items()}
            rows.append({"sample": row["sample"]} | facts | flatten(scored))
    frame = pd.DataFrame(rows, columns=None if rows else ["sample"])
    # where scores stand must not hang on which slice is the first to have them
    return frame[sorted(frame, key=_place)]


def _beside_metrics(column: str) -> str:
    """Give a column of the sheet a name that no metric has, whether or not this run has that metric."""
    kind, dot, _ = column.partition(".")
    return f"sheet.{column}" if column in _FIRST or (dot and kind in (*_LAST, "sheet")) else column


def _place(column: str) -> tuple[int, int]:
    kind, _, step = column.partition(".")
    if not step or kind not in _LAST:
        return -1, 0
    return _LAST.index(kind), STEPS.index(step) if step in STEPS else len(STEPS)


def metadata(row: Row) -> dict[str, Any]:
    """Give what a sheet's row says of the slice itself: group, donor, condition."""
    return {key: value for key, value in row.items() if key not in _INPUTS and value not in (None, "", [])}


def flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Join the keys of nested mappings by a dot."""
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def composition(
    sheet: Sequence[Row], slices: Mapping[str, Path], names: Mapping[str, Mapping[str, str]] | None = None
) -> pd.DataFrame:
    """Give the share of each domain and the mean proportion of each cell type in each slice.

    Parameters
    ----------
    sheet
        The sample sheet, a mapping a row.
    slices
        Folder of each finished slice, by sample.
    names
        What the cohort calls a slice's domains, as `spotfuse.matching.names` gives it; without it, their numbers.

    Returns
    -------
    DataFrame with columns ``sample``, ``group``, ``kind`` (domain or cell_type), ``name``, ``share`` (0 to 1; sums to
    1 within a slice and kind).
    """
    rows = []
    for row in sheet:
        sample = row["sample"]
        if sample not in slices:
            continue
        shares = []
        if (table := slices[sample] / "domains.tsv").exists():
            called = (names or {}).get(sample, {})
            domains = read_back(table)["domain"].astype(str).map(lambda name, called=called: called.get(name, name))
            counts = domains.value_counts(normalize=True)
            shares += [("domain", name, counts[name]) for name in sorted(counts.index, key=natural)]
        if (table := slices[sample] / "proportions.tsv").exists():
            means = read_back(table).iloc[:, 1:].mean()
            shares += [("cell_type", name, mean) for name, mean in means.items()]
        rows += [(sample, row.get("group") or "", *share) for share in shares]
    return pd.DataFrame(rows, columns=["sample", "group", "kind", "name", "share"])


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
            needs = [need for need in _NEEDS.get(step, ()) if need in chain]
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


def together(sheet: Sequence[Row], slices: Mapping[str, Path]) -> dict[str, str]:
    """Give the group of each finished slice that was learned together with others."""
    steps = {name: read_back(path) for name, folder in slices.items() if (path := folder / "status.tsv").exists()}
    well = {name for name, table in steps.items() if (table["failure"].isna() & (table["step"] == "split_group")).any()}
    return {row["sample"]: row["group"] for row in sheet if row["sample"] in well}


def mixing(files: Sequence[Path]) -> pd.DataFrame:
    """Join the groups' tables of how their slices mix (`spotfuse.groups.mixing`), sorted by group."""
    found = [read_back(path) for path in files]
    return pd.concat(found).sort_values("group", ignore_index=True) if found else pd.DataFrame(columns=MIXING)


def _chain(row: Row, *, together: bool) -> list[str]:
    deconvolved = bool(row.get("reference"))
    skipped = set() if deconvolved else {"prepare_reference", "deconvolve"}
    if not together:
        skipped |= {"join_group", "split_group"}
    if not (row.get("annotation") or (row.get("proportions") and deconvolved)):
        skipped.add("evaluate")
    return [step for step in STEPS if step not in skipped]


def closing_table(metrics: pd.DataFrame, failures: pd.DataFrame) -> str:
    """Write the run's last words: a line a slice, then a line a failure.

    Parameters
    ----------
    metrics
        As `metrics` gives them.
    failures
        As `failures` gives them.

    Returns
    -------
    Text with aligned columns; what was not computed is ``-``.
    """
    lines = [("slice", "spots", "domains", "ARI", "RMSE", "time")]
    for _, row in metrics.iterrows():
        seconds = sum(row[name] for name in metrics if name.startswith("seconds.") and pd.notna(row[name]))
        lines.append(
            (
                row["sample"],
                _number(row.get("n_spots"), ".0f"),
                _number(row.get("n_domains"), ".0f"),
                _number(row.get("domains.ari"), ".3f"),
                _number(row.get("proportions.rmse"), ".3f"),
                duration(seconds),
            )
        )
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    text = [
        "  ".join([cells[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(cells[1:], widths[1:], strict=True))])
        for cells in lines
    ]
    if len(failures):
        n = failures.loc[failures["sample"] != "cohort", "sample"].nunique()
        text += ["", f"{n} slice{'s' * (n != 1)} failed in part or in whole:" if n else "The comparison failed:"]
        text += [f"{row.sample}: {row.step}: {row.reason}" for row in failures.itertuples()]
    return "\n".join(text)


def multiqc(metrics: pd.DataFrame, composition: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Give the same tables as MultiQC's custom content, for facilities that gather all their reports there.

    Parameters
    ----------
    metrics, composition
        From the functions of these names.

    Returns
    -------
    What to write as JSON, by file name.
    """
    found = {}
    columns = {key: title for key, title in MEASURES.items() if key in metrics and metrics[key].notna().any()}
    if columns:
        table = metrics.set_index("sample")[list(columns)].astype(float)
        found["spotfuse_metrics_mqc.json"] = _content("metrics", "Slices", "table", table) | {
            "headers": {key: {"title": title, "format": form} for key, (title, form) in columns.items()},
        }
    for kind, title in (("domain", "Spatial domains"), ("cell_type", "Cell types")):
        part = composition[composition["kind"] == kind]
        if len(part):
            part = part.assign(name=part["name"].astype(str))  # a file in which all are numbers says nothing of text
            table = part.pivot(index="sample", columns="name", values="share")
            table = table[sorted(table, key=natural)].add_prefix("domain " if kind == "domain" else "")
            found[f"spotfuse_{kind}s_mqc.json"] = _content(f"{kind}s", title, "bargraph", table)
    return found


def _content(name: str, title: str, plot: str, table: pd.DataFrame) -> dict[str, Any]:
    return {
        "id": f"spotfuse_{name}",
        "parent_id": "spotfuse",
        "parent_name": "Spotfuse",
        "parent_description": "Spatial domains and cell-type proportions of spatial transcriptomics slices.",
        "section_name": title,
        "plot_type": plot,
        "pconfig": {"id": f"spotfuse_{name}_plot", "title": f"Spotfuse: {title}"},
        "data": {
            sample: {key: value for key, value in row.items() if pd.notna(value)}
            for sample, row in table.to_dict("index").items()
        },
    }


def duration(seconds: float) -> str:
    """Say seconds as a person would: ``45 s``, ``3 min 20 s``, ``2 h 05 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key that puts 10 after 9, and numbers before words."""
    parts = re.split(r"(\d+)", text)
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part)


def _number(value: Any, form: str) -> str:
    return "-" if value is None or pd.isna(value) else format(float(value), form)
