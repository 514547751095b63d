"""The command ``spotfuse``, for one's own shell: what a file holds, and a sample sheet for a folder of slices."""

import argparse
import csv
import os
import re
import sys
from itertools import chain, count
from pathlib import Path

from spotfuse import __version__, cli
from spotfuse.errors import InputError

_REFERENCE = re.compile(r"(?:^|[^a-z])(?:sc|scrna|sn)?(?:_?ref|reference|atlas)(?:[^a-z]|$)", re.IGNORECASE)


def main(arguments: list[str] | None = None) -> None:
    """Run the command; exit with 2 when the user's input is at fault.

    Parameters
    ----------
    arguments
        Instead of the command line's.
    """
    parser = argparse.ArgumentParser(prog="spotfuse", description=__doc__, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    inspect = commands.add_parser("inspect", help="print what a slice holds and how the pipeline would read it")
    inspect.add_argument("data", metavar="path", type=Path, help="file or folder")
    cli.choice_options(inspect)
    inspect.set_defaults(run=_inspect)
    sheet = commands.add_parser("make-sheet", help="find the slices under a folder and write a sample sheet")
    sheet.add_argument("folder", type=Path, help="where to look, at any depth")
    sheet.add_argument("--output", type=Path, default=Path("samplesheet.csv"), help="default samplesheet.csv")
    sheet.set_defaults(run=_make_sheet)
    args = parser.parse_args(arguments)
    try:
        args.run(args)
    except InputError as error:
        print(f"spotfuse: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)


def _inspect(args: argparse.Namespace) -> None:
    import numpy as np

    from spotfuse import io, qc

    adata = io.read_slice(args.data, **cli.choice_of(args))
    note = adata.uns["spotfuse"]
    kept, table = qc.filter(adata)
    dropped = table.loc[~table["kept"], "reason"].value_counts()
    low, high = (edge(adata.obsm["spatial"], axis=0) for edge in (np.nanmin, np.nanmax))
    images = [f"{size} {'×'.join(map(str, image.shape[:2]))}" for size, image in _images(adata.uns)]
    lines = {
        "kind": note["kind"],
        "platform": note["platform"],
        "spots": f"{adata.n_obs} ({', '.join(adata.obs_names[:3])} …)",
        "genes": f"{adata.n_vars} ({', '.join(adata.var_names[:3])} …)",
        "counts per spot": f"{np.median(table['n_counts']):.6g} (median), {table['n_counts'].max():.6g} at most",
        "genes per spot": f"{np.median(table['n_genes']):.6g} (median)",
        "mitochondrial": f"{table['mt_share'].median():.1%} of a spot's counts (median)",
        "x": f"{low[0]:.6g} to {high[0]:.6g}",
        "y": f"{low[1]:.6g} to {high[1]:.6g}",
        "unit of x and y": note["unit"],
        "image": ", ".join(images) or "none",
        "columns": ", ".join(map(str, adata.obs)) or "none",
        "kept by default": f"{kept.n_obs} spots, {kept.n_vars} genes",
        "dropped": ", ".join(f"{n} {why}" for why, n in dropped.items()) or "none",
    }
    for name, value in lines.items():
        print(f"{name:16} {value}")
    for line in note["notes"]:
        print(f"{'note':16} {line}")


def _images(uns: dict) -> list:  # type: ignore[type-arg]
    return [item for entry in uns.get("spatial", {}).values() for item in entry["images"].items()]


def _make_sheet(args: argparse.Namespace) -> None:
    from spotfuse import io

    if not args.folder.is_dir():
        raise InputError(f"{args.folder}: there is no such folder")
    if args.output.exists() or args.output.is_symlink():
        raise InputError(f"{args.output}: is there already; give another name with --output")
    if not args.output.parent.is_dir():
        raise InputError(f"{args.output.parent}: there is no such folder")
    there = io.find_slices(args.folder)
    found = [path for path in there if not _REFERENCE.search(path.name)]
    if not found:
        raise InputError(f"{args.folder}: no slice found under it; `spotfuse inspect PATH` says why one is not known")
    rows: dict[str, tuple[Path, str]] = {}
    for path in found:
        place = path.parent if path.name == "outs" else path
        stem = place.name if place.is_dir() and place.suffix != ".zarr" else place.name.split(".")[0]
        for section in io.find_sections(path) or [""]:
            value = section.partition(":")[2]
            taken = {name.lower() for name in rows} | {"", "cohort", "pipeline_info"}
            name = f"{stem}_{value}" if section else stem
            tries = chain([name, f"{place.parent.name}_{name}"], (f"{name}_{n}" for n in count(2)))
            cleaned = (re.sub(r"[^A-Za-z0-9._-]+", "_", name).lstrip("._-") for name in tries)
            rows[next(name for name in cleaned if name.lower() not in taken)] = path, section
    columns = ["sample", "data", "section", "n_domains"]
    if not any(section for _, section in rows.values()):
        columns.remove("section")
    with args.output.open("x", newline="", encoding="utf-8") as file:  # two at a time do not overwrite each other
        writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        for name, (path, section) in rows.items():
            data = os.path.relpath(path, args.output.resolve().parent)
            writer.writerow({"sample": name, "data": data, "section": section, "n_domains": "auto"})
    print(f"{args.output}: {len(rows)} slices")
    if left := [str(path) for path in there if path not in found]:
        print(f"left out, references by their names: {', '.join(left)}")


if __name__ == "__main__":
    main()
