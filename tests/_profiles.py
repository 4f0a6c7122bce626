"""Small ICC profiles, made by hand from the specification (ICC.1:2010, version 2 tags)."""

import struct

# Adobe RGB (1998): colorants adapted to D50, columns are red, green, blue.
ADOBE_RGB_TO_XYZ = (
    (0.60974, 0.20528, 0.14919),
    (0.31111, 0.62567, 0.06322),
    (0.01947, 0.06087, 0.74457),
)
ADOBE_RGB_GAMMA = 563 / 256
D50 = (0.9642, 1.0, 0.8249)


def _fixed(*values):
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def _xyz(values):
    return b"XYZ \0\0\0\0" + _fixed(*values)


def _gamma(gamma):
    # One entry of a curve is an exponent, in 256ths.
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"


def _description(text):
    data = text.encode() + b"\0"
    return b"desc\0\0\0\0" + struct.pack(">I", len(data)) + data + bytes(4 + 4 + 2 + 1 + 67)


def _profile(space, tags):
    tags = {b"desc": _description("test"), b"cprt": b"text\0\0\0\0none\0", **tags}
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    header = struct.pack(
        ">I4sI4s4s4s", start + len(body), bytes(4), 0x02100000, b"mntr", space, b"XYZ "
    )
    header += bytes(12) + b"acsp" + bytes(28) + _fixed(*D50)
    return header.ljust(128, b"\0") + table + body


def adobe_rgb():
    """A wide-gamut profile: the same numbers mean stronger colours than in sRGB."""
    red, green, blue = zip(*ADOBE_RGB_TO_XYZ, strict=True)
    tags = {b"wtpt": _xyz(D50), b"rXYZ": _xyz(red), b"gXYZ": _xyz(green), b"bXYZ": _xyz(blue)}
    curve = _gamma(ADOBE_RGB_GAMMA)
    return _profile(b"RGB ", {**tags, b"rTRC": curve, b"gTRC": curve, b"bTRC": curve})


def linear_grey():
    """Grey whose numbers are proportional to light."""
    return _profile(b"GRAY", {b"wtpt": _xyz(D50), b"kTRC": _gamma(1.0)})
