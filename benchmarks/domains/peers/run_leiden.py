"""scanpy without space: variable genes, 30 components, Leiden. Usage: run_leiden.py SLICE K OUT."""

import scanpy as sc
from _common import arguments, leiden, write

adata, n_domains, out = arguments()
sc.pp.highly_variable_genes(adata, flavor="seurat_v3", n_top_genes=min(3000, adata.n_vars))
sc.pp.normalize_total(adata, target_sum=1e4)
sc.pp.log1p(adata)
sc.pp.pca(adata, n_comps=min(30, adata.n_vars - 1))
sc.pp.neighbors(adata)
write(out, adata, leiden(adata, n_domains))
