"""What genes and neighbours do in the tissue: markers, spatially variable genes, neighbourhoods, pseudobulks."""

from typing import TYPE_CHECKING

from spotfuse._core.lazy import lazily

if TYPE_CHECKING:
    from spotfuse.patterns._fold_changes import fold_changes
    from spotfuse.patterns._markers import markers
    from spotfuse.patterns._neighbourhoods import neighbourhoods
    from spotfuse.patterns._pseudobulk import pseudobulk_counts
    from spotfuse.patterns._spatial_genes import spatial_genes

__all__ = ["fold_changes", "markers", "neighbourhoods", "pseudobulk_counts", "spatial_genes"]

# who asks for neighbourhoods alone, as the slice's folder does, does not wait for scipy.stats
__getattr__, __dir__ = lazily(
    __name__,
    {
        "fold_changes": "spotfuse.patterns._fold_changes",
        "markers": "spotfuse.patterns._markers",
        "neighbourhoods": "spotfuse.patterns._neighbourhoods",
        "pseudobulk_counts": "spotfuse.patterns._pseudobulk",
        "spatial_genes": "spotfuse.patterns._spatial_genes",
    },
)
