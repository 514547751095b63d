"""What a report says of the number of domains."""

from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from spotfuse._core import tables
from spotfuse.report import _words


def as_read(table: pd.DataFrame) -> pd.DataFrame:
    """Write a table and read it, as the report does."""
    with TemporaryDirectory() as folder:
        tables.write(table, Path(folder) / "table.tsv")
        return tables.read_back(Path(folder) / "table.tsv")


def said(curve: list[tuple[int, float, int]] | None, steps: tuple[str, ...] = ("assign_domains",)) -> str:
    """Words of a curve of numbers, what they are worth, and which was chosen."""
    table = None
    if curve is not None:
        table = pd.DataFrame(curve, columns=["n_domains", "worth", "chosen"])
        table = as_read(table.assign(told=0.4, stability=table["worth"]))
    tables = {"n_domains": table, "status": pd.DataFrame({"step": steps})}
    return _words.n_domains(
        SimpleNamespace(names=["1", "2", "3"], unit="spot", tables=tables, uns={"sample": {"group": "donor7"}})
    )


@pytest.mark.parametrize("curve", [None, []])
def test_a_number_that_was_given_is_called_so(curve):
    assert said(curve) == "The number of domains, 3, was given."


def test_a_clear_choice_has_its_reason():
    text = said([(1, 0, 0), (2, 0.5, 0), (3, 0.8, 1), (4, 0.6, 0)])
    assert "3, was chosen without labels" in text and "tell 40 % of what it expresses" in text
    assert "agree by 0.80 of 1; next comes 4, worth 75 % of that." in text
    assert "look too" not in text and "largest" not in text


def test_a_close_one_is_said_to_be_close():
    assert "next comes 4, worth 99 % of that, so close" in said([(2, 0.5, 0), (3, 0.9, 1), (4, 0.89, 0), (5, 0.1, 0)])


def test_a_slice_that_nothing_divides_is_one_domain():
    text = said([(1, 0, 1), (2, 0, 0), (3, 0, 0)])
    assert text.startswith("The slice is one domain: ") and "Give a number" in text


def test_the_end_of_the_curve_is_pointed_out():
    for most in (4, 10, 15):  # as numbers, not as words: 10 is above 9
        curve = [(k, 0.5, 0) for k in range(2, most)] + [(most, 0.9, 1)]
        assert said(curve).endswith("It is the largest number tried: more domains may be as right.")
    assert "largest" not in said([(9, 0.9, 1), (10, 0.5, 0)])


@pytest.mark.parametrize("k", [1, 2, 3])
def test_a_number_that_was_compared_with_no_other_is_called_so(k):
    assert said([(k, 1.0, 1)]) == (
        f"The number of domains, {k}, is the only one found: it could be compared with no other."
    )


def test_slices_of_a_group_share_their_numbers():
    text = said(None, ("assign_domains", "split_group"))
    assert text.startswith("The number of domains, 3, was given. They were learned together")
    assert "the other slices of group donor7" in text


@pytest.mark.parametrize(("unlike", "n"), [(True, 1), (False, 0)])
def test_a_slice_that_is_unlike_its_group_says_so(unlike, n):
    uns = {"sample": {"group": "donor7"}, "in_common": 0.517, "unlike": unlike}
    nothing = {"status": None, "qc": None}
    found = _words.concerns(
        SimpleNamespace(tables=nothing, uns=uns, has_domains=True, confidence=np.ones(3), deconvolution={})
    )
    said = "52 % of its tissue in common with the rest of group donor7"
    assert [said in concern for concern in found] == [True] * n


def test_what_proportions_are_shares_of_is_said():
    note = {"output": "molecules", "n_cells": 1200, "n_types": 3, "n_genes_shared": 900, "n_genes_used": 800}
    text = _words.deconvolution(SimpleNamespace(deconvolution=note))
    assert text.startswith("Shares are of molecules. The reference has 1,200 cells of 3 types")


def test_types_that_are_not_told_apart_are_named():
    text = _words.deconvolution(
        SimpleNamespace(deconvolution={"classes": [["A", "B"]], "converged": True, "sweeps": 3})
    )
    assert text.startswith("The genes do not tell A and B apart: trust their sum")


@pytest.mark.parametrize(
    ("method", "words"), [("both", "the mean of four estimates"), ("cell_mapping", "cell mapping")]
)
def test_methods_say_how_proportions_came_about(method, words):
    data = SimpleNamespace(
        uns={"parameters": {"deconvolution": method}},
        has_domains=False,
        tables={"markers": None, "spatial_genes": None},
        types=["a", "b"],
        unit="spot",
        typed=False,
        deconvolution={"n_cells": 1200},
    )
    text = _words.methods(data)
    assert "from a reference of 1,200 cells of 2 types" in text and words in text
    assert ("twelve parts" in text) == (method == "both")
