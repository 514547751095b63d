#!/usr/bin/env python3
"""Cell mapping beside the regression on pairs of SPOTFUSE_DATA, and its settings judged by families left out.

`cell_mapping.py` writes cell_mapping.md; some ten minutes. Truth is read for scores alone.
"""

from dataclasses import replace
from itertools import combinations

import pandas as pd
from compare import HERE
from generalisation import PAIRS, plain
from spotfuse.metrics import evaluate
from spotfuse.proportions import Settings, as_reference, estimate

DEFAULT = "default"


def settings(**own: float) -> Settings:
    """Give the settings with others of cell mapping."""
    return replace(Settings(), cell_mapping=replace(Settings().cell_mapping, **own))


CANDIDATES = {
    DEFAULT: Settings(),
    "contrast .3": settings(contrast=0.3),
    "no contrast": settings(contrast=0.0),
    "300 components": settings(components=300),
    "types' means alone": settings(to_type=1.0),
    "evenness .1": settings(evenness=0.1),
}


def measure() -> pd.DataFrame:
    """Score the regression and each candidate on each pair."""
    rows = []
    for pair, (_, _, family) in PAIRS.items():
        st, sc, truth = plain(pair)
        sc = as_reference(sc)
        own = evaluate(estimate(st, sc).proportions, truth)
        for name, given in CANDIDATES.items():
            found = evaluate(estimate(st, sc, "cell_mapping", settings=given).proportions, truth)
            scores = {f"{key}, {of}": one[key] for of, one in (("mapping", found), ("regression", own)) for key in one}
            rows.append(
                {"pair": pair, "family": family, "settings": name, "ratio": found["RMSE"] / own["RMSE"], **scores}
            )
        print(pair, flush=True)
    return pd.DataFrame(rows)


def report(scores: pd.DataFrame) -> str:
    """Tables: the default by pair, all candidates by family, and what halves of the families choose."""
    default = scores[scores["settings"] == DEFAULT]
    pairs = [
        [
            row["pair"],
            *(
                " / ".join(f"{row[f'{key}, {of}']:.3f}" for key in ("RMSE", "PCC", "JSD"))
                for of in ("mapping", "regression")
            ),
            f"{row['ratio']:.3f}",
        ]
        for _, row in default.iterrows()
    ]
    ratio = scores.groupby(["settings", "family"], sort=False)["ratio"].mean().unstack()
    families = list(ratio.columns)
    halves = []
    for half in combinations(families, 4):
        rest = [family for family in families if family not in half]
        best = ratio[list(half)].mean(axis=1).idxmin()
        halves.append([best, ratio.loc[best, rest].mean(), ratio.loc[DEFAULT, rest].mean()])
    chosen = pd.DataFrame(halves, columns=["chosen", "left out", "default"])
    often = ", ".join(f"{name} {n}" for name, n in chosen["chosen"].value_counts().items())
    return "\n\n".join(
        [
            _table(["pair", "cell mapping: RMSE / PCC / JS", "regression", "RMSE, ratio"], pairs),
            _table(
                ["settings", *families, "mean"],
                [[name, *(f"{x:.3f}" for x in row), f"{row.mean():.3f}"] for name, row in ratio.iterrows()],
            ),
            f"Of all {len(halves)} ways to choose on four families: {often}. On the three left out what was chosen has "
            f"{chosen['left out'].mean():.3f}, the default {chosen['default'].mean():.3f}.",
        ]
    )


def _table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *rows))


if __name__ == "__main__":
    page = HERE / "cell_mapping.md"
    text = page.read_text() if page.exists() else ""
    mark = "<!-- tables -->"
    page.write_text(text.partition(mark)[0] + mark + "\n\n" + report(measure()) + "\n")
