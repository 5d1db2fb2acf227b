"""Columns of many passages at once, without their texts unless those are asked for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from datastore import Datastore, IntegrityError
from datastore.machine import allow_open_files
from datastore.segment import PASSAGES, ROWS_PER_BATCH


class PassageColumns:
    """Columns of `datastore.segment.PASSAGES` of the version that `store` has open; the others are not decompressed.

    Not safe for concurrent reads.
    """

    def __init__(self, store: Datastore, names: Sequence[str]) -> None:
        self._snapshot = store.snapshot
        self._schema = pa.schema([PASSAGES.field(name) for name in names])
        self._options = pa.ipc.IpcReadOptions(
            use_threads=False, included_fields=[PASSAGES.get_field_index(name) for name in names]
        )
        self._files: dict[int, pa.RecordBatchFileReader] = {}
        allow_open_files(14 * len(self._snapshot.catalog.segments))  # those of the store, and these

    def take(self, rows: NDArray[np.int64]) -> pa.Table:
        """The columns of m rows, in the order given.

        Raises
        ------
        IntegrityError
            If a segment is damaged.
        """
        catalog = self._snapshot.catalog
        distinct, places = np.unique(rows, return_inverse=True)
        numbers, positions = catalog.locate(distinct)
        batches: list[pa.RecordBatch] = []
        for number in np.unique(numbers).tolist():
            try:
                batches += self._batches(number, positions[numbers == number])
            except (pa.ArrowException, OSError, ValueError, IndexError) as error:
                raise IntegrityError(
                    f"segment {catalog.segments[number].entry.id} cannot be read: {error}",
                    hint=f"compendia verify {self._snapshot.path}",
                ) from error
        return pa.Table.from_batches(batches, self._schema).combine_chunks().take(pa.array(places))

    def _batches(self, number: int, positions: NDArray[np.int64]) -> list[pa.RecordBatch]:
        """Ascending positions of one segment."""
        if number not in self._files:
            source = pa.memory_map(str(self._snapshot.catalog.segments[number].folder / "passages.arrow"))
            self._files[number] = pa.ipc.open_file(source, options=self._options)
        starts = np.flatnonzero(np.diff(positions // ROWS_PER_BATCH, prepend=-1))
        batches = []
        for chosen in np.split(positions, starts[1:]):
            batch = self._files[number].get_batch(int(chosen[0]) // ROWS_PER_BATCH)
            batch.validate(full=True)  # Arrow follows offsets that are out of bounds
            batches.append(batch.take(pa.array(chosen % ROWS_PER_BATCH)).select(self._schema.names))
        return batches
