"""Spatial domains: mixtures of an embedding at several scales, their consensus, its refinement."""

from spotfuse.domains._assign import Domains, assign
from spotfuse.domains._settings import Settings
from spotfuse.domains._views import PLAIN

__all__ = ["PLAIN", "Domains", "Settings", "assign"]
