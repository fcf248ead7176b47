"""The places of everything outside the database, selected here alone by the scheme of
STORAGE_URL.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from app.errors import BadSourceUri, SettingsInvalid
from app.sources.bucket import Bucket
from app.sources.mark import BucketMark, FolderMark, Mark
from app.sources.objects import ObjectStorage, OutputObjects
from app.sources.outputs import OutputParts
from app.sources.partial_objects import PartialObjects
from app.sources.partials import PartialFiles
from app.sources.places import Outputs, Partials, Storage
from app.sources.s3 import S3_SCHEME, Address, Credentials
from app.sources.scratch import Scratch
from app.sources.storage import LocalStorage


@dataclass(frozen=True, slots=True)
class Stores:
    storage: Storage
    partials: Partials
    outputs: Outputs
    spool: LocalStorage
    """Storage for bodies that this process reads again before storing something made from them."""
    mark: Mark
    scratch: Scratch | None = None

    def prepare(self) -> None:
        for store in (self.storage, self.partials, self.spool):
            store.prepare()

    def close(self) -> None:
        if self.scratch is not None:
            self.scratch.close()


def folder_of(url: str, default: Path) -> Path | None:
    """Return the folder of a STORAGE_URL, None for a bucket; raises SettingsInvalid."""
    if not url:
        return default
    if url.startswith(S3_SCHEME):
        return None
    parts = urlsplit(url)
    if (
        parts.scheme != "file"
        or parts.netloc not in ("", "localhost")
        or not parts.path.startswith("/")
    ):
        raise SettingsInvalid(
            f"STORAGE_URL: {url!r} is neither file:///folder nor s3://bucket/prefix."
        )
    return Path(unquote(parts.path))


def bucket_of(url: str, credentials: Credentials) -> Bucket:
    """Return the bucket of a STORAGE_URL; raises SettingsInvalid."""
    try:
        address = Address.parse(url.rstrip("/"))
    except BadSourceUri as error:
        raise SettingsInvalid(f"STORAGE_URL: {error.detail}") from None
    missing = [
        name
        for name, value in (
            ("ENDPOINT_URL", credentials.endpoint_url),
            ("KEY", credentials.key),
            ("SECRET", credentials.secret),
        )
        if not value
    ]
    if missing:
        raise SettingsInvalid(f"STORAGE_URL is a bucket: set {', '.join(missing)} too.")
    return Bucket(address.bucket, address.key, credentials)


def stores(url: str, default: Path, credentials: Credentials, *, most_bytes: int) -> Stores:
    """Return the places. `default` is the folder if `url` is empty; `most_bytes` is the limit of an
    upload. Raises SettingsInvalid.
    """
    folder = folder_of(url, default)
    if folder is not None:
        storage = LocalStorage(folder / "uploads")
        return Stores(
            storage,
            PartialFiles(folder / "partial"),
            OutputParts(folder / "outputs"),
            storage,
            FolderMark(folder),
        )
    bucket = bucket_of(url, credentials)
    scratch = Scratch()
    return Stores(
        ObjectStorage(bucket, scratch, most_bytes),
        PartialObjects(bucket, scratch),
        OutputObjects(bucket, scratch),
        LocalStorage(scratch.folder / "spool"),
        BucketMark(bucket),
        scratch,
    )
