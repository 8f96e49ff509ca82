"""Errors about files in the work folder are told in the bundle's path and in the model's lines."""

from __future__ import annotations

import inspect
from pathlib import Path

from edgevit.program import graph_file
from edgevit.program.sites import list_sites
from edgevit.steps.locate import locate
from tests.edgevit.graph import _small


def test_the_line_of_a_site_follows_and_the_folder_goes(tmp_path: Path) -> None:
    graph = _small.graph_of(_small.randomised(_small.ConvNet()))
    file = tmp_path / "graph.pt2"
    graph_file.save(graph, file)
    lines, first = inspect.getsourcelines(_small.ConvNet.forward)
    for site in list_sites(graph):
        told = (
            f"ONNX Runtime cannot execute {tmp_path}/onnx/fp16/model.onnx: no; node 'n', site {site.name!r}"
        )
        found = locate(told, tmp_path, file)
        start, _, line = found.rpartition(":")
        assert start.startswith("ONNX Runtime cannot execute onnx/fp16/model.onnx: no; node 'n', site")
        assert start.endswith("tests/edgevit/graph/_small.py")
        assert first < int(line) < first + len(lines)


def test_what_names_no_site_or_an_unknown_one_stays(tmp_path: Path) -> None:
    file = tmp_path / "graph.pt2"
    assert locate("it is damaged, site 'a:conv'", tmp_path, file) == "it is damaged, site 'a:conv'"
    graph_file.save(_small.graph_of(_small.randomised(_small.ConvNet())), file)
    for told in ("it is damaged", "node 'n', site 'nowhere:conv'"):
        assert locate(told, tmp_path, file) == told
