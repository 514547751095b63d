#!/usr/bin/env python3
"""Compare the slices of a run: domains, composition, neighbourhoods, markers, and expression between conditions."""

import argparse
import json
from pathlib import Path

from spotfuse.pipeline import command_line


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--sheet", type=Path, required=True, help="the sample sheet as a JSON list of rows")
    parser.add_argument("--slices", type=Path, nargs="*", default=[], help="folders that collect_slice wrote")
    parser.add_argument("--mixing", type=Path, nargs="*", default=[], help="how groups mix, as split_group wrote it")


def main(args: argparse.Namespace) -> None:
    """Write tables into the folder cohort; of a slice only its tables are read."""
    from spotfuse import cohort
    from spotfuse._core import tables

    sheet = json.loads(args.sheet.read_text())
    slices = {folder.name: folder for folder in args.slices}
    out = Path("cohort")
    out.mkdir(exist_ok=True)
    for name, table in cohort.compare(sheet, slices, args.mixing).items():
        tables.write(table, out / f"{name}.tsv")


if __name__ == "__main__":
    command_line.run("compare_slices", __doc__, arguments, main)
