"""What a posterior has been worth: how often a spot with such a one lay where its domain mostly lies."""

import numpy as np

from spotfuse._core.types import Floats, Floats32, Ints
from spotfuse.domains._settings import SETTINGS, Settings


def log_odds(posterior: Floats | Floats32, settings: Settings = SETTINGS) -> Floats:
    """Give the log-odds of posteriors; those of extreme ones are bounded."""
    bounded = np.clip(np.asarray(posterior, dtype=np.float64), settings.extreme, 1 - settings.extreme)
    return np.asarray(np.log(bounded / (1 - bounded)))


def confidence(probabilities: Floats | Floats32, labels: Ints, settings: Settings = SETTINGS) -> Floats32:
    """Say of each spot how often one with such a posterior lay in the region that most of its domain lies in.

    Posteriors say too much: labellings of averages that overlap agree more readily than they are right.

    Parameters
    ----------
    probabilities
        Posterior of each domain, (n_spots, K).
    labels
        Each spot's domain, from 0 on.
    settings
        What posteriors have been worth.
    """
    n_spots, n_domains = probabilities.shape
    if n_domains == 1:
        return np.ones(n_spots, dtype=np.float32)
    odds = log_odds(probabilities[np.arange(n_spots), labels], settings)
    odds = settings.intercept + settings.slope * odds
    return np.asarray(1 / (1 + np.exp(-odds)), dtype=np.float32)
