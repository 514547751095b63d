"""The command ``spotfuse``, for one's own shell: what a file holds, and a sample sheet for a folder of slices."""

import argparse
import csv
import json
import os
import re
import sys
from itertools import chain, count
from pathlib import Path
from typing import Any

from spotfuse import __version__
from spotfuse._core.errors import InputError
from spotfuse.pipeline import command_line

_REFERENCE = re.compile(r"(?:^|[^a-z])(?:sc|scrna|sn)?(?:_?ref|reference|atlas)(?:[^a-z]|$)", re.IGNORECASE)

# what the sheet's schema refuses as a sample's name
_RESERVED = {"", "cohort", "pipeline_info", "cell_map", "report.html", "versions.yml"}
_LONGEST = 200


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
    command_line.choice_options(inspect)
    inspect.add_argument("--json", action="store_true", help="the same facts as JSON")
    inspect.set_defaults(run=_inspect)
    sheet = commands.add_parser("make-sheet", help="find the slices under a folder and write a sample sheet")
    sheet.add_argument("folder", type=Path, help="where to look, at any depth")
    sheet.add_argument("--output", type=Path, default=Path("samplesheet.csv"), help="default samplesheet.csv")
    sheet.set_defaults(run=_make_sheet)
    args = parser.parse_args(arguments)
    try:
        args.run(args)
    except InputError as error:
        print(f"spotfuse: {command_line.in_options(str(error), vars(args))}", file=sys.stderr)
        sys.exit(2)


def _inspect(args: argparse.Namespace) -> None:
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # names may be of any letters
    found = _found(args)
    if args.json:
        print(json.dumps(found, indent=2))
        return
    counts, kept = found["counts_per_spot"], found["kept_by_default"]
    images = [f"{image['name']} {image['height']}×{image['width']}" for image in found["images"]]
    lines = {
        "kind": found["kind"],
        "platform": found["platform"],
        "spots": f"{found['n_spots']} ({', '.join(found['first_spots'])} …)",
        "genes": f"{found['n_genes']} ({', '.join(found['first_genes'])} …)",
        "counts per spot": f"{counts['median']:.6g} (median), {counts['max']:.6g} at most",
        "genes per spot": f"{found['genes_per_spot']['median']:.6g} (median)",
        "mitochondrial": f"{found['mitochondrial_share']['median']:.1%} of a spot's counts (median)",
        "x": "{:.6g} to {:.6g}".format(*found["x"]),
        "y": "{:.6g} to {:.6g}".format(*found["y"]),
        "unit of x and y": found["unit"],
        "image": ", ".join(images) or "none",
        "columns": ", ".join(found["columns"]) or "none",
        "kept by default": f"{kept['n_spots']} spots, {kept['n_genes']} genes",
        "dropped": ", ".join(f"{n} {why}" for why, n in found["dropped"].items()) or "none",
    }
    for name, value in lines.items():
        print(f"{name:16} {value}")
    for line in found["notes"]:
        print(f"{'note':16} {line}")


def _found(args: argparse.Namespace) -> dict[str, Any]:
    """Read the slice, and say what it holds; the keys are those of ``--json``."""
    import numpy as np

    from spotfuse import io, preparation

    adata = io.read_slice(args.data, **command_line.choice_of(args))
    note = adata.uns["spotfuse"]
    kept, table = preparation.quality_control(adata)
    low, high = (edge(adata.obsm["spatial"], axis=0).tolist() for edge in (np.nanmin, np.nanmax))
    return {
        "kind": note["kind"],
        "platform": note["platform"],
        "n_spots": adata.n_obs,
        "n_genes": adata.n_vars,
        "first_spots": adata.obs_names[:3].tolist(),
        "first_genes": adata.var_names[:3].tolist(),
        "counts_per_spot": {"median": float(table["n_counts"].median()), "max": float(table["n_counts"].max())},
        "genes_per_spot": {"median": float(table["n_genes"].median())},
        "mitochondrial_share": {"median": float(table["mt_share"].median())},
        "x": [low[0], high[0]],
        "y": [low[1], high[1]],
        "unit": note["unit"],
        "images": [
            {"library": library, "name": name, "width": image.shape[1], "height": image.shape[0]}
            for library, entry in adata.uns.get("spatial", {}).items()
            for name, image in entry["images"].items()
        ],
        "columns": [str(column) for column in adata.obs],
        "kept_by_default": {"n_spots": kept.n_obs, "n_genes": kept.n_vars},
        "dropped": {str(why): int(n) for why, n in table.loc[~table["kept"], "reason"].value_counts().items()},
        "notes": note["notes"],
    }


def _make_sheet(args: argparse.Namespace) -> None:
    from spotfuse import io

    if not args.folder.is_dir():
        raise InputError(f"{args.folder}: there is no such folder")
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
            taken = {name.lower() for name in rows} | _RESERVED
            name = f"{stem}_{value}" if section else stem
            tries = chain([name, f"{place.parent.name}_{name}"], (f"{name}_{n}" for n in count(2)))
            cleaned = (re.sub(r"[^A-Za-z0-9._-]+", "_", name).lstrip("._-")[-_LONGEST:].lstrip("._-") for name in tries)
            rows[next(name for name in cleaned if name.lower() not in taken)] = path, section
    columns = ["sample", "data", "section", "n_domains"]
    if not any(section for _, section in rows.values()):
        columns.remove("section")
    try:
        file = args.output.open("x", newline="", encoding="utf-8")
    except FileExistsError:  # two at a time do not overwrite each other
        raise InputError(f"{args.output}: is there already; give another name with --output") from None
    with file:
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
