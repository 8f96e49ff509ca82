from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgevit.core._plain import from_plain, to_plain
from edgevit.core.plugins import Head
from edgevit.core.process import worker
from edgevit.core.process.sandbox import Sandbox
from edgevit.core.progress import Event
from edgevit.steps.samples import open_samples
from edgevit.steps.thumbnails import Thumbnails, ThumbnailsRequest, Wanted, thumbnails


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes: a wide red picture, a high one of which the left half is blue, and a small grey one."""
    for name in ("cat", "dog"):
        (tmp_path / "images" / name).mkdir(parents=True)
    Image.new("RGB", (400, 200), "red").save(tmp_path / "images/cat/wide.png")
    high = Image.new("RGB", (100, 300), "white")
    high.paste("blue", (0, 0, 50, 300))
    turned = Image.Exif()
    turned[0x0112] = 6  # the first row is the right side: to be turned clockwise
    high.save(tmp_path / "images/cat/turned.jpg", exif=turned, quality=95)
    Image.new("L", (20, 10), 128).save(tmp_path / "images/dog/grey.png")
    return tmp_path / "images"


def made(asked: ThumbnailsRequest) -> tuple[dict[int, Image.Image], str]:
    events: list[Event] = []
    found = thumbnails(asked, events.append)
    return {i: Image.open(io.BytesIO(data)) for i, data in found.pictures().items()}, found.note


def asked(folder: Path, *names: str, pictures: str = "") -> ThumbnailsRequest:
    wanted = tuple(Wanted(index, name) for index, name in enumerate(names))
    return ThumbnailsRequest(samples=str(folder), images=wanted, pictures=pictures)


def digest(folder: Path) -> str:
    return open_samples(str(folder), Head(), "evaluate").digest()


def test_they_are_small_upright_and_in_their_colours(folder: Path) -> None:
    found, note = made(
        asked(folder, "cat/wide.png", "cat/turned.jpg", "dog/grey.png", pictures=digest(folder))
    )
    assert note == "" and {image.format for image in found.values()} == {"JPEG"}
    assert [found[i].size for i in range(3)] == [(96, 48), (96, 32), (20, 10)]
    assert np.abs(np.asarray(found[0], int) - (255, 0, 0)).max() < 8
    upright = np.asarray(found[1].convert("RGB"), int)  # what was left is above
    assert np.abs(upright[2:12, 4:92] - (0, 0, 255)).max() < 40
    assert np.abs(upright[20:30, 4:92] - 255).max() < 40
    assert np.abs(np.asarray(found[2], int) - 128).max() < 4


def test_only_what_is_asked_for_is_made_under_its_own_index(folder: Path) -> None:
    request = ThumbnailsRequest(samples=str(folder), images=(Wanted(1234, "dog/grey.png"),))
    assert list(made(request)[0]) == [1234]


def test_a_photograph_takes_a_few_kilobytes(folder: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    Image.fromarray(noise).save(folder / "dog" / "noise.png")
    found = thumbnails(asked(folder, "dog/noise.png"), lambda event: None)
    assert len(found.made[0].jpeg) < 20_000


@pytest.mark.parametrize("bands", [1, 2, 4, 5])
def test_other_numbers_of_bands_are_shown_too(tmp_path: Path, bands: int) -> None:
    pixels = np.zeros((1, 120, 60, bands), np.uint8)
    pixels[..., 0] = 200
    np.savez(tmp_path / "x.npz", images=pixels)
    text = str(tmp_path / "x.npz")
    request = ThumbnailsRequest(samples=text, images=(Wanted(0, f"{text}[0]"),), channels=bands)
    found, note = made(request)
    assert note == "" and found[0].size == (48, 96)
    expected = (200, 200, 200) if bands < 3 else (200, 0, 0)
    assert np.abs(np.asarray(found[0].convert("RGB"), int) - expected).max() < 12


def test_the_demo_has_pictures() -> None:
    names = open_samples("demo:evaluation", Head(), "evaluate").names
    found, note = made(ThumbnailsRequest(samples="demo:evaluation", images=(Wanted(3, names[3]),)))
    assert note == "" and list(found) == [3]


def test_images_that_are_gone_give_a_note(folder: Path, tmp_path: Path) -> None:
    found, note = made(asked(tmp_path / "elsewhere", "cat/wide.png"))
    assert found == {} and note.startswith("no pictures: ") and "elsewhere" in note
    found, note = made(asked(folder, "cat/wide.png", "cat/gone.png"))
    assert list(found) == [0] and note == f"no picture of 1 of 2 images: {folder} has no image cat/gone.png"


def test_other_images_under_the_same_names_are_not_shown(folder: Path) -> None:
    before = digest(folder)
    Image.new("RGB", (400, 200), "green").save(folder / "cat" / "wide.png")
    found, note = made(asked(folder, "cat/wide.png", pictures=before))
    assert found == {} and "are others than when they were judged" in note


def test_a_damaged_image_leaves_the_others(folder: Path) -> None:
    (folder / "cat" / "wide.png").write_bytes(b"\x89PNG\r\n\x1a\n truncated")
    found, note = made(asked(folder, "cat/wide.png", "dog/grey.png"))
    assert list(found) == [1] and note.startswith("no picture of 1 of 2 images: ") and "wide.png" in note


def test_it_runs_in_a_worker_without_writing_anything(folder: Path) -> None:
    limits = worker.ProcessLimits(timeout_s=120, sandbox=Sandbox())
    plain = to_plain(asked(folder, "cat/wide.png", pictures=digest(folder)))
    job = worker.Job("making pictures", "edgevit.steps.thumbnails:thumbnails", plain, limits)
    found = from_plain(Thumbnails, worker.run_job(job), "result")
    assert base64.b64decode(found.made[0].jpeg).startswith(b"\xff\xd8\xff") and found.note == ""
