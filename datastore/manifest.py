"""The manifest: one immutable JSON file per version, and `CURRENT`, which names the version that readers see."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from .encoders.config import EncoderConfig, EncoderFingerprint
from .errors import IntegrityError, NotFoundError
from .files import content_key, crash_point, fsync, write_durably
from .index.config import IndexConfig
from .index.dense.vectors import Metric

FORMAT = 2
_MOST_DIGITS = 15  # of a version
_CHECKSUM = "checksum"  # `content_key` of all else in the file
# One plain name: no separators, no parent folder, nothing hidden. A manifest may come from a stranger.
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=128)]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileEntry(_Frozen):
    bytes: int = Field(ge=0)
    checksum: str = Field(description="xxh3-128, hex")


class DeletesEntry(FileEntry):
    """deletes/<segment>/<name>: the sorted positions of a segment's deleted rows."""

    name: Name
    rows: int = Field(ge=1)


class SegmentEntry(_Frozen):
    id: Name
    rows: int = Field(ge=0)
    documents: int = Field(ge=0)
    tokens: int = Field(ge=0, description="Of the encoder's inputs")
    unread_tokens: int = Field(ge=0, description="Beyond what the encoder reads; only of chunk.mode document")
    files: dict[Name, FileEntry]
    features: dict[Name, dict[Name, FileEntry]] = Field(
        default_factory=dict, description="Files of features/<segment>/<feature's id>"
    )
    deletes: DeletesEntry | None = None

    @property
    def live_rows(self) -> int:
        return self.rows - (self.deletes.rows if self.deletes else 0)


class IndexEntry(_Frozen):
    id: Name
    kind: Name
    family: Name
    parameters: dict[str, Any]
    segments: tuple[Name, ...] = Field(description="The segments covered; ordinals follow this order")
    rows: int = Field(ge=0)
    files: dict[Name, FileEntry]


class FeatureEntry(_Frozen):
    """What every segment holds for one more way to search, and the indexes over it; see `datastore.features`."""

    name: Name
    kind: Name
    config: dict[str, Any]
    fingerprint: dict[str, Any] = Field(description="What must be equal for new rows to fit the old ones")
    indexes: tuple[IndexEntry, ...] = ()

    @property
    def id(self) -> str:
        """Names what its files hold: equal for equal settings, whatever the feature is called."""
        settings = {key: value for key, value in self.config.items() if key != "name"}
        return f"{self.kind}-{content_key(settings, self.fingerprint)[:16]}"


class StoredEncoder(_Frozen):
    """An encoder whose vectors the store holds."""

    config: EncoderConfig
    fingerprint: EncoderFingerprint


class CalibrationEntry(FileEntry):
    """calibration/<name>: (n, d) float32 queries that recall is measured with when an index is built."""

    name: Name
    rows: int = Field(ge=1)
    source: Literal["given", "sentences"]


class Manifest(_Frozen):
    """The state of a store that a reader sees."""

    format: int = FORMAT
    version: int = Field(ge=1)
    parent: int | None
    build: Name | None = Field(default=None, description="builds/<build>.json holds times, host and funnel")
    recipe_hash: str | None = Field(
        default=None, description="Of the recipe that made all of this; None once rows were added or deleted"
    )
    metric: Metric
    dimension: int = Field(ge=1)
    dtype: Literal["float16", "float32"] = Field(default="float16", description="Of the vectors on disk")
    encoder: StoredEncoder | None = Field(default=None, description="None: vectors come from elsewhere")
    exact_encoder: StoredEncoder | None = Field(
        default=None, description="Whose vectors decide about the candidates; None: those of the index"
    )
    calibration: CalibrationEntry | None = None
    index: IndexConfig = IndexConfig()
    segments: tuple[SegmentEntry, ...]
    indexes: tuple[IndexEntry, ...]
    features: tuple[FeatureEntry, ...] = ()

    @property
    def all_indexes(self) -> tuple[IndexEntry, ...]:
        """The dense ones, and those of features."""
        return (*self.indexes, *(index for feature in self.features for index in feature.indexes))

    def without_indexes(self) -> Self:
        """As if nothing had been indexed."""
        features = tuple(feature.model_copy(update={"indexes": ()}) for feature in self.features)
        return self.model_copy(update={"indexes": (), "features": features})

    @model_validator(mode="after")
    def _check_parts(self) -> Self:
        rows = {entry.id: entry.rows for entry in self.segments}
        if len(rows) < len(self.segments):
            raise ValueError("a segment occurs twice")
        for indexes in (self.indexes, *(feature.indexes for feature in self.features)):
            covered = [segment for index in indexes for segment in index.segments]
            if len(set(covered)) < len(covered) or not rows.keys() >= set(covered):
                raise ValueError("indexes cover a segment twice, or one that is not there")
        owned = [("dense", self.indexes), *((feature.kind, feature.indexes) for feature in self.features)]
        if any(index.kind != kind for kind, indexes in owned for index in indexes):
            raise ValueError("an index is of another kind than what it belongs to")
        ids = [feature.id for feature in self.features]
        if len({feature.name for feature in self.features}) < len(ids):
            raise ValueError("two features have one name")
        if any(not set(ids) <= entry.features.keys() for entry in self.segments):
            raise ValueError("a segment lacks a feature")
        for index in self.all_indexes:
            if not index.segments or index.rows != sum(rows[segment] for segment in index.segments):
                raise ValueError(f"index {index.id} does not have the rows of its segments")
        return self


def current_version(store: Path) -> int | None:
    """The version that `CURRENT` names; None where nothing has been committed."""
    try:
        text = (store / "CURRENT").read_text(encoding="ascii").strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (UnicodeDecodeError, OSError):
        text = "not text"
    if not text.isdigit() or len(text) > _MOST_DIGITS:
        raise IntegrityError(
            f"{store / 'CURRENT'} does not hold a version number", hint=f"compendia verify {store}"
        )
    return int(text)


def manifest_path(store: Path, version: int) -> Path:
    return store / "versions" / f"{version:08d}.json"


def versions(store: Path) -> list[int]:
    """The versions whose manifests are there, ascending."""
    return sorted(
        int(file.stem)
        for file in (store / "versions").glob("*.json")
        if file.stem.isascii() and file.stem.isdigit() and file.is_file()
    )


def next_version(store: Path) -> int:
    """The number of the version to be.

    A manifest beyond the current version was written by a process that died before it could commit: its number is used
    again. Without `CURRENT`, though, several manifests mean that it was lost, and no number is used again.
    """
    current, known = current_version(store), versions(store)
    if current is None and len(known) > 1:
        return known[-1] + 1
    return (current or 0) + 1


def read_manifest(store: Path, version: int | None = None) -> Manifest:
    """The manifest of a version, the current one by default.

    Raises
    ------
    NotFoundError
        If there is no store at this path.
    IntegrityError
        If the manifest is missing, malformed, not what was written, or of a newer format than this code reads.
    """
    if version is None:
        version = current_version(store)
    if version is None:
        raise NotFoundError(f"there is no datastore at {store}", hint=f"compendia build FOLDER --out {store}")
    path = manifest_path(store, version)
    try:
        raw = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise IntegrityError(f"version {version} of {store} has no manifest: {path} is missing") from None
    except (OSError, ValueError, RecursionError) as error:
        raise IntegrityError(f"{path} is not JSON: {error}") from error
    found = raw.get("format") if isinstance(raw, dict) else None
    if isinstance(found, int) and found != FORMAT:
        raise IntegrityError(
            f"{path} has format {found}, this Compendia reads format {FORMAT}",
            hint="pip install --upgrade compendia"
            if found > FORMAT
            else "build the store again, into a new folder",
        )
    # Manifests of earlier stores have none.
    stated = raw.pop(_CHECKSUM, None) if isinstance(raw, dict) else None
    hint = "build the store again, into a new folder"
    try:
        manifest = Manifest.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise IntegrityError(f"{path} is not a manifest: {where}: {first['msg']}", hint=hint) from error
    if stated is not None and stated != content_key(raw):
        raise IntegrityError(f"{path} has another checksum than when it was written", hint=hint)
    return manifest


def commit(store: Path, manifest: Manifest) -> None:
    """Make `manifest` the store's current version; its files must be on disk already."""
    folder = store / "versions"
    folder.mkdir(parents=True, exist_ok=True)
    crash_point("before_manifest_rename")
    content = manifest.model_dump(mode="json")
    data = json.dumps({**content, _CHECKSUM: content_key(content)}, ensure_ascii=False, indent=1).encode()
    write_durably(manifest_path(store, manifest.version), data)
    crash_point("after_manifest_rename")
    write_durably(store / "CURRENT", f"{manifest.version}\n".encode("ascii"))
    fsync(store)
    crash_point("after_current")
