#!/usr/bin/env python3
"""Classes of types that are not told apart, judged by known proportions; writes classes.md.

`classes.py CACHE`: CACHE keeps what the regression gives of each pair and variant of generalisation.py. The
rule's two numbers are chosen on half of the families, and scored on the others; truth is read for scores alone.
"""

import sys
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from generalisation import HERE, PAIRS, PLAIN, VARIANTS, plain, table_of
from spotfuse import AttentionRegressionDeconv
from spotfuse.proportions import Settings, found_classes

KINDS = (PLAIN, "counts thinned to 20 %")
RULES = tuple(product((0.05, 0.1, 0.15, 0.2, 0.3), (0.5, 0.6, 0.7, 0.75, 0.8)))
RANDOM = 50  # merges at random, of as many classes of the same sizes
DEFAULT = (Settings().classes.correlated, Settings().classes.told)


def found(cache: Path, pair: str, kind: str) -> tuple[pd.DataFrame, np.ndarray, pd.DataFrame]:
    """Give proportions, the covariance of their doubt, and the known ones."""
    path = cache / f"{pair} {kind}.npz".replace(" ", "_").replace("%", "")
    if not path.exists():
        st, sc, truth = VARIANTS[kind](plain(pair))
        model = AttentionRegressionDeconv.from_anndata(st, sc, n_jobs=1)
        proportions = model.run()[0]
        truth = truth.reindex(index=proportions.index, columns=proportions.columns, fill_value=0.0)
        names = np.array(model.types_, dtype=str)
        np.savez(path, proportions=proportions, doubt=model.doubt_, truth=truth, names=names)
        print(pair, kind, flush=True)
    kept = np.load(path)
    own, known = (pd.DataFrame(kept[name], columns=kept["names"]) for name in ("proportions", "truth"))
    return own, kept["doubt"], known


def scores(proportions: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Mean over columns of the correlation with the truth, of those that vary there, and of the root mean square."""
    varies = truth.std(axis=0) > 0
    x, y = (values[:, varies] - values[:, varies].mean(axis=0) for values in (proportions, truth))
    size = np.sqrt(np.sum(x**2, axis=0) * np.sum(y**2, axis=0))
    r = np.sum(x * y, axis=0) / np.where(size > 0, size, 1)
    return float(r.mean()) if varies.any() else np.nan, float(np.sqrt(((proportions - truth) ** 2).mean(axis=0)).mean())


def judged(proportions: pd.DataFrame, doubt: np.ndarray, truth: pd.DataFrame, rule: tuple[float, float]) -> dict:
    """Score a rule's classes, types, and classes of the same sizes at random."""
    classes = found_classes(proportions, doubt, replace(Settings().classes, correlated=rule[0], told=rule[1]))
    codes, names = pd.factorize(classes)
    P, T, member = proportions.to_numpy(), truth.to_numpy(), np.eye(len(names))[codes]
    merged = classes.duplicated(keep=False).to_numpy()
    types, own = scores(P, T), scores(P @ member, T @ member)
    random = np.random.default_rng(1)
    turned = [random.permutation(member) for _ in range(RANDOM if merged.any() else 0)]
    chance = np.mean([scores(P @ other, T @ other) for other in turned], axis=0) if turned else own
    return {
        "types": len(classes),
        "classes": len(names),
        "names": "; ".join(name for name in names if " + " in name),
        "PCC, types": types[0],
        "PCC, classes": own[0],
        "PCC, at random": chance[0],
        "RMSE, types": types[1],
        "RMSE, classes": own[1],
        "RMSE, at random": chance[1],
        "PCC of the merged": scores(P[:, merged], T[:, merged])[0] if merged.any() else np.nan,
        "PCC of the others": scores(P[:, ~merged], T[:, ~merged])[0] if not merged.all() else np.nan,
        "lift": own[0] - chance[0],
    }


def main() -> None:
    """Measure, choose by halves, and write."""
    cache = Path(sys.argv[1])
    cache.mkdir(parents=True, exist_ok=True)
    rows = []
    for kind, pair in product(KINDS, PAIRS):
        given = found(cache, pair, kind)
        for rule in dict.fromkeys((*RULES, DEFAULT)):
            rows.append(
                {"pair": pair, "family": PAIRS[pair][2], "kind": kind, "rule": str(rule)} | judged(*given, rule)
            )
    table = pd.DataFrame(rows)
    by = table.groupby(["rule", "family"])["lift"].mean().unstack()
    random, halves, families = np.random.default_rng(1), [], sorted(by.columns)
    for _ in range(5):
        half = sorted(random.permutation(families)[: (len(families) + 1) // 2])
        rest = [family for family in families if family not in half]
        best = by[half].mean(axis=1).idxmax()
        left = [f"{by.loc[best, part].mean():.3f}" for part in (half, rest)]
        halves.append([", ".join(half), best, *left, f"{by.loc[str(DEFAULT), rest].mean():.3f}"])
    rules = [
        [
            rule,
            *(
                f"{part[column].mean():.3f}"
                for column in ("lift", "PCC, classes", "PCC, at random", "PCC of the merged", "PCC of the others")
            ),
            f"{1 - (part['classes'] / part['types']).mean():.2f}",
        ]
        for rule, part in table.groupby("rule")
    ]
    own = table[table["rule"] == str(DEFAULT)]
    columns = [f"{score}, {of}" for score in ("PCC", "RMSE") for of in ("types", "classes", "at random")]
    pairs = [
        [row["pair"], f"{row['types']} → {row['classes']}", row["names"], *(f"{row[column]:.3f}" for column in columns)]
        for _, row in own[own["kind"] == PLAIN].iterrows()
    ]
    kinds = [
        [kind, *(f"{part[column].mean():.3f}" for column in columns), f"{(part['lift'] > 0).sum()} of {len(part)}"]
        for kind, part in own[own["classes"] < own["types"]].groupby("kind", sort=False)
    ]
    text = HEAD + "\n\n".join(
        [
            table_of(["pair", "types → classes", "not told apart", *columns], pairs),
            table_of(["where some are merged", *columns, "classes beat merges at random"], kinds),
            table_of(["chosen on", "rule", "lift there", "on the others", "default there"], halves),
            table_of(["rule", "lift", "PCC, classes", "at random", "merged types", "other types", "fewer"], rules),
        ]
    )
    (HERE / "classes.md").write_text(text + "\n")
    print(text)


HEAD = """# Classes of types that are not told apart

Made by `benchmarks/deconvolution/classes.py`: sums of cells of another animal or half than the reference's, as they are
and with a fifth of the counts. Classes are found without labels, by how doubts about shares are correlated and how
large they are; *at random*: the mean of fifty merges of as many types into classes of the same sizes. *Lift*: mean
correlation of the classes' shares with the known ones, less that of merges at random. The rule's two numbers
(correlation of doubts; share of the variance of the difference that is no doubt) are chosen on half of the families by
the lift, and scored on the others.

Types are put together where each two of a class are not told apart (complete linkage), and doubts are correlated
beyond what shares that sum to 1 are anyway. Without the latter, and by sums of types as they came together, as the
version before did, classes grew into each other as soon as few were left: 15 of the 20 types of the pancreatic tumour
of `make demo` were one, cancer with macrophages; now it has four classes of two. The lift grows with how much is
merged, and halves choose the least correlation that was tried; the default asks for a little more, so that fewer types
are merged. Not shown: that types outside the classes are right.

"""

if __name__ == "__main__":
    main()
