"""The methods there are."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spotfuse.proportions._methods import Proportions


def _attention_regression() -> "Callable[..., Proportions]":
    from spotfuse.proportions._methods import attention_regression

    return attention_regression


def _cell_mapping() -> "Callable[..., Proportions]":
    from spotfuse.proportions._methods import cell_mapping

    return cell_mapping


# A further method is a file with a function that takes and gives what `spotfuse.proportions.estimate` does, and a row
# here; arguments that this has not are the method's own options. Rows import when they are asked for.
METHODS: "dict[str, Callable[[], Callable[..., Proportions]]]" = {
    "attention_regression": _attention_regression,
    "cell_mapping": _cell_mapping,
}
