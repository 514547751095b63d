"""Scores of domains and proportions against what is known."""

from spotfuse.metrics._domains import domain_scores, labelled
from spotfuse.metrics._proportions import check_proportions, evaluate, proportion_scores, scores

__all__ = ["check_proportions", "domain_scores", "evaluate", "labelled", "proportion_scores", "scores"]
