#!/usr/bin/env python3
"""Compare the slices of a run: domains, composition, neighbourhoods, markers, and expression between conditions."""

import argparse
import json
from pathlib import Path

from spotfuse import cli


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--sheet", type=Path, required=True, help="the sample sheet as a JSON list of rows")
    parser.add_argument("--slices", type=Path, nargs="*", default=[], help="folders that collect_slice wrote")
    parser.add_argument("--mixing", type=Path, nargs="*", default=[], help="how groups mix, as split_group wrote it")


def main(args: argparse.Namespace) -> None:
    """Write tables into the folder cohort; of a slice only its tables are read."""
    from spotfuse import cohort, differences, expression, matching, recurring, tables

    sheet = json.loads(args.sheet.read_text())
    slices = {folder.name: folder for folder in args.slices}
    counts = matching.read_counts(slices)
    matched = matching.match(counts, cohort.together(sheet, slices))
    composition = cohort.composition(sheet, slices, matching.names(matched))
    beside = recurring.neighbourhoods(slices, matched)
    found = {
        "matched_domains": matched,
        "mixing": cohort.mixing(args.mixing),
        "composition": composition,
        "neighbourhoods": recurring.mean_neighbourhoods(sheet, beside),
        "differences": differences.find(sheet, composition, matched, beside),
        "markers": recurring.markers(slices, counts, matched),
        "differential_expression": expression.find(sheet, counts, matched),
    }
    out = Path("cohort")
    out.mkdir(exist_ok=True)
    for name, table in found.items():
        tables.write(table, out / f"{name}.tsv")


if __name__ == "__main__":
    cli.run("compare_slices", __doc__, arguments, main)
