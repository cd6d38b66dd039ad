"""Media formats, and the declared content types that match each.

A format in this list is not always accepted: the table in `probe.py` lists the formats that have a reader.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal

MediaKind = Literal["image", "video"]


@dataclass(frozen=True, slots=True)
class FormatFacts:
    """content_type: the canonical one, served with originals. aliases: other names that clients use.

    is_raw: camera RAW.
    """

    content_type: str
    kind: MediaKind
    extension: str
    aliases: frozenset[str] = frozenset()
    is_raw: bool = False


def _raw(content_type: str, extension: str, *aliases: str) -> FormatFacts:
    return FormatFacts(content_type, "image", extension, frozenset(aliases), is_raw=True)


class MediaFormat(Enum):
    JPEG = FormatFacts("image/jpeg", "image", ".jpg", frozenset({"image/jpg", "image/pjpeg", "image/x-jpeg"}))
    PNG = FormatFacts("image/png", "image", ".png", frozenset({"image/x-png", "image/apng"}))
    GIF = FormatFacts("image/gif", "image", ".gif")
    WEBP = FormatFacts("image/webp", "image", ".webp", frozenset({"image/x-webp"}))
    BMP = FormatFacts(
        "image/bmp", "image", ".bmp", frozenset({"image/x-ms-bmp", "image/x-bmp", "image/x-windows-bmp"})
    )
    HEIC = FormatFacts(
        "image/heic",
        "image",
        ".heic",
        frozenset({"image/heif", "image/heic-sequence", "image/heif-sequence"}),
    )
    AVIF = FormatFacts("image/avif", "image", ".avif", frozenset({"image/avif-sequence"}))
    TIFF = FormatFacts("image/tiff", "image", ".tif", frozenset({"image/tif", "image/x-tiff"}))
    JXL = FormatFacts("image/jxl", "image", ".jxl", frozenset({"image/x-jxl"}))
    JP2 = FormatFacts(
        "image/jp2",
        "image",
        ".jp2",
        frozenset(
            {"image/jpx", "image/j2c", "image/j2k", "image/jpeg2000", "image/jpeg2000-image", "image/x-jp2"}
        ),
    )
    CR2 = _raw("image/x-canon-cr2", ".cr2")
    CR3 = _raw("image/x-canon-cr3", ".cr3")
    CRW = _raw("image/x-canon-crw", ".crw")
    NEF = _raw("image/x-nikon-nef", ".nef")
    NRW = _raw("image/x-nikon-nrw", ".nrw")
    ARW = _raw("image/x-sony-arw", ".arw")
    SR2 = _raw("image/x-sony-sr2", ".sr2")
    # The last three names are those of programs that do not know the maker.
    DNG = _raw(
        *("image/x-adobe-dng", ".dng", "image/dng", "image/adobe-dng"),
        *("image/x-raw", "image/raw", "image/x-dcraw"),
    )
    RAF = _raw("image/x-fuji-raf", ".raf", "image/x-fujifilm-raf")
    ORF = _raw("image/x-olympus-orf", ".orf")
    RW2 = _raw("image/x-panasonic-rw2", ".rw2", "image/x-panasonic-raw")
    PEF = _raw("image/x-pentax-pef", ".pef")
    HASSELBLAD_3FR = _raw("image/x-hasselblad-3fr", ".3fr")
    IIQ = _raw("image/x-phaseone-iiq", ".iiq")
    MP4 = FormatFacts("video/mp4", "video", ".mp4", frozenset({"video/x-mp4", "application/mp4"}))
    MOV = FormatFacts("video/quicktime", "video", ".mov", frozenset({"video/x-quicktime", "video/mov"}))
    M4V = FormatFacts("video/x-m4v", "video", ".m4v", frozenset({"video/m4v"}))
    THREE_GP = FormatFacts(
        "video/3gpp", "video", ".3gp", frozenset({"video/3gpp2", "video/3gp", "video/3gpp-tt"})
    )
    WEBM = FormatFacts("video/webm", "video", ".webm")
    MKV = FormatFacts(
        "video/x-matroska", "video", ".mkv", frozenset({"video/matroska", "video/mkv", "video/x-mkv"})
    )
    AVI = FormatFacts(
        "video/x-msvideo",
        "video",
        ".avi",
        frozenset({"video/avi", "video/msvideo", "video/vnd.avi", "video/x-avi"}),
    )
    MPEG_TS = FormatFacts(
        "video/mp2t",
        "video",
        ".ts",
        frozenset({"video/m2ts", "video/mp2ts", "video/mts", "video/vnd.dlna.mpeg-tts"}),
    )
    WMV = FormatFacts(
        "video/x-ms-wmv", "video", ".wmv", frozenset({"video/x-ms-asf", "application/vnd.ms-asf"})
    )

    @property
    def title(self) -> str:
        """Returns the name for people."""
        return _TITLES.get(self.name, self.name)

    @property
    def content_type(self) -> str:
        return self.value.content_type

    @property
    def kind(self) -> MediaKind:
        return self.value.kind

    @property
    def is_camera_raw(self) -> bool:
        """Returns whether files hold what a camera's sensor recorded, which is developed to be seen."""
        return self.value.is_raw


_TITLES = {
    "WEBP": "WebP",
    "HEIC": "HEIC/HEIF",
    "JXL": "JPEG XL",
    "JP2": "JPEG 2000",
    "HASSELBLAD_3FR": "3FR",
    "THREE_GP": "3GP",
    "WEBM": "WebM",
    "MPEG_TS": "MPEG-TS",
}
_BY_CONTENT_TYPE = {name: fmt for fmt in MediaFormat for name in (fmt.value.content_type, *fmt.value.aliases)}

# Phones and editors mix up the names within these families: a WebP or a HEIC named .jpg, an iPhone's .MOV
# renamed .mp4, an Android .mp4 with a 3GPP brand. Each name matches each format of its family, and a file is
# treated as what its content is.
FILMS_OF_BOXES = (MediaFormat.MP4, MediaFormat.MOV, MediaFormat.M4V, MediaFormat.THREE_GP)
_FAMILIES = (
    frozenset(fmt for fmt in MediaFormat if fmt.kind == "image"),
    frozenset(FILMS_OF_BOXES),
    frozenset({MediaFormat.WEBM, MediaFormat.MKV}),
)


def format_of(content_type: str) -> MediaFormat | None:
    """Returns the format that a declared content type names, or None. Ignores parameters and case."""
    return _BY_CONTENT_TYPE.get(content_type.partition(";")[0].strip().lower())


def matches(declared_content_type: str, sniffed: MediaFormat) -> bool:
    """Returns whether content of format `sniffed` matches the declared content type."""
    declared = format_of(declared_content_type)
    if declared is None:
        return False
    return declared is sniffed or any(declared in family and sniffed in family for family in _FAMILIES)
