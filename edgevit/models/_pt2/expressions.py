"""Arithmetic on sizes, which PyTorch stores as text and gives to `sympy.sympify`, that is to `eval`.

The text is parsed, not run: numbers, names of symbols (`s77`), operators, comparisons, and calls of the
functions that PyTorch's writer knows, with plain arguments. There is no attribute, no index, no other
string. What is handed on is written anew from the parsed tree, so that nothing is read differently later.
"""

from __future__ import annotations

import ast
import re
from typing import Final

from edgevit.models._pt2.grammar import Refused, show

_LONGEST: Final = 4000
_DEEPEST: Final = 40
_LARGEST: Final = 2**63
# Powers of whole numbers are computed when they are read: (2**63) ** 8 ** 8 ** 8 ** 8 still is, at once.
_MOST_POWERS: Final = 4
_LARGEST_POWER: Final = 8
_TEXT: Final = re.compile(r"[\w \t.,:()=+\-*/%<>!&|~'\"\[\]]*", re.ASCII)
_SYMBOL: Final = re.compile(r"[a-z]{1,4}_?\d{1,6}", re.ASCII)
_FLOAT: Final = re.compile(r"[+-]?\d{1,40}(\.\d{0,40})?([eE][+-]?\d{1,3})?", re.ASCII)
_CONSTANTS: Final = frozenset({"true", "false", "oo"})
# sympy's own functions as its srepr writes them, then those of torch.utils._sympy.functions.
_FUNCTIONS: Final = re.compile(
    r"Symbol|Integer|Rational|Float|Add|Mul|Pow|Max|Min|Abs|floor|ceiling|sqrt|And|Or|Not|Eq|Ne|L[et]|G[et]|"
    r"Equality|Unequality|(Strict)?(Less|Greater)Than|"
    r"FloorDiv|ModularIndexing|Where|PythonMod|Mod|CleanDiv|CeilDiv|(Ceil|Floor|Trunc|Round)ToInt|[LR]Shift|"
    r"PowByNatural|FloatPow|FloatTrueDiv|IntTrueDiv|IsNonOverlappingAndDenseIndicator|TruncToFloat|"
    r"RoundDecimal|ToFloat|Identity"
)
_POWERS: Final = frozenset({"Pow", "PowByNatural", "FloatPow", "LShift"})
_ARITHMETIC: Final = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow)
_SIGNS: Final = (ast.UAdd, ast.USub, ast.Not)
_COMPARISONS: Final = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE)
# What guards ask of an input: L['image'].size()[0]
_QUESTIONS: Final = frozenset({"size", "stride", "storage_offset", "dim", "numel"})


def expression(value: object) -> object:
    """Rule for `expr_str`: the same arithmetic, written anew."""
    tree = _parse(value)
    _Checker(guards=False).check(tree, 0)
    return ast.unparse(tree)


def guard(value: object) -> object:
    """Rule for an entry of `guards_code`: as an expression, which may also ask for the inputs' sizes."""
    tree = _parse(value)
    _Checker(guards=True).check(tree, 0)
    return ast.unparse(tree)


def symbol(value: object) -> object:
    """Rule for the name of a symbol alone."""
    if not isinstance(value, str) or _SYMBOL.fullmatch(value) is None:
        raise Refused(f"{show(value)} is no name of a symbol such as 's77'")
    return value


def _parse(value: object) -> ast.expr:
    if not isinstance(value, str) or len(value) > _LONGEST or _TEXT.fullmatch(value) is None:
        raise Refused(f"{show(value)} is not arithmetic on sizes")
    try:
        return ast.parse(value.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise Refused(f"{show(value)} is not arithmetic on sizes") from None


class _Checker:
    """Walks one tree; counts its powers."""

    def __init__(self, guards: bool) -> None:
        self._guards = guards
        self._powers = 0

    def check(self, node: ast.expr, depth: int) -> None:
        """Refuse `node` unless it and everything in it is in the grammar."""
        if depth > _DEEPEST:
            raise Refused("arithmetic on sizes is nested too deeply")
        for child in self._children(node):
            self.check(child, depth + 1)

    def _children(self, node: ast.expr) -> list[ast.expr]:
        match node:
            case ast.Constant(value=bool() | int() | float() as value) if abs(value) < _LARGEST:
                return []
            case ast.Name(id=name) if name in _CONSTANTS or _SYMBOL.fullmatch(name):
                return []
            case ast.UnaryOp() if isinstance(node.op, _SIGNS):
                return [node.operand]
            case ast.BinOp() if isinstance(node.op, _ARITHMETIC):
                if isinstance(node.op, ast.Pow):
                    self._count_power(node.right)
                return [node.left, node.right]
            case ast.BoolOp():
                return node.values
            case ast.Compare() if all(isinstance(op, _COMPARISONS) for op in node.ops):
                return [node.left, *node.comparators]
            case ast.Call(func=ast.Name(id=name)) if _FUNCTIONS.fullmatch(name):
                return self._arguments(name, node)
            case ast.Subscript() | ast.Call() if self._guards and _asks_for_a_size(node):
                return []
        raise Refused(f"{show(ast.unparse(node))} is not arithmetic on sizes")

    def _arguments(self, name: str, node: ast.Call) -> list[ast.expr]:
        for keyword in node.keywords:  # positive=True of symbols, precision=53 of numbers
            match keyword:
                case ast.keyword(arg=str(), value=ast.Constant(value=bool() | int() as value)) if (
                    0 <= value <= 64
                ):
                    continue
            raise Refused(f"{show(ast.unparse(node))} is not arithmetic on sizes")
        texts = {"Symbol": _SYMBOL, "Float": _FLOAT}.get(name)
        if texts is not None:
            match node.args:
                case [ast.Constant(value=str(content))] if texts.fullmatch(content):
                    return []
            raise Refused(f"{show(ast.unparse(node))} is not arithmetic on sizes")
        if name in _POWERS:
            self._count_power(*node.args[1:])
        return node.args

    def _count_power(self, *exponents: ast.expr) -> None:
        self._powers += 1
        if self._powers > _MOST_POWERS or not all(map(_is_small, exponents)):
            raise Refused("arithmetic on sizes with powers this large is not computed")


def _is_small(exponent: ast.expr) -> bool:
    """A small number or a symbol, alone: 8*8*8*... would be one that is not small."""
    match exponent:
        case ast.Constant(value=int() | float() as value):
            return abs(value) <= _LARGEST_POWER
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return _is_small(inner)
        case ast.Call(func=ast.Name(id="Integer" | "Rational"), args=parts):
            return all(map(_is_small, parts))
        case ast.Name() | ast.Call(func=ast.Name(id="Symbol")):
            return True
    return False


def _asks_for_a_size(node: ast.expr) -> bool:
    """`L['name']`, with further indices, one question without arguments, and an index into its answer."""
    match node:
        case ast.Subscript(value=ast.Name(id="L"), slice=ast.Constant(value=str(name))):
            return re.fullmatch(r"\w{1,200}", name, re.ASCII) is not None
        case ast.Subscript(value=inner, slice=ast.Constant(value=int())):
            return _asks_for_a_size(inner)
        case ast.Subscript(value=inner, slice=ast.Constant(value=str(name))):
            return re.fullmatch(r"\w{1,200}", name, re.ASCII) is not None and _asks_for_a_size(inner)
        case ast.Call(func=ast.Attribute(value=inner, attr=attr), args=[], keywords=[]):
            return attr in _QUESTIONS and _asks_for_a_size(inner)
    return False
