"""How the pixels of a TIFF are stored, and which of the ways Kappi reads (TIFF 6.0, its supplements).

Decoders make a picture of nearly any combination, often a black, white or posterised picture. So the
combinations that are read are listed here, and all others are refused by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kappi_mediameta.probing.rejection import ProbeRejected, RejectReason
from kappi_mediameta.probing.tiff_fields import Tags, integer, numbers

BITS, COMPRESSION, PHOTOMETRIC, SAMPLES, PLANAR, INK_SET, EXTRA, FORMAT, SUBSAMPLING = (
    *(258, 259, 262, 277, 284, 332, 338, 339, 530),
)
TILE_WIDTH, TILE_HEIGHT = 322, 323
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR, CIE_LAB, ICC_LAB = 0, 1, 2, 3, 5, 6, 8, 9
_COLOURS: Final = {
    **dict.fromkeys((WHITE_IS_ZERO, BLACK_IS_ZERO, PALETTE), 1),
    **dict.fromkeys((RGB, YCBCR, CIE_LAB, ICC_LAB), 3),
    CMYK: 4,
}
JPEG, ZSTD, LZMA = 7, 50000, 34925
_FAX: Final = frozenset({2, 3, 4})
CODECS: Final = {
    1: "tiff",
    **dict.fromkeys(_FAX, "tiff-ccitt"),
    5: "tiff-lzw",
    JPEG: "tiff-jpeg",
    8: "tiff-deflate",
    32773: "tiff-packbits",
    32946: "tiff-deflate",
    LZMA: "tiff-lzma",
    ZSTD: "tiff-zstd",
    50001: "tiff-webp",
}
_UNSIGNED, FLOAT, _UNDEFINED = 1, 3, 4
_ASSOCIATED, _UNASSOCIATED = 1, 2
_DEPTHS: Final = {  # bits a sample, by photometric interpretation
    **dict.fromkeys((WHITE_IS_ZERO, BLACK_IS_ZERO), frozenset({1, 2, 4, 8, 16})),
    PALETTE: frozenset({1, 2, 4, 8}),
    YCBCR: frozenset({8}),
    **dict.fromkeys((RGB, CMYK, CIE_LAB, ICC_LAB), frozenset({8, 16})),
}
_LONG_DEPTHS: Final = {  # of these interpretations alone, bits a sample by format
    (BLACK_IS_ZERO, _UNSIGNED): frozenset({32}),
    (BLACK_IS_ZERO, FLOAT): frozenset({16, 32}),
    (RGB, _UNSIGNED): frozenset({32}),
    (RGB, FLOAT): frozenset({16, 32}),
}
_MAX_TILE_SIDE: Final = 8192


@dataclass(frozen=True, slots=True)
class Samples:
    """colours: number of samples of a pixel that are its colour, the first ones. alpha: index of its opacity.

    associated: the colours are multiplied by the opacity. is_float: 0.0 is black and 1.0 is white.
    has_planes: each sample of all pixels is stored by itself, and there are several.
    """

    photometric: int
    compression: int
    bits: int
    per_pixel: int
    colours: int
    alpha: int | None
    associated: bool
    is_float: bool
    has_planes: bool

    @property
    def codec(self) -> str:
        return CODECS[self.compression]


def samples_of(tags: Tags) -> Samples:
    """Returns the samples by the tags. Raises ProbeRejected: `unsupported_type` for unlisted combinations."""
    compression = _number(tags, COMPRESSION, 1)
    if compression not in CODECS:
        raise _unsupported(f"compression {compression}")
    per_pixel = _number(tags, SAMPLES, 1)
    photometric = _number(tags, PHOTOMETRIC, BLACK_IS_ZERO if per_pixel < 3 else RGB)
    colours = _COLOURS.get(photometric)
    if colours is None:
        raise _unsupported(f"photometric interpretation {photometric}")
    if per_pixel < colours:
        raise ProbeRejected(RejectReason.CORRUPT, f"{per_pixel} samples, photometric {photometric}")
    bits, form = _depth(tags, photometric)
    alpha, associated = _alpha(tags, photometric, colours=colours, per_pixel=per_pixel)
    samples = Samples(
        photometric=photometric,
        compression=compression,
        bits=bits,
        per_pixel=per_pixel,
        colours=colours,
        alpha=alpha,
        associated=associated,
        is_float=form == FLOAT,
        has_planes=_number(tags, PLANAR, 1) == 2 and per_pixel > 1,
    )
    _check_combination(tags, samples)
    return samples


def _number(tags: Tags, tag: int, default: int) -> int:
    found = integer(tags, tag)
    return default if found is None else found


def _depth(tags: Tags, photometric: int) -> tuple[int, int]:
    """Returns bits and format of every sample."""
    depths = set(numbers(tags, BITS)) or {1.0}
    forms = {_UNSIGNED if form == _UNDEFINED else form for form in numbers(tags, FORMAT)} or {_UNSIGNED}
    if photometric in (CIE_LAB, ICC_LAB):
        forms = {_UNSIGNED}  # some writers say, rightly, that a and b are signed, others do not
    if len(depths) > 1 or len(forms) > 1:
        raise _unsupported("samples of several kinds")
    bits, form = int(depths.pop()), int(forms.pop())
    known = _DEPTHS[photometric] if form == _UNSIGNED else frozenset()
    if bits not in known | _LONG_DEPTHS.get((photometric, form), frozenset()):
        raise _unsupported(f"samples of {bits} bits, format {form}, photometric {photometric}")
    return bits, form


def _alpha(tags: Tags, photometric: int, *, colours: int, per_pixel: int) -> tuple[int | None, bool]:
    """Returns the index of the opacity or None, and whether the colours are multiplied by it. Any number of
    samples may follow the colours, and only this field says what they are."""
    kinds = numbers(tags, EXTRA)
    if EXTRA not in tags and photometric == RGB and per_pixel == colours + 1:
        kinds = (_UNASSOCIATED,)  # old writers left the field out, and all readers assume this
    for number, kind in enumerate(kinds[: per_pixel - colours]):
        if kind in (_ASSOCIATED, _UNASSOCIATED):
            return colours + number, kind == _ASSOCIATED
    return None, False


def _check_combination(tags: Tags, samples: Samples) -> None:
    """Raises ProbeRejected for parts that are not read together."""
    photometric, compression = samples.photometric, samples.compression
    extra = samples.per_pixel - samples.colours
    if extra and (samples.bits < 8 or photometric in (PALETTE, YCBCR)):
        raise _unsupported(f"{extra} extra samples, photometric {photometric}")
    if compression in _FAX and samples.bits != 1:
        raise _unsupported(f"fax of {samples.bits} bits")
    if compression == JPEG and (samples.bits != 8 or photometric in (PALETTE, CIE_LAB, ICC_LAB)):
        raise _unsupported(f"JPEG of {samples.bits} bits, photometric {photometric}")
    if compression == JPEG and extra and samples.colours == 1 and not samples.has_planes:
        raise _unsupported("JPEG of grey and extra samples")
    if photometric == YCBCR and compression != JPEG and set(numbers(tags, SUBSAMPLING)) == {1.0}:
        raise _unsupported("YCbCr that is not subsampled")  # libvips reads it as RGB
    if photometric == YCBCR and samples.has_planes:
        raise _unsupported("planes of YCbCr")
    if photometric == CMYK and _number(tags, INK_SET, 1) != 1:
        raise _unsupported("inks other than CMYK")
    for tag in (TILE_WIDTH, TILE_HEIGHT):
        side = _number(tags, tag, 16)
        if side % 16 or not 0 < side <= _MAX_TILE_SIDE:
            raise _unsupported(f"tiles of {side} pixels a side")


def _unsupported(what: str) -> ProbeRejected:
    return ProbeRejected(RejectReason.UNSUPPORTED_TYPE, f"TIFF: {what}")
