"""The pages in a real browser, `make test-browser`: Debian's Chromium, driven by Playwright without its own browsers.

Not collected by `make test`. CHROMIUM names the browser, SCREENSHOTS the folder for its pictures.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from edgevit.core.results.gate import GateReport
from edgevit.core.results.report import Report
from edgevit.report import html as report_html
from edgevit.report.gate import html as gate_html
from tests.edgevit.report.gate import _report

SCHEMES: Final = ("light", "dark")
WIDTHS: Final = {"desktop": 1280, "phone": 390}
NAMES: Final = ("gate", "gate-large", "gate-pass", "report")


@dataclass
class Opened:
    """A page, with what it said and asked for while it was open."""

    page: Page
    said: list[str] = field(default_factory=list)
    asked_for: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # The sandbox of Chromium needs rights that a container rarely has; the pages are made here.
        started = playwright.chromium.launch(executable_path=os.environ["CHROMIUM"], args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def screenshots() -> Path:
    folder = Path(os.environ["SCREENSHOTS"])
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def pages(report: Report, tmp_path: Path) -> dict[str, Path]:
    """The pages as files."""
    few, many = _report.report(), large()
    texts = {
        "gate": gate_html.render(few, {i: picture(i) for i in range(8) if i != 4}),
        "gate-large": gate_html.render(many, {i: picture(i) for i in range(60)}),
        "gate-pass": gate_html.render(_report.passing()),
        "report": report_html.render(report),
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: tmp_path / f"{name}.html" for name in texts}


def picture(index: int) -> bytes:
    image = Image.new("RGB", (96, 64 + 32 * (index % 2)), (40 + 20 * (index % 9), 90, 200 - 20 * (index % 7)))
    ImageDraw.Draw(image).ellipse((20, 10, 76, 58), fill=(230, 200, 30 * (index % 8)))
    made = io.BytesIO()
    image.save(made, "JPEG")
    return made.getvalue()


def large() -> GateReport:
    """Twelve files with all their checks, and long names."""
    few = _report.report()
    files = [
        f"{target}/{p}" for target in ("onnx", "tflite", "coreml") for p in ("fp32", "fp16", "w8", "w8a8")
    ]
    checks = tuple(replace(check, subject=file) for file in files for check in few.checks)
    long = "n02123045_tabby_cat_" * 12
    flips = tuple(
        replace(
            few.flips[0],
            subject=file,
            worst=tuple(
                replace(few.flips[0].worst[0], image=f"val/{i}.jpg", index=i, margin=9.0 / (i + 1), new=long)
                for i in range(k, 60, 2)
            ),
        )
        for k, file in enumerate(files)
    )
    points = tuple(
        replace(
            p, subject=file, score_pct=(p.score_pct or 0) - k / 3, size_bytes=(p.size_bytes or 0) + 9**k // 99
        )
        for k, file in enumerate(files[:7])
        for p in few.points[:2]
    )
    return replace(few, checks=checks, flips=flips, points=points)


def opened(browser: Browser, path: Path, width: int, scheme: str = "light") -> Opened:
    """The page with nothing loaded but itself, and what it is expected not to say."""
    size: ViewportSize = {"width": width, "height": 900}
    context = browser.new_context(viewport=size, color_scheme="dark" if scheme == "dark" else "light")
    found = Opened(context.new_page())
    found.page.on("console", lambda message: found.said.append(f"{message.type}: {message.text}"))
    found.page.on("pageerror", lambda error: found.said.append(str(error)))
    found.page.on("request", lambda request: found.asked_for.append(request.url))
    found.page.goto(path.as_uri())
    return found


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("size", WIDTHS)
@pytest.mark.parametrize("name", NAMES)
def test_a_page_loads_alone_in_silence_and_shows_its_pictures(
    browser: Browser, pages: dict[str, Path], screenshots: Path, name: str, size: str, scheme: str
) -> None:
    found = opened(browser, pages[name], WIDTHS[size], scheme)
    # A picture of the whole large page would take longer than everything else.
    whole = name != "gate-large"
    found.page.screenshot(path=screenshots / f"{name}-{size}-{scheme}.png", full_page=whole)
    assert found.said == []
    assert [url for url in found.asked_for if not url.startswith("data:image/")] == [pages[name].as_uri()]
    broken = "[...document.images].filter(i => !i.complete || !i.naturalWidth).length"
    assert found.page.evaluate(broken) == 0
    red, green, blue = found.page.evaluate(
        "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    )
    assert (red + green + blue < 150) == (scheme == "dark")
    found.page.context.close()


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_wider_than_the_window(browser: Browser, pages: dict[str, Path], name: str) -> None:
    page = opened(browser, pages[name], 1280).page
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    taken = {}
    for width in (1280, 1000, 910, 700, 390, 320):
        page.set_viewport_size({"width": width, "height": 900})
        taken[width] = page.evaluate("document.documentElement.scrollWidth")
    assert all(needed <= width for width, needed in taken.items()), taken
    page.context.close()


@pytest.mark.parametrize("name", NAMES)
def test_every_control_is_reached_by_tab_and_seen_to_be(
    browser: Browser, pages: dict[str, Path], name: str
) -> None:
    page = opened(browser, pages[name], 1280).page
    # Of a group of radio buttons Tab reaches the chosen one, arrows the others.
    wanted = page.evaluate(
        """[...document.querySelectorAll('summary, a[href], button, select, input')]
            .filter(e => e.type !== 'radio' || e.checked)
            .map((e, i) => e.dataset.stop = String(i))"""
    )
    reached: set[str] = set()
    for _ in range(len(wanted) + 5):
        page.keyboard.press("Tab")
        stop, outline = page.evaluate(
            """[document.activeElement.dataset.stop ?? '', getComputedStyle(document.activeElement).outlineStyle]"""
        )
        if stop:
            reached.add(stop)
            assert outline != "none", stop
    assert reached == set(wanted) and wanted
    page.context.close()


def test_arrows_choose_a_file_and_hide_the_other_images(browser: Browser, pages: dict[str, Path]) -> None:
    page = opened(browser, pages["gate"], 390).page
    shown = "[...document.querySelectorAll('.flip')].filter(e => e.offsetParent).length"
    lines = "[...document.querySelectorAll('.flip ul li')].filter(e => e.offsetParent).length"
    seen = [(page.evaluate(shown), page.evaluate(lines))]
    page.focus("#show-all")
    for _ in range(2):
        page.keyboard.press("ArrowRight")
        seen.append((page.evaluate(shown), page.evaluate(lines)))
    # 8 images, two of which two files answered otherwise; then 8 of the first file, and 2 of the second.
    assert seen == [(8, 10), (8, 8), (2, 2)]
    page.context.close()


def test_a_summary_opens_by_the_keyboard(browser: Browser, pages: dict[str, Path]) -> None:
    page = opened(browser, pages["gate"], 1280).page
    page.focus("summary")
    page.keyboard.press("Enter")
    assert page.evaluate("document.querySelector('details').open")
    page.context.close()


def test_hostile_names_are_text_and_nothing_runs(browser: Browser, pages: dict[str, Path]) -> None:
    page = opened(browser, pages["gate"], 1280).page
    assert page.evaluate("document.scripts.length") == 0
    assert _report.SCRIPT in page.inner_text(".cards")
    page.context.close()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("size", WIDTHS)
@pytest.mark.parametrize("name", ["gate", "report"])
def test_axe_finds_nothing(
    browser: Browser, pages: dict[str, Path], name: str, size: str, scheme: str
) -> None:
    """Contrast of all text, names of controls and pictures, order of headings: https://github.com/dequelabs/axe-core."""
    page = opened(browser, pages[name], WIDTHS[size], scheme).page
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    found = Axe().run(page).response
    assert len(found["passes"]) > 20
    assert [(each["id"], each["nodes"][0]["html"]) for each in found["violations"]] == []
    page.context.close()
