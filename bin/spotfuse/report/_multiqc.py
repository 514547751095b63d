"""Tables for MultiQC."""

from typing import Any

import pandas as pd

from spotfuse._core.order import natural

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
