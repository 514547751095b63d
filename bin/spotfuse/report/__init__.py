"""Reports: one self-contained HTML file a slice, and one for the cohort."""

from spotfuse.report._cohort import of_cohort
from spotfuse.report._slice import of_slice

__all__ = ["of_cohort", "of_slice"]
