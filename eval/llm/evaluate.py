"""From an evaluation to its report."""

from __future__ import annotations

import json

from datastore import Datastore
from datastore.files import write_durably

from ..engines import Engine
from .config import Evaluation
from .report.contents import Report, make_report
from .report.page import page
from .run import Progress, ask, silent


def evaluate(
    evaluation: Evaluation,
    engine: Engine,
    store: Datastore | None = None,
    *,
    restart: bool = False,
    progress: Progress = silent,
) -> Report:
    """Ask what is not answered yet, and write report.json and report.html into the evaluation's folder.

    Raises
    ------
    UsageError, CompendiaError
        See `run.ask`.
    """
    done = ask(evaluation, engine, store, restart=restart, progress=progress)
    report = make_report(done)
    text = json.dumps(report, ensure_ascii=False, indent=1, allow_nan=False)
    write_durably(done.folder.report_json, text.encode("utf-8", "replace") + b"\n")
    write_durably(done.folder.report_html, page(report).encode("utf-8", "replace"))
    return report
