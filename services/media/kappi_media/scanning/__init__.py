"""The virus scan of an original, before any viewer except its uploader may have it."""

from kappi_media.scanning.clamd import Clamd, ClamdAddress, ScanFailed, ScannerUnavailable, Verdict
from kappi_media.scanning.scan_original import Infected, NotScannable, ScanOriginal, ScanRefused

__all__ = [
    "Clamd",
    "ClamdAddress",
    "Infected",
    "NotScannable",
    "ScanFailed",
    "ScanOriginal",
    "ScanRefused",
    "ScannerUnavailable",
    "Verdict",
]
