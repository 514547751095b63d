"""Spatial domains: mixtures of an embedding at several scales, their consensus, its refinement."""

from spotfuse.domains._assign import PLAIN, Domains, assign

__all__ = ["PLAIN", "Domains", "assign"]
