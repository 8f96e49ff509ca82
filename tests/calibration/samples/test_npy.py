"""Images in a .npy file."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from calibration.samples.npy import SAMPLES
from edgevit.core.errors import InputError
from edgevit.core.plugins import Head, Survey
from edgevit.registries import SAMPLES as KINDS

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 6, 7, 3), np.uint8)


@pytest.mark.parametrize(
    ("array", "wanted"),
    [
        (IMAGES, IMAGES),
        (IMAGES[..., 0], np.repeat(IMAGES[..., :1], 3, axis=3)),
        (IMAGES[..., :1], np.repeat(IMAGES[..., :1], 3, axis=3)),
        (np.asfortranarray(IMAGES), IMAGES),
        (IMAGES[0], IMAGES[:1]),
    ],
)
def test_one_or_many_images_in_grey_or_colour(array: object, wanted: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", array)
    text = str(tmp_path / "a.npy")
    assert [name for name in KINDS.names() if KINDS.get(name).accepts(text)] == ["npy"]
    samples = SAMPLES.open(text, Head(("a", "b"), 2), "evaluate")
    assert samples.labels is None and "no labels" in samples.warnings[0]
    found = np.stack([samples.read(index).pixels for index in range(len(samples.names))])
    np.testing.assert_array_equal(found, wanted)
    assert SAMPLES.survey(text, "evaluate") == Survey(len(wanted), labelled=False)


def test_what_is_no_array_of_pixels_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    wrong = {"float32": IMAGES / np.float32(255), r"uint8 \(3,\)": IMAGES[0, 0, 0], "no images": IMAGES[:0]}
    for words, array in wrong.items():
        np.save(path, array)
        with pytest.raises(InputError, match=words):
            SAMPLES.open(str(path), Head(), "evaluate")
    np.save(path, IMAGES)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError):
        SAMPLES.open(str(path), Head(), "evaluate")
    path.write_bytes(b"\x93NUMPY\x01\x00")
    with pytest.raises(InputError):
        SAMPLES.survey(str(path), "evaluate")


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    marker, path = tmp_path / "ran", tmp_path / "a.npy"

    class Attack:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (marker,))

    np.save(path, np.asarray([Attack()], object))
    (tmp_path / "b.npy").write_bytes(pickle.dumps(Attack()))
    for each in (path, tmp_path / "b.npy"):
        with pytest.raises(InputError):
            SAMPLES.open(str(each), Head(), "evaluate")
    assert not marker.exists()


def test_a_header_that_asks_for_more_than_there_is_is_refused(tmp_path: Path) -> None:
    header = (
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999, 224, 224, 3), }".ljust(117) + b"\n"
    )
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(InputError, match=r"a\.npy"):
        SAMPLES.open(str(tmp_path / "a.npy"), Head(), "evaluate")
