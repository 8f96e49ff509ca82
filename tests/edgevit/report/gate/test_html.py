from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from PIL import Image

from edgevit.core.results.gate import Check, FilePoint, GateReport
from edgevit.report.gate import html
from edgevit.report.gate._gallery import gallery
from edgevit.report.gate._plots import plots
from tests.edgevit.report.gate import _report

_VOID = {"meta", "br", "img", "input"}


class Reader(HTMLParser):
    """Collects tags, attributes and text, and checks that every element is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of all elements of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    return reader


def picture(kind: str) -> bytes:
    made = io.BytesIO()
    Image.new("RGB", (8, 6), "red").save(made, kind)
    return made.getvalue()


def test_the_page_needs_nothing_from_outside(found: GateReport) -> None:
    page = html.render(found, {0: picture("JPEG")})
    reader = read(page)
    assert not {"script", "link", "iframe", "object", "image", "use"} & {tag for tag, _ in reader.elements}
    assert not {"href", "onclick", "onload", "onerror"} & {name for _, a in reader.elements for name in a}
    assert all((a["src"] or "").startswith("data:image/") for a in reader.all("img"))
    policy = next(
        a["content"] for a in reader.all("meta") if a.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert not re.search(r"@import|url\(", page)


def test_hostile_names_are_text(found: GateReport) -> None:
    name = '"><img src=x onerror=alert(1)>' + "".join(_report.HOSTILE)
    check = Check(subject=name, kind="accuracy", outcome="regressed", reason=name, old=1.0, new=2.0, unit="%")
    points = tuple(
        FilePoint(subject=name, side=s, score_pct=9.0, size_bytes=9, latency_ms=9.0) for s in ("old", "new")
    )
    flips = tuple(replace(each, subject=name) for each in found.flips)
    bundle = replace(found.bundle, path=name, model=name, created_by=name)
    page = html.render(
        replace(
            found, bundle=bundle, checks=(check,), points=points, flips=flips, notes=(name,), policy=name
        ),
        {0: picture("PNG")},
    )
    page.encode()
    reader = read(page)
    assert "script" not in {tag for tag, _ in reader.elements} and len(reader.all("img")) == 1
    assert not set("\u202e\x00\u200b\uffff") & set(page)
    shown = "".join(reader.text)
    assert shown.count('"><img src=x onerror=alert(1)><script>') >= 8
    assert r"cat\x00\u202egnp.exe\u200b\ud800\uffff" in shown and _report.EMOJI in shown


def test_the_table_has_every_check_with_figures_and_the_rest_in_a_line(found: GateReport) -> None:
    reader = read(html.render(found))
    names = [a["data-file"] for a in reader.all("td") if "data-file" in a]
    assert names == [check.name for check in found.checks if check.kind not in ("inputs", "outputs")]
    text = "".join(reader.text)
    for words in (
        "Gate failed: 2 regressed, 1 inconclusive, 3 not compared, 10 passed.",
        "+2.10 pp [+1.30, +2.95]",
        "tflite/w8a8 accuracy: regressedIt lost 2.10 points",
        "onnx/w8a8, onnx/fp32: inputs, outputs",
        "could have shown a drop of 0.9 points",
        "61 of 2,000 answers changed",
    ):
        assert words in text, words


def test_old_and_new_stand_where_their_values_are(found: GateReport) -> None:
    size, latency = plots(found)
    circles = re.findall(
        r'<circle class="(\w+) c(\d)" cx="([\d.]+)" cy="([\d.]+)" r="5"><title>([^<]*)<', size.svg
    )
    at = {title.split(":")[0]: (kind, int(c), float(x), float(y)) for kind, c, x, y, title in circles}
    assert len(circles) == len(at) == 7
    old, new = at["tflite/w8a8, baseline"], at["tflite/w8a8, now"]
    assert (old[0], new[0]) == ("ring", "dot") and old[1] == new[1]
    # It lost 2.1 points and grew a little: further down, a little to the right.
    assert new[3] > old[3] and new[2] > old[2]
    assert at["coreml/w8, baseline"][0] == "ring" and "coreml/w8, now" not in at
    assert at["onnx/fp32, now"][2] > at["onnx/w8a8, now"][2]
    assert latency.svg.count("<circle") == 6 and "coreml" not in latency.svg
    assert size.svg.count('class="whisker') == 3
    assert dict(size.legend).keys() == {0, 1, 2}


def test_without_figures_there_is_no_plot(found: GateReport) -> None:
    points = tuple(replace(point, score_pct=None) for point in found.points)
    assert plots(replace(found, points=points)) == plots(replace(found, points=())) == ()
    assert "Old and new" not in html.render(replace(found, points=()))


def test_without_labels_the_plot_is_of_agreement(found: GateReport) -> None:
    bare = replace(found, images=replace(found.images, labelled=False))
    assert all("Agreement with the float model in percent" in plot.caption for plot in plots(bare))
    assert all("float model now" not in plot.svg for plot in plots(bare))


def test_an_image_has_one_card_with_what_all_files_say_worst_first(found: GateReport) -> None:
    shown = gallery(found, {0: picture("JPEG")})
    assert shown.files == (("tflite/w8a8", 8), ("onnx/w8a8", 2))
    assert [card.flip.index for card in shown.cards] == [0, 1, 2, 3, 4, 5, 6, 7]
    assert [(said.subject, said.flip.new) for said in shown.cards[0].said] == [
        ("tflite/w8a8", "dog"), ("onnx/w8a8", "wolf")
    ]  # fmt: skip
    assert [card.said[0].flip.change for card in shown.cards[-2:]] == ["other", "gained"]


def test_the_surest_loss_of_any_file_comes_first(found: GateReport) -> None:
    first, second, _ = found.flips
    swapped = replace(second, worst=(replace(second.worst[0], index=99, margin=50.0),))
    assert gallery(replace(found, flips=(first, swapped)), {}).cards[0].flip.index == 99


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_picture_is_in_the_page_once(found: GateReport, kind: str) -> None:
    made = picture(kind)
    reader = read(html.render(found, {0: made}))
    (image,) = reader.all("img")
    head, _, data = (image["src"] or "").partition(";base64,")
    assert head == f"data:image/{kind.lower()}" and base64.b64decode(data) == made
    assert image["alt"] == "val/cat/0001.png"
    assert "".join(reader.text).count("no picture") == 7


def test_without_any_picture_no_place_is_kept(found: GateReport) -> None:
    reader = read(html.render(found))
    assert reader.all("img") == [] and "no picture" not in "".join(reader.text)


@pytest.mark.parametrize("data", [b"", b"<svg onload=alert(1)>", b"RIFF\0\0\0\0WAVE"])
def test_bytes_that_are_no_picture_are_refused(found: GateReport, data: bytes) -> None:
    with pytest.raises(ValueError, match="neither JPEG, PNG nor WebP"):
        html.render(found, {0: data})


def test_every_file_can_be_chosen_without_a_script(found: GateReport) -> None:
    page = html.render(found)
    reader = read(page)
    radios = [a for a in reader.all("input") if a["type"] == "radio"]
    assert [a["id"] for a in radios] == ["show-all", "show-0", "show-1"]
    assert {a["name"] for a in radios} == {"show"} and "checked" in radios[0]
    cards = [a["class"] for a in reader.all("li") if (a.get("class") or "").startswith("flip")]
    assert cards[0] == "flip in-0 in-1" and cards[1] == "flip in-0"


def test_a_pass_without_flips_is_a_page_too(found: GateReport) -> None:
    text = "".join(read(html.render(_report.passing())).text)
    assert "Gate passed: 3 not compared, 10 passed." in text and "Answers that changed" not in text
    bare = replace(found, checks=(), flips=(), notes=(), points=(), power="", outcome="pass", exit_code=0)
    assert "nothing was compared" in "".join(read(html.render(bare)).text)
