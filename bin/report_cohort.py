#!/usr/bin/env python3
"""Write the cohort's report and metrics, and print what came of each slice."""

import argparse
import json
from pathlib import Path

from spotfuse.pipeline import command_line


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--sheet", type=Path, required=True, help="the sample sheet as a JSON list of rows")
    parser.add_argument("--slices", type=Path, nargs="*", default=[], help="folders that collect_slice wrote")
    parser.add_argument("--tables", type=Path, nargs="*", default=[], help="what compare_slices wrote")
    parser.add_argument("--notes", type=Path, help="a JSON list of how the steps went")
    parser.add_argument("--params", type=Path, help="the run's parameters as JSON")


def main(args: argparse.Namespace) -> None:
    """Write the folder cohort and print the closing table."""
    from spotfuse import cohort, report
    from spotfuse._core import tables
    from spotfuse.pipeline import closing_table, failures, steps

    sheet = json.loads(args.sheet.read_text())
    slices = {folder.name: folder for folder in args.slices}
    notes = json.loads(args.notes.read_text()) if args.notes else []
    params = json.loads(args.params.read_text()) if args.params else {}
    compared = {path.stem: tables.read_back(path) for path in args.tables}
    if "composition" not in compared:  # the comparison failed; slices are shown all the same, with their own numbers
        compared["composition"] = cohort.composition(sheet, slices)
    metrics = cohort.metrics(sheet, slices, steps.STEPS)
    failures = failures.failures(sheet, notes)
    page = report.of_cohort(sheet, slices, metrics, failures, params, compared)

    out = Path("cohort")
    out.mkdir(exist_ok=True)
    tables.write(metrics, out / "metrics.tsv")
    tables.write(failures, out / "failures.tsv")
    for name, content in report.multiqc(metrics, compared["composition"]).items():
        (out / name).write_text(json.dumps(content, indent=1) + "\n")
    (out / "report.html").write_text(page, encoding="utf-8")
    print(closing_table.closing_table(metrics, failures))


if __name__ == "__main__":
    command_line.run("report_cohort", __doc__, arguments, main)
