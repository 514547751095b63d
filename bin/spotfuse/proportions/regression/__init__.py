"""Attention-regularised spatial regression."""
