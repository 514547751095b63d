#!/usr/bin/env python3
"""Take the pictures of docs/images from the results of `make demo` (needs chromium).

usage: .venv/bin/python tools/screenshots.py [results]
"""

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

IMAGES = Path(__file__).resolve().parent.parent / "docs/images"
FLAGS = ("--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
# file: report, width, height, light or dark, what stands at the top, what is chosen in the menus first
PICTURES = {
    "report": ("dlpfc_151673/report.html", 1280, 1180, "light", None, {}),
    "layers": ("starmap/report.html", 1280, 900, "light", "#tissue", {"#layer": "type:eL4", "#beside": "attention"}),
    "markers": ("dlpfc_151673/report.html", 1280, 900, "light", "#markers", {}),
    "types": ("pdac_A/report.html", 1280, 1000, "dark", "#types", {}),
    "patterns": ("dlpfc_151673/report.html", 1280, 660, "light", "#patterns", {}),
    "neighbours": ("starmap/report.html", 1280, 760, "light", "#neighbours", {}),
    "phone": ("her2st_H1/report.html", 390, 1000, "light", "#tissue", {"#layer": "annotation"}),
    "cohort": ("cohort/report.html", 1280, 1180, "light", None, {}),
}


def main(results: Path) -> None:
    """Open each report, bring it into the state that is to be seen, and take its picture."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(FLAGS))
        for name, (report, width, height, scheme, top, choices) in PICTURES.items():
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
            page.goto((results / report).resolve().as_uri())
            page.wait_for_selector("html[data-ready=true]")
            for menu, value in choices.items():
                page.select_option(menu, value)
            if top:
                page.eval_on_selector(top, "one => one.scrollIntoView({ behavior: 'instant' })")
            page.wait_for_timeout(1500)
            picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
            picture.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
                IMAGES / f"{name}.png", optimize=True
            )
            page.close()
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "results"))
