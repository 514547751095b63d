"""The sample sheet's columns, and what of a row describes the slice."""

from collections.abc import Mapping
from typing import Any

Row = Mapping[str, Any]

# columns of the sheet that have a meaning, as it is written; all others describe the slice, and these two do too
SHEET = (
    *("sample", "data", "group", "z", "n_domains", "domains_from"),
    *("reference", "cell_type_key", "annotation", "proportions", "platform"),
    *("domain_names", "section", "layer", "spatial_key", "symbol_column"),
)
_INPUTS = frozenset(SHEET) - {"group", "z"}


def metadata(row: Row) -> dict[str, Any]:
    """Give what a sheet's row says of the slice itself: group, donor, condition."""
    return {key: value for key, value in row.items() if key not in _INPUTS and value not in (None, "", [])}
