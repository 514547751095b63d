"""Reading slices and references: raw counts, coordinates and images from the files users have."""

from spotfuse.io._common import nearest
from spotfuse.io._coordinates import coordinate_columns, in_range
from spotfuse.io._finding import find_sections, find_slices
from spotfuse.io._genes import (
    IDS,
    SYMBOLS,
    are_row_numbers,
    gene_columns,
    genomes,
    known_symbols,
    name_genes,
    species_of,
)
from spotfuse.io._images import laid_out
from spotfuse.io._kinds import holds_cells
from spotfuse.io._memory import coordinates_of, counts_in, counts_of, matrix
from spotfuse.io._slices import read_annotation, read_counts, read_slice
from spotfuse.io._tables import column_name, corner, is_table, read_numbers, read_table, with_first, yes_or_no
from spotfuse.io._writing import write

__all__ = [
    "IDS",
    "SYMBOLS",
    "are_row_numbers",
    "column_name",
    "coordinate_columns",
    "coordinates_of",
    "corner",
    "counts_in",
    "counts_of",
    "find_sections",
    "find_slices",
    "gene_columns",
    "genomes",
    "holds_cells",
    "in_range",
    "is_table",
    "known_symbols",
    "laid_out",
    "matrix",
    "name_genes",
    "nearest",
    "read_annotation",
    "read_counts",
    "read_numbers",
    "read_slice",
    "read_table",
    "species_of",
    "with_first",
    "write",
    "yes_or_no",
]
