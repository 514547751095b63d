"""GraphST as its tutorial calls it. Usage: run_graphst.py SLICE K OUT."""

import torch
from _common import arguments, write
from GraphST import GraphST
from GraphST.utils import clustering

adata, n_domains, out = arguments()
adata = GraphST.GraphST(adata, device=torch.device("cpu"), datatype="10X").train()
clustering(adata, n_domains, radius=50, method="mclust", refinement=True)
write(out, adata, adata.obs["mclust"], adata.obs["domain"])
