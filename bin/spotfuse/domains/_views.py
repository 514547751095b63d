"""What is divided: components at every scale of the tissue, and how well a labelling tells a spot's own."""

from collections.abc import Callable

import numpy as np
from anndata import AnnData
from scipy import sparse

from spotfuse._core.types import Floats, Ints
from spotfuse.domains._settings import SETTINGS, Settings
from spotfuse.preparation import averaging, fixed_signs

EMBEDDING, RESIDUALS, LOGARITHMS, COMPOSITION = "", "X_pca", "X_pca_log", "composition"
PLAIN = (RESIDUALS, LOGARITHMS)  # components that vote beside the embedding


def views(
    adata: AnnData, embedding: Floats, graph: sparse.csr_matrix, settings: Settings = SETTINGS
) -> list[tuple[str, Floats]]:
    """Leading components of the embedding and of the plain components, at every scale, with what they are of."""
    return [view for source in _sources(adata, embedding, settings) for view in _at_scales(*source, graph, settings)]


def of_composition(shares: Floats, graph: sparse.csr_matrix, settings: Settings = SETTINGS) -> list[tuple[str, Floats]]:
    """Leading components of what cell types lie around each spot, at every scale, with what they are of.

    Shares are averaged first and then become square roots, in which a rare type counts like a common one.
    """
    return _at_scales(COMPOSITION, np.clip(shares, 0, None), 0, graph, settings, np.sqrt)


def composed(shares: Floats, settings: Settings = SETTINGS) -> Floats:
    """Leading components of a spot's own cell types."""
    return _scores(np.sqrt(np.clip(shares, 0, None)), settings.told)


def _at_scales(
    key: str,
    values: Floats,
    done: int,
    graph: sparse.csr_matrix,
    settings: Settings,
    scaled: Callable[[Floats], Floats] = np.asarray,
) -> list[tuple[str, Floats]]:
    """Leading components of values that were averaged `done` steps, at every scale; averages are scaled before."""
    average = averaging(graph, self_weight=0.5)
    views, averaged = [], np.asarray(values, dtype=np.float64)
    scales = [done, *(scale for scale in settings.scales if scale > done)]
    for before, scale in zip((done, *scales), scales, strict=False):
        for _ in range(scale - before):
            averaged = average @ averaged
        scores = _scores(scaled(averaged), max(settings.dimensions))
        views += [(key, scores[:, :d]) for d in sorted({min(d, scores.shape[1]) for d in settings.dimensions})]
    return views


def _sources(adata: AnnData, embedding: Floats, settings: Settings) -> list[tuple[str, Floats, int]]:
    """Give what is divided: its key, its values, and the steps that they have been averaged."""
    plain = [(key, adata.obsm[key], 0) for key in PLAIN if key in adata.obsm]
    return [(EMBEDDING, embedding, settings.encoder_steps), *plain]


def _scores(values: Floats, most: int) -> Floats:
    """Scores on the leading components, with fixed signs."""
    centred = values - values.mean(axis=0)
    size, vectors = np.linalg.eigh(centred.T @ centred)
    order = np.argsort(size)[::-1][:most]
    vectors = vectors[:, order[size[order] > 1e-9 * size.max()]]
    return np.asarray(centred @ fixed_signs(vectors))


def missing(values: Floats, graph: sparse.csr_matrix, settings: Settings = SETTINGS) -> Callable[[Ints], Floats]:
    """Give what measures how far each spot lies from what the domains of its neighbours tell of it.

    That is a squared distance in the components, as they are before any averaging, in shares of their variance; the
    shares of domains among its neighbours tell them, by a regression without the spot itself. Spots without neighbours
    are left out.
    """
    touching = np.asarray(graph.sum(axis=1)).ravel() > 0
    average = sparse.csr_matrix(averaging(graph)[touching], dtype=np.float64)
    own = np.asarray(values, dtype=np.float64)[touching, : settings.told]
    own = own - own.mean(axis=0)
    variance = max(np.square(own).sum() / max(len(own), 1), 1e-12)

    def missed(labels: Ints) -> Floats:
        shares = average @ np.eye(labels.max() + 1)[labels]
        inverse = np.linalg.pinv(shares.T @ shares)
        leverage = np.minimum(np.einsum("ij,ij->i", shares @ inverse, shares), 0.9)
        miss = (own - shares @ (inverse @ (shares.T @ own))) / (1 - leverage)[:, None]
        return np.asarray(np.square(miss).sum(axis=1) / variance)

    return missed


def telling(adata: AnnData, graph: sparse.csr_matrix, settings: Settings = SETTINGS) -> Callable[[Ints, str], float]:
    """Give what measures how well a labelling tells components: the share of their variance that is not missed.

    Domains that follow noise or a few odd spots tell little.
    """
    missed = {key: missing(adata.obsm[key], graph, settings) for key in PLAIN if key in adata.obsm}

    def told(labels: Ints, key: str) -> float:
        miss = missed[key](labels)
        return float(1 - miss.sum() / max(len(miss), 1))

    return told
