"""Pictures of high dynamic range, and what a screen of standard range shows of them, by NumPy alone."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pillow_heif

Light = npt.NDArray[np.float64]

BT_709, BT_2020, DISPLAY_P3 = 1, 9, 12
PQ, HLG = 16, 18
_WHITE_NITS: Final = 203.0
_PEAK: Final = 1_000 / _WHITE_NITS
_KNEE: Final = 0.5
_TO_709: Final = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]
)


def scene(width: int = 240, height: int = 160) -> Light:
    """Returns light in BT.2020, with diffuse white as 1.0: shades and hues up to 1,000 nits."""
    across, down = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    shade = _PEAK ** (2.2 * across - 1.2)
    hues = [0.75 + 0.25 * np.cos(2 * np.pi * (down + third / 3)) for third in range(3)]
    return np.stack([shade * hue for hue in hues], axis=-1)


def in_pq(light: Light) -> Light:
    """Returns signals from 0 to 1 (SMPTE ST 2084)."""
    power = np.clip(light * _WHITE_NITS / 10_000, 0, 1) ** 0.1593017578125
    signal: Light = ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375
    return signal


def of_pq(signal: Light) -> Light:
    root = np.clip(signal, 0, 1) ** (1 / 78.84375)
    light: Light = (np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (1 / 0.1593017578125)
    return light * 10_000 / _WHITE_NITS


def tone_mapped(light: Light) -> npt.NDArray[np.uint8]:
    """Returns sRGB: light below half of diffuse white as it is, highlights up to the peak compressed."""
    light = light @ _TO_709.T
    brightest = light.max(axis=-1, keepdims=True)
    a = -(_KNEE**2) * (_PEAK - 1) / (_KNEE**2 - 2 * _KNEE + _PEAK)
    b = (_KNEE**2 - 2 * _KNEE * _PEAK + _PEAK) / (_PEAK - 1)
    pressed = (b * b + 2 * b * _KNEE + _KNEE**2) / (b - a) * (brightest + a) / (brightest + b)
    shown = np.clip(np.where(brightest <= _KNEE, light, light * pressed / brightest), 0, 1)
    signal = np.where(shown <= 0.0031308, shown * 12.92, 1.055 * shown ** (1 / 2.4) - 0.055)
    eight_bits: npt.NDArray[np.uint8] = np.rint(signal * 255).astype("u1")
    return eight_bits


def deep_png(signal: Light, *, primaries: int, transfer: int) -> bytes:
    """Returns a PNG of sixteen bits with colour numbers."""
    height, width = signal.shape[:2]
    rows = np.rint(signal * 65_535).astype(">u2").reshape(height, -1)
    packed = zlib.compress(b"".join(b"\x00" + row.tobytes() for row in rows))
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)),
        (b"cICP", bytes([primaries, transfer, 0, 1])),
        (b"IDAT", packed),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


def deep_heic(signal: Light, *, primaries: int, transfer: int, **options: Any) -> bytes:
    """Returns a HEIC of ten bits with colour numbers."""
    height, width = signal.shape[:2]
    pixels = np.rint(signal * 65_535).astype("u2").tobytes()
    out = io.BytesIO()
    picture = pillow_heif.from_bytes(mode="RGB;16", size=(width, height), data=pixels)
    picture.save(
        out,
        quality=95,
        color_primaries=primaries,
        transfer_characteristics=transfer,
        matrix_coefficients=9,
        full_range_flag=1,
        **options,
    )
    return out.getvalue()
