"""What the report draws of donors beside an effect."""

import numpy as np
import pandas as pd
from spotfuse import cohort


def test_means_of_donors_differ_by_the_effect():
    random = np.random.default_rng(0)
    sheet = [
        {"sample": f"S{i}", "condition": "case" if i % 2 else "control", "donor": f"d{i // 2}{i % 2}"}
        for i in range(12)
    ]
    rows = [
        (row["sample"], "", "cell_type", name, share)
        for row in sheet
        for name, share in zip("abc", random.dirichlet([5, 3, 2]), strict=True)
    ]
    composition = pd.DataFrame(rows, columns=["sample", "group", "kind", "name", "share"])
    matched = pd.DataFrame(columns=["sample", "domain", "matched", "score"])
    found = cohort.differences(sheet, composition, matched).set_index("name")["effect"]
    values = cohort.donor_values(sheet, composition, matched)
    assert len(values) == 36 and set(values["column"]) == {"condition"}
    means = values.pivot_table(index="name", columns="level", values="value")
    np.testing.assert_allclose((means["case"] - means["control"])[found.index], found, atol=1e-8)
