"""Scores of domains and proportions against what is known."""

from spotfuse.metrics._domains import domain_scores, labelled, rand_index
from spotfuse.metrics._domains import domain_scores as domains
from spotfuse.metrics._proportions import check_proportions, evaluate, proportion_scores, scores
from spotfuse.metrics._proportions import evaluate as proportions

__all__ = [
    "check_proportions",
    "domain_scores",
    "domains",
    "evaluate",
    "labelled",
    "proportion_scores",
    "proportions",
    "rand_index",
    "scores",
]
