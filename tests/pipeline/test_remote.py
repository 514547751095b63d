"""Slices that lie elsewhere: each file is fetched once, whatever takes it, and a resumed run fetches none."""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

ROOT = Path(__file__).resolve().parents[2]


class Server:
    """The test slices under an address, and how often each was fetched whole."""

    def __init__(self) -> None:
        self.fetched: Counter[str] = Counter()
        fetched = self.fetched

        class Handler(SimpleHTTPRequestHandler):
            def copyfile(self, source: object, outputfile: object) -> None:
                super().copyfile(source, outputfile)
                fetched[self.path] += 1

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=ROOT / "assets/test"))
        self.address = f"http://127.0.0.1:{self.http.server_port}"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    made = Server()
    Thread(target=made.http.serve_forever, daemon=True).start()
    yield made
    made.http.shutdown()


def test_files_behind_http_are_fetched_once(pipeline, server: Server, tmp_path: Path) -> None:
    at = server.address
    (tmp_path / "sheet.csv").write_text(
        "sample,data,reference,proportions\n"
        f"left,{at}/starmap_left.h5ad,{at}/starmap_reference.h5ad,{at}/starmap_left_proportions.tsv\n"
        f"right,{at}/starmap_right.h5ad,{at}/starmap_reference.h5ad,\n"
    )
    given = ("--input", tmp_path / "sheet.csv", "-stub-run")
    run = pipeline.run(*given, outdir="remote")
    assert run.exit_status == 0, run.output
    files = {"/starmap_left.h5ad", "/starmap_right.h5ad", "/starmap_reference.h5ad", "/starmap_left_proportions.tsv"}
    assert server.fetched == dict.fromkeys(files, 1)
    (staged,) = pipeline.launch.glob("work/stage-*/*/*/starmap_left.h5ad")
    assert staged.read_bytes() == (ROOT / "assets/test/starmap_left.h5ad").read_bytes()
    again = pipeline.run(*given, "-resume", outdir="remote")
    assert again.exit_status == 0 and again.tasks("COMPLETED") == set(), again.output


def test_a_folder_behind_http_and_what_is_not_there_are_refused_before_anything_runs(
    pipeline, server: Server, tmp_path: Path
) -> None:
    (tmp_path / "sheet.csv").write_text(
        f"sample,data\nA,{server.address}/\nB,{server.address}/gone.h5ad\nC,https://127.0.0.1:1/C.h5ad\n"
    )
    run = pipeline.run("--input", tmp_path / "sheet.csv", "-stub-run", outdir="remote_refused")
    assert run.exit_status == 1 and run.trace == []
    assert "row 2 (A), column data: is a folder, which http cannot list; name a file" in run.output
    for row in ("row 3 (B)", "row 4 (C)"):
        assert f"{row}, column data: no such file or folder: http" in run.output


def test_a_single_slice_may_lie_elsewhere(pipeline, server: Server) -> None:
    run = pipeline.run("--input", f"{server.address}/cortex.h5ad", "-stub-run", outdir="remote_slice")
    assert run.exit_status == 0, run.output
    assert (run.outdir / "cortex/report.html").exists()
