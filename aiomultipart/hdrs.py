"""Names of header fields, as case-insensitive strings; the names are those of ``aiohttp.hdrs``."""

from typing import Final

from multidict import istr

__all__ = (
    "ACCEPT",
    "ACCEPT_ENCODING",
    "ACCEPT_RANGES",
    "CACHE_CONTROL",
    "CONTENT_DISPOSITION",
    "CONTENT_ENCODING",
    "CONTENT_ID",
    "CONTENT_LANGUAGE",
    "CONTENT_LENGTH",
    "CONTENT_LOCATION",
    "CONTENT_MD5",
    "CONTENT_RANGE",
    "CONTENT_TRANSFER_ENCODING",
    "CONTENT_TYPE",
    "DATE",
    "ETAG",
    "IF_RANGE",
    "LAST_MODIFIED",
    "LOCATION",
    "MIME_VERSION",
    "RANGE",
    "TRANSFER_ENCODING",
)

ACCEPT: Final = istr("Accept")
ACCEPT_ENCODING: Final = istr("Accept-Encoding")
ACCEPT_RANGES: Final = istr("Accept-Ranges")
CACHE_CONTROL: Final = istr("Cache-Control")
CONTENT_DISPOSITION: Final = istr("Content-Disposition")
CONTENT_ENCODING: Final = istr("Content-Encoding")
CONTENT_ID: Final = istr("Content-ID")
CONTENT_LANGUAGE: Final = istr("Content-Language")
CONTENT_LENGTH: Final = istr("Content-Length")
CONTENT_LOCATION: Final = istr("Content-Location")
CONTENT_MD5: Final = istr("Content-MD5")
CONTENT_RANGE: Final = istr("Content-Range")
CONTENT_TRANSFER_ENCODING: Final = istr("Content-Transfer-Encoding")
CONTENT_TYPE: Final = istr("Content-Type")
DATE: Final = istr("Date")
ETAG: Final = istr("ETag")
IF_RANGE: Final = istr("If-Range")
LAST_MODIFIED: Final = istr("Last-Modified")
LOCATION: Final = istr("Location")
MIME_VERSION: Final = istr("MIME-Version")
RANGE: Final = istr("Range")
TRANSFER_ENCODING: Final = istr("Transfer-Encoding")
