"""What quantization decides: a plan, and what its tensors stand for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from edgevit.core.capabilities import BackendCapabilities
from edgevit.core.precisions import Precision
from edgevit.core.quant_params import DynamicQuantization, Palette, QuantParams, weight_scales

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


Part = Literal["weight", "bias", "lut"]
# What a plan may hold of a site.
PARTS: Final[tuple[Part, ...]] = ("weight", "bias", "lut")


@dataclass(frozen=True, slots=True)
class SitePlan:
    """What happens at one site. None means float.

    Attributes:
        site, kind: which layer or product, and its kind: linear, conv, qk, av.
        input, output: static quantization parameters of the activations.
        weight: of the rounded weight, which is the int8 tensor `SITE.weight` of the plan; or `palette`.
        bias: int32 (the tensor `SITE.bias`, with `bias_scales`), float32, or none. Without the tensor a float
            bias is the model's own; with it, one that the plan corrected.
        dynamic: how the kernel quantizes the input while it runs; then `input` is None.
        rhs: of the second operand of a product of two activations (`qk`, `av`), which has no weight.
        sigmoid: of the sigmoid in the SiLU that alone reads the output.
        constants: of the constants besides a weight that the operation reads, in the order of its arguments: the gain
            and the shift of a norm, a position embedding that is added.
    """

    site: str
    kind: str
    input: QuantParams | None
    weight: QuantParams | None
    output: QuantParams | None
    bias: Literal["int32", "float32", "none"]
    palette: Palette | None = None
    dynamic: DynamicQuantization | None = None
    rhs: QuantParams | None = None
    sigmoid: QuantParams | None = None
    constants: tuple[QuantParams, ...] = ()


@dataclass(frozen=True, slots=True)
class QuantPlan:
    """All decisions for one target and precision; plain data, the tensors live in plan.safetensors.

    Attributes:
        compute: the float type of everything that is not integer.
        graph_sha256: digest of the weights of the Graph that the plan was made for.
        skipped: (site, reason) of every site that could have been quantized and was not.
        tensors: `SITE.weight` int8 (uint8 for a palette), `SITE.bias` int32 or float32, `SITE.lut`
            float32; numpy arrays.
        capabilities: what the backend could do when the plan was made.
        outputs: of the model's outputs in a file that gives integers; empty where it gives real numbers.
    """

    target: str
    precision: Precision
    compute: Literal["float32", "float16"]
    graph_sha256: str
    sites: tuple[SitePlan, ...]
    skipped: tuple[tuple[str, str], ...] = ()
    tensors: Mapping[str, NDArray[np.generic]] = field(default_factory=dict, compare=False)
    capabilities: BackendCapabilities = field(kw_only=True)
    outputs: tuple[QuantParams, ...] = ()

    def weight(self, site: str) -> NDArray[np.generic]:
        """The integers of a site's weight, or its indices into a palette, of the weight's shape."""
        return self.tensors[tensor_name(site, "weight")]

    def bias(self, site: str) -> NDArray[np.generic] | None:
        """int32 or float32 (out channels,); None where the plan leaves the model's own."""
        return self.tensors.get(tensor_name(site, "bias"))

    def lut(self, site: str) -> NDArray[np.generic]:
        """The values of a site's palettes, float32 (groups, 2**bits)."""
        return self.tensors[tensor_name(site, "lut")]

    def real_weight(self, planned: SitePlan) -> NDArray[np.float32]:
        """The real values that a planned weight stands for, float32 of its shape."""
        import numpy as np

        stored = self.weight(planned.site)
        if planned.palette is not None:
            lists = np.asarray(self.lut(planned.site), np.float32)
            rows = lists[np.arange(len(stored)) // planned.palette.group]
            indices = stored.reshape(len(stored), -1).astype(np.int64)
            return np.take_along_axis(rows, indices, 1).reshape(stored.shape)
        assert planned.weight is not None, planned.site
        return stored.astype(np.float32) * weight_scales(planned.weight, stored.shape)

    def real_bias(self, planned: SitePlan) -> NDArray[np.float32] | None:
        """The bias that the plan puts in the place of the model's own, float32 (out channels,)."""
        import numpy as np

        stored = self.bias(planned.site)
        if planned.bias == "none" or stored is None:
            return None
        if planned.bias == "float32":
            return np.asarray(stored, np.float32)
        return (stored.astype(np.float64) * bias_scales(planned)).astype(np.float32)


def tensor_name(site: str, part: Part) -> str:
    """The key in `QuantPlan.tensors`."""
    return f"{site}.{part}"


def bias_scales(planned: SitePlan) -> NDArray[np.float64]:
    """What one step of an int32 bias, and of the integer sum it is added to, stands for: (out channels,)."""
    import numpy as np

    assert planned.input is not None and planned.weight is not None, planned.site
    return np.asarray(planned.weight.scale, np.float64) * planned.input.scale[0]
