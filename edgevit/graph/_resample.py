"""Resizing and averaging of images and volumes as what they are: a matrix for each axis.

Nearest, linear, bicubic and Lanczos resizing, antialiased or not, and averages over parts (`area`, adaptive
pooling) are linear, separable and, at fixed sizes, constant: y = R x C^T for each channel. R and C are what
PyTorch's own operator makes of unit vectors, so that every rule about corners, scales and borders is in them.
Whether two resizes are the same is a comparison of matrices too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from edgevit.program import constants, edit

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

# Operator without its number of dimensions -> the mode of torch.nn.functional.interpolate, antialiased or not.
_MODES: Final = {
    "upsample_nearest": ("nearest", False),
    "_upsample_nearest_exact": ("nearest-exact", False),
    "upsample_linear": ("linear", False),
    "upsample_bilinear": ("bilinear", False),
    "upsample_trilinear": ("trilinear", False),
    "upsample_bicubic": ("bicubic", False),
    "_upsample_bilinear2d_aa": ("bilinear", True),
    "_upsample_bicubic2d_aa": ("bicubic", True),
    "_upsample_lanczos2d_aa": ("lanczos", True),
    "adaptive_avg_pool": ("area", False),
    "_adaptive_avg_pool": ("area", False),
}
# Resizes that runtimes have operators for, by mode and whether the corners are aligned.
_PLAIN: Final = (("nearest", False), ("bilinear", False), ("bilinear", True))
_SAME: Final = 1e-6
_WIDTH: Final = 2


@dataclass(frozen=True, slots=True)
class Resize:
    """One operation that resamples the last axes of an image (N, C, H, W), a row (N, C, W) or a volume (N, C, D, H, W).

    Attributes:
        mode: nearest, nearest-exact, linear, bilinear, trilinear, bicubic, lanczos, or area for averages over parts.
        corners: whether the centres of the corner pixels stay corners (`align_corners`).
        antialias: whether a smaller image averages what it leaves out.
        before, after: sizes of the axes.
        matrices: one for each axis, float32 (after, before).
    """

    node: torch.fx.Node
    mode: str
    corners: bool
    antialias: bool
    before: tuple[int, ...]
    after: tuple[int, ...]
    matrices: tuple[torch.Tensor, ...]

    @property
    def repeats(self) -> bool:
        """Whether each axis grows by a whole factor."""
        return all(a % b == 0 for a, b in zip(self.after, self.before, strict=True))

    @property
    def even(self) -> bool:
        """Whether each axis falls into parts of one size."""
        return all(b % a == 0 for a, b in zip(self.after, self.before, strict=True))

    def same_as(self, mode: str, corners: bool) -> bool:
        """Whether a plain resize between these sizes does the same.

        It may not where a scale factor was given: PyTorch samples at multiples of the factor then, other
        runtimes at multiples of the ratio of the sizes, which were rounded.
        """
        pairs = zip(self.before, self.after, self.matrices, strict=True)
        return all(float((_plain(b, a, mode, corners) - m).abs().max()) <= _SAME for b, a, m in pairs)


def rewrite(
    program: ExportedProgram,
    plain: Callable[[Resize, str, bool], bool],
    any_scale: bool = False,
    expand: bool = False,
) -> int:
    """Replace every resize that a runtime does not do itself; returns how many.

    Averages of images over parts of one size are pooling, which every runtime has.

    Args:
        plain: whether the runtime has an operator for a resize like that, of this mode and alignment.
        any_scale: whether that takes scale factors other than the ratio of the sizes.
        expand: repeat the matrices for each channel, where products of images want operands of equal shape.
    """
    changed = 0
    for resize in list(_resizes(program)):
        if _is_plain(resize, plain, any_scale):
            continue
        node = resize.node
        same = (p for p in _PLAIN if len(resize.after) == 2 and plain(resize, *p) and resize.same_as(*p))
        found = next(same, None)
        made = _products(program, resize, expand) if found is None else _call(resize, *found)
        edit.replace(program, node, made)
        changed += 1
    return changed


def _is_plain(resize: Resize, plain: Callable[[Resize, str, bool], bool], any_scale: bool) -> bool:
    if resize.mode == "area":
        return resize.even and len(resize.after) < 3
    if resize.antialias or not plain(resize, resize.mode, resize.corners):
        return False
    return any_scale or (len(resize.after) == 2 and resize.same_as(resize.mode, resize.corners))


def _resizes(program: ExportedProgram) -> Iterator[Resize]:
    import torch

    for node in program.graph_module.graph.nodes:
        target: Any = node.target
        if node.op != "call_function" or getattr(target, "namespace", "") != "aten":
            continue
        name = target.overloadpacket.__name__
        known = _MODES.get(name) or _MODES.get(re.sub(r"[123]d$", "", name))
        source = node.args[0]
        if known is None or not edit.is_tensor(source) or source.meta["val"].dtype != torch.float32:
            continue
        before, after = edit.shape(source)[2:], edit.shape(node)[2:]
        if len(edit.shape(source)) != len(edit.shape(node)) or len(before) not in (1, 2, 3):
            continue
        given = _arguments(node)
        yield Resize(
            node,
            mode=known[0],
            corners=bool(given.get("align_corners", False)),
            antialias=known[1],
            before=before,
            after=after,
            matrices=tuple(_matrix(node, given, before, after, axis) for axis in range(len(before))),
        )


def _arguments(node: torch.fx.Node) -> dict[str, Any]:
    target: Any = node.target
    return edit.bound(node, tuple(argument.name for argument in target._schema.arguments))


def _matrix(
    node: torch.fx.Node, given: dict[str, Any], before: Sequence[int], after: Sequence[int], axis: int
) -> torch.Tensor:
    """What the node does along one axis: unit vectors as channels of an image that stays two pixels wide elsewhere.

    Not one pixel: PyTorch 2.14 antialiases those wrongly.
    """
    import torch

    own = dict(given)
    own.pop(next(iter(own)))
    scales = [name for name in ("scales", "scales_d", "scales_h", "scales_w") if name in own]
    for index, name in enumerate(scales):
        own[name] = own[name] if index == axis else None
    if own.get("scale_factors") is not None:
        own["scale_factors"] = [f if i == axis else 1.0 for i, f in enumerate(own["scale_factors"])]
    if own.get("output_size") is not None:
        own["output_size"] = [n if i == axis else _WIDTH for i, n in enumerate(after)]
    size = before[axis]
    unit = torch.eye(size).reshape(1, size, *(size if i == axis else 1 for i in range(len(before))))
    unit = unit.expand(1, size, *(size if i == axis else _WIDTH for i in range(len(before)))).contiguous()
    target: Any = node.target
    found: torch.Tensor = target(unit, **own)[0]
    for other in sorted(set(range(len(before))) - {axis}, reverse=True):
        found = found.select(1 + other, 0)
    return found.T.contiguous()


def _plain(before: int, after: int, mode: str, corners: bool) -> torch.Tensor:
    import torch

    unit = torch.eye(before).reshape(1, before, before, 1)
    aligned = corners if mode == "bilinear" else None
    found = torch.nn.functional.interpolate(unit, (after, 1), mode=mode, align_corners=aligned)
    return found.reshape(before, after).T


def _call(resize: Resize, mode: str, corners: bool) -> torch.fx.Node:
    """The plain operator in place of what does the same."""
    import torch

    aten, source, size = torch.ops.aten, resize.node.args[0], list(resize.after)
    if mode == "nearest":
        return edit.emit(resize.node, aten.upsample_nearest2d.vec, (source, size, None))
    return edit.emit(resize.node, aten.upsample_bilinear2d.vec, (source, size, corners, None))


def _products(program: ExportedProgram, resize: Resize, expand: bool) -> torch.fx.Node:
    """R x C^T, of a volume behind its depth as one more product; an axis that stays as it is costs nothing."""
    import torch

    node, aten = resize.node, torch.ops.aten
    made: Any = node.args[0]
    expand = expand and len(resize.before) > 1
    *rows, columns = resize.matrices
    if len(resize.before) == 3:
        batch, channels = edit.shape(made)[:2]
        depth, (height, width) = resize.before[0], resize.before[1:]
        deep = resize.after[0]
        made = edit.emit(node, aten.reshape.default, (made, [batch, channels, depth, height * width]))
        made = _times(program, node, made, rows[:1], None, expand)
        made = edit.emit(node, aten.reshape.default, (made, [batch, channels * deep, height, width]))
        made = _times(program, node, made, rows[1:], columns, expand)
        return edit.emit(node, aten.reshape.default, (made, [batch, channels, *resize.after]))
    made = _times(program, node, made, rows, columns, expand)
    return made if made is not node.args[0] else edit.emit(node, aten.clone.default, (made,))


def _times(
    program: ExportedProgram,
    node: torch.fx.Node,
    made: torch.fx.Node,
    rows: Sequence[torch.Tensor],
    columns: torch.Tensor | None,
    expand: bool,
) -> torch.fx.Node:
    """Products with constants from the left and from the right, those that are identities left out."""
    import torch

    matmul, name = torch.ops.aten.matmul.default, constants.name_for(node)
    for matrix in rows:
        if not _is_identity(matrix):
            held = constants.add(program, f"{name}.rows", matrix[None, None] if expand else matrix)
            made = edit.emit(node, matmul, (_expanded(held, made, node, expand), made))
    if columns is not None and not _is_identity(columns):
        held = constants.add(program, f"{name}.columns", columns.T[None, None] if expand else columns.T)
        made = edit.emit(node, matmul, (made, _expanded(held, made, node, expand)))
    return made


def _is_identity(matrix: torch.Tensor) -> bool:
    import torch

    return matrix.shape[0] == matrix.shape[1] and torch.equal(matrix, torch.eye(len(matrix)))


def _expanded(held: torch.fx.Node, source: torch.fx.Node, node: torch.fx.Node, expand: bool) -> torch.fx.Node:
    import torch

    if not expand:
        return held
    batch, channels = edit.shape(source)[:2]
    shape = [batch, channels, *edit.shape(held)[-2:]]
    return edit.emit(node, torch.ops.aten.expand.default, (held, shape))
