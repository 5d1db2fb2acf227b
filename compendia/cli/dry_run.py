"""A dry run, as text and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from .output import human_bytes, human_seconds, print_json, table, without_reader

if TYPE_CHECKING:
    from pipelines.dry_run import DryRun

SCHEMA = "compendia.dry_run/1"


def print_plan(plan: DryRun, *, as_json: bool) -> None:
    """What a build would read and make, and what that costs."""
    if as_json:
        print_json(
            {
                "schema": SCHEMA,
                "sources": [source._asdict() for source in plan.sources],
                "shards": plan.shards,
                "vanished": plan.vanished,
                "passages": plan.passages,
                "dimension": plan.dimension,
                "exact_bytes": plan.exact_bytes,
                "feature_bytes": plan.feature_bytes,
                "faults": plan.faults,
                "not_subtracted": plan.not_subtracted,
                "store": asdict(plan.store) if plan.store else None,
            }
        )
        return
    rows = [["source", "files", "new", "bytes", "documents", "kept", "passages", "time", "from", "licence"]]
    rows += [
        [
            source.name,
            f"{source.units:,}",
            f"{source.new:,}",
            human_bytes(source.bytes) if source.bytes else "?",
            _about(source.documents),
            "?" if source.kept_share is None else f"{source.kept_share:.0%}",
            _about(source.passages),
            "?" if source.seconds is None else human_seconds(source.seconds),
            source.basis,
            source.license or "-",
        ]
        for source in plan.sources
    ]
    typer.echo(table(rows, right=(1, 2, 3, 4, 5, 6, 7)))
    for source in plan.sources:
        if source.skipped:
            typer.echo(f"{source.name}: {without_reader(source.skipped)}")
    if plan.vanished:
        typer.echo(f"{plan.vanished:,} files that the last build read are not there any more")
    typer.echo(f"about {plan.shards:,} shards, {_about(plan.passages)} passages")
    if plan.store is not None:
        ram, disk = sum(plan.store.ram_bytes.values()), sum(plan.store.disk_bytes.values())
        family = plan.store.index.family if plan.store.index else "none, the vectors are scanned"
        typer.echo(
            f"index: {family}; {human_bytes(ram)} of RAM, {human_bytes(disk)} on disk, "
            f"built in {human_seconds(sum(plan.store.build_s.values()))} "
            f"with at most {human_bytes(plan.store.build_ram_bytes)} of RAM"
        )
    if plan.exact_bytes:
        typer.echo(f"vectors of the second encoder: {human_bytes(plan.exact_bytes)} on disk besides")
    if plan.feature_bytes:
        parts = ", ".join(f"{name} {human_bytes(count)}" for name, count in plan.feature_bytes.items())
        typer.echo(f"to search by besides: {parts} on disk")
    times = [source.seconds for source in plan.sources if source.seconds is not None]
    if times:
        typer.echo(f"one worker: {human_seconds(sum(times))} for the sources that could be sampled")
    if plan.not_subtracted:
        typer.echo(f"not subtracted: {' and '.join(plan.not_subtracted)}, which only the whole corpus tells")
    for fault in plan.faults:
        typer.echo(f"note: the build would stop: {fault}")


def _about(count: int | None) -> str:
    return "?" if count is None else f"{count:,}"
