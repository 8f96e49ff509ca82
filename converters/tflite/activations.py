"""Which tensor of the float file is the result of which operation of the program.

Names are a lead: the converter puts an operation's name in front of the names of what it makes of it, but it also joins
operations and makes several of one. Values are the proof: both are executed once on the same image, and a tensor is an
operation's result where its values, sorted, are that operation's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from converters.tflite import flatbuffer as tfl
from converters.tflite import kernels
from edgevit.core.require import require
from edgevit.core.types import Graph

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from converters.tflite.objects import Model

_CONFIRMED: Final = 1e-4  # relative error, 40 dB
_SEED: Final = 0


def locate(model: Model, graph: Graph, reversed_channels: bool) -> dict[int, str]:
    """Tensor -> site, for the results of operators that compute; tensors that no site has are left out."""
    import numpy as np
    import torch

    part = tfl.graph(model)
    height, width, channels = (int(n) for n in part.tensors[int(part.inputs[0])].shape[1:])
    generator = torch.Generator().manual_seed(_SEED)
    image = torch.randn(1, channels, height, width, generator=generator)
    there = _of_program(graph, image)
    taken = image.flip(1) if reversed_channels else image
    computed = [
        int(t)
        for operator in part.operators
        if tfl.kind(model, operator) not in kernels.MOVES - kernels.JOINS
        for t in operator.outputs
    ]
    here = _of_file(model, np.ascontiguousarray(taken.permute(0, 2, 3, 1).numpy()), computed)
    by_size: dict[int, list[str]] = {}
    for site, values in there.items():
        by_size.setdefault(values.size, []).append(site)
    found = {}
    for tensor in computed:
        stem = tfl.text(part.tensors[tensor].name).partition(";")[0]
        named = [site for site in (stem, stem.partition("#")[0]) if site in there]
        candidates = [*named, *by_size.get(here[tensor].size, ())]
        site = next((site for site in candidates if _same(there[site], here[tensor])), "")
        if site:
            found[tensor] = site
    return found


def _same(wanted: NDArray[np.float32], given: NDArray[np.float32]) -> bool:
    import numpy as np

    if wanted.size != given.size:
        return False
    error = np.square(wanted - given, dtype=np.float64).sum()
    return bool(error <= _CONFIRMED * np.square(wanted, dtype=np.float64).sum())


def _of_program(graph: Graph, image: torch.Tensor) -> dict[str, NDArray[np.float32]]:
    """Sorted values of every operation's result."""
    from edgevit.program.run import run
    from edgevit.program.sites import named

    def observe(node: torch.fx.Node, value: Any) -> dict[str, torch.Tensor]:
        real = hasattr(value, "is_floating_point") and value.is_floating_point()
        return {named(node): value.reshape(1, -1).sort(dim=1).values} if real and named(node) else {}

    seen = run(graph, image, observe=observe)[1]
    return {site: values[0].reshape(-1).numpy() for site, values in seen.items()}


def _of_file(model: Model, image: NDArray[np.float32], tensors: list[int]) -> dict[int, NDArray[np.float32]]:
    """The same of tensors of the file."""
    import numpy as np

    copy = tfl.duplicate(model)
    part = tfl.graph(copy)
    known = [int(t) for t in part.outputs]
    part.outputs = np.asarray([*known, *(t for t in dict.fromkeys(tensors) if t not in known)], np.int32)
    litert = require("ai_edge_litert.interpreter", tfl.EXTRA)
    interpreter = litert.Interpreter(model_content=bytes(tfl.pack(copy)), num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(int(part.inputs[0]), image)
    interpreter.invoke()
    return {t: np.sort(np.asarray(interpreter.get_tensor(t), np.float32).ravel()) for t in tensors}
