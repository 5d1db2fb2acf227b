from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datastore import IntegrityError
from datastore.manifest import SegmentEntry
from datastore.segment import (
    ROWS_PER_BATCH,
    Passage,
    Segment,
    UnstorableVectorError,
    describe_files,
    open_vectors,
    write_passages,
    write_vectors,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
METADATA = st.dictionaries(TEXT.map(lambda key: key.replace("\x00", "")), JSON, max_size=4)


def passages(metadata: list[dict]) -> list[Passage]:
    return [
        Passage(f"s/{i}#0", str(i), "s", f"Title {i}", 0, 0, 4, f"text {i}", data)
        for i, data in enumerate(metadata)
    ]


def opened(folder, rows: int) -> Segment:
    write_vectors(folder, np.eye(max(rows, 1), 4, dtype=np.float32)[:rows] + 0.5)
    entry = SegmentEntry(
        id="seg", rows=rows, documents=rows, tokens=0, unread_tokens=0, files=describe_files(folder)
    )
    return Segment(folder, entry)


@given(st.lists(METADATA, max_size=4), st.lists(TEXT, min_size=4, max_size=4))
def test_a_hit_is_what_was_written(tmp_path_factory, metadata, texts):
    folder = tmp_path_factory.mktemp("segment")
    written = [
        row._replace(text=text, title=text[:9]) for row, text in zip(passages(metadata), texts, strict=False)
    ]
    write_passages(folder, written)

    segment = opened(folder, len(written))

    for position, row in enumerate(written):
        hit = segment.read_hit(position, 0.5)
        assert (hit.passage_id, hit.document_id, hit.source) == (row.passage_id, row.document_id, row.source)
        assert (hit.title, hit.text, hit.score) == (row.title, row.text, 0.5)
        assert hit.metadata == json.loads(json.dumps(row.metadata))
    assert segment.read_column("text") == [row.text for row in written]


def test_every_position_is_found_across_batches(tmp_path):
    write_passages(tmp_path, passages([{}] * (2 * ROWS_PER_BATCH + 3)))

    segment = opened(tmp_path, 2 * ROWS_PER_BATCH + 3)

    assert [segment.read_hit(i, 0).document_id for i in range(2 * ROWS_PER_BATCH + 3)] == segment.read_column(
        "document_id"
    )


def test_columns_to_filter_by_keep_a_type_where_there_is_one(tmp_path):
    write_passages(
        tmp_path,
        passages(
            [
                {"year": 1999, "score": 1, "mixed": 5, "tags": ["a"], "flag": True, "big": 2**70},
                {"score": 0.5, "mixed": "five", "tags": [], "flag": False},
            ]
        ),
    )

    table = pq.read_table(tmp_path / "metadata.parquet").to_pydict()

    assert table["year"] == [1999, None]
    assert table["score"] == [1.0, 0.5]
    assert table["mixed"] == ["5", "five"]
    assert table["tags"] == ['["a"]', "[]"]
    assert table["flag"] == [True, False]
    assert table["big"] == [str(2**70), None]
    assert table["document_id"] == ["0", "1"]


@pytest.mark.parametrize("vector", [[0, 0, 0, 0], [np.nan, 1, 0, 0], [1e6, 0, 0, 0], [1e-9, 0, 0, 0]])
def test_a_vector_that_float16_cannot_hold_is_refused(tmp_path, vector):
    with pytest.raises(UnstorableVectorError, match=r"the vector of row 1 (is|does not fit)"):
        write_vectors(tmp_path, np.array([[1, 0, 0, 0], vector], dtype=np.float32))


@pytest.mark.parametrize(
    "wrong", [np.zeros((3, 4), np.float16), np.zeros((2, 5), np.float16), np.zeros((2, 4), np.float32)]
)
def test_vectors_of_another_shape_or_type_are_refused(tmp_path, wrong):
    write_passages(tmp_path, passages([{}, {}]))
    opened(tmp_path, 2)
    entry = SegmentEntry(id="seg", rows=2, documents=2, tokens=0, unread_tokens=0, files={})
    np.save(tmp_path / "vectors.npy", wrong)

    with pytest.raises(IntegrityError, match=r"expected vectors.npy \(2, 4\) float16"):
        open_vectors(tmp_path, entry, 4, "float16")
