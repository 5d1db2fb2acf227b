from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from typing import Any


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep the progress bars and advice of transformers off stderr while a model loads; what fails still raises."""
    import transformers

    logging: Any = transformers.utils.logging  # untyped
    level = logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        with redirect_stderr(io.StringIO()):  # the bar for GGUF files heeds no setting
            yield
    finally:
        logging.set_verbosity(level)
