#!/usr/bin/env python3
"""Join the prepared slices of a group, to be learned together: side by side, or on each other in one frame."""

import argparse
from pathlib import Path

from spotfuse._core.errors import InputError
from spotfuse.pipeline import command_line


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--slices", required=True, nargs="+", help="the slices' names")
    parser.add_argument("--prepared", required=True, nargs="+", type=Path, help="what prepare_slice wrote of each")
    parser.add_argument("--z", nargs="+", type=float, help="place of each along the third axis; left out: by name")
    parser.add_argument(
        "--frame",
        choices=["own", "common", "transport"],
        default="own",
        help="of the coordinates: each slice its own (default), one for all, or one that optimal transport finds",
    )


def main(args: argparse.Namespace) -> None:
    """Write prepared.h5ad, and cohort/groups/GROUP.alignment.tsv where slices have a frame together."""
    from spotfuse import group, io
    from spotfuse._core import tables

    if len(set(args.slices)) < max(2, len(args.slices)):
        raise InputError(f"--slices {' '.join(args.slices)}: give two or more, each by a name of its own")
    for option in ("prepared", "z"):
        values = getattr(args, option)
        if values is not None and len(values) != len(args.slices):
            raise InputError(f"--{option}: {len(values)} for {len(args.slices)} slices; give one for each")
    prepared = dict(zip(args.slices, args.prepared, strict=True))
    z = dict(zip(args.slices, args.z, strict=True)) if args.z else None
    joined, aligned = group.join_in_frame(args.sample, prepared, args.frame, z)
    if aligned is not None:
        folder = Path("cohort/groups")
        folder.mkdir(parents=True)
        tables.write(aligned, folder / f"{args.sample}.alignment.tsv")
    io.write(joined, "prepared.h5ad")


if __name__ == "__main__":
    command_line.run("join_group", __doc__, arguments, main)
