"""Image files of every kind against other decoders, or against the values that were put in."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from calibration.decode import DEEP, FRAMES, decode
from edgevit.core.errors import InputError, MissingDependencyError
from tests.calibration._png import png

NOISE = np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8)
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.ppm", "a.webp", "no_ending"])
def test_what_loses_nothing_gives_the_pixels_that_went_in(name: str, tmp_path: Path) -> None:
    Image.fromarray(NOISE).save(
        tmp_path / name, format={"a.webp": "webp", "no_ending": "png"}.get(name), lossless=True
    )
    picture = decode(tmp_path / name)
    np.testing.assert_array_equal(picture.pixels, NOISE)
    assert (picture.orientation, picture.remarks) == (1, ())


@pytest.mark.parametrize("name", ["a.jpg", "a.avif", "a.webp", "cmyk.jpg"])
def test_lossy_files_are_near_what_went_in_and_as_torchvision_reads_them(name: str, tmp_path: Path) -> None:
    from torchvision.datasets.folder import pil_loader

    down, across = np.mgrid[0:64, 0:64]
    smooth = np.stack([down * 4, across * 4, 255 - 2 * (down + across)], axis=-1).astype(np.uint8)
    image = Image.fromarray(smooth)
    (image.convert("CMYK") if name == "cmyk.jpg" else image).save(tmp_path / name, quality=95)
    pixels = decode(tmp_path / name).pixels
    np.testing.assert_array_equal(pixels, np.asarray(pil_loader(str(tmp_path / name))))
    assert np.abs(pixels.astype(int) - smooth).mean() < 3


def test_ink_of_a_cmyk_tiff_becomes_light(tmp_path: Path) -> None:
    """(255 - c)(255 - k) / 255 for each colour: cyan takes red away, black everything."""
    ink = np.asarray(
        [[[0, 0, 0, 0], [255, 0, 0, 0], [0, 255, 255, 0], [0, 0, 0, 255], [0, 255, 0, 51]]], np.uint8
    )
    Image.fromarray(ink, "CMYK").save(tmp_path / "a.tif")
    assert decode(tmp_path / "a.tif").pixels.tolist() == [
        [[255, 255, 255], [0, 255, 255], [255, 0, 0], [0, 0, 0], [204, 0, 204]]
    ]


def test_transparent_colours_of_a_palette_count(tmp_path: Path) -> None:
    image = Image.new("P", (3, 1))
    image.putpalette([*RED, *GREEN, *BLUE])
    image.putdata([0, 1, 2])
    for name, options in (
        ("one.png", {"transparency": 1}),
        ("all.png", {"transparency": bytes([255, 0, 128])}),
    ):
        image.save(tmp_path / name, **options)
        assert decode(tmp_path / name).pixels.tolist() == [[list(RED), list(GREEN), list(BLUE)]]


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1"])
def test_every_mode_becomes_rgb_as_in_torchvision(mode: str, tmp_path: Path) -> None:
    from torchvision.datasets.folder import pil_loader

    Image.fromarray(NOISE).convert(mode).save(tmp_path / "a.png")
    np.testing.assert_array_equal(
        decode(tmp_path / "a.png").pixels, np.asarray(pil_loader(str(tmp_path / "a.png")))
    )


@pytest.mark.parametrize("suffix", ["gif", "tif", "webp", "png"])
def test_of_several_frames_the_first_is_read_and_that_is_told(suffix: str, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (6, 4), colour) for colour in (RED, GREEN, BLUE)]
    options = {"lossless": True} if suffix == "webp" else {}
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:], **options)
    frames[0].save(tmp_path / f"one.{suffix}", **options)
    picture = decode(tmp_path / f"a.{suffix}")
    assert picture.pixels.tolist() == [[list(RED)] * 6] * 4 and picture.remarks == (FRAMES,)
    assert decode(tmp_path / f"one.{suffix}").remarks == ()


def deep(path: Path, values: NDArray[np.uint16]) -> None:
    """PNG with 16 bits a channel, grey or RGB, written from its specification (ISO/IEC 15948)."""
    height, width = values.shape[:2]
    rows = values.astype(">u2").reshape(height, -1)
    data = b"".join(b"\0" + row.tobytes() for row in rows)
    path.write_bytes(png(width, height, 16, 2 if values.ndim == 3 else 0, data))


def test_of_16_bits_the_upper_eight_are_read_and_that_is_told(tmp_path: Path) -> None:
    values = np.random.default_rng(1).integers(0, 65536, (5, 7, 3)).astype(np.uint16)
    deep(tmp_path / "rgb.png", values)
    deep(tmp_path / "grey.png", values[..., 0])
    Image.fromarray(values[..., 0]).save(tmp_path / "grey.tif")
    (tmp_path / "big.tif").write_bytes(tiff(values[..., 0], ">", 1))
    (tmp_path / "white_is_zero.tif").write_bytes(tiff(values[..., 0], "<", 0))
    grey = np.repeat((values[..., :1] >> 8).astype(np.uint8), 3, axis=2)
    wanted = {"rgb.png": values >> 8, "grey.png": grey, "grey.tif": grey, "big.tif": grey}
    wanted["white_is_zero.tif"] = 255 - grey
    for name, pixels in wanted.items():
        picture = decode(tmp_path / name)
        np.testing.assert_array_equal(picture.pixels, pixels, err_msg=name)
        assert picture.remarks == (DEEP,), name


def tiff(values: NDArray[np.uint16], order: str, photometric: int) -> bytes:
    """One strip, uncompressed, photometric 0 for white that is zero (TIFF 6.0, 2 and 8)."""
    height, width = values.shape
    data = values.astype(f"{order}u2").tobytes()
    at = 8 + len(data)
    tags = {
        256: width,
        257: height,
        258: 16,
        259: 1,
        262: photometric,
        273: 8,
        277: 1,
        278: height,
        279: len(data),
    }
    entries = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in tags.items())
    begin = {">": b"MM\0*", "<": b"II*\0"}[order]
    return (
        begin + struct.pack(f"{order}I", at) + data + struct.pack(f"{order}H", len(tags)) + entries + bytes(4)
    )


def test_12_bits_in_a_file_of_16_are_refused_since_nothing_says_what_white_is(tmp_path: Path) -> None:
    deep(tmp_path / "x.png", np.full((4, 4), 4095, np.uint16))
    with pytest.raises(InputError, match=r"x\.png has 16 bits a pixel and no value above 4095"):
        decode(tmp_path / "x.png")


def test_numbers_that_are_no_colours_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 0.5, np.float32)).save(tmp_path / "float.tif")
    with pytest.raises(InputError, match=r"float\.tif has values that are no colours"):
        decode(tmp_path / "float.tif")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_is_told_and_not_applied(orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    for name in ("a.png", "a.webp"):
        Image.fromarray(NOISE).save(tmp_path / name, exif=exif, lossless=True)
        picture = decode(tmp_path / name)
        np.testing.assert_array_equal(picture.pixels, NOISE)
        assert picture.orientation == orientation, name
    Image.fromarray(NOISE).save(tmp_path / "a.tif", exif=exif)  # which Pillow itself turns, for everybody
    turned = decode(tmp_path / "a.tif")
    assert turned.orientation == 1
    np.testing.assert_array_equal(turned.pixels, np.asarray(Image.open(tmp_path / "a.tif").convert("RGB")))


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_counts_for_none(value: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = value
    Image.fromarray(NOISE).save(tmp_path / "a.jpg", exif=exif)
    assert decode(tmp_path / "a.jpg").orientation == 1


def test_damaged_exif_spoils_no_image(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(NOISE).save(tmp_path / "a.jpg", exif=exif)
    whole = (tmp_path / "a.jpg").read_bytes()
    begin = whole.index(b"Exif") + 6
    for at in range(begin, begin + 24):
        for byte in (0, 0x7F, 0xFF):
            (tmp_path / "b.jpg").write_bytes(whole[:at] + bytes([byte]) + whole[at + 1 :])
            assert decode(tmp_path / "b.jpg").pixels.shape == (9, 12, 3)


def test_an_array_of_pixels_is_an_image(tmp_path: Path) -> None:
    np.save(tmp_path / "rgb.npy", NOISE)
    np.save(tmp_path / "grey.npy", NOISE[..., 0])
    np.save(tmp_path / "batch.npy", NOISE[None])
    np.testing.assert_array_equal(decode(tmp_path / "rgb.npy").pixels, NOISE)
    np.testing.assert_array_equal(decode(tmp_path / "grey.npy").pixels, np.repeat(NOISE[..., :1], 3, axis=2))
    with pytest.raises(InputError, match=r"batch\.npy holds uint8 \(1, 9, 12, 3\), not one image"):
        decode(tmp_path / "batch.npy")


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.jxl", b"\xff\x0a" + bytes(30), "JPEG XL"),
        ("a.jp2", b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(30), "JPEG 2000"),
        ("a.psd", b"8BPS\0\1" + bytes(30), "Photoshop"),
        ("a.svg", b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        ("a.dcm", bytes(128) + b"DICM" + bytes(9), "DICOM"),
        ("a.nef", b"II*\0" + bytes(30), "the raw data of a camera"),
    ],
)
def test_what_is_not_read_is_refused_by_what_it_is(
    name: str, content: bytes, kind: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name} is {kind}, which is not read"):
        decode(tmp_path / name)


def test_raw_data_of_a_camera_is_no_tiff(tmp_path: Path) -> None:
    """DNG is TIFF with a tag of its own (DNG 1.4, DNGVersion); Pillow would give the thumbnail."""
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    tags = ImageFileDirectory_v2()
    tags[0xC612] = b"\1\4\0\0"
    Image.fromarray(NOISE).save(tmp_path / "a.tif", tiffinfo=tags)
    with pytest.raises(InputError, match="raw data of a camera"):
        decode(tmp_path / "a.tif")


def test_heic_is_near_what_went_in_and_as_its_own_library_reads_it(tmp_path: Path) -> None:
    import pillow_heif

    down, across = np.mgrid[0:64, 0:64]
    smooth = np.stack([down * 4, across * 4, 255 - 2 * (down + across)], axis=-1).astype(np.uint8)
    pillow_heif.from_pillow(Image.fromarray(smooth)).save(tmp_path / "a.heic", quality=95)
    pixels = decode(tmp_path / "a.heic").pixels
    np.testing.assert_array_equal(pixels, np.asarray(pillow_heif.open_heif(tmp_path / "a.heic")))
    assert np.abs(pixels.astype(int) - smooth).mean() < 3


def test_heic_without_its_package_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "a.jpg").write_bytes(b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf" + bytes(50))
    with pytest.raises(MissingDependencyError, match=r"a\.jpg is HEIC") as caught:
        decode(tmp_path / "a.jpg")
    assert "edgevit[heic]" in caught.value.hint


def test_a_bomb_of_any_kind_is_refused_before_it_unfolds(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(30_000, 30_000, 8, 2, bytes(99)))
    (tmp_path / "a.tif").write_bytes(
        tiff(np.zeros((2, 2), np.uint16), ">", 1).replace(
            struct.pack(">HHII", 257, 4, 1, 2), struct.pack(">HHII", 257, 4, 1, 1 << 30)
        )
    )
    (tmp_path / "a.gif").write_bytes(b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\2\0;")
    for path in tmp_path.iterdir():
        with pytest.raises(InputError, match="decompress"):
            decode(path)


def test_a_tiff_of_a_form_that_is_not_read_is_called_one(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(tiff(np.zeros((2, 2), np.uint16), ">", 0))
    with pytest.raises(InputError, match=r"a\.tif is damaged, or TIFF of a form"):
        decode(tmp_path / "a.tif")


def test_cut_files_are_named(tmp_path: Path) -> None:
    for name in ("a.gif", "a.tif", "a.avif", "a.webp", "a.bmp"):
        Image.fromarray(NOISE).save(tmp_path / name)
        content = (tmp_path / name).read_bytes()
        for length in (8, len(content) // 2, len(content) - 3):
            (tmp_path / name).write_bytes(content[:length])
            try:
                shape = decode(tmp_path / name).pixels.shape
            except InputError as error:
                told = error.message
            else:
                assert shape == (9, 12, 3)  # what lacks is past the pixels
                continue
            assert name in told
