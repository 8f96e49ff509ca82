from __future__ import annotations

import pytest

from edgevit.core.results.gate import GateReport
from tests.edgevit.report.gate import _report


@pytest.fixture
def found() -> GateReport:
    """A comparison with every outcome and hostile names."""
    return _report.report()
