# %% [markdown]
# # One slice in Python
#
# Spatial domains of a strip of human prefrontal cortex (Visium, 710 spots of DLPFC 151673, seven layers), and the cell
# types of a mouse cortex (half of the STARmap spots), from files to a report. Run it in the repository, cell by cell in
# any editor that knows the percent format, or whole: `PYTHONPATH=bin .venv/bin/python docs/tutorials/one_slice.py`.

# %%
import spotfuse as sf

adata = sf.read("assets/test/cortex.h5ad")
adata

# %% [markdown]
# `sf.read` takes any input that [Usage](../usage.md) lists: Space Ranger's folders, Xenium, MERSCOPE, CosMx, Slide-seq,
# Stereo-seq, zarr, tables. It finds raw counts and coordinates, and notes what it had to put right.

# %%
adata.uns["spotfuse"]

# %% [markdown]
# ## Preparation
#
# Quality control drops what nothing can be said of; the thresholds are arguments. `sf.pp.prepare` then adds variable
# genes, principal components and two graphs: of neighbours in the tissue, and of spots with similar expression.

# %%
sf.pp.qc(adata)
sf.pp.prepare(adata)
adata

# %% [markdown]
# ## Domains
#
# An encoder is trained on the slice, without labels; Gaussian mixtures of its embedding vote for the domains. The same
# seed gives the same domains, whatever the order of the rows.

# %%
sf.tl.embed(adata, seed=1)
sf.tl.domains(adata, n_domains=7)
sf.pl.domains(adata)

# %% [markdown]
# `obs["label"]` holds the layers that were annotated by hand. Nothing has read them so far; now they score.

# %%
sf.metrics.domains(adata.obs["domain"], adata.obs["label"], adata.obs_names)

# %% [markdown]
# How sure the domains are shows where layers meet:

# %%
sf.pl.confidence(adata)

# %% [markdown]
# ## Genes
#
# Genes that tell each domain from the rest, and genes with a pattern in the tissue, whatever the domains.

# %%
sf.tl.markers(adata)
markers = adata.uns["spotfuse"]["markers"]
markers.groupby("domain").head(2)

# %%
sf.tl.spatial_genes(adata)
adata.uns["spotfuse"]["spatial_genes"].head()

# %%
sf.pl.gene(adata, "PLP1")

# %% [markdown]
# ## Cell types
#
# Proportions need a single-cell reference with a column of cell types: an AnnData, or its file.

# %%
starmap = sf.read("assets/test/starmap_left.h5ad")
sf.pp.qc(starmap)
sf.tl.proportions(starmap, "assets/test/starmap_reference.h5ad", cell_type_key="cell_type")
starmap.obsm["proportions"].head().round(3)

# %% [markdown]
# These spots were made of known cells, so that the truth is known; each share also has a standard deviation, in
# `obsm["proportions_sd"]`.

# %%
import pandas as pd

known = pd.read_csv("assets/test/starmap_left_proportions.tsv", sep="\t", index_col=0)
scores = sf.metrics.proportions(starmap.obsm["proportions"], known)
{name: round(scores[name], 3) for name in ("RMSE", "PCC", "JSD")}

# %%
sf.pl.proportions(starmap, starmap.obsm["proportions"].mean().idxmax())

# %% [markdown]
# ## A report
#
# One HTML file that opens from disk, as the pipeline writes it; and the slice itself, for scanpy and squidpy.

# %%
from pathlib import Path

folder = Path("work/tutorial_slice")
folder.mkdir(parents=True, exist_ok=True)
sf.report.slice(adata, folder / "report.html")
sf.write(adata, folder / "cortex.h5ad")
sorted(path.name for path in folder.iterdir())
