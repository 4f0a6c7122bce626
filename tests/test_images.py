import errno
import io
import os
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from cnnkit import images
from cnnkit.errors import ExitCode, ImageError, ResourceError
from cnnkit.images import (
    Picture,
    as_picture,
    encode_image,
    fit_size,
    header_size,
    measure_image,
    read_image,
    read_pixels,
    read_record,
    resize,
    to_pil,
    to_uint8,
    write_bytes,
    write_image,
)
from tests._profiles import ADOBE_RGB_GAMMA, ADOBE_RGB_TO_XYZ, adobe_rgb, linear_grey

# The sRGB colorants, adapted to D50 (IEC 61966-2-1 and the Bradford matrix of ICC.1).
SRGB_TO_XYZ = (
    (0.43607, 0.38515, 0.14307),
    (0.22249, 0.71687, 0.06061),
    (0.01392, 0.09708, 0.71410),
)

# Two rows of three colours, no two alike: every turn and mirroring shows.
COLOURS = np.array(
    [
        [[255, 0, 0], [0, 255, 0], [0, 0, 255]],
        [[255, 255, 0], [0, 255, 255], [255, 0, 255]],
    ],
    np.uint8,
)


def encoded(image, pillow_format, **options):
    buffer = io.BytesIO()
    image.save(buffer, pillow_format, **options)
    return buffer.getvalue()


def png(width, height, bits, colour_type, rows=b"", *chunks):
    """A PNG by hand: Pillow writes neither 16-bit colours nor lies about the size."""

    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            *(chunk(name, data) for name, data in chunks),
            chunk(b"IDAT", zlib.compress(rows)),
            chunk(b"IEND", b""),
        ]
    )


def tiff(array, **options):
    tifffile = pytest.importorskip("tifffile")
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **options)
    return buffer.getvalue()


def random_picture(height=9, width=13, alpha=False, seed=0):
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (height, width, 3)).astype(np.float32) / 255
    return Picture(
        pixels, random.integers(0, 256, (height, width)) / np.float32(255) if alpha else None
    )


# Reading: formats and modes


@pytest.mark.parametrize("pillow_format", ["PNG", "TIFF", "BMP", "GIF", "PPM"])
def test_lossless_formats_are_read_exactly(pillow_format):
    picture = read_image(encoded(Image.fromarray(COLOURS), pillow_format))
    assert picture.pixels.dtype == np.float32
    assert (picture.height, picture.width) == (2, 3)
    np.testing.assert_array_equal(picture.pixels, COLOURS / np.float32(255))
    assert picture.alpha is None


@pytest.mark.parametrize("pillow_format", ["JPEG", "WEBP"])
def test_lossy_formats_are_read_closely(pillow_format):
    flat = Image.new("RGB", (16, 16), (200, 100, 50))
    pixels = read_image(encoded(flat, pillow_format, quality=95)).pixels
    np.testing.assert_allclose(pixels[8, 8] * 255, [200, 100, 50], atol=3)


@pytest.mark.parametrize(
    ("mode", "value", "expected"),
    [
        ("1", 1, (1, 1, 1)),
        ("L", 51, (0.2, 0.2, 0.2)),
        ("RGB", (51, 102, 153), (0.2, 0.4, 0.6)),
        ("I;16", 13107, (0.2, 0.2, 0.2)),
    ],
)
def test_every_png_mode_becomes_rgb(mode, value, expected):
    picture = read_image(encoded(Image.new(mode, (4, 3), value), "PNG"))
    assert picture.pixels.shape == (3, 4, 3)
    np.testing.assert_allclose(picture.pixels[1, 1], expected, atol=1e-6)
    assert picture.alpha is None


@pytest.mark.parametrize(
    ("mode", "value", "colour", "alpha"),
    [
        ("LA", (51, 102), (0.2, 0.2, 0.2), 0.4),
        ("RGBA", (51, 102, 153, 204), (0.2, 0.4, 0.6), 0.8),
    ],
)
def test_alpha_is_kept_apart(mode, value, colour, alpha):
    picture = read_image(encoded(Image.new(mode, (4, 3), value), "PNG"), keep_alpha=True)
    np.testing.assert_allclose(picture.pixels[1, 1], colour, atol=1e-6)
    assert picture.alpha.shape == (3, 4)
    assert picture.alpha.dtype == np.float32
    np.testing.assert_allclose(picture.alpha, alpha, atol=1e-6)


def test_alpha_that_is_opaque_everywhere_is_none():
    assert read_image(encoded(Image.new("RGBA", (2, 2), (1, 2, 3, 255)), "PNG")).alpha is None


def test_a_palette_becomes_its_colours():
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    pixels = read_image(encoded(image, "PNG")).pixels
    np.testing.assert_array_equal(pixels, [[[1, 0, 0], [0, 0, 1]]])


@pytest.mark.parametrize("transparency", [1, bytes([255, 0])])
def test_a_palette_with_transparency_has_alpha(transparency):
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    picture = read_image(encoded(image, "PNG", transparency=transparency), keep_alpha=True)
    np.testing.assert_array_equal(picture.pixels[0, 0], [1, 0, 0])
    np.testing.assert_array_equal(picture.alpha, [[1, 0]])


@pytest.mark.parametrize(
    ("mode", "value", "transparency"), [("1", 1, 1), ("L", 7, 7), ("RGB", (7, 8, 9), (7, 8, 9))]
)
def test_a_transparent_colour_has_no_alpha(mode, value, transparency):
    image = Image.new(mode, (2, 1))
    image.putpixel((1, 0), value)
    picture = read_image(encoded(image, "PNG", transparency=transparency), keep_alpha=True)
    np.testing.assert_array_equal(picture.alpha, [[1, 0]])


def test_cmyk_jpeg_becomes_rgb():
    # C=0 M=100% Y=100% K=0 is red.
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    np.testing.assert_allclose(
        read_image(encoded(red, "JPEG", quality=95)).pixels[8, 8], [1, 0, 0], atol=0.03
    )


def test_sixteen_bit_grey_keeps_its_depth():
    grey = np.array([[0, 1, 256, 32768, 65535]], np.uint16)
    pixels = read_image(encoded(Image.fromarray(grey), "PNG")).pixels
    np.testing.assert_allclose(pixels[0, :, 1], grey[0] / 65535, atol=1e-7)


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_sixteen_bit_grey_tiff_is_read_in_both_byte_orders(byteorder):
    grey = np.array([[0, 258, 65535]], np.uint16)
    data = tiff(grey, photometric="minisblack", byteorder=byteorder)
    np.testing.assert_allclose(read_image(data).pixels[0, :, 0], grey[0] / 65535, atol=1e-7)


def test_sixteen_bit_grey_with_a_transparent_value_has_alpha():
    rows = b"\0" + struct.pack(">HH", 1000, 65535)
    data = png(2, 1, 16, 0, rows, (b"tRNS", struct.pack(">H", 1000)))
    picture = read_image(data, keep_alpha=True)
    np.testing.assert_allclose(picture.pixels[0, 1], 1.0)
    np.testing.assert_array_equal(picture.alpha, [[0, 1]])


def test_sixteen_bit_colours_are_read_to_eight_bits():
    rows = b"\0" + struct.pack(">HHH", 0x3333, 0x6666, 0xFFFF)
    np.testing.assert_allclose(
        read_image(png(1, 1, 16, 2, rows)).pixels[0, 0], [0.2, 0.4, 1.0], atol=1 / 255
    )


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_sixteen_bit_colour_tiff_is_read(compression):
    array = np.full((2, 3, 3), 13107, np.uint16)
    data = tiff(array, photometric="rgb", compression=compression)
    np.testing.assert_allclose(read_image(data).pixels, 0.2, atol=1 / 255)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.25, 1.0], [0.0, 0.25, 1.0]),
        # Above 1 the brightest pixel is white.
        ([0.0, 50.0, 200.0], [0.0, 0.25, 1.0]),
        ([-1.0, np.nan, 0.5], [0.0, 0.0, 0.5]),
        ([0.0, 0.5, np.inf], [0.0, 0.5, 1.0]),
        ([np.nan, np.nan, np.nan], [0.0, 0.0, 0.0]),
    ],
)
def test_float_grey_is_brought_into_range(values, expected):
    data = encoded(Image.fromarray(np.array([values], np.float32)), "TIFF")
    np.testing.assert_allclose(read_image(data).pixels[0, :, 2], expected)


@pytest.mark.parametrize(
    ("array", "options"),
    [
        (np.zeros((2, 3, 3), np.float32), {"photometric": "rgb"}),
        (np.zeros((2, 3), np.float64), {"photometric": "minisblack"}),
        (np.zeros((2, 3), np.uint32), {"photometric": "minisblack"}),
        (np.zeros((2, 3), np.uint16), {"photometric": "miniswhite"}),
        (np.zeros((3, 2, 4), np.uint16), {"photometric": "rgb", "planarconfig": "separate"}),
    ],
)
def test_a_tiff_that_would_be_read_wrongly_is_refused(array, options):
    with pytest.raises(ImageError, match=r"a kind of TIFF that cannot be read; save it as .png"):
        read_image(tiff(array, **options))


def test_an_inverted_eight_bit_tiff_is_read_as_meant():
    data = tiff(np.full((2, 3), 51, np.uint8), photometric="miniswhite")
    np.testing.assert_allclose(read_image(data).pixels, 0.8)


def test_premultiplied_alpha_is_divided_out():
    # 100 of 200 is half: 0.5 * 255 = 127.5.
    array = np.array([[[100, 50, 200, 200]]], np.uint8)
    picture = read_image(
        tiff(array, photometric="rgb", extrasamples=["assocalpha"]), keep_alpha=True
    )
    np.testing.assert_allclose(picture.pixels[0, 0], [0.5, 0.25, 1.0], atol=1 / 255)
    np.testing.assert_allclose(picture.alpha, 200 / 255)


def test_lab_tiff_becomes_rgb():
    # L* = 100 a* = b* = 0 is white; stored as 255, and a*, b* as signed bytes.
    data = encoded(Image.new("LAB", (2, 2), (255, 128, 128)), "TIFF")
    np.testing.assert_allclose(read_image(data).pixels, 1.0, atol=0.02)


@pytest.mark.parametrize("pillow_format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame_is_read(pillow_format):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if pillow_format == "WEBP" else {}
    data = encoded(frames[0], pillow_format, save_all=True, append_images=frames[1:], **options)
    np.testing.assert_array_equal(read_image(data).pixels[4, 4], [1, 0, 0])


@pytest.mark.parametrize("shape", [(1, 1), (1, 20000), (20000, 1)])
def test_thin_pictures_are_read(shape):
    data = encoded(Image.fromarray(np.full(shape, 255, np.uint8)), "PNG")
    assert read_image(data).pixels.shape == (*shape, 3)


# Reading: orientation and colour


@pytest.mark.parametrize(
    ("orientation", "stored"),
    [
        (1, COLOURS),
        (2, COLOURS[:, ::-1]),
        (3, COLOURS[::-1, ::-1]),
        (4, COLOURS[::-1]),
        (5, COLOURS.transpose(1, 0, 2)),
        # To be shown turned right by 90 degrees: stored turned left.
        (6, np.rot90(COLOURS, 1)),
        (7, np.rot90(COLOURS, 2).transpose(1, 0, 2)),
        (8, np.rot90(COLOURS, -1)),
    ],
)
@pytest.mark.parametrize("pillow_format", ["PNG", "TIFF", "WEBP"])
def test_every_exif_orientation_is_turned_upright(orientation, stored, pillow_format):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if pillow_format == "WEBP" else {}
    image = Image.fromarray(np.ascontiguousarray(stored))
    picture = read_image(encoded(image, pillow_format, exif=exif, **options))
    np.testing.assert_array_equal(to_uint8(picture.pixels), COLOURS)


def test_a_turned_jpeg_is_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    assert read_image(encoded(Image.new("RGB", (30, 20)), "JPEG", exif=exif)).pixels.shape == (
        30,
        20,
        3,
    )


@pytest.mark.parametrize("mode", ["RGBA", "I;16"])
def test_alpha_and_deep_grey_are_turned_too(mode):
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.new(mode, (3, 2))
    # Bottom left in the file comes to the top left when turned right by 90 degrees.
    image.putpixel((0, 1), (0, 0, 0, 255) if mode == "RGBA" else 65535)
    picture = read_image(encoded(image, "PNG", exif=exif), keep_alpha=True)
    shown = picture.alpha if mode == "RGBA" else picture.pixels[..., 0]
    assert shown.shape == (3, 2)
    assert shown[0, 0] == 1
    assert shown.sum() == 1


def test_damaged_exif_data_do_not_spoil_the_picture():
    data = encoded(Image.fromarray(COLOURS), "PNG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01")
    np.testing.assert_array_equal(to_uint8(read_image(data).pixels), COLOURS)


def adobe_rgb_as_srgb(colour):
    """The formulas of both colour spaces, for colours that sRGB holds."""
    light = (np.array(colour) / 255) ** ADOBE_RGB_GAMMA
    linear = np.linalg.solve(np.array(SRGB_TO_XYZ), np.array(ADOBE_RGB_TO_XYZ) @ light)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("colour", [(128, 128, 128), (120, 150, 130), (200, 120, 110)])
@pytest.mark.parametrize("orientation", [1, 6])
def test_an_embedded_profile_is_converted_to_srgb(colour, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.new("RGB", (4, 2), colour)
    data = encoded(image, "PNG", icc_profile=adobe_rgb(), exif=exif)
    expected = adobe_rgb_as_srgb(colour)
    np.testing.assert_allclose(read_image(data).pixels[0, 0], expected, atol=1.6 / 255)


def test_a_wide_gamut_green_becomes_stronger():
    image = Image.new("RGB", (2, 2), (120, 180, 120))
    red, green, _ = read_image(encoded(image, "PNG", icc_profile=adobe_rgb())).pixels[0, 0] * 255
    assert red < 110
    assert green - red > 75


def test_srgb_with_its_own_profile_stays_as_it_is():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = encoded(Image.fromarray(COLOURS), "PNG", icc_profile=profile)
    np.testing.assert_allclose(read_image(data).pixels * 255, COLOURS, atol=1)


@pytest.mark.parametrize(
    ("mode", "value"), [("L", 51), ("LA", (51, 128)), ("I;16", 13107), ("1", 0)]
)
def test_a_grey_profile_is_applied_to_every_kind_of_grey(mode, value):
    data = encoded(Image.new(mode, (2, 2), value), "PNG", icc_profile=linear_grey())
    # Light 0.2 is 1.055 * 0.2^(1/2.4) - 0.055 = 0.4845 in sRGB.
    expected = 0.0 if mode == "1" else 0.4845
    np.testing.assert_allclose(read_image(data, keep_alpha=True).pixels, expected, atol=1.6 / 255)


def test_a_profile_keeps_alpha_and_palettes():
    image = Image.new("P", (2, 1))
    image.putpalette([120, 150, 130, 0, 0, 0])
    picture = read_image(
        encoded(image, "PNG", icc_profile=adobe_rgb(), transparency=bytes([128])), keep_alpha=True
    )
    expected = adobe_rgb_as_srgb((120, 150, 130))
    np.testing.assert_allclose(picture.pixels[0, 0], expected, atol=1.6 / 255)
    np.testing.assert_allclose(picture.alpha, 128 / 255)


@pytest.mark.parametrize("profile", [b"not a profile", linear_grey()])
def test_a_profile_that_is_broken_or_does_not_fit_is_ignored(profile):
    data = encoded(Image.fromarray(COLOURS), "PNG", icc_profile=profile)
    np.testing.assert_array_equal(to_uint8(read_image(data).pixels), COLOURS)


# Reading: where from, and what goes wrong


def test_paths_with_any_letters_work(tmp_path):
    path = tmp_path / "Ω – naïve 猫 🐈.png"
    path.write_bytes(encoded(Image.fromarray(COLOURS), "PNG"))
    assert read_image(path).source == str(path)
    assert read_image(str(path)).pixels.shape == (2, 3, 3)


def test_bytes_and_open_files_are_read():
    data = encoded(Image.fromarray(COLOURS), "PNG")
    assert read_image(data).source == "the picture on stdin"
    assert read_image(io.BytesIO(data), name="clipboard").source == "clipboard"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"is empty \(0 bytes\); copy or download it again"),
        (b"Dear reader,\n", "is not a picture that can be read; use one of: avif, bmp, gif"),
        (b"\xff\xd8\xff\xe0", "is not a picture that can be read"),
        (b"II*\0broken", "is a kind of TIFF that cannot be read"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is not a picture that can be read"),
    ],
)
def test_a_file_that_is_no_picture_is_one_line(tmp_path, content, message):
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=f"a.jpg {message}") as caught:
        read_image(path)
    assert caught.value.exit_code == ExitCode.INPUT_FAILED
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("pillow_format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "PPM", "TIFF"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_truncated_picture_is_one_line(pillow_format, share):
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.uint8)
    data = encoded(Image.fromarray(noise), pillow_format)
    with pytest.raises(ImageError, match=r"copy or download it again|cannot be read"):
        read_image(data[: int(len(data) * share)])


@pytest.mark.parametrize("size", [(13300, 13200), (30000, 30000), (2**31 - 1, 2)])
def test_a_decompression_bomb_is_refused_unread(size):
    # 13300 x 13200 is 175.6 megapixels.
    with pytest.raises(ImageError, match=r"claims .* megapixels; make it smaller first"):
        read_image(png(*size, 1, 0))


def test_large_pictures_below_the_limit_are_read_without_a_warning(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_image(encoded(Image.fromarray(COLOURS), "PNG")).pixels.shape == (2, 3, 3)


def test_a_picture_that_does_not_fit_into_the_memory_is_one_line(monkeypatch):
    def fail(*_):
        raise MemoryError

    monkeypatch.setattr(images, "_to_picture", fail)
    with pytest.raises(ResourceError, match="does not fit into the memory; make it smaller"):
        read_image(encoded(Image.fromarray(COLOURS), "PNG"))


def test_missing_files_and_directories_are_told_apart(tmp_path):
    with pytest.raises(ImageError, match=r"nothing.png does not exist; check the path"):
        read_image(tmp_path / "nothing.png")
    with pytest.raises(ImageError, match="is a directory, not a picture"):
        read_image(tmp_path)
    with pytest.raises(ImageError, match="File name too long"):
        read_image(tmp_path / ("x" * 5000))


def test_a_file_without_permission_is_one_line(tmp_path, monkeypatch):
    def refuse(_):
        raise PermissionError(errno.EACCES, "Permission denied")

    # Not with chmod: root may read everything.
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(ImageError, match=r"a.png cannot be read: permission denied"):
        read_image(tmp_path / "a.png")


# Writing


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff", ".PNG"])
@pytest.mark.parametrize("alpha", [False, True])
def test_lossless_formats_come_back_exactly(tmp_path, suffix, alpha):
    picture = random_picture(alpha=alpha)
    write_image(tmp_path / f"a{suffix}", picture)
    back = read_image(tmp_path / f"a{suffix}", keep_alpha=True)
    np.testing.assert_array_equal(to_uint8(back.pixels), to_uint8(picture.pixels))
    if alpha:
        np.testing.assert_array_equal(to_uint8(back.alpha), to_uint8(picture.alpha))
    else:
        assert back.alpha is None


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".webp"])
def test_lossy_formats_come_back_closely(tmp_path, suffix):
    smooth = resize(random_picture(4, 5).pixels, 64, 80)
    write_image(tmp_path / f"a{suffix}", Picture(smooth))
    back = read_image(tmp_path / f"a{suffix}")
    assert back.pixels.shape == smooth.shape
    assert np.abs(back.pixels - np.clip(smooth, 0, 1)).mean() < 2 / 255


def test_webp_keeps_alpha(tmp_path):
    picture = random_picture(alpha=True)
    write_image(tmp_path / "a.webp", picture)
    np.testing.assert_allclose(
        read_image(tmp_path / "a.webp", keep_alpha=True).alpha, picture.alpha, atol=1e-6
    )


def test_jpeg_lays_alpha_over_white(tmp_path):
    black = Picture(np.zeros((16, 16, 3), np.float32), np.full((16, 16), 0.2, np.float32))
    write_image(tmp_path / "a.jpg", black)
    back = read_image(tmp_path / "a.jpg", keep_alpha=True)
    # 0.2 of black and 0.8 of white.
    np.testing.assert_allclose(back.pixels, 0.8, atol=0.02)
    assert back.alpha is None


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tiff"])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("record", ['{"seed": 1}', '{"style": "Ω – naïve 猫 🐈"}', "x" * 20000])
def test_every_format_carries_a_record(tmp_path, suffix, alpha, record):
    path = tmp_path / f"a{suffix}"
    write_image(path, random_picture(alpha=alpha), record)
    assert read_record(path) == record
    assert read_image(path).pixels.shape == (9, 13, 3)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tiff"])
def test_without_a_record_there_is_none(tmp_path, suffix):
    write_image(tmp_path / f"a{suffix}", random_picture())
    assert read_record(tmp_path / f"a{suffix}") is None


def test_the_record_of_something_else_is_one_line(tmp_path):
    (tmp_path / "a.png").write_bytes(b"text")
    with pytest.raises(ImageError, match=r"a.png cannot be read as a picture"):
        read_record(tmp_path / "a.png")
    with pytest.raises(ImageError, match="does not exist"):
        read_record(tmp_path / "b.png")


@pytest.mark.parametrize("name", ["a.heic", "a.gif", "a", "a.png.txt"])
def test_an_unknown_suffix_is_refused_before_anything_is_written(tmp_path, name):
    with pytest.raises(ImageError, match=r"cannot write pictures as .*; use one of: .jpeg, .jpg"):
        write_image(tmp_path / name, random_picture())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("suffix", "width"), [(".webp", 16384), (".jpg", 65536)])
def test_a_picture_too_wide_for_the_format_is_one_line(suffix, width):
    picture = Picture(np.zeros((1, width, 3), np.float32))
    with pytest.raises(ImageError, match=rf"{width}x1 pixels cannot be written as .*; use .png"):
        encode_image(picture, suffix)


def test_a_record_too_long_for_jpeg_is_one_line():
    with pytest.raises(ImageError, match="cannot be written as JPEG"):
        encode_image(random_picture(), ".jpg", "x" * 70000)


def test_folders_are_made(tmp_path):
    write_image(tmp_path / "a" / "b" / "c.png", random_picture())
    assert (tmp_path / "a" / "b" / "c.png").exists()


@pytest.mark.parametrize("step", ["write_bytes", "replace"])
def test_a_failing_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, step):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, step, fail)
    with pytest.raises(ImageError, match=r"a.png cannot be written: No space left on device; "):
        write_image(path, random_picture())
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_ctrl_c_while_writing_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        write_image(path, random_picture())
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_takes_no_files_is_one_line(tmp_path, monkeypatch):
    def refuse(**_):
        raise PermissionError(errno.EACCES, "Permission denied")

    # Not with chmod: root may write everywhere.
    monkeypatch.setattr(images.tempfile, "mkstemp", refuse)
    with pytest.raises(ImageError, match="cannot be written: Permission denied; choose another"):
        write_image(tmp_path / "a.png", random_picture())


def test_a_file_in_place_of_a_folder_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ImageError, match=r"cannot be written: (Not a directory|File exists)"):
        write_image(tmp_path / "file" / "a.png", random_picture())


def test_a_directory_of_that_name_is_one_line(tmp_path):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(ImageError, match="cannot be written: Is a directory"):
        write_image(tmp_path / "a.png", random_picture())
    assert list(tmp_path.iterdir()) == [tmp_path / "a.png"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no permission bits")
def test_new_files_follow_the_umask_and_old_ones_keep_their_mode(tmp_path):
    before = os.umask(0o027)
    try:
        write_bytes(tmp_path / "new", b"1")
    finally:
        os.umask(before)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o640
    (tmp_path / "new").chmod(0o604)
    write_bytes(tmp_path / "new", b"2")
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o604


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_a_symbolic_link_stays_one(tmp_path):
    (tmp_path / "link.png").symlink_to(tmp_path / "real.png")
    write_bytes(tmp_path / "link.png", b"new")
    assert (tmp_path / "link.png").is_symlink()
    assert (tmp_path / "real.png").read_bytes() == b"new"


# Arithmetic


def test_to_pil_has_alpha_only_where_the_picture_has():
    assert to_pil(random_picture()).mode == "RGB"
    assert to_pil(random_picture(alpha=True)).mode == "RGBA"


def test_to_uint8_undoes_division_by_255():
    every = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(to_uint8(every / np.float32(255)), every)


@pytest.mark.parametrize("shape", [(9, 13), (9, 13, 1), (9, 13, 3)])
@pytest.mark.parametrize("size", [(9, 13), (4, 30), (1, 1), (50, 3)])
def test_resize_gives_the_size_and_keeps_the_channels(shape, size):
    resized = resize(np.random.default_rng(0).random(shape), *size)
    assert resized.shape == (*size, *shape[2:])
    assert resized.dtype == np.float32


def test_resize_to_the_same_size_is_a_copy():
    array = np.random.default_rng(0).random((4, 5, 3), np.float32)
    resized = resize(array, 4, 5)
    np.testing.assert_array_equal(resized, array)
    assert not np.shares_memory(resized, array)


@pytest.mark.parametrize("size", [(3, 5), (40, 60)])
def test_resize_keeps_a_flat_picture_flat(size):
    np.testing.assert_allclose(resize(np.full((16, 20, 3), 0.3), *size), 0.3, atol=1e-5)


def test_resize_keeps_the_mean_of_a_smooth_picture():
    ramp = np.linspace(0, 1, 64)[None, :, None] * np.ones((48, 1, 3))
    np.testing.assert_allclose(resize(ramp, 12, 16).mean((0, 1)), 0.5, atol=1e-3)


def test_resize_is_antialiased():
    # Columns 0 and 1 in turn: every fourth one alone would be all 0.
    stripes = np.tile([0.0, 1.0], 32)[None, :].repeat(16, 0)
    np.testing.assert_allclose(resize(stripes, 16, 16)[:, 2:-2], 0.5, atol=0.02)


def test_resize_takes_each_channel_alone():
    array = np.random.default_rng(0).random((8, 9, 3), np.float32)
    resized = resize(array, 5, 4)
    for channel in range(3):
        np.testing.assert_array_equal(resized[..., channel], resize(array[..., channel], 5, 4))


@pytest.mark.parametrize(
    ("size", "long_side", "expected"),
    [
        ((300, 600), 300, (150, 300)),
        ((600, 300), 300, (300, 150)),
        ((10, 10), 25, (25, 25)),
        # Never less than one pixel.
        ((1, 10000), 100, (1, 100)),
    ],
)
def test_fit_size_keeps_the_shape(size, long_side, expected):
    assert fit_size(*size, long_side) == expected


@pytest.fixture
def blocks():
    """A smooth picture that a JPEG keeps nearly as it is: `blocks(width, height)`."""

    def make(*size):
        few = np.random.default_rng(0).integers(0, 256, (4, 4, 3), np.uint8)
        return Image.fromarray(few).resize(size, Image.Resampling.BICUBIC)

    return make


def test_bytes_are_read_upright_and_in_srgb(tmp_path, blocks):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "a.jpg"
    blocks(600, 400).save(path, exif=exif, icc_profile=adobe_rgb())
    expected = read_image(path).pixels
    pixels = read_pixels(str(path))
    assert pixels.shape == (600, 400, 3)
    assert np.abs(pixels / 255.0 - expected).max() < 0.51 / 255
    # A quarter suffices, and it is turned and converted too.
    small = read_pixels(str(path), 100)
    assert small.shape == (150, 100, 3)
    quarters = expected.reshape(150, 4, 100, 4, 3).mean(axis=(1, 3))
    assert np.abs(small / 255.0 - quarters).mean() < 0.01


def test_a_large_jpeg_is_read_smaller_but_never_too_small(tmp_path, blocks):
    path = str(tmp_path / "a.jpg")
    blocks(800, 400).save(path)
    assert read_pixels(path, 100).shape == (100, 200, 3)
    assert read_pixels(path, 101).shape == (200, 400, 3)
    assert read_pixels(path, 500).shape == (400, 800, 3)


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA", "I;16", "CMYK"])
def test_bytes_are_those_of_the_picture_in_every_mode(tmp_path, mode, blocks):
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    picture = blocks(40, 30)
    if mode == "I;16":
        grey = np.asarray(picture.convert("L"), np.uint16) * 257
        picture = Image.fromarray(grey)
    else:
        picture = picture.convert(mode)
    picture.save(path)
    assert (read_pixels(str(path), 8) == to_uint8(read_image(path).pixels)).all()
    assert measure_image(path.read_bytes(), "a") == (30, 40)


def test_a_damaged_picture_is_neither_read_nor_measured(tmp_path, blocks):
    path = tmp_path / "a.jpg"
    blocks(400, 300).save(path)
    content = path.read_bytes()
    assert measure_image(content, "a") == (300, 400)
    for broken in (content[:300], content[: len(content) // 2], b"\xff\xd8" + content[9:]):
        path.write_bytes(broken)
        with pytest.raises(ImageError, match=r"a\.jpg is"):
            read_pixels(str(path), 100)
        with pytest.raises(ImageError, match="b is"):
            measure_image(broken, "b")


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_turned_picture_is_measured_as_it_is_shown(tmp_path, blocks, orientation):
    path = tmp_path / "a.jpg"
    exif = Image.Exif()
    exif[0x0112] = orientation
    blocks(40, 30).save(path, exif=exif)
    shown = read_pixels(str(path)).shape[:2]
    assert shown == ((40, 30) if orientation > 4 else (30, 40))
    assert measure_image(path.read_bytes(), "a") == header_size(path) == shown


def test_what_is_no_picture_has_no_size(tmp_path):
    path = tmp_path / "a.png"
    assert header_size(path) is None
    path.write_bytes(b"no picture")
    assert header_size(path) is None


HIDDEN = {"black": 0, "white": 255, "noise": None}


def half_hidden(kind, mode="RGBA"):
    """A picture whose left third is transparent, with other colours below each time."""
    random = np.random.default_rng(3)
    pixels = random.integers(0, 256, (12, 18, 4), np.uint8)
    pixels[..., 3] = np.repeat([0, 128, 255], 6)
    below = random.integers(0, 256, (12, 6, 3)) if HIDDEN[kind] is None else HIDDEN[kind]
    pixels[:, :6, :3] = below
    return Image.fromarray(pixels).convert(mode)


@pytest.mark.parametrize("suffix", ["PNG", "WEBP", "TIFF"])
def test_colours_that_transparency_hides_are_not_read(suffix):
    lossless = {"lossless": True, "exact": True} if suffix == "WEBP" else {}
    read = [read_image(encoded(half_hidden(kind), suffix, **lossless)) for kind in HIDDEN]
    for picture in read:
        assert picture.alpha is None
        np.testing.assert_array_equal(picture.pixels, read[0].pixels)
    stored = np.asarray(half_hidden("black")).astype(np.float64) / 255
    seen = stored[..., :3] * stored[..., 3:] + (1 - stored[..., 3:])
    np.testing.assert_allclose(read[0].pixels, seen, atol=1e-6)


@pytest.mark.parametrize("kind", HIDDEN)
def test_in_memory_too_colours_under_transparency_are_left_out(kind):
    image = half_hidden(kind)
    for source in (image, np.asarray(image), Picture(*_parts(image))):
        seen = as_picture(source, "it")
        assert seen.alpha is None
        np.testing.assert_allclose(seen.pixels[:, :6], 1.0)


def _parts(image):
    array = np.asarray(image).astype(np.float32) / 255
    return array[..., :3], array[..., 3]


def test_numbers_that_are_not_finite_may_lie_under_transparency():
    pixels = np.full((1, 2, 3), np.nan, np.float32)
    pixels[:, 1] = 0.5
    seen = Picture(pixels, np.array([[0.0, 1.0]], np.float32)).opaque(0.25)
    np.testing.assert_array_equal(seen.pixels[0, :, 0], [0.25, 0.5])


def test_a_picture_with_its_alpha_back_looks_the_same_before_white():
    picture = random_picture(alpha=True)
    back = picture.opaque().with_alpha(picture.alpha)
    np.testing.assert_allclose(back.opaque().pixels, picture.opaque().pixels, atol=1e-5)
    shows = picture.alpha > 0.01
    np.testing.assert_allclose(back.pixels[shows], picture.pixels[shows], atol=1e-3)


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_pixels_for_networks_have_no_hidden_colours(tmp_path, suffix):
    pixels = []
    for kind in HIDDEN:
        path = tmp_path / f"{kind}.{suffix}"
        path.write_bytes(
            encoded(
                half_hidden(kind),
                suffix.upper(),
                **({"lossless": True, "exact": True} if suffix == "webp" else {}),
            )
        )
        pixels.append(read_pixels(str(path)))
    np.testing.assert_array_equal(pixels[0], pixels[1])
    np.testing.assert_array_equal(pixels[0], pixels[2])


QUARTERS = np.zeros((16, 32, 3), np.uint8)
QUARTERS[:8, :16], QUARTERS[:8, 16:], QUARTERS[8:, :16] = (255, 0, 0), (0, 255, 0), (0, 0, 255)


@pytest.mark.parametrize("suffix", ["png", "webp", "avif", "tif", "jpg"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_format_is_turned_once(tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(QUARTERS).save(path, exif=exif, quality=95)
    upright = np.asarray(_turn(Image.fromarray(QUARTERS), orientation)).astype(int)
    shown = to_uint8(read_image(path).pixels).astype(int)
    assert shown.shape == upright.shape == (*header_size(path), 3)
    assert measure_image(path.read_bytes(), "a") == header_size(path)
    np.testing.assert_array_equal(read_pixels(str(path)), shown)
    centres = (slice(4, None, 8), slice(8, None, 16))
    if orientation >= 5:
        centres = centres[::-1]
    assert np.abs(shown[centres] - upright[centres]).max() < 40


def _turn(image, orientation):
    """By the words of the EXIF standard: where row 0 and column 0 of the stored picture lie."""
    T = Image.Transpose
    steps = {
        1: [], 2: [T.FLIP_LEFT_RIGHT], 3: [T.ROTATE_180], 4: [T.FLIP_TOP_BOTTOM],
        5: [T.TRANSPOSE], 6: [T.ROTATE_270], 7: [T.TRANSVERSE], 8: [T.ROTATE_90],
    }  # fmt: skip
    for step in steps[orientation]:
        image = image.transpose(step)
    return image


def test_an_avif_that_is_called_heic_is_read_as_what_it_is(tmp_path):
    path = tmp_path / "photo.heic"
    path.write_bytes(encoded(Image.fromarray(QUARTERS), "AVIF"))
    assert read_image(path).pixels.shape == (16, 32, 3)
    assert header_size(path) == (16, 32)


def test_a_file_that_is_there_is_replaced_only_when_asked(tmp_path):
    path = tmp_path / "a.txt"
    write_bytes(path, b"first", overwrite=False)
    with pytest.raises(ImageError, match=r"a\.txt exists, and is left as it is; use --overwrite"):
        write_bytes(path, b"second", overwrite=False)
    assert path.read_bytes() == b"first"
    write_bytes(path, b"third")
    assert path.read_bytes() == b"third"
    assert [one.name for one in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("has_links", [True, False])
def test_of_many_that_write_to_one_name_one_wins_and_the_others_are_told(
    tmp_path, monkeypatch, has_links
):
    def refuse(*paths):
        raise PermissionError("this file system has no links")

    if not has_links:
        monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / "a.txt"

    def write(number):
        try:
            write_bytes(path, str(number).encode() * 100_000, overwrite=False)
        except ImageError:
            return None
        return number

    with ThreadPoolExecutor(8) as pool:
        winners = [one for one in pool.map(write, range(8)) if one is not None]
    assert len(winners) == 1
    assert path.read_bytes() == str(winners[0]).encode() * 100_000
    assert [one.name for one in tmp_path.iterdir()] == ["a.txt"]


def test_what_is_no_file_is_written_into_and_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(pipe.read_bytes)
        write_bytes(pipe, b"through")
        assert read.result(10) == b"through"
    assert not pipe.is_file()


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_heic_picture_is_decoded_and_upright(tmp_path, orientation):
    pillow_heif = pytest.importorskip("pillow_heif")
    colours = np.zeros((64, 96, 3), np.uint8)
    colours[:, :48], colours[:, 48:] = (200, 30, 30), (30, 30, 200)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "photo.heic"
    heif = pillow_heif.from_pillow(Image.fromarray(colours))
    heif.save(path, quality=90, exif=exif.tobytes())
    picture = read_image(path)
    # Turned by 90 degrees clockwise what was on the left is at the top.
    expected = colours if orientation == 1 else np.rot90(colours, -1)
    assert picture.pixels.shape == expected.shape
    for where in ((8, 8), (-8, -8)):
        np.testing.assert_allclose(picture.pixels[where] * 255, expected[where], atol=8)
