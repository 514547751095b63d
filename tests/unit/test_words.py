"""What a report says of the number of domains."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from spotfuse.report import _words as words


def said(curve: list[tuple[int, float, int]] | None, steps: tuple[str, ...] = ("assign_domains",)) -> str:
    table = None if curve is None else pd.DataFrame(curve, columns=["n_domains", "stability", "chosen"])
    tables = {"n_domains": table, "status": pd.DataFrame({"step": steps})}
    return words.n_domains(SimpleNamespace(names=["1", "2", "3"], tables=tables, uns={"sample": {"group": "donor7"}}))


@pytest.mark.parametrize("curve", [None, []])
def test_a_number_that_was_given_is_called_so(curve):
    assert said(curve) == "The number of domains, 3, was given."


def test_a_clear_choice_has_its_reason():
    text = said([(2, 0.5, 0), (3, 0.9, 1), (4, 0.7, 0)])
    assert "3, was chosen without labels" in text and "with 0.90 of 1, more than on any other" in text
    assert "next comes 4 with 0.70." in text and "look too" not in text and "largest" not in text


def test_a_close_one_is_said_to_be_close():
    assert "next comes 4 with 0.89, so close" in said([(2, 0.5, 0), (3, 0.9, 1), (4, 0.89, 0), (5, 0.1, 0)])


def test_halves_that_agree_better_are_explained():
    text = said([(2, 0.99, 0), (3, 0.9, 1), (4, 0.7, 0)])
    assert "any other but 2 (0.99)" in text and text.endswith("stable almost anywhere.")


def test_the_end_of_the_curve_is_pointed_out():
    assert "largest number tried" in said([(2, 0.5, 0), (3, 0.7, 0), (4, 0.9, 1)])


def test_slices_of_a_group_share_their_numbers():
    text = said(None, ("assign_domains", "split_group"))
    assert text.startswith("The number of domains, 3, was given. They were learned together")
    assert "the other slices of group donor7" in text


@pytest.mark.parametrize(("unlike", "n"), [(True, 1), (False, 0)])
def test_a_slice_that_is_unlike_its_group_says_so(unlike, n):
    uns = {"sample": {"group": "donor7"}, "in_common": 0.517, "unlike": unlike}
    nothing = {"status": None, "qc": None}
    found = words.concerns(
        SimpleNamespace(tables=nothing, uns=uns, has_domains=True, confidence=np.ones(3), deconvolution={})
    )
    said = "52 % of its tissue in common with the rest of group donor7"
    assert [said in concern for concern in found] == [True] * n


def test_what_proportions_are_shares_of_is_said():
    note = {"output": "molecules", "n_cells": 1200, "n_types": 3, "n_genes_shared": 900, "n_genes_used": 800}
    text = words.deconvolution(SimpleNamespace(deconvolution=note))
    assert text.startswith("Shares are of molecules. The reference has 1,200 cells of 3 types")
