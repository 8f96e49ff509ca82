from __future__ import annotations

import pytest

from edgevit.core.errors import InputError
from edgevit.core.types import TensorSpec
from edgevit.models._spec import check_labels, output_kind

LOGITS = TensorSpec("logits", (1, 2), "float32")


def test_a_label_that_no_file_can_hold_is_named() -> None:
    check_labels(("chat", "猫"), LOGITS, output_kind(LOGITS))
    with pytest.raises(InputError, match=r"label 1, 'a\\ud83d', is not valid Unicode"):
        check_labels(("chat", "a\ud83d"), LOGITS, output_kind(LOGITS))
