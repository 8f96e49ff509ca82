from __future__ import annotations

import operator
from collections.abc import Callable

import pytest
import sympy
import torch
from torch.utils._sympy import functions

from edgevit.models._pt2.expressions import expression, guard
from edgevit.models._pt2.grammar import Refused

SIZE = sympy.Symbol("s77", positive=True, integer=True)
OTHER = sympy.Symbol("u0", integer=True)

# As torch._export.serde writes them (srepr), and as releases before 2.6 did (str).
WRITTEN: dict[str, Callable[[], sympy.Basic]] = {
    "sum": lambda: 4 * SIZE + OTHER - 3,
    "power": lambda: SIZE**2 / (SIZE + 1),
    "root": lambda: sympy.sqrt(SIZE),
    "maximum": lambda: functions.Max(1, SIZE, OTHER),
    "division": lambda: functions.FloorDiv(SIZE + 3, 4),
    "remainder": lambda: functions.Mod(SIZE, 8),
    "indexing": lambda: functions.ModularIndexing(SIZE, 2, 7),
    "comparison": lambda: sympy.Ne(OTHER, 2),
    "conditions": lambda: sympy.And(SIZE * 3 < 60, sympy.Not(sympy.Eq(OTHER, 2))),
    "true division": lambda: functions.IntTrueDiv(SIZE, 3),
    "number": lambda: functions.ToFloat(SIZE) * sympy.Float(1.5),
}


@pytest.mark.parametrize(
    ("name", "write"),
    [(name, sympy.srepr) for name in WRITTEN] + [(name, str) for name in WRITTEN if name != "conditions"],
)
def test_what_pytorch_writes_means_the_same_afterwards(
    name: str, write: Callable[[sympy.Basic], str]
) -> None:
    classes = {key: value for key, value in vars(functions).items() if isinstance(value, type)}
    text = write(WRITTEN[name]())

    def read(written: str) -> object:
        return sympy.sympify(written, locals={**classes, "s77": SIZE, "u0": OTHER})

    assert read(str(expression(text))) == read(text)


@pytest.mark.parametrize(
    "text",
    [
        "s1.__class__",
        "s1[0]",
        "(lambda: 1)()",
        "[s1 for s1 in s2]",
        "open('x')",
        "eval('1')",
        "Symbol(s1)",
        "Symbol('s1', **{'x': 1})",
        "Symbol('__import__')",
        "Integer('__import__(1)')",
        "Max(*s1)",
        "f'{s1}'",
        "s1 if s2 else s3",
        "(s1 := 2)",
        "s1 @ s2",
        "__import__",
        "os",
        "'s1'",
        "b'1'",
        "1j",
        "...",
        "s1\n+1",
        "s1 #",
        "s1; s2",
        "s1 = 2",
        "\uff53\uff11",
        "s" + "1" * 10,
        "1" * 30,
        "2 ** (8 * 8 * 8 * 8 * 8 * 8 * 8 * 8 * 8 * 8 * 8 * 8)",
        "Pow(Integer(2), Mul(Integer(8), Integer(8), Integer(8)))",
        "LShift(Integer(1), Integer(999999999))",
        "((((2 ** 8) ** 8) ** 8) ** 8) ** 8",
        "+" * 3000 + "s1",
        "(" * 3000,
        "s1" + "+s1" * 5000,
        "",
        None,
        7,
    ],
)
def test_everything_else_is_refused_at_once(text: object) -> None:
    for rule in (expression, guard):
        with pytest.raises(Refused):
            rule(text)


def test_guards_ask_for_sizes_and_nothing_more() -> None:
    for text in (
        "3*L['image'].size()[0] < 60",
        "(L['args'][0][1].size()[0] % 2) == 0",
        "L['x'].stride()[1] > 1",
    ):
        assert operator.eq(guard(text), guard(guard(text)))
        with pytest.raises(Refused):
            expression(text)
    for text in (
        "L['image'].data_ptr()",
        "L['image'].size",
        "L.x",
        "L['a b'].size()",
        "L['x'].size(0)",
        "G['x'].size()",
    ):
        with pytest.raises(Refused):
            guard(text)


def test_real_guards_pass() -> None:
    class Half(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            torch._check(image.shape[0] * 3 < 60)
            return image * 2 if image.shape[0] % 2 == 0 else image

    program = torch.export.export(Half(), (torch.zeros(2, 3),), dynamic_shapes=({0: torch.export.Dim.AUTO},))
    assert program._guards_code and [guard(text) for text in program._guards_code]
