"""What deconvolve leaves for the steps after it."""

import json
from collections.abc import Mapping
from pathlib import Path

from anndata import AnnData

from spotfuse._core import tables
from spotfuse.proportions import CellTypes, Proportions, of_classes


def write(
    found: Mapping[str, Proportions], adata: AnnData, typed: CellTypes | None = None, *, cell_map: bool = True
) -> None:
    """Write what methods found into the current folder: all of the first, the proportions of the others.

    Parameters
    ----------
    found
        By the methods' names; of the spots of `adata`.
    adata
        The prepared slice.
    typed
        The types of its spots, where they are single cells.
    cell_map
        Write which cells of the reference each spot is made of, too.
    """
    order = tables.in_input_order(adata)
    (_, first), *others = found.items()
    summary = dict(first.summary)
    written = {"proportions": first.proportions, "proportions_sd": first.sd, "deconvolution_fit": first.fit}
    if first.classes is not None and first.classes.nunique() < len(first.classes):
        written["proportions_classes"] = of_classes(first.proportions, first.classes)
    for name, other in others:
        written[f"proportions_{name}"] = other.proportions
        summary[name] = other.summary
    if typed is not None:
        tables.write(typed.table.iloc[order], "cell_types.tsv", index="cell")
        summary["cell_types"] = typed.summary
        summary["notes"] = [*summary["notes"], *typed.summary["notes"]]
    for name, table in written.items():
        if table is not None:
            tables.write(table.iloc[order], f"{name}.tsv", index="spot")
    if cell_map:
        first.cell_map()[order].copy().write_h5ad("cell_map.h5ad", compression="gzip")
    Path("deconvolution.json").write_text(json.dumps(summary, indent=1) + "\n")
