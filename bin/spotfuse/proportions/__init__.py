"""Cell-type proportions of spots, from a single-cell reference."""

from spotfuse.metrics import evaluate
from spotfuse.proportions._cell_mapping import map_cells, project
from spotfuse.proportions._gene_matching import match_genes
from spotfuse.proportions._reference import read_reference
from spotfuse.proportions.regression._model import AttentionRegressionDeconv

__all__ = ["AttentionRegressionDeconv", "evaluate", "map_cells", "match_genes", "project", "read_reference"]
