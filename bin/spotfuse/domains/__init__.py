"""Spatial domains: mixtures of an embedding at several scales, their consensus, its refinement."""

from spotfuse.domains._assign import PLAIN, assign

__all__ = ["PLAIN", "assign"]
