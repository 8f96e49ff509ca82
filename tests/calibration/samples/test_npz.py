"""Images in one .npz file."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from calibration.samples.npz import SAMPLES
from edgevit.core.errors import InputError
from edgevit.core.plugins import Head, Role, Samples, Survey

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 6, 7, 3), np.uint8)


def opened(
    text: str, labels: tuple[str, ...] = (), classes: int | None = None, role: Role = "evaluate"
) -> Samples:
    return SAMPLES.open(text, Head(labels, classes or len(labels) or None), role)


def test_reads_images_and_labels(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, images=IMAGES, labels=np.arange(5, dtype=np.uint8))
    samples = opened(str(path), tuple("abcde"))
    assert samples.labels == (0, 1, 2, 3, 4) and len(samples.names) == 5
    np.testing.assert_array_equal(samples.read(2).pixels, IMAGES[2])


@pytest.mark.parametrize("channels", [3, 4])
def test_one_colour_image_is_not_a_stack_of_narrow_grey_ones(tmp_path: Path, channels: int) -> None:
    image = np.random.default_rng(2).integers(0, 256, (6, 7, channels), np.uint8)
    np.savez(tmp_path / "a.npz", images=image, labels=[1])
    samples = opened(str(tmp_path / "a.npz"), ("a", "b"))
    assert SAMPLES.survey(str(tmp_path / "a.npz"), "evaluate") == Survey(1, labelled=True)
    assert samples.labels == (1,)
    np.testing.assert_array_equal(samples.read(0).pixels, image[..., :3])


@pytest.mark.parametrize("mode", ["L", "RGBA"])
def test_grey_and_rgba_become_rgb_as_pillow_does(tmp_path: Path, mode: str) -> None:
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 256, (6, 7, 4), np.uint8)).convert(mode)
    array = np.asarray(picture)[None]
    np.savez(tmp_path / "a.npz", images=array if mode == "RGBA" else array[..., None])
    samples = opened(str(tmp_path / "a.npz"), ())
    assert samples.labels is None
    np.testing.assert_array_equal(samples.read(0).pixels, np.asarray(picture.convert("RGB")))


@pytest.mark.parametrize("labels", [[0, 1, 2, 3], [0, 1, 2, 3, 5], [0, 1, 2, 3, -1], [0.0, 1, 2, 3, 4]])
def test_labels_that_cannot_be_classes_are_refused(tmp_path: Path, labels: list[float]) -> None:
    np.savez(tmp_path / "a.npz", images=IMAGES, labels=np.asarray(labels))
    with pytest.raises(InputError, match="labels"):
        opened(str(tmp_path / "a.npz"), tuple("abcde"))


@pytest.mark.parametrize("images", [IMAGES.astype(np.float32), IMAGES[0, 0], IMAGES[..., :2], IMAGES[:0]])
def test_images_of_another_shape_or_type_are_refused(tmp_path: Path, images: object) -> None:
    np.savez(tmp_path / "a.npz", images=images)
    with pytest.raises(InputError, match="images"):
        opened(str(tmp_path / "a.npz"), ())


def test_pickled_arrays_are_never_loaded(tmp_path: Path) -> None:
    marker = tmp_path / "ran"

    class Attack:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (marker,))

    np.savez(tmp_path / "a.npz", images=np.asarray([Attack()], object))
    (tmp_path / "b.npz").write_bytes(pickle.dumps(Attack()))
    for name in ("a.npz", "b.npz"):
        with pytest.raises(InputError, match="pickle"):
            opened(str(tmp_path / name), ())
    assert not marker.exists()


def test_missing_file_missing_array_and_damage_are_errors(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with pytest.raises(InputError, match="does not exist"):
        opened(str(path), ())
    np.savez(path, x=IMAGES)
    with pytest.raises(InputError, match="`images`"):
        opened(str(path), ())
    np.savez_compressed(path, images=IMAGES)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError):
        opened(str(path), ())


def test_an_archive_that_unpacks_to_an_absurd_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, images=IMAGES)
    forged = bytearray(path.read_bytes())
    entry = forged.rindex(b"PK\x01\x02")
    forged[entry + 24 : entry + 28] = (0xFFFF0000).to_bytes(4, "little")  # declared as 4 GiB
    path.write_bytes(bytes(forged))
    with pytest.raises(InputError, match="absurd"):
        opened(str(path), ())


def test_images_are_counted_from_the_header_alone(tmp_path: Path) -> None:
    """The pixels are cut away: whoever decodes them fails."""
    whole = tmp_path / "a.npz"
    np.savez(whole, labels=np.arange(5), images=IMAGES)
    assert SAMPLES.survey(str(whole), "evaluate") == Survey(5, labelled=True)
    np.savez_compressed(tmp_path / "b.npz", images=IMAGES)
    assert SAMPLES.survey(str(tmp_path / "b.npz"), "evaluate") == Survey(5, labelled=False)
    np.savez(tmp_path / "c.npz", pictures=IMAGES)
    for name in ("c.npz", "missing.npz"):
        with pytest.raises(InputError):
            SAMPLES.survey(str(tmp_path / name), "evaluate")
    (tmp_path / "d.npz").write_bytes(whole.read_bytes()[:200])
    with pytest.raises(InputError, match="damaged|readable"):
        SAMPLES.survey(str(tmp_path / "d.npz"), "evaluate")


def test_what_stands_beside_images_without_labels_is_named(tmp_path: Path) -> None:
    """`y` may be the labels: without a word the accuracy would just be missing."""
    np.savez(tmp_path / "y.npz", images=IMAGES, y=np.arange(5))
    assert opened(str(tmp_path / "y.npz"), ()).warnings == (
        f"{tmp_path / 'y.npz'} has no array `labels`; y in it is not read",
    )
    np.savez(tmp_path / "both.npz", images=IMAGES, labels=np.arange(5), names=np.arange(5))
    np.savez(tmp_path / "alone.npz", images=IMAGES)
    for name in ("both.npz", "alone.npz"):
        assert opened(str(tmp_path / name), ()).warnings == ()


def test_nobody_is_told_to_let_numpy_run_a_file(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("no archive")
    np.savez(tmp_path / "objects.npz", images=np.array([{"a": 1}] * 5, object))
    for name in ("text.npz", "objects.npz"):
        with pytest.raises(InputError, match="no file of NumPy's, or holds Python objects") as raised:
            opened(str(tmp_path / name), ())
        assert "pickle" not in raised.value.message


@pytest.mark.parametrize(
    ("labels", "words", "hint"),
    [
        ([1, 2, 3, 4, 5], "they count from 1", "labels - 1"),
        ([0, 1, 2, 3, 5], "run from 0 to 5, but the model's classes are 0 to 4", "from 0"),
        (np.eye(5, dtype=np.int64), "a row for each image", "argmax"),
        ([0, 1], "not one for each of 5 images", ""),
        (["a", "b", "c", "d", "z"], "the label 'z' is none of the model's 5 labels", "known"),
    ],
)
def test_labels_that_are_not_the_models_classes_are_named_for_what_they_are(
    labels: object, words: str, hint: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "a.npz", images=IMAGES, labels=np.asarray(labels))
    with pytest.raises(InputError, match=words) as caught:
        opened(str(tmp_path / "a.npz"), tuple("abcde"))
    assert hint in caught.value.hint


def test_labels_count_from_one_also_where_the_model_has_no_names(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=IMAGES, labels=np.arange(1, 6))
    with pytest.raises(InputError, match="they count from 1"):
        opened(str(tmp_path / "a.npz"), classes=5)
    assert opened(str(tmp_path / "a.npz"), classes=6).labels == (1, 2, 3, 4, 5)


def test_labels_in_a_column_and_as_names(tmp_path: Path) -> None:
    np.savez(tmp_path / "column.npz", images=IMAGES, labels=np.arange(5)[:, None])
    np.savez(tmp_path / "names.npz", images=IMAGES, labels=np.asarray(["e", "D", "c", "b", "a"]))
    assert opened(str(tmp_path / "column.npz"), tuple("abcde")).labels == (0, 1, 2, 3, 4)
    assert opened(str(tmp_path / "names.npz"), tuple("abcde")).labels == (4, 3, 2, 1, 0)


@pytest.mark.parametrize(
    ("images", "hint"),
    [
        (IMAGES.transpose(0, 3, 1, 2), "transpose(0, 2, 3, 1)"),
        (IMAGES / np.float32(255), "255 * images"),
        (IMAGES.astype(np.float64), "round()"),
        (IMAGES / np.float32(64) - 2, "before they are normalised"),
    ],
)
def test_images_that_are_no_pixels_are_refused_with_the_way_to_them(
    images: object, hint: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "a.npz", images=images)
    with pytest.raises(InputError, match="`images` is") as caught:
        opened(str(tmp_path / "a.npz"))
    assert hint in caught.value.hint
