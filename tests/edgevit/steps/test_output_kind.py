from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from edgevit.core.errors import InputError, UsageError
from edgevit.core.outputs import OutputKind
from edgevit.core.results.report import Limits
from edgevit.core.types import ModelSpec, Preprocess, TensorSpec
from edgevit.models._spec import check_labels, output_kind
from edgevit.steps.output_kind import check_classes, model_kind, refuse_limits

Ending = Callable[[torch.Tensor], torch.Tensor]
IMAGES = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))


class Net(torch.nn.Module):
    def __init__(self, columns: int, ending: Ending) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.head, self.ending = torch.nn.Linear(3, columns), ending

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.ending(self.head(image))


def decided(columns: int, ending: Ending, problem_type: str | None = None) -> OutputKind:
    net = Net(columns, ending).eval()
    program = torch.export.export(net, (IMAGES[:1],), strict=False).run_decompositions({})
    with torch.no_grad():
        outputs = net(IMAGES).numpy()
        shape = tuple(net(IMAGES[:1]).shape)
    return model_kind(output_kind(TensorSpec("logits", shape, "float32"), problem_type), program, outputs)


@pytest.mark.parametrize(
    ("columns", "ending", "expected"),
    [
        (4, lambda x: x, OutputKind("single-label")),
        (4, lambda x: x.softmax(-1), OutputKind("single-label", "softmax")),
        (4, lambda x: x.exp() / x.exp().sum(-1, keepdim=True), OutputKind("single-label", "softmax")),
        (4, lambda x: x.log_softmax(-1), OutputKind("single-label", "log-softmax")),
        (4, lambda x: x.reshape(-1, 2, 2).softmax(-1).flatten(1), OutputKind("single-label")),
        (4, lambda x: x.relu(), OutputKind("single-label")),
        (4, lambda x: x.sigmoid(), OutputKind("multi-label", "sigmoid")),
        (4, lambda x: x.sigmoid() * 2, OutputKind("single-label")),
        (1, lambda x: x, OutputKind("binary")),
        (1, lambda x: x.squeeze(1), OutputKind("binary")),
        (1, lambda x: torch.sigmoid(x).squeeze(1), OutputKind("binary", "sigmoid")),
        (2, lambda x: x.softmax(-1)[:, 1], OutputKind("binary", "sigmoid")),
        (1, lambda x: x.sigmoid() - 0.5, OutputKind("binary")),
    ],
)
def test_the_output_is_what_the_model_ends_in(columns: int, ending: Ending, expected: OutputKind) -> None:
    assert decided(columns, ending) == expected


def test_the_source_knows_what_the_graph_cannot() -> None:
    assert decided(4, lambda x: x, "multi_label_classification") == OutputKind("multi-label")
    assert decided(1, lambda x: x.sigmoid(), "regression") == OutputKind("regression")
    assert output_kind(TensorSpec("features", (1, 8), "float32")) == OutputKind("features")


@pytest.mark.parametrize("kind", [OutputKind("regression"), OutputKind("features")])
def test_a_limit_on_what_is_not_defined_is_refused(kind: OutputKind) -> None:
    refuse_limits(Limits(min_sqnr=20), kind)
    for limits in (Limits(max_drop=1), Limits(min_agreement=99)):
        refuse_limits(limits, OutputKind("binary"))
        with pytest.raises(UsageError, match="needs classes"):
            refuse_limits(limits, kind)


def test_one_number_has_two_class_names() -> None:
    one = TensorSpec("logits", (1, 1), "float32")
    check_labels(("no", "yes"), one, OutputKind("binary"))
    with pytest.raises(InputError, match="decides between two classes"):
        check_labels(("yes",), one, OutputKind("binary"))
    with pytest.raises(InputError, match="values, not classes"):
        check_labels(("yes",), one, OutputKind("regression"))


def test_images_of_a_class_that_the_model_does_not_have_are_refused() -> None:
    spec = ModelSpec(
        "m",
        "m",
        Preprocess(8, 8, (8, 8)),
        (TensorSpec("logits", (1, 1), "float32"),),
        (),
        "",
        0,
        output=OutputKind("binary"),
    )
    check_classes((0, 1), spec, "photos")
    check_classes(None, spec, "photos")
    with pytest.raises(InputError, match="photos has images of 3 classes, but the model decides between 2"):
        check_classes((0, 2), spec, "photos")
