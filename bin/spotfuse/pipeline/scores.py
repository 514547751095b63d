"""What the steps found of a slice beside what is known of it."""

from pathlib import Path
from typing import Any

from spotfuse import io, metrics
from spotfuse._core import tables
from spotfuse._core.errors import collected


def of_slice(
    parts: Path,
    problems: list[str],
    *,
    data: Path | None = None,
    annotation: str | None = None,
    proportions: Path | None = None,
    **choice: Any,
) -> dict[str, Any]:
    """Score whatever was found and is known.

    Parameters
    ----------
    parts
        Folder with what the steps wrote.
    problems
        Grows by what cannot be scored.
    data, **choice
        The slice, as for `spotfuse.io.read_slice`; asked for where the annotation is a column of it.
    annotation
        Known domains, as for `spotfuse.io.read_annotation`.
    proportions
        Table of known proportions.

    Returns
    -------
    ``domains`` and ``proportions``, as `spotfuse.metrics` gives them; None for what is not known or was not found.
    """
    found: dict[str, Any] = {"domains": None, "proportions": None}
    domains, mixture = parts / "domains.tsv", parts / "proportions.tsv"
    if annotation and (data or io.is_table(annotation)) and domains.exists():
        with collected(problems):
            known = io.read_annotation(data or "", annotation, **choice)
            spots = tables.read_spots(parts / "qc.tsv").index
            found["domains"] = metrics.domain_scores(tables.read_column(domains, "domain"), known, spots)
    if proportions and mixture.exists():
        with collected(problems):
            truth = io.read_numbers(proportions)
            metrics.check_proportions(truth, proportions)
            found["proportions"] = metrics.proportion_scores(tables.read_spots(mixture), truth)
    return found
