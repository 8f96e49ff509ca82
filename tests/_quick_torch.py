"""Two lookups that PyTorch's exporter makes anew for each program, made once for all tests. Importing it does it.

`ExportedProgram.run_decompositions` asks the dispatcher for all of its composite operators, once for each of 37
namespaces, and evaluates the annotations of 5,800 inner functions. For a program of two layers that is half of the time
(0.13 of 0.30 s), and the tests export some thousand programs. What is found is the same each time; when a library adds
a namespace, all are asked again.
"""

from __future__ import annotations

import functools
import typing
from collections.abc import Callable
from typing import Any

import torch
from torch import _ops
from torch._export import utils


def _once_for_each_namespace(walk: Callable[[], None]) -> Callable[[], None]:
    done = functools.cache(lambda namespaces: walk())
    return lambda: done(len(torch.ops._dir))


_private: Any = utils
_private._materialize_cpp_cia_ops = _once_for_each_namespace(_private._materialize_cpp_cia_ops)
_private._collect_all_valid_cia_ops()  # now, so that what is forked from here has it
_annotated: Any = _ops
_annotated.Callable = typing.Callable  # which remembers what Callable[P, T] is; the other makes it anew
