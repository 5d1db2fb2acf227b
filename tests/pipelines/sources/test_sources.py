from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from pipelines import sources
from pipelines.document import Document, Reject
from pipelines.sources import SourceConfig, read, reader_version, units
from pipelines.sources.files import FilesSource
from pipelines.sources.huggingface import HuggingFaceSource
from pipelines.sources.pydoc import PydocSource

ADAPTER: TypeAdapter[SourceConfig] = TypeAdapter(SourceConfig)


def test_public_names():
    assert sources.__all__ == sorted(sources.__all__)
    assert set(sources.__all__) == {
        "Inventory",
        "SourceConfig",
        "Unit",
        "inventory",
        "parts",
        "read",
        "reader_version",
        "units",
    }


@pytest.mark.parametrize(
    ("value", "config"),
    [
        ({"kind": "files", "name": "a", "path": "/nowhere"}, FilesSource(name="a", path="/nowhere")),
        ({"kind": "huggingface", "name": "a", "dataset": "o/d"}, HuggingFaceSource(name="a", dataset="o/d")),
        ({"kind": "pydoc", "name": "a"}, PydocSource(name="a")),
    ],
)
def test_kind_chooses_the_source_and_nothing_is_opened(value, config):
    assert ADAPTER.validate_python(value) == config
    assert ADAPTER.validate_json(ADAPTER.dump_json(config)) == config
    assert reader_version(config).startswith(config.kind)


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "ftp"},
        {"unknown": 1},
        {"name": "a/b"},
        {"name": ""},
        {"name": ".a"},
        {"limit": 0},
        {"format": "docx"},
        {"split_bytes": 0},
        {"expected": {"pages": 3}},
    ],
)
def test_a_wrong_value_is_refused(change):
    with pytest.raises(ValidationError):
        ADAPTER.validate_python({"kind": "files", "name": "a", "path": "p", **change})


def test_a_source_may_state_its_licence_and_what_its_publisher_counts():
    config = ADAPTER.validate_python(
        {
            "kind": "files",
            "name": "a",
            "path": "p",
            "license": "CC-BY-SA-4.0",
            "expected": {"documents": 29_800_000, "words": 10_800_000_000},
        }
    )
    assert config.license == "CC-BY-SA-4.0"
    assert config.expected is not None
    assert (config.expected.documents, config.expected.passages) == (29_800_000, None)


def test_a_config_is_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        PydocSource(name="a").name = "b"


def test_the_limit_counts_documents_of_a_unit_and_not_rejects(tmp_path):
    for name in ("b", "a"):
        lines = [
            "{broken",
            '{"id": "1", "text": "t"}',
            '{"id": "2", "text": "t"}',
            "{broken",
            '{"id": "3", "text": "t"}',
        ]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
    config = FilesSource(name="test", path=str(tmp_path), limit=2)
    found = units(config)
    assert [unit.name for unit in found] == ["a.jsonl", "b.jsonl"]
    for unit in found:
        items = list(read(config, unit))
        assert [type(item) for item in items] == [Reject, Document, Document]
