"""Whatever a sheet holds, its cells come back as they were or it is refused in lines; never a traceback."""

import csv
import io
import json
import os
from pathlib import Path

import pytest

pytest.importorskip("hypothesis")
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

N = int(os.environ.get("SPOTFUSE_FUZZ", "300"))
READER = """
workflow {
    def schema = file("${projectDir}/assets/schema_input.json")
    file("${params.input}/*").each { sheet ->
        def read = new Sheet(sheet, schema)
        println('>>' + groovy.json.JsonOutput.toJson([sheet.name, read.problems, read.slices*.given]))
    }
}
"""
# no names of ours, which have a meaning
NAMES = (
    st.text("xyüß .;'\"$()<>", min_size=1, max_size=6).map(str.strip).filter(lambda name: name and name.isprintable())
)
CELLS = st.text(
    st.one_of(st.sampled_from(",;\t\"'\n $()`\\<>&{}[]*#|"), st.characters(exclude_categories=["C"])), max_size=8
)


@st.composite
def sheets(draw: st.DrawFn) -> tuple[str, str, list[dict[str, str]] | None]:
    """Name's ending, text, and what its rows hold, if that is known."""
    columns = draw(st.lists(NAMES, max_size=3, unique=True))
    rows = [
        {
            "sample": f"S{i}",
            "data": "a.h5ad",
            **dict(zip(columns, draw(st.tuples(*[CELLS] * len(columns))), strict=True)),
        }
        for i in range(draw(st.integers(1, 3)))
    ]
    kind = draw(st.sampled_from(["csv", "tsv", "json", "yaml"]))
    if kind in ("json", "yaml"):  # what is JSON is YAML
        text = json.dumps(rows, ensure_ascii=draw(st.booleans()))
    else:
        file = io.StringIO()
        separator = "\t" if kind == "tsv" else ","
        writer = csv.writer(
            file,
            delimiter=separator,
            lineterminator=draw(st.sampled_from(["\n", "\r\n"])),
            quoting=draw(st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL])),
        )
        writer.writerow(["sample", "data", *columns])
        writer.writerows(row.values() for row in rows)
        text = (
            draw(st.sampled_from(["", "\ufeff"]))
            + file.getvalue()
            + draw(st.sampled_from(["", "\n\n", f"{separator}\n"]))
        )
    if draw(st.booleans()):
        return kind, text, rows
    for _ in range(draw(st.integers(1, 4))):  # damage
        at = draw(st.integers(0, len(text)))
        cut = draw(st.integers(0, 5))
        text = text[:at] + draw(st.one_of(st.just(""), CELLS, st.text(max_size=3))) + text[at + cut :]
    return kind, text, None


def test_sheets_come_back_or_are_refused_in_lines(pipeline, tmp_path: Path) -> None:
    examples = []

    @settings(
        max_examples=N, derandomize=True, database=None, phases=[Phase.generate], deadline=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(sheets())
    def collect(example: tuple) -> None:
        examples.append(example)

    collect()
    assert len(examples) >= 0.9 * N
    folder = tmp_path / "sheets"
    folder.mkdir()
    (folder / "a.h5ad").touch()
    for i, (kind, text, _) in enumerate(examples):
        (folder / f"{i}.{kind}").write_bytes(text.encode("utf-8", "surrogatepass"))
    (pipeline.folder / "fuzz.nf").write_text(READER)
    done = pipeline.nextflow("run", pipeline.folder / "fuzz.nf", "--input", folder, "--outdir", "fuzz")
    assert done.returncode == 0, done.stdout
    read = {name: (problems, rows) for name, problems, rows in (
        json.loads(line[2:]) for line in done.stdout.splitlines() if line.startswith(">>")
    )}  # fmt: skip
    assert len(read) == len(examples) + 1
    n_refused = 0
    for i, (kind, text, rows) in enumerate(examples):
        problems, found = read[f"{i}.{kind}"]
        assert all(problem.startswith(f"{i}.{kind}") and "\n" not in problem for problem in problems), (text, problems)
        if rows is None:
            n_refused += bool(problems)
            continue
        assert problems == [], text
        for expected, row in zip(rows, found, strict=True):
            cells = {name: cell.strip() for name, cell in expected.items() if name not in ("sample", "data")}
            assert row["sample"] == expected["sample"]
            assert {name: row.get(name, "") or "" for name in cells} == cells, text
    assert 0.2 < n_refused / sum(rows is None for *_, rows in examples) <= 1
