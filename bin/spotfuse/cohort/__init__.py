"""The slices of a run side by side: a file for each table, and their statistical design."""

from spotfuse.cohort._compare import compare
from spotfuse.cohort._composition import composition
from spotfuse.cohort._differences import DIFFERENCES, differences, donor_values
from spotfuse.cohort._differential_expression import DIFFERENTIAL_EXPRESSION, differential_expression
from spotfuse.cohort._markers import RECURRING_MARKERS, recurring_markers
from spotfuse.cohort._matched_domains import cohort_names, learned_together, match_domains, read_counts
from spotfuse.cohort._metrics import flatten, metrics
from spotfuse.cohort._mixing import MIXING, join_mixing
from spotfuse.cohort._neighbourhoods import NEIGHBOURHOODS, mean_neighbourhoods, neighbourhoods
from spotfuse.cohort._settings import FEWEST, LEAST_SCORE, Settings
from spotfuse.cohort._sheet import SHEET, Row, metadata

__all__ = [
    "DIFFERENCES",
    "DIFFERENTIAL_EXPRESSION",
    "FEWEST",
    "LEAST_SCORE",
    "MIXING",
    "NEIGHBOURHOODS",
    "RECURRING_MARKERS",
    "SHEET",
    "Row",
    "Settings",
    "cohort_names",
    "compare",
    "composition",
    "differences",
    "differential_expression",
    "donor_values",
    "flatten",
    "join_mixing",
    "learned_together",
    "match_domains",
    "mean_neighbourhoods",
    "metadata",
    "metrics",
    "neighbourhoods",
    "read_counts",
    "recurring_markers",
]
