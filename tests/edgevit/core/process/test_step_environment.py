"""What a step finds in its environment."""

from __future__ import annotations

from edgevit.core.process.forking import step_environment


def test_onnx_runtime_reports_nothing_over_the_network_unless_its_user_says_so() -> None:
    assert step_environment(base={})["ORT_DISABLE_TELEMETRY"] == "1"
    assert step_environment(base={"ORT_DISABLE_TELEMETRY": "0"})["ORT_DISABLE_TELEMETRY"] == "0"
