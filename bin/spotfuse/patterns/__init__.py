"""What genes and neighbours do in the tissue: markers, spatially variable genes, neighbourhoods, pseudobulks."""

from typing import TYPE_CHECKING

from spotfuse._core.lazy import lazily

if TYPE_CHECKING:
    from spotfuse.patterns._fold_changes import fold_changes, marker_score
    from spotfuse.patterns._markers import markers
    from spotfuse.patterns._neighbourhoods import neighbourhoods
    from spotfuse.patterns._pseudobulk import pseudobulk_counts
    from spotfuse.patterns._settings import Settings
    from spotfuse.patterns._spatial_genes import spatial_genes

__all__ = [
    "Settings",
    "fold_changes",
    "marker_score",
    "markers",
    "neighbourhoods",
    "pseudobulk_counts",
    "spatial_genes",
]

# who asks for neighbourhoods alone, as the slice's folder does, does not wait for scipy.stats
__getattr__, __dir__ = lazily(
    __name__,
    {
        "Settings": "spotfuse.patterns._settings",
        "fold_changes": "spotfuse.patterns._fold_changes",
        "marker_score": "spotfuse.patterns._fold_changes",
        "markers": "spotfuse.patterns._markers",
        "neighbourhoods": "spotfuse.patterns._neighbourhoods",
        "pseudobulk_counts": "spotfuse.patterns._pseudobulk",
        "spatial_genes": "spotfuse.patterns._spatial_genes",
    },
)
