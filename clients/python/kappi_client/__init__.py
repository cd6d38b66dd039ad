"""Uploads to and downloads from Kappi, which continue after interruptions.

client = Client("https://kappi.example")
result = await client.upload("trip/", gallery=NewGallery(title="Lisbon"))
await client.download("https://kappi.example/g/abcd1234", "home/")
"""

from kappi_client.addresses import BadAddress, NotACode
from kappi_client.client import Client
from kappi_client.concurrency import Connection
from kappi_client.download import DownloadResult
from kappi_client.errors import ApiError, KappiError, LoggedOut, Unreachable
from kappi_client.files import LocalFile
from kappi_client.galleries import Gallery, NewGallery, Sorting
from kappi_client.journal import JournalUnwritable, UploadRunning
from kappi_client.logins import Login
from kappi_client.progress import DownloadProgress, Meter, UploadProgress
from kappi_client.upload import UploadedFile, UploadResult

__all__ = [
    "ApiError",
    "BadAddress",
    "Client",
    "Connection",
    "DownloadProgress",
    "DownloadResult",
    "Gallery",
    "JournalUnwritable",
    "KappiError",
    "LocalFile",
    "LoggedOut",
    "Login",
    "Meter",
    "NewGallery",
    "NotACode",
    "Sorting",
    "Unreachable",
    "UploadProgress",
    "UploadResult",
    "UploadRunning",
    "UploadedFile",
]
