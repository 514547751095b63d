"""Runs of the whole pipeline: what comes out, what is run again, and what a bad slice does to the others."""

import contextlib
import json
import os
import re
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from threading import Thread

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import spotfuse
import yaml
from sklearn.metrics import adjusted_rand_score

TABLES = {"domains.tsv", "markers.tsv", "spatial_genes.tsv", "neighbourhoods.tsv", "domain_counts.tsv", "qc.tsv"}
COHORT_TABLES = {
    "composition.tsv",
    "differences.tsv",
    "differential_expression.tsv",
    "markers.tsv",
    "neighbourhoods.tsv",
}
STEPS = json.loads((Path(__file__).parents[2] / "bin/spotfuse/pipeline/steps.json").read_text())["steps"]
SLICE_STEPS = {"CHECK_SLICE", "PREPARE_SLICE", "TRAIN", "ASSIGN_DOMAINS", "COLLECT_SLICE"}

# that a step's process may have loaded in the end; what comes to more has got a heavy library where it does not belong
MODULES = {
    "check_slice": 1500,
    "prepare_slice": 1500,
    "train": 2500,
    "assign_domains": 2300,
    "prepare_reference": 1450,
    "deconvolve": 1700,
    "collect_slice": 1500,
    "report_slice": 1500,
    "compare_slices": 1350,
    "report_cohort": 1550,
}
# and what is slow to load, by the steps that alone may
HEAVY = {"torch": {"train"}, "scikit-learn": {"assign_domains"}, "R": {"assign_domains"}}

BAD_SLICES = """
sample,data,n_domains,reference,cell_type_key,annotation,proportions
again,starmap_right.h5ad,4,cells.csv.gz,cell types.tsv,known layers.tsv,starmap_right_proportions.tsv
shuffled,$(touch hacked); 'ü' .h5ad,4,foreign,cell types.tsv,,
unreadable,unreadable.h5ad,4,,,,
uncounted,uncounted.h5ad,4,,,,
greedy,starmap_left.h5ad,900,,,,
untyped,starmap_left.h5ad,4,starmap_reference.h5ad,no such column,,starmap_left_proportions.tsv
killed,starmap_left.h5ad,4,,,,
"""

# what the kernel does to a task that takes too much memory
KILLER = """
process {
    withName: TRAIN {
        beforeScript = { meta.id == 'killed' ? 'exit 137' : "export PATH='${projectDir}/.venv/bin':\\"\\$PATH\\"" }
    }
}
"""

# cortex stands in the middle of its way until the others have all they wait for
WAITING = """
executor { cpus = 8; memory = '64 GB' }
trace.fields = 'hash,process,tag,status,attempt,memory,container'
process {
    withName: TRAIN {
        beforeScript = {
            def others = ['left', 'right'].collect { s -> "-e '${launchDir}/collected.starmap_${s}'" }.join(' -a ')
            meta.id == 'cortex' ? "for i in {1..300}; do [ ${others} ] && break; sleep 1; done; [ ${others} ]" : ''
        }
    }
    withName: COLLECT_SLICE { beforeScript = { "touch '${launchDir}/collected.${meta.id}'" } }
}
"""


def rows(sheet: Path) -> pd.DataFrame:
    return pd.read_csv(sheet, dtype=str)


@pytest.fixture(scope="module")
def second_run(pipeline, first_run):
    """The test profile's sheet with one row changed, and bad slices beside good ones."""
    folder = pipeline.folder / "assets/test"
    left = ad.read_h5ad(folder / "starmap_left.h5ad")
    right = ad.read_h5ad(folder / "starmap_right.h5ad")
    order = np.random.default_rng(0)
    right[order.permutation(right.n_obs), order.permutation(right.n_vars)].copy().write_h5ad(
        folder / "$(touch hacked); 'ü' .h5ad"
    )
    cells = ad.read_h5ad(folder / "starmap_reference.h5ad")
    cells.obs[["cell_type"]].to_csv(folder / "cell types.tsv", sep="\t")
    cells.to_df().astype(int).to_csv(folder / "cells.csv.gz")
    cells.var_names = [f"other{i}" for i in range(cells.n_vars)]
    (folder / "foreign").mkdir()
    cells.write_h5ad(folder / "foreign/cells.h5ad")
    known = pd.DataFrame({"layer": np.where(right.obsm["spatial"][:, 0] > 8000, "L1", "L2")}, index=right.obs_names)
    known.iloc[5:].to_csv(folder / "known layers.tsv", sep="\t")
    left.X = left.X * 0
    left.write_h5ad(folder / "uncounted.h5ad")
    (folder / "unreadable.h5ad").write_bytes(b"not HDF5")
    (pipeline.launch / "bad.csv").write_text(BAD_SLICES)
    good, bad = rows(folder / "samplesheet.csv"), rows(pipeline.launch / "bad.csv")
    good.loc[good["sample"] == "starmap_left", "n_domains"] = "3"
    pd.concat([good, bad]).to_csv(folder / "second.csv", index=False)
    (pipeline.launch / "killer.config").write_text(KILLER)
    return pipeline.run(
        "-profile", "test", "--input", folder / "second.csv", "-c", "killer.config", "-resume", outdir="second"
    )


def test_stub_run_takes_the_whole_graph(pipeline) -> None:
    sheet = rows(pipeline.folder / "assets/test/samplesheet.csv")
    sheet["data"] = [str(pipeline.folder / "assets/test" / name) for name in sheet["data"]]
    sheet["reference"] = [None, str(pipeline.folder / "assets/test/starmap_reference.h5ad"), None]
    sheet["group"] = [None, "starmap", "starmap"]
    sheet["annotation"] = "label"
    sheet.drop(columns="proportions").to_csv(pipeline.launch / "group.csv", index=False)
    (pipeline.launch / "waiting.config").write_text(WAITING)
    run = pipeline.run("-stub-run", "--input", pipeline.launch / "group.csv", "-c", "waiting.config", outdir="stub")
    assert run.exit_status == 0, run.output
    assert {path.name for path in (run.outdir / "cohort/groups").iterdir()} == {"starmap.h5ad", "starmap.alignment.tsv"}
    steps = {step for step, _slice in run.tasks("COMPLETED")}
    assert steps == {module.parent.name.upper() for module in pipeline.folder.glob("modules/*/main.nf")}
    assert len(run.trace) == 22
    asked = {(row["process"].split(":")[-1], row["tag"]): row["memory"] for row in run.trace}
    assert asked["CHECK_SLICE", "cortex"] == "4 GB"
    # 64 bytes for each count that is not zero, of all slices of a group
    assert (asked["TRAIN", "cortex"], asked["TRAIN", "starmap"]) == ("5 GB", "6 GB")
    of_learning = {"TRAIN", "DECONVOLVE"}
    for row in run.trace:
        image = "cuda" if row["process"].split(":")[-1] in of_learning else "core"
        assert row["container"] == f"spotfuse/{image}:{spotfuse.__version__}"
    assert len(run.table("cohort/failures.tsv")) == 0


def test_a_step_is_added_as_the_guide_says(own_pipeline) -> None:
    guide = (Path(__file__).parents[2] / "docs/adding_a_step.md").read_text()
    diff = re.search(r"```diff\n(.*?)```", guide, re.S)[1]
    subprocess.run(["git", "apply", "-C1", "-"], cwd=own_pipeline.folder, input=diff, text=True, check=True)
    run = own_pipeline.run("-stub-run", "--input", own_pipeline.folder / "assets/test/cortex.h5ad")
    assert run.exit_status == 0, run.output
    assert ("SIZE_DOMAINS", "cortex") in run.tasks("COMPLETED")
    assert (run.outdir / "cortex/domain_sizes.tsv").exists()
    real = own_pipeline.launch / "domains.tsv"
    real.write_text("spot\tdomain\tconfidence\na\t2\t1\nb\t1\t1\nc\t2\t1\n")
    command = [sys.executable, own_pipeline.folder / "bin/size_domains.py", "--sample", "S", "--domains", real]
    subprocess.run(command, cwd=own_pipeline.launch, check=True)
    assert (own_pipeline.launch / "domain_sizes.tsv").read_text() == "domain\tn_spots\n1\t1\n2\t2\n"


def test_one_slice_without_a_sheet_is_reported_without_the_comparison_too(pipeline) -> None:
    (pipeline.launch / "below").mkdir()
    (pipeline.launch / "below/cortex.h5ad").symlink_to(pipeline.folder / "assets/test/cortex.h5ad")
    (pipeline.launch / "compare.config").write_text(
        "process { withName: COMPARE_SLICES { beforeScript = 'exit 137' } }"
    )
    run = pipeline.run("-stub-run", "--input", "below/cortex.h5ad", "-c", "compare.config", outdir="one")
    assert run.exit_status == 1 and run.tasks("FAILED") == {("COMPARE_SLICES", "-")}, run.output
    assert ("REPORT_COHORT", "-") in run.tasks("COMPLETED") and (run.outdir / "cohort/report.html").exists()
    assert {path.name for path in run.outdir.iterdir()} == {"cortex", "cohort", "pipeline_info"}


def test_results_have_their_places(first_run) -> None:
    assert first_run.exit_status == 0, first_run.output
    samples = {"cortex", "starmap_left", "starmap_right"}
    assert {path.name for path in first_run.outdir.iterdir()} == samples | {"cohort", "pipeline_info"}
    for sample in samples:
        made = {path.name for path in (first_run.outdir / sample).iterdir()}
        assert made >= TABLES | {f"{sample}.h5ad", "metrics.json", "report.html"}
        assert ("proportions.tsv" in made) == (sample != "cortex")
    cohort = {path.name for path in (first_run.outdir / "cohort").iterdir()}
    assert cohort >= COHORT_TABLES | {"metrics.tsv", "failures.tsv", "report.html"}
    assert first_run.table("cohort/failures.tsv") == []
    assert "failures:" not in first_run.output
    for sample in ("cortex", "starmap_left", "starmap_right"):
        assert first_run.output.count(f"{sample}: done\n") == 1
    info = " ".join(path.name for path in (first_run.outdir / "pipeline_info").iterdir())
    for name in ("execution_timeline", "execution_report", "execution_trace", "pipeline_dag", "params", "software_v"):
        assert name in info
    assert (first_run.outdir / "cohort/report.html").as_uri().removeprefix("file://") in first_run.output
    assert re.search(r"^cortex +\d+ +7 +0\.\d+", first_run.output, re.M)
    made_by_steps = {name for told in STEPS.values() for name in told["results"]}
    for sample in samples:
        made = {path.name for path in (first_run.outdir / sample).iterdir()}
        assert made - {f"{sample}.h5ad"} <= made_by_steps
        assert ad.read_h5ad(first_run.outdir / sample / f"{sample}.h5ad").uns["spotfuse"]["versions"].keys() >= {
            "torch",
            "R",
        }
    versions = yaml.safe_load((first_run.outdir / "pipeline_info/software_versions.yml").read_text())
    assert versions.keys() == {step.lower() for step, _slice in first_run.tasks("COMPLETED")} | {"workflow"}


def test_what_each_task_took_is_told(first_run) -> None:
    """And is not more than a step has a use for: half of a small slice's seconds are what its steps load."""
    steps = pd.DataFrame(first_run.table(f"pipeline_info/steps_run{first_run.n}.tsv")).set_index(["sample", "step"])
    assert set(steps.index) == {
        (tag if tag != "-" else "cohort", step.lower()) for step, tag in first_run.tasks("COMPLETED")
    }
    assert steps.loc[("cortex", "train"), "command"].startswith("train.py --sample=cortex --threads=")
    assert (steps["processor_seconds"].astype(float) > 0).all()
    most = steps["modules"].astype(int).groupby("step").max()
    assert most[most > most.index.map(MODULES)].to_dict() == {}
    loaded = yaml.safe_load((first_run.outdir / "pipeline_info/software_versions.yml").read_text())
    found = {library: {step for step, versions in loaded.items() if library in versions} for library in HEAVY}
    assert found == HEAVY


def test_scores_are_there_where_truth_is(first_run) -> None:
    scores = {}
    for sample in ("cortex", "starmap_left"):
        scores[sample] = json.loads((first_run.outdir / sample / "metrics.json").read_text())
    assert scores["cortex"]["domains"]["ari"] > 0.3
    assert scores["cortex"]["n_domains"] == 7
    assert scores["starmap_left"]["proportions"]["rmse"] < 0.15
    assert scores["starmap_left"]["seconds"].keys() >= {"train", "prepare_reference", "deconvolve"}


def test_nothing_changed_nothing_runs(pipeline, first_run) -> None:
    run = pipeline.run("-profile", "test", "-resume", "--debug")  # which is nothing to a task that ended well
    assert run.exit_status == 0, run.output
    assert run.tasks("CACHED") == first_run.tasks("COMPLETED")
    assert len(run.trace) == len(first_run.trace)


def test_a_changed_source_and_a_changed_result_run_what_comes_of_them(pipeline, first_run, second_run) -> None:
    """
    Of every slice the step that imports the source, and what takes its files. Half a result, as a full disk or a
    careless hand leaves it, is made again, and what takes it. Everything else is cached.
    """
    before = (first_run.outdir / "cortex/domains.tsv").read_bytes()
    task = next(row for row in first_run.trace if row["process"].endswith("ASSIGN_DOMAINS") and row["tag"] == "cortex")
    (folder,) = (pipeline.launch / "work").glob(task["hash"] + "*")
    published = first_run.outdir / "cortex/qc.tsv"
    whole = published.read_bytes()
    for path in (folder / "domains.tsv", published):
        with path.open("r+b") as file:
            file.truncate(100)
    source = pipeline.folder / "bin/spotfuse/patterns/_markers.py"
    text = source.read_text()
    source.write_text(text + "\n# changed\n")
    run = pipeline.run("-profile", "test", "-resume")
    source.write_text(text)
    assert run.exit_status == 0, run.output
    assert f"{folder}/domains.tsv: changed after its task had ended; the task runs again" in run.output
    of_source = {"COLLECT_SLICE", "REPORT_SLICE"}
    again = {(step, sample) for step in of_source for sample in ("cortex", "starmap_left", "starmap_right")}
    again |= {("ASSIGN_DOMAINS", "cortex"), ("COMPARE_SLICES", "-"), ("REPORT_COHORT", "-")}
    assert run.tasks("COMPLETED") == again
    assert run.tasks("CACHED") == first_run.tasks("COMPLETED") - again
    assert (run.outdir / "cortex/domains.tsv").read_bytes() == before and published.read_bytes() == whole


def test_changed_row_runs_its_slice_and_the_cohort(second_run) -> None:
    """Of the slice whose n_domains changed, what does not depend on it is cached too."""
    done, cached = second_run.tasks("COMPLETED"), second_run.tasks("CACHED")
    for sample in ("cortex", "starmap_right"):
        assert {step for step, tag in done if tag == sample} == set()
        assert {step for step, tag in cached if tag == sample} >= SLICE_STEPS | {"REPORT_SLICE"}
    assert {step for step, tag in cached if tag == "starmap_left"} == {"PREPARE_SLICE", "TRAIN", "DECONVOLVE"}
    assert ("PREPARE_REFERENCE", "starmap_reference.h5ad") in cached
    assert len(set(pd.read_csv(second_run.outdir / "starmap_left/domains.tsv", sep="\t")["domain"])) == 3


def test_bad_slices_leave_the_others_alone(second_run) -> None:
    assert second_run.exit_status == 1
    failures = {row["sample"]: (row["step"], row["reason"]) for row in second_run.table("cohort/failures.tsv")}
    assert failures.keys() == {"unreadable", "uncounted", "greedy", "untyped", "shuffled", "killed"}
    for sample in ("unreadable", "uncounted", "greedy"):
        assert failures[sample][0] == "check_slice"
        assert not (second_run.outdir / sample).exists()
        assert f"{sample}: check_slice failed: {failures[sample][1]}\n" in second_run.output
    assert "unreadable.h5ad" in failures["unreadable"][1]
    assert "counts" in failures["uncounted"][1]
    assert "900" in failures["greedy"][1]
    assert failures["untyped"][0] == "prepare_reference" and "no such column" in failures["untyped"][1]
    assert failures["shuffled"][0] == "deconvolve" and "share 0 genes" in failures["shuffled"][1]
    assert failures["killed"] == ("train", "killed or out of memory in train")
    assert not list(second_run.outdir.parent.rglob("hacked"))
    for sample in ("cortex", "starmap_left", "starmap_right", "again", "shuffled", "untyped"):
        assert {path.name for path in (second_run.outdir / sample).iterdir()} >= TABLES
        assert f"\n{sample} " in second_run.output
    assert f"failures: {second_run.outdir / 'cohort/failures.tsv'}" in second_run.output
    report = (second_run.outdir / "cohort/report.html").read_text()
    for sample, (step, reason) in failures.items():
        assert sample in report
        assert f"\n{sample}: {step}: {reason}" in second_run.output


def test_a_killed_task_is_tried_again_and_nothing_of_its_slice_is_lost(second_run) -> None:
    tries = [row for row in second_run.trace if row["process"].endswith("TRAIN") and row["tag"] == "killed"]
    assert [row["attempt"] for row in tries] == ["1", "2", "3"]
    first, second, third = (float(row["memory"].removesuffix(" GB")) for row in tries)
    if os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") > (first + 1) * 2**30:  # never more than there is
        assert first < second <= third
    assert {"killed.h5ad", "qc.tsv", "metrics.json"} <= {path.name for path in (second_run.outdir / "killed").iterdir()}


def test_same_seed_same_bytes(second_run) -> None:
    for table in ("domains.tsv", "proportions.tsv", "markers.tsv"):
        one, other = ((second_run.outdir / sample / table).read_bytes() for sample in ("starmap_right", "again"))
        assert one == other


def test_known_domains_from_a_table_are_scored_and_kept(second_run) -> None:
    folder = second_run.outdir / "again"
    known = ad.read_h5ad(folder / "again.h5ad").obs["annotation"]
    assert known.isna().tolist() == [True] * 5 + [False] * (len(known) - 5) and set(known[5:]) == {"L1", "L2"}
    assert json.loads((folder / "metrics.json").read_text())["domains"]["n_annotated"] == len(known) - 5


def test_order_of_rows_changes_nothing(second_run) -> None:
    one, other = (
        pd.read_csv(second_run.outdir / sample / "domains.tsv", sep="\t", index_col="spot")["domain"]
        for sample in ("starmap_right", "shuffled")
    )
    assert list(one.index) != list(other.index)
    assert adjusted_rand_score(one, other[one.index]) == 1.0


def test_a_stub_run_leaves_results_alone(pipeline, first_run) -> None:
    run = pipeline.run("-stub-run", outdir=first_run.outdir.name)
    assert run.exit_status == 1 and "--outdir results: holds results, which -stub-run would replace" in run.output
    assert not run.trace and (first_run.outdir / "cortex/domains.tsv").stat().st_size > 100


def test_the_tutorial_of_a_run_runs(first_run, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not find_spec("myst_parser"):
        pytest.skip("myst is not here; make setup brings it")
    monkeypatch.syspath_prepend(root / "docs")
    (tmp_path / "work").mkdir()
    (tmp_path / "work/tutorial").symlink_to(first_run.outdir)
    path = root / "docs/tutorials/read_a_run.py"
    with contextlib.chdir(tmp_path):
        page = import_module("percent_scripts").to_markdown(path.read_text(), str(path))
    assert page.count("<img ") == 3
    assert "attention_regression" in page


def test_an_institution_s_configuration_is_read_where_it_is_asked_for(pipeline, tmp_path: Path) -> None:
    (tmp_path / "nfcore_custom.config").write_text("profiles { here { params.n_top_genes = 20 } }\n")
    given = ("-profile", "test,here", "-stub-run", "-preview")
    without = pipeline.run(*given, outdir="institution")
    assert without.exit_status == 1 and "Unknown configuration profile: 'here'" in without.output
    run = pipeline.run(*given, "--custom_config_base", tmp_path, outdir="institution")
    assert run.exit_status == 1 and "--n_top_genes is 20, but must be at least 50" in run.output


def test_the_graph_needs_no_slices_and_a_chat_is_told_how_the_run_went_and_fails_none(pipeline) -> None:
    told: list[dict[str, str]] = []

    class Chat(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(500)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Chat) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        # the test sheet, when none is given
        run = pipeline.run("-stub-run", "--hook_url", f"http://127.0.0.1:{server.server_port}/", outdir="chat")
        server.shutdown()
    ((text,),) = [message.values() for message in told]
    assert all(part in text for part in ("all slices are done", "sample\tstep\treason", "spotfuse 0."))
    assert run.exit_status == 0 and "--hook_url was not told" in run.output  # for the chat was out of order
    assert len(run.trace) == 23
