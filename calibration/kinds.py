"""What a file is by its first bytes, whatever its name says."""

from __future__ import annotations

from typing import Final

# Bytes that are looked at: DICOM has its mark after 128 others.
HEAD: Final = 132
# Kinds that `calibration.decode` reads; HEIC with the extra package, AVIF with a Pillow that was built for it.
READ: Final = ("JPEG", "PNG", "WebP", "BMP", "GIF", "TIFF", "PNM", "AVIF", "HEIC", "NumPy")
_BEGINNINGS: Final = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),  # BigTIFF
    (b"MM\0+", "TIFF"),
    (b"\x93NUMPY", "NumPy"),
    *((b"P" + digit, "PNM") for digit in (b"1", b"2", b"3", b"4", b"5", b"6")),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),  # the codestream alone
    (b"8BPS", "Photoshop"),
    (b"v/1\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
)
# "Brands" of files in ISO's base media format (ISO/IEC 14496-12, 4.3): the four bytes after `ftyp`.
_AVIF: Final = (b"avif", b"avis")
_HEIC: Final = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
# Of files that Pillow opens as TIFF, where it finds a thumbnail or the values of a sensor.
RAW_SUFFIXES: Final = (".arw", ".cr2", ".cr3", ".dng", ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".srw")
SUFFIXES: Final = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"),
        *(".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".heic", ".heif", ".npy"),
        *(".jxl", ".jp2", ".psd", ".svg", ".exr", ".hdr", ".dcm", *RAW_SUFFIXES),  # images that are not read
    )
)


def kind_of(head: bytes) -> str:
    """The kind of image that the first HEAD bytes of a file begin; "" if none is known."""
    if head[4:8] == b"ftyp":
        brands = [head[at : at + 4] for at in (8, *range(16, min(len(head), int.from_bytes(head[:4])), 4))]
        if any(brand in _AVIF for brand in brands):
            return "AVIF"
        return "HEIC" if any(brand in _HEIC for brand in brands) else ""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head[128:132] == b"DICM":
        return "DICOM"
    if b"<svg" in head.lower():
        return "SVG"
    return next((kind for beginning, kind in _BEGINNINGS if head.startswith(beginning)), "")
