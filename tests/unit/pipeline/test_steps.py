"""What steps ask for is what they hold, as `benchmarks/memory.py` measured it."""

import json
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parents[3]
STEPS = json.loads((ROOT / "bin/spotfuse/pipeline/steps.json").read_text())["steps"]
MEASURED = pd.read_csv(ROOT / "benchmarks/memory.tsv", sep="\t")


def asked(row: pd.Series) -> float:
    """As `lib/Steps.groovy` has it; a slice's size is known after its check."""
    holds = STEPS[row["step"]]["holds"]
    if row["step"] == "check_slice":
        return holds["always"] / 2**20
    return (holds["always"] + holds["a_count"] * row["n_counts"] + holds["a_spot"] * row["n_spots"]) / 2**20


def test_memory_that_is_asked_for_suffices_and_is_no_waste() -> None:
    asks = MEASURED.apply(asked, axis=1)
    assert (asks > 1.2 * MEASURED["peak_mb"]).all(), MEASURED.assign(asks=asks)
    known = MEASURED["step"] != "check_slice"
    assert (asks < 3 * MEASURED["peak_mb"] + 1500)[known].all(), MEASURED.assign(asks=asks)


def test_every_size_was_measured() -> None:
    assert set(MEASURED["n_spots"]) >= {30_000, 100_000}
    slices = {step for step, told in STEPS.items() if told["runs"] == "always"}
    assert set(MEASURED["step"]) == slices
