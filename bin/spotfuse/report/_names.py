"""Names that a report proposes for domains."""

import numpy as np

from spotfuse.report._read import Slice

LEAST_SHARE = 0.15  # of a domain that a cell type must have to name it
LEAST_RATIO = 1.3  # to its share of the slice
GENES = 2


def suggested(data: Slice) -> list[str]:
    """Propose a name for each domain: the cell type that it has more of than the slice, and its first markers.

    Parameters
    ----------
    data
        The slice.

    Returns
    -------
    ``L2/3-like, ENC1, HPCAL1``, or less where less is known.
    """
    composition, of_slice = data.composition, np.zeros(0)
    if composition is not None and data.proportions is not None and np.isfinite(composition).any():
        of_slice = np.nanmean(data.proportions, axis=0)
    named = []
    for k, name in enumerate(data.names):
        parts = data.markers[name][:GENES]
        if composition is not None and len(of_slice) and np.isfinite(composition[k]).all():
            tells = (composition[k] >= LEAST_SHARE) & (composition[k] >= LEAST_RATIO * of_slice)
            if tells.any():
                best = int(np.argmax(np.where(tells, composition[k] - of_slice, -1)))
                parts = [f"{data.types[best]}-like", *parts]
        named.append(", ".join(parts))
    return named
