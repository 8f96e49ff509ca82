"""Who makes and who reads each tensor of a flatbuffer, and edits that keep both true."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from converters.tflite import flatbuffer as tfl

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from converters.tflite.objects import Model, Operator


@dataclass(slots=True)
class UseDef:
    """A model being edited. Operators are told apart by identity: their indices change, they do not."""

    model: Model
    operators: list[Operator] = field(default_factory=list)
    makers: dict[int, Operator] = field(default_factory=dict)
    readers: dict[int, list[Operator]] = field(default_factory=dict)
    results: set[int] = field(default_factory=set)
    kinds: dict[int, str] = field(default_factory=dict)
    constants: dict[tuple[int, ...], int] = field(default_factory=dict)

    def shape(self, tensor: int) -> tuple[int, ...]:
        """Shape of a tensor; a scalar's is empty."""
        found = tfl.graph(self.model).tensors[tensor].shape
        return () if found is None else tuple(int(n) for n in found)

    def set_shape(self, tensor: int, shape: Sequence[int]) -> None:
        """Give a computed tensor another shape of as many elements."""
        import numpy as np

        tfl.graph(self.model).tensors[tensor].shape = np.asarray(shape, np.int32)

    def dtype(self, tensor: int) -> str:
        """Element type as the schema spells it."""
        return tfl.dtype(tfl.graph(self.model).tensors[tensor])

    def kind(self, operator: Operator) -> str:
        """Type of an operator as the schema spells it."""
        index = operator.opcodeIndex
        if index not in self.kinds:
            self.kinds[index] = tfl.kind(self.model, operator)
        return self.kinds[index]

    def integers(self, tensor: int) -> tuple[int, ...] | None:
        """Value of a constant of integers, None if it is computed."""
        value = tfl.constant(self.model, tensor)
        return None if value is None else tuple(int(n) for n in value.ravel())

    def maker(self, tensor: int, kind: str) -> Operator | None:
        """The operator of type `kind` that makes the tensor, else None."""
        found = self.makers.get(tensor)
        return found if found is not None and self.kind(found) == kind else None

    def only_reader(self, tensor: int) -> Operator | None:
        """The operator that is all that reads the tensor, else None."""
        found = self.readers.get(tensor, [])
        return found[0] if len(found) == 1 and tensor not in self.results else None

    def constant(self, values: Sequence[int], like: str) -> int:
        """A vector of int32, made once for equal values."""
        import numpy as np

        key = tuple(values)
        if key not in self.constants:
            value: NDArray[np.generic] = np.asarray(key, np.int32)
            self.constants[key] = tfl.add_tensor(self.model, like, [len(key)], "INT32", value)
        return self.constants[key]

    def add_like(self, tensor: int, shape: Sequence[int]) -> int:
        """A new float tensor, named after another."""
        old = tfl.graph(self.model).tensors[tensor]
        return tfl.add_tensor(self.model, tfl.text(old.name), shape, self.dtype(tensor))

    def insert(
        self, before: Operator, name: str, version: int, inputs: Sequence[int], outputs: Sequence[int]
    ) -> Operator:
        """A new operator in front of another."""
        made = tfl.new_operator(self.model, name, version, inputs, outputs)
        made.inputs, made.outputs = list(inputs), list(outputs)
        position = next(i for i, o in enumerate(self.operators) if o is before)
        self.operators.insert(position, made)
        self.update()
        return made

    def remove(self, operator: Operator) -> None:
        """Take out an operator whose outputs nobody reads."""
        self.operators[:] = [o for o in self.operators if o is not operator]
        self.update()

    def drop(self, tensor: int) -> None:
        """Remove the operators that made what nobody reads any more."""
        maker = self.makers.get(tensor)
        if maker is None or any(t in self.results or self.readers.get(t) for t in maker.outputs):
            return
        self.remove(maker)
        for source in maker.inputs:
            self.drop(source)

    def replace(self, old: int, new: int) -> bool:
        """Let all that reads `old` read `new`; False where both are outputs or the outside sees the shape."""
        if old in self.results and (
            new in self.results or new not in self.makers or self.shape(old) != self.shape(new)
        ):
            return False
        part = tfl.graph(self.model)
        for operator in self.readers.get(old, []):
            operator.inputs = [new if t == old else t for t in operator.inputs]
        if old in self.results:
            part.outputs = [new if int(t) == old else int(t) for t in part.outputs]
            for signature in self.model.signatureDefs or ():
                for entry in signature.outputs:
                    if int(entry.tensorIndex) == old:
                        entry.tensorIndex = new
        self.update()
        return True

    def update(self) -> None:
        """Follow the operators again."""
        self.makers = {t: o for o in self.operators for t in o.outputs}
        self.readers = {}
        for operator in self.operators:
            for tensor in set(operator.inputs):
                self.readers.setdefault(tensor, []).append(operator)
        self.results = {int(t) for t in tfl.graph(self.model).outputs}


def edit(model: Model, passes: Sequence[Callable[[UseDef], int]]) -> None:
    """Apply the passes in turn until none of them changes anything; drop what nobody reads."""
    import numpy as np

    part = tfl.graph(model)
    for operator in part.operators:
        operator.inputs = [int(t) for t in operator.inputs]
        operator.outputs = [int(t) for t in operator.outputs]
    use_def = UseDef(model, list(part.operators))
    use_def.update()
    while sum(run(use_def) for run in passes):
        pass
    part.operators = use_def.operators
    for operator in part.operators:
        operator.inputs = np.asarray(operator.inputs, np.int32)
        operator.outputs = np.asarray(operator.outputs, np.int32)
    part.outputs = np.asarray([int(t) for t in part.outputs], np.int32)
