"""Files that the gate writes destroy none that it reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import edgevit
from bench._gate import drawn as d
from edgevit.core.errors import UsageError
from edgevit.flows._gate.places import check_places


def test_places_that_would_destroy_what_is_read(tmp_path: Path) -> None:
    bundle, base, policy = tmp_path / "new", tmp_path / "base.json", tmp_path / "rules.toml"
    bundle.mkdir()
    base.write_text("{}")
    link = tmp_path / "link.xml"
    link.symlink_to(base)
    read = {"the baseline": base, "the policy": policy}
    for place, says in (
        (base, "over the baseline"),
        (link, "over the baseline"),
        (tmp_path / "new" / ".." / "base.json", "over the baseline"),
        (policy, "over the policy"),
        (bundle / "report.json", "lies in the bundle"),
        (bundle / "onnx" / "gate.xml", "lies in the bundle"),
    ):
        with pytest.raises(UsageError, match=says):
            check_places({"--junit-xml": place}, bundle, read)
    with pytest.raises(UsageError, match="lies in the baseline"):
        check_places({"--html": bundle / "x.html"}, tmp_path / "other", {"the baseline": bundle})
    with pytest.raises(UsageError, match="--markdown and --html are both"):
        check_places({"--html": tmp_path / "x", "--markdown": tmp_path / "x"}, bundle, read)
    check_places({"--html": tmp_path / "x", "--markdown": None}, bundle, read)


def test_from_python_too(tmp_path: Path) -> None:
    bundle = d.write(tmp_path / "new", d.a_model(np.random.default_rng(0), 50))
    report = (bundle / "report.json").read_bytes()
    with pytest.raises(UsageError, match="lies in the bundle"):
        edgevit.gate(bundle, baseline=bundle, html=bundle / "report.json")
    assert (bundle / "report.json").read_bytes() == report
    with pytest.raises(UsageError, match="'labls' is unknown"):
        edgevit.gate(bundle, baseline=bundle, accept="labls")
