"""Images in one .npz file."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from calibration.samples.npz import SAMPLES
from edgevit.core.errors import InputError
from edgevit.core.plugins import Survey

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 6, 7, 3), np.uint8)


def test_reads_images_and_labels(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, images=IMAGES, labels=np.arange(5, dtype=np.uint8))
    samples = SAMPLES.open(str(path), tuple("abcde"))
    assert samples.labels == (0, 1, 2, 3, 4) and len(samples.names) == 5
    np.testing.assert_array_equal(samples.read(2), IMAGES[2])


@pytest.mark.parametrize("mode", ["L", "RGBA"])
def test_grey_and_rgba_become_rgb_as_pillow_does(tmp_path: Path, mode: str) -> None:
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 256, (6, 7, 4), np.uint8)).convert(mode)
    array = np.asarray(picture)[None]
    np.savez(tmp_path / "a.npz", images=array if mode == "RGBA" else array[..., None])
    samples = SAMPLES.open(str(tmp_path / "a.npz"), ())
    assert samples.labels is None
    np.testing.assert_array_equal(samples.read(0), np.asarray(picture.convert("RGB")))


@pytest.mark.parametrize("labels", [[0, 1, 2, 3], [0, 1, 2, 3, 5], [0, 1, 2, 3, -1], [0.0, 1, 2, 3, 4]])
def test_labels_that_cannot_be_classes_are_refused(tmp_path: Path, labels: list[float]) -> None:
    np.savez(tmp_path / "a.npz", images=IMAGES, labels=np.asarray(labels))
    with pytest.raises(InputError, match="labels"):
        SAMPLES.open(str(tmp_path / "a.npz"), tuple("abcde"))


@pytest.mark.parametrize("images", [IMAGES.astype(np.float32), IMAGES[0, 0], IMAGES[..., :2], IMAGES[:0]])
def test_images_of_another_shape_or_type_are_refused(tmp_path: Path, images: object) -> None:
    np.savez(tmp_path / "a.npz", images=images)
    with pytest.raises(InputError, match="images"):
        SAMPLES.open(str(tmp_path / "a.npz"), ())


def test_pickled_arrays_are_never_loaded(tmp_path: Path) -> None:
    marker = tmp_path / "ran"

    class Attack:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (marker,))

    np.savez(tmp_path / "a.npz", images=np.asarray([Attack()], object))
    (tmp_path / "b.npz").write_bytes(pickle.dumps(Attack()))
    for name in ("a.npz", "b.npz"):
        with pytest.raises(InputError, match="pickle"):
            SAMPLES.open(str(tmp_path / name), ())
    assert not marker.exists()


def test_missing_file_missing_array_and_damage_are_errors(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with pytest.raises(InputError, match="does not exist"):
        SAMPLES.open(str(path), ())
    np.savez(path, x=IMAGES)
    with pytest.raises(InputError, match="`images`"):
        SAMPLES.open(str(path), ())
    np.savez_compressed(path, images=IMAGES)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError):
        SAMPLES.open(str(path), ())


def test_an_archive_that_unpacks_to_an_absurd_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, images=IMAGES)
    forged = bytearray(path.read_bytes())
    entry = forged.rindex(b"PK\x01\x02")
    forged[entry + 24 : entry + 28] = (0xFFFF0000).to_bytes(4, "little")  # declared as 4 GiB
    path.write_bytes(bytes(forged))
    with pytest.raises(InputError, match="absurd"):
        SAMPLES.open(str(path), ())


def test_images_are_counted_from_the_header_alone(tmp_path: Path) -> None:
    """The pixels are cut away: whoever decodes them fails."""
    whole = tmp_path / "a.npz"
    np.savez(whole, labels=np.arange(5), images=IMAGES)
    assert SAMPLES.survey(str(whole)) == Survey(5, labelled=True)
    np.savez_compressed(tmp_path / "b.npz", images=IMAGES)
    assert SAMPLES.survey(str(tmp_path / "b.npz")) == Survey(5, labelled=False)
    np.savez(tmp_path / "c.npz", pictures=IMAGES)
    for name in ("c.npz", "missing.npz"):
        with pytest.raises(InputError):
            SAMPLES.survey(str(tmp_path / name))
    (tmp_path / "d.npz").write_bytes(whole.read_bytes()[:200])
    with pytest.raises(InputError, match="damaged|readable"):
        SAMPLES.survey(str(tmp_path / "d.npz"))


def test_what_stands_beside_images_without_labels_is_named(tmp_path: Path) -> None:
    """`y` may be the labels: without a word the accuracy would just be missing."""
    np.savez(tmp_path / "y.npz", images=IMAGES, y=np.arange(5))
    assert SAMPLES.open(str(tmp_path / "y.npz"), ()).warnings == (
        f"{tmp_path / 'y.npz'} has no array `labels`; y in it is not read",
    )
    np.savez(tmp_path / "both.npz", images=IMAGES, labels=np.arange(5), names=np.arange(5))
    np.savez(tmp_path / "alone.npz", images=IMAGES)
    for name in ("both.npz", "alone.npz"):
        assert SAMPLES.open(str(tmp_path / name), ()).warnings == ()


def test_nobody_is_told_to_let_numpy_run_a_file(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("no archive")
    np.savez(tmp_path / "objects.npz", images=np.array([{"a": 1}] * 5, object))
    for name in ("text.npz", "objects.npz"):
        with pytest.raises(InputError, match="no file of NumPy's, or holds Python objects") as raised:
            SAMPLES.open(str(tmp_path / name), ())
        assert "pickle" not in raised.value.message
