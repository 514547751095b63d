#!/usr/bin/env python3
"""Give each slice of a group its part of what was learned together, and tell how the slices mix."""

import argparse
from pathlib import Path

from spotfuse.pipeline import command_line


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--prepared", required=True, type=Path, help="what join_group wrote")
    parser.add_argument("--learned", required=True, type=Path, help="folder with what train and assign_domains wrote")


def main(args: argparse.Namespace) -> None:
    """Write slices/SLICE/ with the slice's part of each file, cohort/groups/GROUP.h5ad and GROUP.mixing.tsv."""
    from spotfuse import group, io
    from spotfuse._core import tables

    joined = tables.read_prepared(args.prepared, counts=False)
    whole = group.learned(joined, args.learned)
    for name, why in group.split(joined, args.learned, Path("slices")).items():
        own = Path("slices", name)
        own.mkdir()
        command_line.write_status(own / f"{name}.split_group.status.json", name, "split_group", 0, why)
    Path("cohort/groups").mkdir(parents=True)
    io.write(whole, f"cohort/groups/{args.sample}.h5ad")
    tables.write(group.mixing(whole), f"{args.sample}.mixing.tsv")


if __name__ == "__main__":
    command_line.run("split_group", __doc__, arguments, main)
