"""The figures of the pages are those of the files in bench/results."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import chart
from bench._quantization import table
from tests.docs._pages import ROOT

RESULTS = sorted((ROOT / "bench" / "results").glob("quantization-*.csv"))


@pytest.mark.parametrize("file", RESULTS, ids=lambda file: file.stem)
def test_the_benchmark_page_shows_the_results(file: Path) -> None:
    assert table.markdown(file) in (ROOT / "docs" / "benchmarks.md").read_text()


def test_the_readme_compares_what_was_measured() -> None:
    assert chart.table(chart.read(chart.RESULTS)) in (ROOT / "README.md").read_text()


def test_the_chart_draws_every_file_that_has_a_latency() -> None:
    results = chart.read(chart.RESULTS)
    drawn = chart.CHART.read_text()
    assert drawn == chart.chart(results)
    timed = [r for r in results if r.latency is not None]
    assert len(timed) > 15 and {r.target for r in timed} == set(chart.PANELS)
    for r in timed:
        assert f"{r.tool}, {r.precision}: {r.agreement:.1f} % agreement, {r.latency:.2f} times" in drawn
