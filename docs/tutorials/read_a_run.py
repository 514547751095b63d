# %% [markdown]
# # A run, read back
#
# The pipeline leaves a folder a slice and one for the cohort. This page reads those of the profile `test`: a strip of
# human cortex and the two halves of a mouse cortex with known cell types, two minutes on two cores.
#
# ```bash
# tools/nextflow run . -profile test --outdir work/tutorial
# ```

# %%
import json
from pathlib import Path

import anndata
import pandas as pd
import spotfuse as sf

results = Path("work/tutorial")
sorted(str(path.relative_to(results)) for path in results.glob("*/*.h5ad"))

# %% [markdown]
# ## The cohort
#
# Tables are tab-separated ([What comes out](../output.md) has every column). First, what failed: nothing here.

# %%
cohort = {path.stem: pd.read_csv(path, sep="\t") for path in sorted((results / "cohort").glob("*.tsv"))}
cohort["failures"]

# %%
metrics = cohort["metrics"].set_index("sample")
metrics[["n_spots", "n_genes", "n_domains", "domains.ari", "proportions.rmse"]].T.round(3)

# %% [markdown]
# Domains that mean the same in slices that were learned apart have one name in the cohort:

# %%
cohort["matched_domains"]

# %% [markdown]
# ## One slice
#
# `<sample>.h5ad` has all of a slice, under the keys that `sf.pp` and `sf.tl` write too, so that every plot and every
# further call works on it.

# %%
adata = anndata.read_h5ad(results / "cortex/cortex.h5ad")
adata

# %%
sf.pl.domains(adata)

# %% [markdown]
# Markers, best first within each domain, and the figure for a few of them:

# %%
markers = pd.read_csv(results / "cortex/markers.tsv", sep="\t")
best = markers.groupby("domain").head(1)
best

# %%
sf.pl.dots(adata, best["gene"].unique().tolist())

# %% [markdown]
# ## Cell types
#
# Proportions stand in `obsm`, their names in `uns`, and how it went in `deconvolution.json`.

# %%
starmap = anndata.read_h5ad(results / "starmap_left/starmap_left.h5ad")
sf.pl.composition(starmap)

# %%
summary = json.loads((results / "starmap_left/deconvolution.json").read_text())
{name: summary[name] for name in ("method", "n_spots", "n_types", "n_genes_used")}

# %% [markdown]
# Which domain holds which cell types:

# %%
starmap.obsm["proportions"].groupby(starmap.obs["domain"], observed=True).mean().T.round(2)

# %% [markdown]
# ## How it was made
#
# Parameters, versions, time and memory of each step travel with the slice.

# %%
pd.read_csv(results / "cortex/status.tsv", sep="\t")
