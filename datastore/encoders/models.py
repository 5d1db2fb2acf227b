"""What every encoder does with a model of sentence-transformers: load it, find its prompts, run it batch by batch.

Batches of similar length, each on one thread, several at a time: on a CPU that is faster than one batch on all cores, and
what comes out does not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import NotFoundError
from ..machine import arithmetic
from ..quiet import quiet_transformers
from ..weights import weights_revision

if TYPE_CHECKING:
    import torch

    from .config import ModelConfig

Model = TypeVar("Model", bound=Any)


class Prompts(NamedTuple):
    query: str
    passage: str


def load_model(
    kind: Callable[..., Model], config: ModelConfig, place: str, *, fetch: bool, what: str, hint: str
) -> Model:
    """The model of a config from a folder or hub name, by a class of sentence-transformers; `what` it is called in errors.

    Raises
    ------
    NotFoundError
        If there is none at `place`; without `fetch` the network is not used.
    """
    try:
        with quiet_transformers():
            model = kind(
                place,
                revision=config.revision,
                device=config.device,
                trust_remote_code=False,
                local_files_only=not fetch,
                model_kwargs={"dtype": arithmetic(config.dtype, config.device), "use_safetensors": True},
            )
    except (OSError, ValueError) as error:
        raise NotFoundError(
            f"cannot load the {what} {config.model!r}: {str(error).splitlines()[0]}", hint=hint
        ) from error
    if config.max_tokens is not None:
        model.max_seq_length = config.max_tokens
    model.eval()
    return model


def prompts_of(model: Any, config: ModelConfig) -> Prompts:
    """Those of the config; where it has none, the model's own."""
    own = {name: prompt or "" for name, prompt in model.prompts.items()}
    passage = own.get("document", own.get("passage", ""))
    return Prompts(
        own.get("query", "") if config.query_prompt is None else config.query_prompt,
        passage if config.passage_prompt is None else config.passage_prompt,
    )


def revision_of(model: Any, place: str) -> str:
    """What names the model's weights: the commit it was fetched at, or a hash of its files."""
    own_config = getattr(model.transformers_model, "config", None)
    return weights_revision(place, "*.safetensors", getattr(own_config, "_commit_hash", None))


def on_device(features: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """The features of a batch where the model is."""
    import torch

    return {
        name: value.to(device) if isinstance(value, torch.Tensor) else value
        for name, value in features.items()
    }


def run_batches(
    lengths: Sequence[int] | NDArray[np.int64],
    batch_size: int,
    encode_batch: Callable[[list[int]], None],
    *,
    threads: int,
    on_batch: Callable[[int], None] | None = None,
) -> None:
    """Call `encode_batch` with the numbers of texts that go together; `on_batch` with how many they were.

    Longest first: the largest batch meets memory limits at once, and the short ones fill the last gaps.
    """
    import torch

    order = np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable").tolist()
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]

    def encode(batch: list[int]) -> int:
        torch.set_num_threads(1)  # of this thread
        encode_batch(batch)
        return len(batch)

    before = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(max(1, min(threads, len(batches)))) as pool:
            for done in pool.map(encode, batches):  # raises what a batch raised
                if on_batch is not None:
                    on_batch(done)
    finally:
        torch.set_num_threads(before)
