"""One answer, wherever the pipeline runs."""

import io
import subprocess

import pandas as pd
from sklearn.metrics import adjusted_rand_score


def test_docker_with_little_allowed(undisturbed) -> None:
    assert undisturbed.failures() == {}
    assert {row["status"] for row in undisturbed.trace()} == {"COMPLETED"}


def test_docker_writes_as_the_user(undisturbed) -> None:
    owners = {path.lstat().st_uid for part in ("results", "work") for path in (undisturbed.folder / part).rglob("*")}
    assert owners == {undisturbed.folder.stat().st_uid}


def test_versions_are_told(undisturbed) -> None:
    told = (undisturbed.folder / "results/pipeline_info/software_versions.yml").read_text()
    for name in ("python", "numpy", "torch", "R", "mclust", "nextflow", "spotfuse"):
        assert f"    {name}: " in told, told


def test_inputs_need_only_be_readable(scratch, undisturbed, root) -> None:
    inputs = scratch.repo / "assets/test"
    for path in inputs.iterdir():
        assert path.stat().st_uid != undisturbed.folder.stat().st_uid and not path.stat().st_mode & 0o022
        assert path.read_bytes() == (root / "assets/test" / path.name).read_bytes()


def test_local_environment(local, undisturbed) -> None:
    here, image = local.tables(), undisturbed.tables()
    assert here.keys() == image.keys()
    for name in image:
        one, other = (pd.read_csv(io.BytesIO(tables[name]), sep="\t", index_col=0) for tables in (here, image))
        assert one.index.equals(other.index) or "markers" in name, name
        if name.endswith("domains.tsv") and not name.endswith("n_domains.tsv"):
            assert adjusted_rand_score(one["domain"], other["domain"]) >= 0.99, name
        if name.endswith("proportions.tsv"):
            assert (one - other).abs().to_numpy().max() <= 1e-4, name


def test_podman(scratch, undisturbed) -> None:
    scratch.machine("podman")
    there = scratch.run("podman", "test,podman")
    assert there.status == 0, there.output
    assert there.differences(undisturbed) == []


def test_slurm(scratch, undisturbed) -> None:
    scratch.machine("slurm")
    there = scratch.run("slurm", "test,slurm,docker", settings=scratch.slurm)
    assert there.status == 0, there.output
    assert there.differences(undisturbed) == []
    job = there.trace()[0]["native_id"]
    show = ["scontrol", "show", "job", job]
    state = subprocess.run(show, env=scratch.environment() | {"PATH": "/usr/bin"}, check=True, stdout=-1, text=True)
    assert "JobState=COMPLETED" in state.stdout


def test_slurm_that_refuses_a_partition_ends_the_run_in_its_words(scratch) -> None:
    scratch.machine("slurm")
    there = scratch.run("gone", "test,slurm", "-stub-run", settings=scratch.slurm + "process.queue = 'gone'\n")
    assert there.status == 1
    assert "invalid partition specified: gone" in there.output
    assert "there is no report of this run: the run ended before it" in there.output
    assert set(there.failures().values()) == {"check_slice"}


def test_apptainer(scratch, images, undisturbed) -> None:
    scratch.machine("apptainer")
    scratch.machine("sif")
    folder = scratch.place("apptainer", 1000)
    command = scratch.command(folder, "test,apptainer", settings=f"apptainer.libraryDir = '{scratch.folder}/sif'\n")
    there = scratch.run_in_root(folder, command)
    assert there.status == 0, there.output
    assert there.differences(undisturbed) == []
