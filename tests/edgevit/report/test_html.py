from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

from edgevit.core.precisions import Precision
from edgevit.core.results.lint import Finding, LintReport
from edgevit.core.results.report import ArtifactReport, Report, SiteError
from edgevit.report import html
from edgevit.report._plots import plots

_VOID = {"meta", "br"}
LINTED = LintReport(
    "onnx/fp32/model.onnx",
    "nnapi",
    "rule",
    "a list",
    {"nnapi": 10, "cpu": 3},
    tuple(
        Finding("nnapi", kind, name, module, "rule", "it is not known", "its list")
        for kind, name, module in (
            ("Gelu", "gelu", "blocks.0.mlp.act"),
            ("Gelu", "gelu_1", "blocks.1.mlp.act"),
            ("Erf", "erf", "blocks.1.mlp.act"),
        )
    ),
)


class Reader(HTMLParser):
    """Collects tags, attributes and text, and checks that every element is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    return reader


def test_the_page_needs_nothing_from_outside(report: Report) -> None:
    page = html.render(report)
    reader = read(page)
    assert not {"script", "link", "img", "iframe", "object", "image", "use"} & set(reader.tags)
    assert not {"src", "href", "onclick", "onload"} & {name for name, _ in reader.attributes}
    assert not re.search(r"https?://|@import|url\(", page)


def test_operators_that_leave_have_a_table(report: Report) -> None:
    first, *others = report.artifacts
    linted = replace(report, artifacts=(replace(first, lint=(LINTED,)), *others))
    reader = read(html.render(linted))
    text = " ".join("".join(reader.text).split())
    assert "onnx/fp32/model.onnx for nnapi: 10 nnapi, 3 cpu, by a list" in text
    assert "2 Gelu, Erf it is not known blocks.0.mlp and 1 more rule" in text
    assert "Operators that leave" not in html.render(report)


def test_user_text_is_escaped(report: Report) -> None:
    hostile = '"><script>alert(1)</script>'
    artifact = replace(report.artifacts[3], target=hostile, precision=hostile, path=hostile, notes=(hostile,))
    model = replace(report.model, name=hostile, source=hostile)
    page = html.render(
        replace(report, artifacts=(artifact,), model=model, warnings=(hostile,), prune=(hostile,))
    )
    reader = read(page)
    assert "script" not in reader.tags
    assert hostile in "".join(reader.text)


def test_no_text_turns_the_page_around_or_hides_in_it(report: Report) -> None:
    hostile = "cat\u202e\x1b[2J\u200b\ud800"
    sites = (SiteError(hostile, 10.0, 1, 0.1),)
    artifact = replace(
        report.artifacts[3], precision=hostile, reasons=(hostile,), notes=(hostile,), sites=sites
    )
    model = replace(report.model, name=hostile, source=hostile)
    page = html.render(replace(report, artifacts=(artifact,), model=model, warnings=(hostile,)))
    page.encode()
    assert not set("\u202e\x1b\u200b") & set(page)
    shown = "".join(read(page).text)
    assert shown.count(r"cat\u202e\x1b[2J\u200b\ud800") >= 6


def test_table_reasons_notes_and_omissions_are_there(report: Report) -> None:
    text = "".join(read(html.render(report)).text)
    for words in (
        "12 of 14 files passed every check, 1 failed, 1 could not be made.",
        "0.35 [0.05, 0.66]",
        "meant to be w8da8",
        "Slower than its fp32 file",
        "the reference evaluator says nothing about a device",
        "1 image was unreadable: a<b>.jpg",
        "How to read the figures",
        "drop at most 1.0 points",
    ):
        assert words in text, words


def test_notes_that_are_equal_are_one(report: Report) -> None:
    same = [replace(a, notes=("No latency was measured.",)) for a in report.artifacts[:3]]
    text = "".join(read(html.render(replace(report, artifacts=(*same, *report.artifacts[3:])))).text)
    assert text.count("No latency was measured.") == 1
    assert "onnx fp32, onnx fp16, onnx w8No latency" in text


def test_both_kinds_of_interval_are_told_apart(report: Report) -> None:
    text = " ".join("".join(read(html.render(report)).text).split())
    assert "two-sided" in text and "one-sided 95 % bounds" in text


def test_a_card_of_a_narrow_page_begins_with_the_verdict(report: Report) -> None:
    page = html.render(report)
    narrow = page[page.index("@media (max-width: 900px)") : page.index("@media print")]
    assert "flex-direction: column" in narrow and "td.verdict { order: -1" in narrow
    names = [value for name, value in read(page).attributes if name == "data-file"]
    assert names == [f"{a.target} {a.precision}" for a in report.artifacts]


def test_no_text_of_a_plot_leaves_it(report: Report) -> None:
    """With the average width of the letters of a usual sans-serif font of 12 pixels."""
    starts = {"start": 0.0, "middle": 0.5, "end": 1.0}
    shown = [plot for plot in plots(report) if "Worst sites" in plot.title]
    assert shown
    for plot in shown:
        width = float(re.findall(r'viewBox="0 0 (\d+)', plot.svg)[0])
        for x, anchor, text in re.findall(r'<text [^>]*x="([\d.]+)"[^>]*anchor="(\w+)">([^<]*)', plot.svg):
            left = float(x) - starts[anchor] * 6.5 * len(text)
            assert left >= 0 and left + 6.5 * len(text) <= width, text
        assert "dB of the model's output with this site alone quantized".replace("'", "&#x27;") in plot.svg


def test_doubts_about_the_float_model_stand_at_the_top_and_nowhere_else(doubted: Report) -> None:
    text = "".join(read(html.render(doubted)).text)
    assert text.count("--preprocess color=bgr <b>") == 1
    assert text.index("--preprocess color=bgr") < text.index("The files")


def test_a_report_without_any_figure_still_makes_a_page(report: Report) -> None:
    bare = replace(report, artifacts=(ArtifactReport("onnx", Precision.W8, "error", ("it crashed",)),))
    assert plots(bare) == ()
    assert "it crashed" in html.render(bare)
    assert "Plots" not in html.render(bare)


def test_points_stand_where_their_values_are(report: Report) -> None:
    plot = plots(report)[0]
    circles = re.findall(r'cx="([\d.]+)" cy="([\d.]+)" r="5"><title>([^<]*)</title>', plot.svg)
    by_title = {title.split(":")[0]: (float(x), float(y)) for x, y, title in circles}
    assert len(by_title) == 12
    # The fp32 file is larger (further right) and more accurate (further up) than the w8a8 file.
    assert by_title["onnx fp32"][0] > by_title["onnx w8a8"][0]
    assert by_title["onnx fp32"][1] < by_title["onnx w8a8"][1]


def test_latency_bars_are_as_long_as_their_times(report: Report) -> None:
    plot = next(p for p in plots(report) if p.title == "Latency")
    bars = re.findall(r'width="([\d.]+)"[^>]*rx="2"><title>(\S+ \S+): p50 ([\d.]+) ms', plot.svg)
    assert len(bars) == 8
    scales = [float(width) / float(time) for width, _, time in bars]
    assert max(scales) / min(scales) < 1.01


def test_every_site_has_a_tooltip(report: Report) -> None:
    plot = next(p for p in plots(report) if p.title == "Error per layer, w8a8")
    assert plot.svg.count("stages.0.blocks.1:linear") == 3
    assert plot.svg.count("<title>") == 3 * 40


def test_unlabelled_images_are_plotted_by_agreement(report: Report) -> None:
    from edgevit.core.results.report import Accuracy, Reference

    artifact = replace(report.artifacts[0], accuracy=Accuracy(None, None, None, 97.5, 16, None))
    plot = plots(replace(report, reference=Reference(None, None, 16), artifacts=(artifact,)))[0]
    assert "agreement 97.50 %" in plot.svg
    assert "Agreement" in plot.caption
