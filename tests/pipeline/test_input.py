"""What is refused before any task: parameters, sheets, an absent environment."""

import json
import os
import re
import shlex
from itertools import pairwise
from pathlib import Path

import jsonschema
import pytest

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "assets/schema_input.json").read_text())

# prints the problems of every sheet in a folder, and what --help says of some words, in one start of Nextflow
READER = """
workflow {
    def schema = file("${projectDir}/assets/schema_input.json")
    file("${params.input}/*", type: 'any').each { sheet ->
        def read = new Sheet(sheet, schema)
        def rows = read.slices
        println('>>' + groovy.json.JsonOutput.toJson([sheet.name, read.problems, rows*.given, rows*.reading]))
    }
    ['epoch', 'nosuch'].each { topic ->
        try {
            new Parameters(file("${projectDir}/nextflow_schema.json")).help(topic, '')
        } catch (Exception error) {
            println('>>' + groovy.json.JsonOutput.toJson(["--help ${topic}", [error.message], [], []]))
        }
    }
}
"""

GOOD = {
    "plain.csv": "sample,data,n_domains\nA,a.h5ad,7\nB,a.h5ad,auto\n",
    "windows.csv": "\ufeffsample,data,donor\r\nA,a.h5ad,x\r\n\r\n",
    "blanks.csv": "sample , data,,\n A ,a.h5ad ,,\n,,,\n",
    "quotes.csv": 'sample,data,note\nA,a.h5ad,"one, ""two""\nthree"\nB,a.h5ad,\n',
    "semicolons.csv": "sample;data\nA;a.h5ad\n",
    "short.tsv": "sample\tdata\tdonor\nA\ta.h5ad\n",
    "together.csv": "sample,data,group,n_domains\nA,a.h5ad,g,\nB,a.h5ad,g,7\n",
    "stacked.csv": "sample,data,group,z\nA,a.h5ad,g,-1e1\nB,a.h5ad,g,0\n",
    "letters.csv": "sample,data,x,y,n\nA,a.h5ad,1,2,3\n",
    "list.yaml": "- sample: A\n  data: a.h5ad\n  n_domains: 7\n  age: 63\n- {sample: B, data: a.h5ad, group: null}\n",
    "list.json": '[{"sample": "A", "data": "a.h5ad", "platform": "visium"}]',
    "truth.csv": "sample,data,annotation,proportions,reference\nA,a.h5ad,layer,t.tsv,a.h5ad\nB,a.h5ad,t.tsv,,\n",
    "reference.csv": "sample,data,reference,cell_type_key\nA,a.h5ad,a folder,t.tsv\nB,~,a folder,\n",
    "odd.csv": "sample,data,annotation,note\nA,run 7.2; $(x) ü,it's `a` $(column),<b>&amp;</b>\n",
    "composed.csv": "sample,data,reference,domains_from\nA,a.h5ad,a.h5ad,both\nB,a.h5ad,,\n",
    "reading.csv": "sample,data,section,layer,spatial_key\nA,a.h5ad,of: it's `a`,-raw,x y\nB,a.h5ad,,,\n",
    "metadata.csv": "sample,data,date,condition\nA,a.h5ad,2024,x\n",
}

NUMBERS = ["0", "1", "-3", "7.5", "many", "1e3", "²"]
HOSTILE = ["a;reboot", "$(id)", "`id`", "ü", "a b", "..", "-x", "<script>alert(1)</script>", "pipeline_info"]

OURS = ["cohort", "Pipeline_Info", "cell_map", "report.html", "VERSIONS.yml"]

BAD = {
    "group.csv": (
        "sample,data,group,n_domains\nA,a.h5ad,g,7\nB,a.h5ad,g,\nC,a.h5ad,g,5\nD,a.h5ad,g,auto\nE,a.h5ad,alone,3\n",
        ["column n_domains: group g has 7 for A, 5 for C, auto for D; slices of a group are learned together"],
    ),
    "z.csv": (
        "sample,data,group,z\nA,a.h5ad,g,deep\nB,a.h5ad,g,1e10\nC,a.h5ad,h,1\nD,a.h5ad,h,\n",
        [
            "row 2 (A), column z: is 'deep', but must be a number",
            "row 3 (B), column z: is 1e10, but must be from -1000000000 to 1000000000",
            "column z: group h has none for D; give each of its slices one, or none of them",
        ],
    ),
    "empty.csv": ("", ["has no slices"]),
    "header.csv": ("sample,data\n", ["has no slices"]),
    "column.csv": ("sample,path\nA,a.h5ad\n", ["no column 'data'"]),
    "misspelt.csv": ("sample,data,n_domian,refrence\nA,a.h5ad,7,\n", ["mean 'n_domains'?", "mean 'reference'?"]),
    "names.csv": (
        "sample,data\nA,a.h5ad\na,a.h5ad\nx/y,a.h5ad\nCohort,a.h5ad\n",
        [
            "row 3 (a), column sample: the name is taken by row 2",
            "row 4 (x/y), column sample",
            "row 5 (Cohort), column",
        ],
    ),
    "ours.csv": (
        "sample,data\n" + "".join(f"{name},a.h5ad\n" for name in OURS),
        [f"row {i} ({name}), column sample: is '{name}', but" for i, name in enumerate(OURS, 2)],
    ),
    "long.csv": (
        f"sample,data,group\n{'a' * 201},a.h5ad,{'b' * 201}\n{'c' * 200},a.h5ad,{'d' * 200}\n",
        [
            f"row 2 ({'a' * 57}...), column sample: is '{'a' * 57}...', but must be at most 200 letters",
            f"row 2 ({'a' * 57}...), column group: is '{'b' * 57}...', but must be at most 200 letters",
        ],
    ),
    "case.csv": ("sample,data,group\nA,a.h5ad,g\nB,a.h5ad,G\n", ["column group: g and G differ in nothing but case"]),
    "section.csv": ("sample,data,section\nA,a.h5ad,one\n", ["column section: is 'one', but must be column:value"]),
    "values.csv": (
        "sample,data,n_domains,platform\nA,a.h5ad,1,visum\nB,a.h5ad,seven,\nC,a.h5ad,7.5,\n",
        [
            "row 2 (A), column n_domains: is '1'",
            "mean visium?",
            "row 3 (B), column n_domains",
            "row 4 (C), column n_dom",
        ],
    ),
    "paths.csv": (
        "sample,data,reference,annotation,cell_type_key\nA,gone.h5ad,gone.h5ad,gone.tsv\nB,,,,\n"
        "C,a.h5ad,a.h5ad,.csv,gone.tsv\nD,*/a.h5ad,,,\nE,~/gone.h5ad,,,\n",
        [
            "row 2 (A), column data: no such file or folder",
            "row 2 (A), column reference: no such file",
            "row 2 (A), column annotation: no such file",
            "row 3 (B), column data: is empty",
            "row 4 (C), column annotation: is a folder",
            "row 4 (C), column cell_type_key: no such file",
            "row 5 (D), column data: is '*/a.h5ad', but patterns are not searched; give each slice a row",
            f"row 6 (E), column data: no such file or folder: {Path.home()}/gone.h5ad",
        ],
    ),
    "cells.csv": ("sample,data\nA,a.h5ad,more\n", ["row 2: has more cells than the header names (more)"]),
    "twice.csv": ("sample,data,data\nA,a.h5ad,a.h5ad\n", ["'data' is there twice"]),
    "quote.csv": ('sample,data\nA,"a.h5ad\n', ["row 2: a quote is opened and never closed"]),
    "map.yaml": ("sample: A\ndata: a.h5ad\n", ["must be a list of maps"]),
    "nested.json": ('[{"sample": "A", "data": ["a.h5ad"]}]', ["entry 1 (A), column data: must be one value"]),
    "types.json": ('[{"sample": "A", "data": true}]', ["entry 1 (A), column data: is 'true', but must be text"]),
    "lines.csv": (
        'sample,data,"n\ndomains"\nA,a.h5ad,\n',
        ["column 'n domains' is not known; did you mean 'n_domains'?"],
    ),
    "broken.json": ('[{"sample": "A",', ["cannot be read"]),
    "sheet.xlsx": ("PK", ["must end in .csv"]),
    "binary.csv": ("PK\3\4\0\0", ["is not text in UTF-8"]),
    "latin.csv": ("sample,data,donor\nA,a.h5ad,M\udcfcller\n", ["is not text in UTF-8"]),
    "numbers.csv": (
        "sample,data,n_domains\n" + "".join(f"{name},a.h5ad,{n}\n" for name, n in zip("ABCDEFG", NUMBERS, strict=True)),
        [
            f"row {i} ({name}), column n_domains: is '{n}'"
            for i, (name, n) in enumerate(zip("ABCDEFG", NUMBERS, strict=True), 2)
        ],
    ),
    "hostile.csv": (
        "sample,data\n" + "".join(f"{name},a.h5ad\n" for name in HOSTILE),
        [f"row {i} ({name}), column sample: is '{name}'" for i, name in enumerate(HOSTILE, 2)],
    ),
    "object.yaml": ('!!javax.script.ScriptEngineManager [!!java.net.URL ["file:/"]]\n', ["list of maps"]),
    "bomb.yaml": (
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in pairwise("abcdefghi")),
        ["must be a list of maps"],
    ),
    "deep.json": ("[" * 100_000, ["cannot be read"]),
}


@pytest.fixture(scope="module")
def sheets(pipeline, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[list[str], list[dict], list[str]]]:
    folder = tmp_path_factory.mktemp("sheets")
    for name, text in (GOOD | {name: text for name, (text, _) in BAD.items()}).items():
        (folder / name).write_text(text, newline="", encoding="utf-8", errors="surrogateescape")
    for name in ("a.h5ad", "t.tsv", "counts.tsv.gz"):
        (folder / name).touch()
    for name in ("a folder", ".csv", "outs", "cohort.zarr", "run 7.2; $(x) ü"):
        (folder / name).mkdir(parents=True)
    (pipeline.folder / "sheets.nf").write_text(READER)
    done = pipeline.nextflow("run", pipeline.folder / "sheets.nf", "--input", folder, "--outdir", "sheets")
    assert done.returncode == 0, done.stdout
    lines = [json.loads(line[2:]) for line in done.stdout.splitlines() if line.startswith(">>")]
    return {name: tuple(told) for name, *told in lines}


@pytest.mark.parametrize("name", GOOD)
def test_good_sheets_pass(sheets, name: str) -> None:
    problems, given, _reading = sheets[name]
    assert problems == []
    assert [row["sample"] for row in given] == ["A", "B"][: len(given)]
    # the schema's other readers agree
    filled = [{key: value for key, value in row.items() if value is not None} for row in given]
    jsonschema.validate(filled, SCHEMA)


def test_cells_keep_what_they_hold(sheets) -> None:
    assert sheets["quotes.csv"][1][0]["note"] == 'one, "two"\nthree'
    assert sheets["list.yaml"][1][0] | {"n_domains": 7, "age": 63, "group": None} == sheets["list.yaml"][1][0]
    assert sheets["plain.csv"][1][1]["n_domains"] == "auto"
    assert sheets["together.csv"][1][0]["n_domains"] == 7  # its group's
    assert [row["z"] for row in sheets["stacked.csv"][1]] == [-10, 0]
    assert sheets["plain.csv"][1][0]["cell_type_key"] is None
    assert sheets["truth.csv"][1][0]["cell_type_key"] == "cell_type"


def test_how_a_slice_is_read_is_ready_for_a_command_line(sheets) -> None:
    first, second = (shlex.split(words) for words in sheets["reading.csv"][2])
    assert first == ["--platform=auto", "--section=of: it's `a`", "--layer=-raw", "--spatial-key=x y"]
    assert second == ["--platform=auto"]


@pytest.mark.parametrize(
    ("name", "sample"),
    [
        ("a.h5ad", "a"),
        ("outs", None),
        ("cohort.zarr", "slice"),
        ("run 7.2; $(x) ü", "run_7.2_x_"),
        ("counts.tsv.gz", "counts"),
    ],
)
def test_one_slice_needs_no_sheet(sheets, name: str, sample: str | None) -> None:
    problems, [row], _reading = sheets[name]
    assert problems == [] and Path(row["data"]).name == name
    assert row["sample"] == (sample or Path(row["data"]).parent.name)
    assert row["n_domains"] == "auto" and row["reference"] is None


@pytest.mark.parametrize("name", BAD)
def test_bad_sheets_are_refused(sheets, name: str) -> None:
    problems = sheets[name][0]
    wanted = BAD[name][1]
    assert len(problems) == len(wanted), problems
    for problem, part in zip(problems, wanted, strict=True):
        assert problem.startswith(name) and part in problem and "\n" not in problem


@pytest.mark.parametrize("name", ["values.csv", "names.csv"])
def test_schema_readers_agree_on_values(sheets, name: str) -> None:
    places = {int(re.search(r"row (\d+)", problem)[1]) for problem in sheets[name][0]}
    if name == "names.csv":
        places -= {3, 5}  # uniqueness and the case of reserved names are ours
    lines = [line.split(",") for line in BAD[name][0].splitlines()]
    rows = [{key: value for key, value in zip(lines[0], line, strict=True) if value} for line in lines[1:]]
    invalid = {error.path[0] + 2 for error in jsonschema.Draft202012Validator(SCHEMA).iter_errors(rows)}
    assert invalid == places


def test_all_problems_are_told_at_once_before_any_task(pipeline, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.csv"
    sheet.write_text("sample,data\nA,gone.h5ad\n")
    arguments = ["--sed", "3", "--epochs", "many", "--max_mt_share", "2", "--encoder", "publisht", "--n-neighbors", "4"]
    arguments += ["--frame", "common", "--device"]
    run = pipeline.run("--input", sheet, *arguments, outdir="refused")
    assert run.exit_status == 1
    for problem in (
        "8 problems:",
        "--device has no value after it",
        "--sed: no such parameter; did you mean --seed?",
        "--n-neighbors: no such parameter; did you mean --n_neighbors?",
        "--epochs is 'many', but must be a whole number",
        "--max_mt_share is 2, but must be from 0 to 1",
        "--encoder is 'publisht', but must be one of spotfuse, published; did you mean published?",
        "sheet.csv, row 2 (A), column data: no such file or folder:",
        "--frame common: no slices of the sheet share a group",
    ):
        assert problem in run.output
    assert run.trace == []
    assert [path.name for path in run.outdir.iterdir()] == ["pipeline_info"]


def test_help_shows_every_parameter_and_starts_nothing(pipeline, sheets) -> None:
    run = pipeline.run("--help", "all", outdir="helped")
    schema = json.loads((ROOT / "nextflow_schema.json").read_text())
    assert run.exit_status == 0
    for group in schema["$defs"].values():
        assert group["title"] in run.output
        for name in group["properties"]:
            assert f"  --{name}" in run.output
    assert max(map(len, run.output.splitlines())) <= 120
    assert not run.outdir.exists()
    for topic, said in {"epoch": "did you mean --epochs?", "nosuch": "--help lists them"}.items():
        assert sheets[f"--help {topic}"][0] == [f"--help {topic}: --{topic}: no such parameter; {said}"]


def test_an_absent_image_or_sheet_is_one_line(pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\nexit 1\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    run = pipeline.run("-profile", "docker", "--input", "gone.csv", outdir="refused")
    assert run.exit_status == 1
    assert re.search(r"--input .*gone\.csv", run.output)
    for image in ("core", "cuda"):
        assert len(re.findall(f"image spotfuse/{image}:.* is not here: `make images` builds it", run.output)) == 1
    assert run.trace == []
