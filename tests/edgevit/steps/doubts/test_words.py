"""What a person reads of a doubt: figures, flags, and what the images cannot tell apart."""

from __future__ import annotations

from edgevit.steps.doubts.probe_preprocess import Alternative
from edgevit.steps.doubts.words import other_preprocess


def test_a_preprocessing_that_did_better_still_is_named_with_its_share() -> None:
    usual = ("--preprocess normalize=imagenet",)
    text = other_preprocess(Alternative(usual, 200, 30, 111), None).text
    assert "--preprocess normalize=imagenet the float model is right on 55.50 %" in text
    assert "15.00 %" in text and "may be as good" not in text
    best = ("--preprocess normalize=-1..1",)
    told = other_preprocess(Alternative(usual, 200, 30, 111, ((best, 120),)), None).text
    assert told.startswith(text)
    assert "on these images --preprocess normalize=-1..1 (60.00 %" in told
