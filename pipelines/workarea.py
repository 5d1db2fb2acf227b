"""What stays of a build's work for the next one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from datastore.files import remove_folder

from .corpus import Corpus
from .stages.score import TEXTS_FILE, ScoredShard

Keep = Literal["stages", "scores", "none"]
"""Documents as read and their scores; scores alone; nothing."""


def make_folders(store: Path) -> None:
    """All that the stages write into."""
    for name in ("work/read", "work/scored", "work/passages", "segments", "indexes", "builds"):
        (store / name).mkdir(parents=True, exist_ok=True)


def tidy(work: Path, corpus: Corpus, shards: Sequence[ScoredShard], keep: Keep) -> None:
    """Remove what is not to be kept, and what no later build can use. The version is committed."""
    if keep == "none":
        remove_folder(work)
        return
    remove_folder(work / "passages")
    for part, used in (
        ("read", {key for _, key, _ in corpus.results}),
        ("scored", {scored.folder.name for scored in shards}),
    ):
        for folder in (work / part).iterdir():
            if folder.name not in used:
                remove_folder(folder)
    if keep == "scores":
        for file in (*work.glob("read/*/*.arrow"), *work.glob(f"scored/*/{TEXTS_FILE}")):
            file.unlink()
