"""What a comparison layer by layer finds: the fields are those of `edgevit diff --json`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgevit.core.precisions import Precision
from edgevit.core.version import SchemaVersion


@dataclass(frozen=True, slots=True)
class LayerComparison:
    """One site of the reference and its tensor in the artifact, over all images.

    Attributes:
        site, kind: name and role; `module` is the path of the torch module that it belongs to.
        tensor: what the artifact calls it.
        sqnr_db, cosine, max_abs: the artifact's output against PyTorch's, both from the *artifact's*
            own inputs of the site: the layer's own error, whatever happened before it.
        input_sqnr_db: the artifact's inputs of the site against the reference's.
        total_sqnr_db: the artifact's output against the reference's.
        wrong: the layer's own error is above what the artifact's precision allows.
    """

    site: str
    module: str
    kind: str
    tensor: str
    sqnr_db: float
    cosine: float
    max_abs: float
    input_sqnr_db: float
    total_sqnr_db: float
    wrong: bool


@dataclass(frozen=True, slots=True)
class FirstWrong:
    """Where the artifact goes wrong first.

    Attributes:
        sqnr_db, input_sqnr_db: as in `LayerComparison`; None where the layer's output is not in the artifact,
            so that only the next one behind it shows the error.
        line: place in the model's code, "" if unknown.
        between: sites that are computed between the last right values and the first wrong one
            and cannot be looked at one by one; the fault may be in any of them.
    """

    site: str
    module: str
    kind: str
    sqnr_db: float | None
    input_sqnr_db: float | None
    line: str
    between: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NotFound:
    """A site without a tensor of its own in the artifact, and why."""

    site: str
    reason: str


@dataclass(frozen=True, slots=True)
class Difference:
    """All layers of an artifact against the reference.

    Attributes:
        threshold_db: own error of a layer from which on it is right.
        images: number of images.
        layers: in execution order.
        compared: number of layers.
        matched_by: `name` if the artifact carries site names, `value` for files of other tools.
        notes: what the user should know about the comparison.
        compared_as: what the first outputs were brought to, why, and their SQNR; "" where both are alike.
        explanation: why the outputs differ: another input; "" where nothing explains it.
    """

    schema_version: SchemaVersion
    artifact: str
    reference: str
    executed_by: str
    precision: Precision
    threshold_db: float
    images: int
    matched_by: Literal["name", "value"]
    layers: tuple[LayerComparison, ...]
    first_wrong: FirstWrong | None
    compared: int
    not_found: tuple[NotFound, ...]
    notes: tuple[str, ...] = ()
    compared_as: str = ""
    explanation: str = ""

    @property
    def same(self) -> bool:
        """Whether the artifact is the reference's model, in whatever form it gives the output."""
        return self.first_wrong is None and not self.explanation
