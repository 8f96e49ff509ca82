"""The history of a small repository, every build converted and executed for real, and what its gate says to each."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from bench._gate.history import Repository, Step, play
from tests._command import edgevit

N, CLASSES, SIDE = 1200, 4, 16
NETS = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 32, 8, 8), nn.LayerNorm(32)
        self.layers = nn.Sequential(*(nn.Sequential(nn.Linear(32, 32), nn.GELU()) for _ in range(4)))
        self.head = nn.Linear(32, 4)

    def forward(self, image):
        value = self.norm(self.stem(image).flatten(2).transpose(1, 2))
        return self.head(value.mean(1) + self.layers(value).mean(1))
"""


def run(*arguments: str) -> tuple[int, str, str]:
    done = edgevit(*arguments)
    return done.returncode, done.stdout, done.stderr


def trained(pixels: np.ndarray, labels: np.ndarray) -> tuple[torch.nn.Module, torch.Tensor]:
    """The net with random weights, whose head is a ridge regression; and its inputs."""
    torch.manual_seed(0)
    scope: dict[str, type[torch.nn.Module]] = {}
    exec(NETS, scope)
    net = scope["Net"]().eval()
    inputs = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    head, net.head = net.head, torch.nn.Identity()
    with torch.no_grad():
        features = net(inputs).double()
        wanted = torch.nn.functional.one_hot(torch.from_numpy(labels), CLASSES).double() - 1 / CLASSES
        centre = features.mean(0)
        rest = features - centre
        fitted = torch.linalg.solve(
            rest.T @ rest + 0.01 * torch.eye(32, dtype=torch.float64), rest.T @ wanted
        )
        head.weight.copy_(10 * fitted.T)
        head.bias.copy_(10 * (1 / CLASSES - centre @ fitted))
    net.head = head
    return net, inputs


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Step]:
    folder = tmp_path_factory.mktemp("history")
    (folder / "nets.py").write_text(NETS)
    random = np.random.default_rng(0)
    labels = random.integers(0, CLASSES, N)
    shapes = random.normal(128, 30, (CLASSES, SIDE, SIDE, 3))
    pixels = np.clip(shapes[labels] + random.normal(0, 75, (N, SIDE, SIDE, 3)), 0, 255).astype(np.uint8)
    np.savez(folder / "images.npz", images=pixels, labels=labels)
    np.savez(folder / "others.npz", images=255 - pixels, labels=labels)
    net, inputs = trained(pixels, labels)
    weights = {name: value.clone() for name, value in net.state_dict().items()}

    def noised(share: float) -> dict[str, torch.Tensor]:
        drawn = torch.Generator().manual_seed(1)
        return {k: v + share * v.std() * torch.randn(v.shape, generator=drawn) for k, v in weights.items()}

    def top1(state: dict[str, torch.Tensor]) -> float:
        net.load_state_dict(state)
        with torch.no_grad():
            return float((net(inputs).argmax(1).numpy() == labels).mean())

    whole, low, high = top1(weights), 0.0, 1.0
    assert 0.7 < whole < 0.99
    for _ in range(8):
        middle = (low + high) / 2
        low, high = (low, middle) if whole - top1(noised(middle)) > 0.05 else (middle, high)
    moved = {k: torch.roll(v, 1, 0) if k.startswith("head.") else v for k, v in weights.items()}
    for name, state in (
        ("first", weights),
        ("noisy", noised(0.0005)),
        ("worse", noised(high)),
        ("moved", moved),
    ):
        save_file({k: v.contiguous() for k, v in state.items()}, folder / f"{name}.safetensors")
    (folder / "names.txt").write_text("a\nb\nc\nd\n")
    (folder / "turned.txt").write_text("d\na\nb\nc\n")
    np.savez(folder / "turned.npz", images=pixels, labels=(labels + 1) % CLASSES)

    def build(state: str, names: str = "names", images: str = "images", count: int = N) -> tuple[str, ...]:
        return (
            *(
                f"python:{folder / 'nets.py'}:Net",
                "--image-size",
                str(SIDE),
                "--preprocess",
                "normalize=0..1",
            ),
            *("--weights", str(folder / f"{state}.safetensors"), "--labels", str(folder / f"{names}.txt")),
            *("--to", "onnx,tflite", "--precision", "w8a8", "--calibrate", str(folder / "images.npz")),
            *("--evaluate", str(folder / f"{images}.npz"), "--evaluate-count", str(count)),
        )

    repository = Repository(
        build=build("first"),
        noisy=build("noisy"),
        worse=build("worse"),
        reordered=build("moved", "turned", "turned"),
        few=build("first", count=60),
        others=build("first", images="others"),
        bad_range="tflite",
        gate=("--max-latency-regression", "off"),
    )
    return {step.name: step for step in play(repository, folder, run, lambda step: None)}


# Nineteen conversions: what the gate says to each is tested with drawn answers in test_gate.py.
@pytest.mark.family
def test_each_build_gets_the_message_that_it_deserves(history: dict[str, Step]) -> None:
    codes = {name: step.exit_code for name, step in history.items()}
    assert codes == {
        "unchanged rebuild": 0,
        "a little noise": 0,
        "weights two points worse": 1,
        "a bad range": 1,
        "lost integers": 1,
        "labels in another order": 1,
        "one target gone": 1,
        "sixty images": 4,
        "another image set": 2,
    }, {name: step.message for name, step in history.items()}
    assert {(s, "accuracy") for s in ("float model", "onnx/w8a8", "tflite/w8a8")} <= history[
        "weights two points worse"
    ].regressed
    assert {subject for subject, _ in history["a bad range"].regressed} == {"tflite/w8a8"}
    assert ("onnx/w8a8", "integer") in history["lost integers"].regressed
    assert history["labels in another order"].regressed == {("float model", "labels")}
    assert "'a' was 0 and is 1" in history["labels in another order"].message
    assert history["one target gone"].regressed == {("tflite/w8a8", "present")}
    assert "images would decide, 60 are here" in history["sixty images"].message
    assert "another image set" in history["another image set"].message
