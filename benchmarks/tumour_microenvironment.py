"""Domains of breast tumours: prints the tables of docs/tumour_microenvironment.md and draws its figure.

Run from the repository, with the environment of `make setup`, on the results of the run that the page names:
`python benchmarks/tumour_microenvironment.py results`. The pathologist's regions are read for the tables alone.
"""

import io
import sys
from pathlib import Path

import anndata
import matplotlib.pyplot as plt
import pandas as pd
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "bin"))

from spotfuse import patterns, pl

SLICES = ("her2st_A1", "her2st_E1", "her2st_H1")
CANCER = ("ERBB2", "COX6C", "CCND1")
N_GENES = 8


def read(folder: Path, name: str) -> pd.DataFrame:
    """Read one of a slice's tables, with names as text."""
    table = pd.read_csv(folder / f"{name}.tsv", sep="\t", keep_default_na=False, na_values=[""])
    return table.astype({key: str for key in ("domain", "gene", "name", "neighbour") if key in table})


def row(cells: list[str]) -> str:
    """Write a line of a Markdown table."""
    return "| " + " | ".join(cells) + " |"


def ranks(genes: list[str], most: int) -> str:
    """Say at which place the three genes of cancer stand."""
    found = [f"{gene} {genes.index(gene) + 1}." for gene in CANCER if gene in genes[:most]]
    return ", ".join(found) or "–"


def domains(sample: str, folder: Path, adata: anndata.AnnData) -> list[str]:
    """Tell each domain's regions, cell types, neighbours and first markers."""
    found, beside = read(folder, "markers"), read(folder, "neighbourhoods")
    inside = beside[beside["kind"] == "cell_type_in_domain"]
    touch = beside[(beside["kind"] == "domain_contact") & (beside["log2_ratio"] > 1)]
    lines = []
    for domain in adata.obs["domain"].cat.categories:
        regions = adata.obs.loc[adata.obs["domain"] == domain, "annotation"].value_counts()
        said = ", ".join(f"{name} {n}" for name, n in regions.head(2).items() if n)
        genes = found.loc[found["domain"] == domain, "gene"].tolist()
        types = inside[inside["neighbour"] == domain].sort_values("z", ascending=False).head(2)
        pairs = touch[(touch["name"] == domain) | (touch["neighbour"] == domain)]
        others = sorted({*pairs["name"], *pairs["neighbour"]} - {domain})
        cells = [sample, domain, str(regions.sum()), said, ", ".join(genes[:N_GENES]), ranks(genes, 100)]
        lines.append(row([*cells, ", ".join(types["name"]), ", ".join(others) or "–"]))
    return lines


def regions(sample: str, adata: anndata.AnnData) -> list[str]:
    """Tell where the three genes stand among the markers of the pathologist's own regions of cancer."""
    labels = adata.obs["annotation"].astype(str)
    names = sorted(set(labels))
    found = patterns.markers(adata, labels.map({name: i for i, name in enumerate(names, 1)}), n_genes=adata.n_vars)
    lines = []
    for i, name in enumerate(names, 1):
        if "cancer" in name:
            genes = found.loc[(found["domain"] == i) & (found["p_adjusted"] < 0.05), "gene"].tolist()
            lines.append(row([sample, name, str((labels == name).sum()), ranks(genes, len(genes))]))
    return lines


def main(results: Path) -> None:
    """Print the tables and draw the figure."""
    slices = {name: anndata.read_h5ad(results / name / f"{name}.h5ad") for name in SLICES}
    tables = {
        ("slice", "domain", "spots", "regions", "first markers", "place of the three", "cell types", "touches"): [
            line for name, adata in slices.items() for line in domains(name, results / name, adata)
        ],
        ("slice", "region", "spots", "place of the three among its markers"): [
            line for name, adata in slices.items() for line in regions(name, adata)
        ],
        ("slice", "first genes with a pattern in space (Moran's I)"): [
            row(
                [
                    name,
                    ", ".join(
                        f"{g.gene} ({g.morans_i:.2f})" for g in read(results / name, "spatial_genes")[:10].itertuples()
                    ),
                ]
            )
            for name in SLICES
        ],
    }
    for header, lines in tables.items():
        print("\n".join([row(list(header)), "|---" * len(header) + "|", *lines]), end="\n\n")
    figure, axes = plt.subplots(len(SLICES), 3, figsize=(13, 11), layout="constrained")
    for (name, adata), of_slice in zip(slices.items(), axes, strict=True):
        pl.domains(adata, ax=of_slice[0])
        pl.gene(adata, "ERBB2", ax=of_slice[1])
        regions_of = adata.copy()
        regions_of.obs["domain"] = pd.Categorical(adata.obs["annotation"].astype(str))
        pl.domains(regions_of, ax=of_slice[2])
        of_slice[2].get_legend().set_title("pathologist")
        for ax, title in zip(of_slice, (f"{name}: domains", "ERBB2", "regions"), strict=True):
            ax.set_title(title)
    raw = io.BytesIO()
    figure.savefig(raw, dpi=70)
    picture = Image.open(raw).convert("RGB").quantize(128, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    picture.save(ROOT / "docs/images/tumours.png", optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
