"""Names under which every file says what it is, and which site of a plan an operation belongs to.

ONNX keeps them in `metadata_props` of the model and of its nodes, TFLite as named metadata buffers, Core ML in the
user-defined metadata of the package.
"""

from typing import Final

PREPROCESS: Final = "edgevit.preprocess"
LABELS: Final = "edgevit.labels"
HEADS: Final = "edgevit.heads"
OUTPUT: Final = "edgevit.output"
MODEL: Final = "edgevit.model"
PRECISION: Final = "edgevit.precision"
BACKEND: Final = "edgevit.backend"  # of a file that was made for another than its target's usual one
DEPLOYMENT: Final = "edgevit.deployment"
HTP_ARCH: Final = "edgevit.htp_arch"  # of Qualcomm's NPU: what the file was made and judged for
AUTHOR: Final = "edgevit.author"
LICENSE: Final = "edgevit.license"

SITE: Final = "edgevit.site"  # of one operation; in a program also of what a converter makes of it
SITES: Final = (
    "edgevit.sites"  # of several: of a node that does the work of all of them, or of a whole package
)
ROLE: Final = "edgevit.role"
MEAN_FREE: Final = "edgevit.mean_free"  # of a layer norm in a program: what it reads has no mean
