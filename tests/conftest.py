from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from datastore import Datastore, EncoderConfig
from datastore.changes.features import with_features
from datastore.changes.finish import with_indexes
from datastore.changes.fold import with_queries
from datastore.changes.write import SegmentCounts, commit_next, publish_segment
from datastore.encoders import load_encoder
from datastore.kinds import declare
from datastore.manifest import Manifest, StoredEncoder
from datastore.segment import Passage, write_passages, write_vectors

ROOT = Path(__file__).resolve().parents[1]
HASHING = EncoderConfig(model="hashing")

# A loaded machine is no failure: times belong to benchmarks.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")

StoreMaker = Callable[..., Datastore]


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real data; a test that asks for it is skipped where it is absent."""
    folder = Path(os.environ.get("COMPENDIA_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real data is absent: {folder} (COMPENDIA_TEST_DATA names another folder)")
    return folder


@pytest.fixture
def make_store(tmp_path: Path) -> StoreMaker:
    """`make_store(texts, titles=…, ids=…, metadata=…, segment_rows=…, features=…)`: a store of one passage a document."""
    return _maker(tmp_path)


@pytest.fixture(scope="module")
def make_shared_store(tmp_path_factory: pytest.TempPathFactory) -> StoreMaker:
    """The same for stores that no test of a module changes."""
    return _maker(tmp_path_factory.mktemp("shared"))


def _maker(parent: Path) -> StoreMaker:
    count = 0

    def make(
        texts: Sequence[str],
        *,
        titles: Sequence[str] | None = None,
        ids: Sequence[str] | None = None,
        metadata: Sequence[Mapping[str, Any]] | None = None,
        segment_rows: int = 1000,
        features: Sequence[str | Mapping[str, Any]] = ("bm25",),
    ) -> Datastore:
        nonlocal count
        count += 1
        path = parent / f"store-{count}"
        encoder = load_encoder(HASHING)
        passages = [
            Passage(
                passage_id=f"test/{ids[i] if ids else i}#0",
                document_id=ids[i] if ids else str(i),
                source="test",
                title=titles[i] if titles else "",
                ordinal=0,
                start=0,
                end=len(text),
                text=text,
                metadata=metadata[i] if metadata else {},
            )
            for i, text in enumerate(texts)
        ]
        entries = []
        for start in range(0, len(passages), segment_rows):
            part = passages[start : start + segment_rows]

            def fill(folder: Path, part: list[Passage] = part) -> int:
                write_vectors(
                    folder, encoder.encode_passages([passage.text for passage in part], truncate=True)
                )
                return write_passages(folder, part)

            entries.append(publish_segment(path, f"seg{start}", SegmentCounts(len(part)), fill))
        manifest = Manifest(
            version=1,
            parent=None,
            metric="cosine",
            dimension=encoder.fingerprint.dimension,
            encoder=StoredEncoder(config=HASHING, fingerprint=encoder.fingerprint),
            segments=tuple(entries),
            indexes=(),
        )
        manifest = manifest.model_copy(update={"features": tuple(map(declare, features))})
        manifest = with_features(path, with_queries(path, manifest, encoder))
        commit_next(path, with_indexes(path, manifest))
        return Datastore.open(path)

    return make
