"""LiteRT's own profile of a file, which its Python API does not give: through the C functions of libLiteRt.so.

What is called is litert/c/{litert_common,litert_compiled_model,litert_tensor_buffer,litert_profiler}.h of
https://github.com/google-ai-edge/LiteRT. Options travel as a text under a name: `runtime_options_string` with
`enable_profiling = true` makes the compiled model keep a profiler, upon which the XNNPACK delegate tells each of its
kernels; `xnnpack` takes the number of threads. A library that knows no such texts is refused, not called.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from .opened import installed

_RUNTIME_OPTIONS = b"runtime_options_string"
_CPU_OPTIONS = b"xnnpack"
_CPU = 1
_LOCK_WRITE = 1
# tflite::Profiler::EventType: an operator of the file, and two kinds of what a delegate executes.
_OPERATOR, _DELEGATE = 1 << 1, (1 << 2, 1 << 3)
# The profiler of a compiled model keeps so many events, the latest.
_KEPT = 2048
_ROOM = 512  # bytes for one event, whatever its size


class Kernel(NamedTuple):
    """What was executed at one moment of a run.

    Attributes:
        tag: the delegate's name of the kernel, with its types, or the operator's.
        node: index of the operator in the file; -1 inside a delegate, which does not say.
        us: microseconds of each run, whole ones, rounded down.
    """

    tag: str
    node: int
    us: list[int]


def kernels(
    path: str, data: bytes, threads: int, runs: int, warm_up: Callable[[Callable[[], None]], int]
) -> list[Kernel]:
    """Execute a file with its profiler on, and give its kernels in the order of their execution.

    Args:
        data: content of its input.
        runs: how many are profiled, after `warm_up` was given the call.

    Raises:
        NotImplementedError: this LiteRT gives no such profile, with the reason.
    """
    lib = _Library()
    model = _Model(lib, path, threads)
    model.fill(data)
    warm_up(model.run)
    profiler = lib.new("CompiledModelGetProfiler", model.compiled)
    found: list[Kernel] = []
    for number in range(runs):
        lib.call("StartProfiler", profiler)
        model.run()
        lib.call("StopProfiler", profiler)
        events = _events(lib, profiler)
        if number == 0:
            found = [Kernel(tag, node, []) for tag, node, _ in events]
        if [(kernel.tag, kernel.node) for kernel in found] != [(tag, node) for tag, node, _ in events]:
            raise NotImplementedError(lib.version + " tells other kernels in each run")
        for kernel, (_, _, us) in zip(found, events):
            kernel.us.append(us)
    if not found:
        raise NotImplementedError(lib.version + " tells no kernels of this file")
    return found


class _Library:
    """Functions of libLiteRt.so that return a status, 0 for success."""

    def __init__(self) -> None:
        import ai_edge_litert

        self.version = "LiteRT " + installed("ai-edge-litert")
        folder = os.path.dirname(str(ai_edge_litert.__file__))
        for name in ("libLiteRt.so", "libLiteRt.dylib"):
            path = os.path.join(folder, name)
            if os.path.exists(path):
                break
        else:
            raise NotImplementedError(self.version + " has no libLiteRt to ask for a profile")
        with open(path, "rb") as file:
            if _RUNTIME_OPTIONS not in file.read():
                raise NotImplementedError(self.version + " takes its options in a way that is not known here")
        self._lib = ctypes.CDLL(path)

    def call(self, name: str, *arguments: Any) -> None:
        """Raises NotImplementedError where it is missing or fails."""
        try:
            function = getattr(self._lib, "LiteRt" + name)
        except AttributeError:
            raise NotImplementedError(self.version + " has no function LiteRt" + name) from None
        function.restype = ctypes.c_int
        status = function(*arguments)
        if status != 0:
            raise NotImplementedError(f"{self.version}: LiteRt{name} gave status {status}")

    def new(self, name: str, *arguments: Any) -> ctypes.c_void_p:
        """What a function leaves behind its last argument."""
        made = ctypes.c_void_p()
        self.call(name, *arguments, ctypes.byref(made))
        return made

    def count(self, name: str, *arguments: Any) -> int:
        """The same for a size_t."""
        size = ctypes.c_size_t()
        self.call(name, *arguments, ctypes.byref(size))
        return size.value


class _Model:
    """A compiled model with buffers for its ends. Nothing is freed: the process ends after it."""

    def __init__(self, lib: _Library, path: str, threads: int) -> None:
        self.lib = lib
        self._kept: list[Any] = []
        self._environment = lib.new("CreateEnvironment", ctypes.c_int(0), None)
        options = lib.new("CreateOptions")
        lib.call("SetOptionsHardwareAccelerators", options, ctypes.c_int(_CPU))
        self._option(options, _RUNTIME_OPTIONS, b"enable_profiling = true\n")
        self._option(options, _CPU_OPTIONS, b"num_threads = %d\n" % threads)
        model = lib.new("CreateModelFromFile", self._environment, os.fsencode(path))
        self.compiled = lib.new("CreateCompiledModel", self._environment, model, options)
        graph = lib.new("GetModelSubgraph", model, ctypes.c_size_t(0))
        self._inputs, self._outputs = self._buffers(graph, "Input"), self._buffers(graph, "Output")

    def fill(self, data: bytes) -> None:
        """Write what the one input holds."""
        buffer = ctypes.c_void_p(self._inputs[0])
        size = self.lib.count("GetTensorBufferPackedSize", buffer)
        if len(self._inputs) != 1 or size != len(data):
            raise NotImplementedError(f"{self.lib.version}: the input has {size} bytes, not {len(data)}")
        address = ctypes.c_void_p()
        self.lib.call("LockTensorBuffer", buffer, ctypes.byref(address), ctypes.c_int(_LOCK_WRITE))
        ctypes.memmove(address, data, size)
        self.lib.call("UnlockTensorBuffer", buffer)

    def run(self) -> None:
        """Execute once."""
        ends = (
            ctypes.c_size_t(len(self._inputs)),
            self._inputs,
            ctypes.c_size_t(len(self._outputs)),
            self._outputs,
        )
        self.lib.call("RunCompiledModel", self.compiled, ctypes.c_size_t(0), *ends)

    def _option(self, options: ctypes.c_void_p, name: bytes, text: bytes) -> None:
        content = ctypes.create_string_buffer(text)
        leave = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: None)
        self._kept += [content, leave]
        option = self.lib.new("CreateOpaqueOptions", ctypes.c_char_p(name), content, leave)
        self.lib.call("AddOpaqueOptions", options, option)

    def _buffers(self, graph: ctypes.c_void_p, end: str) -> Any:
        found = []
        for index in range(self.lib.count(f"GetNumSubgraph{end}s", graph)):
            tensor = self.lib.new(f"GetSubgraph{end}", graph, ctypes.c_size_t(index))
            kind = ctypes.create_string_buffer(1024)  # LiteRtRankedTensorType
            self.lib.call("GetRankedTensorType", tensor, kind)
            needs = self.lib.new(
                f"GetCompiledModel{end}BufferRequirements",
                self.compiled,
                ctypes.c_size_t(0),
                ctypes.c_size_t(index),
            )
            made = self.lib.new("CreateManagedTensorBufferFromRequirements", self._environment, kind, needs)
            found.append(made)
        return (ctypes.c_void_p * len(found))(*found)


def _events(lib: _Library, profiler: ctypes.c_void_p) -> list[tuple[str, int, int]]:
    """Tag, node and microseconds of what was executed in the last run."""
    number = ctypes.c_int()
    lib.call("GetNumProfilerEvents", profiler, ctypes.byref(number))
    count = number.value
    if count >= _KEPT:
        raise NotImplementedError(f"{lib.version} keeps {_KEPT} moments of a run, and this file has more")
    if count < 1:
        return []
    copies = []
    for filled in (b"\xa5", b"\x5a"):
        buffer = ctypes.create_string_buffer(filled * (count * _ROOM), count * _ROOM)
        lib.call("GetProfilerEvents", profiler, ctypes.c_int(count), buffer)
        copies.append(buffer.raw)
    size = _size(copies[0], copies[1], count)
    found = []
    for begin in range(0, count * size, size):
        # ProfiledEventData: tag, type, start, elapsed, memory before and after (of a size that differs between
        # versions), two words about the event, source.
        tag, kind, _, elapsed = struct.unpack_from("=QI4xQQ", copies[0], begin)
        about = struct.unpack_from("=Q", copies[0], begin + size - 24)[0]
        if kind == _OPERATOR or kind in _DELEGATE:
            name = (ctypes.c_char_p(tag).value or b"").decode(errors="replace")
            found.append((name, int(about) if kind == _OPERATOR else -1, int(elapsed)))
    return found


def _size(first: bytes, second: bytes, count: int) -> int:
    """Bytes of one event: what was written is the same in two buffers that were filled differently."""
    written = len(first)
    while written and first[written - 1] != second[written - 1]:
        written -= 1
    size = -(-written // (8 * count)) * 8
    if not 64 <= size < _ROOM:
        raise NotImplementedError(f"events of a profile have {size} bytes, which is not known here")
    return size
