"""Reports: one self-contained HTML file a slice, and one for the cohort."""

from spotfuse.report._cohort import of_cohort
from spotfuse.report._maps import two_components
from spotfuse.report._memory import slice
from spotfuse.report._multiqc import multiqc
from spotfuse.report._page import duration
from spotfuse.report._slice import of_slice

__all__ = ["duration", "multiqc", "of_cohort", "of_slice", "slice", "two_components"]
