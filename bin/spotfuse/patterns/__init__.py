"""What genes and neighbours do in the tissue: markers, spatially variable genes, neighbourhoods, pseudobulks."""

from spotfuse.patterns._markers import markers
from spotfuse.patterns._neighbourhoods import neighbourhoods
from spotfuse.patterns._pseudobulk import pseudobulk_counts
from spotfuse.patterns._spatial_genes import spatial_genes

__all__ = ["markers", "neighbourhoods", "pseudobulk_counts", "spatial_genes"]
