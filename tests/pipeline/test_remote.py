"""Slices that lie elsewhere: each file is fetched once, whatever takes it, and a resumed run fetches none."""

import re
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

ROOT = Path(__file__).resolve().parents[2]


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Where the test slices are behind http."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=ROOT / "assets/test")) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def sheet(pipeline, address: str) -> Path:
    path = pipeline.launch / "remote.csv"
    path.write_text(
        "sample,data,reference,proportions\n"
        f"left,{address}/starmap_left.h5ad,{address}/starmap_reference.h5ad,{address}/starmap_left_proportions.tsv\n"
        f"right,{address}/starmap_right.h5ad,{address}/starmap_reference.h5ad,\n"
    )
    return path


@pytest.fixture(scope="module")
def fetched(pipeline, sheet: Path):
    return pipeline.run("--input", sheet, "-stub-run", outdir="remote")


def test_files_behind_http_are_fetched_once(pipeline, sheet: Path, fetched) -> None:
    assert fetched.exit_status == 0, fetched.output
    staged = sorted(pipeline.launch.glob("work/stage-*/*/*/starmap_*"))
    names = ["left.h5ad", "left_proportions.tsv", "reference.h5ad", "right.h5ad"]
    assert sorted(path.name for path in staged) == [f"starmap_{name}" for name in names]
    assert all(path.read_bytes() == (ROOT / "assets/test" / path.name).read_bytes() for path in staged)
    times = [path.stat().st_mtime_ns for path in staged]
    again = pipeline.run("--input", sheet, "-stub-run", "-resume", outdir="remote")
    assert again.exit_status == 0 and again.tasks("COMPLETED") == set(), again.output
    assert sorted(pipeline.launch.glob("work/stage-*/*/*/starmap_*")) == staged
    assert [path.stat().st_mtime_ns for path in staged] == times


def test_a_folder_behind_http_and_what_is_not_there_are_refused_before_anything_runs(
    pipeline, address: str, tmp_path: Path
) -> None:
    (tmp_path / "sheet.csv").write_text(
        f"sample,data\nA,{address}/\nB,{address}/gone.h5ad\nC,https://127.0.0.1:1/C.h5ad\n"
    )
    run = pipeline.run("--input", tmp_path / "sheet.csv", "-stub-run", outdir="remote_refused")
    assert run.exit_status == 1 and run.trace == []
    assert "row 2 (A), column data: is a folder, which http cannot list; name a file" in run.output
    for row in ("row 3 (B)", "row 4 (C)"):
        assert f"{row}, column data: no such file or folder: http" in run.output


def test_a_single_slice_may_lie_elsewhere_and_a_preview_does_nothing(pipeline, address: str, fetched) -> None:
    def results() -> set[str]:
        return {str(path.relative_to(fetched.outdir)) for path in fetched.outdir.rglob("*") if not path.is_dir()}

    before = results()
    run = pipeline.run("--input", f"{address}/cortex.h5ad", "-stub-run", "-resume", "-preview", outdir="remote")
    assert run.exit_status == 0 and "report:" not in run.output and "earlier run" not in run.output, run.output
    assert all(re.search("/(execution_|pipeline_dag)", name) for name in results() ^ before)
