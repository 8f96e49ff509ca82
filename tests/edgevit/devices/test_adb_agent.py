"""The agent on a phone that has Python, over the real adb: it measures, goes on after a break, and is gone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from edgevit.core.errors import DeviceError, DeviceLostError
from edgevit.core.runner import DeviceFile, RunOptions
from edgevit.core.types import Preprocess
from edgevit.devices._android import open_place
from edgevit.devices.session import Chunk, Session, connect, persist
from edgevit.formats import preprocess_json
from edgevit.runtimes.litert import RUNTIME
from tests._phone import Phone, Server, phone
from tests.edgevit.runtimes.litert import _tflite_files as files

PREPROCESS = Preprocess(2, 2, (2, 2), mean=(0.0, 0.5, 1.0), std=(1.0, 0.5, 0.25))
NOTES = {"edgevit.preprocess": preprocess_json.dumps(PREPROCESS, "NHWC").encode()}
PIXELS = np.random.default_rng(0).integers(0, 256, (6, 2, 2, 3), np.uint8)


@dataclass(frozen=True)
class Model:
    path: Path
    file: DeviceFile


@pytest.fixture
def device(tmp_path: Path, adb: Server) -> Iterator[Phone]:
    with phone(tmp_path / "phone", adb, python=True) as device:
        yield device


@pytest.fixture
def model(tmp_path: Path) -> Model:
    path = files.image_model(tmp_path / "m.tflite", NOTES)
    assert RUNTIME.on_device is not None
    return Model(path, RUNTIME.on_device(path, RunOptions(threads=1)))


@contextmanager
def session() -> Iterator[Session]:
    with open_place("adb") as place, connect(place) as session:
        yield session


def test_it_says_hello_and_measures(device: Phone, model: Model) -> None:
    with session() as agent:
        assert agent.fingerprint.python and agent.fingerprint.runtimes["ai-edge-litert"]
        remote = agent.store.put(model.path)
        assert remote.startswith("/data/local/tmp/edgevit/files/")
        block = agent.time(
            {remote: model.file}, runs=5, seconds=0.0, threads=1, cpus=(0,), unit="all", timeout=60.0
        )
        assert len(block.files[0].wall_ms) == 5 and block.files[0].executed_by.startswith("litert")
        pushed = len(device.commands)
        assert agent.store.put(model.path) == remote
        assert len(device.commands) == pushed, "it is there already"
    assert device.left() == []


def test_a_batch_goes_on_where_the_connection_broke(tmp_path: Path, device: Phone, model: Model) -> None:
    outputs = [tmp_path / f"{number}.npz" for number in range(3)]
    finished: list[Path] = []
    notes: list[str] = []

    def work(agent: Session) -> None:
        remote = agent.store.put(model.path)
        chunks = []
        for number, output in enumerate(outputs):
            if output not in finished:
                np.save(tmp_path / "pixels.npy", PIXELS[2 * number : 2 * number + 2])
                chunks.append(Chunk(agent.store.put_array(tmp_path / "pixels.npy"), output))

        def done(chunk: Chunk, images: int) -> None:
            finished.append(chunk.outputs)
            if len(finished) == 1:
                device.drop()

        agent.execute(remote, model.file, tuple(chunks), threads=1, unit="all", timeout=60.0, done=done)

    persist(session, work, notes.append)
    assert finished == outputs, "none of them twice"
    assert len(notes) == 1 and device.serial in notes[0]
    with RUNTIME.open(model.path, RunOptions(threads=1)) as runner:
        expected = runner.run(PIXELS)["logits"]
    computed = np.concatenate([np.load(output)["arr_0"] for output in outputs])
    np.testing.assert_array_equal(computed.reshape(expected.shape), expected)
    assert device.left() == []


def test_a_phone_that_stays_away(device: Phone, model: Model) -> None:
    with session() as agent:
        device.vanish()
        with pytest.raises(DeviceLostError, match="is offline"):
            agent.store.put(model.path)


def test_a_phone_without_python(tmp_path: Path, adb: Server) -> None:
    with phone(tmp_path / "phone", adb), pytest.raises(DeviceError, match="has no Python"), session():
        pass
