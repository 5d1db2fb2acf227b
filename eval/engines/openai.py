"""Language models behind a server that speaks OpenAI's protocol: vLLM's, llama.cpp's, a provider's.

Texts go to /completions, chats to /chat/completions. How likely a continuation is comes from the next token's likeliest
candidates where several one-word answers to one prompt are asked for (one request gives all letters); else the server
repeats prompt and continuation with their log-probabilities, which vLLM does for texts and chats, others for texts or
not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

from datastore.errors import NotFoundError, UsageError, nearest
from datastore.protocols import LogLikelihood

from ..tasks.task import Message, Prompt
from .config import EngineConfig, EngineFingerprint
from .engine import Generation, RequestsFailedError
from .prompts import draw_seed, opens_answer
from .server import RequestError, Server

_CANDIDATES = 20  # likeliest next tokens that vLLM and OpenAI give at most

_Answer = TypeVar("_Answer")


class _Token(NamedTuple):
    text: str
    nats: float


class OpenAIModel:
    """A model of a server.

    Whether results depend on what is asked at the same time is the server's affair: vLLM's do by rounding, as its
    batches form themselves.
    """

    def __init__(self, config: EngineConfig) -> None:
        self._model = config.model
        self._concurrency = config.concurrency
        self._server = Server(
            config.url,
            api_key_variable=config.api_key_variable,
            retries=config.retries,
            backoff_s=config.backoff_s,
            timeout_s=config.timeout_s,
            connections=config.concurrency,
        )
        try:
            entry = self._find(config.url)
            self.fingerprint = EngineFingerprint(
                model=config.model,
                revision=config.revision or "unknown",
                dtype="unknown",
                context_tokens=_context(entry, config.context_tokens),
                engine=f"openai ({', '.join(_origin(entry))})",
            )
            self._tokenize_url = self._tokenizer_of(config.url)
        except BaseException:
            self._server.close()
            raise

    @property
    def retries(self) -> int:
        return self._server.retried

    def log_likelihoods(self, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[LogLikelihood]:
        if len(prompts) != len(continuations):
            raise UsageError(
                f"expected a continuation for each of {len(prompts)} prompts, got {len(continuations)}"
            )
        for number, (prompt, continuation) in enumerate(zip(prompts, continuations, strict=True)):
            if not prompt or not continuation:
                raise UsageError(
                    f"the {'continuation' if prompt else 'prompt'} of pair {number} has no token"
                )
        askers: dict[Prompt, dict[str, list[int]]] = {}
        for number, prompt in enumerate(prompts):
            askers.setdefault(prompt, {}).setdefault(continuations[number], []).append(number)
        asked: list[tuple[Prompt, tuple[str, ...]]] = []
        for prompt, several in askers.items():
            words = len(several) > 1 and all(len(text.split()) == 1 for text in several)
            asked += [(prompt, tuple(several))] if words else [(prompt, (text,)) for text in several]
        answers: list[LogLikelihood | None] = [None] * len(prompts)
        failures: dict[int, str] = {}
        for (prompt, some), result in zip(asked, self._each(self._likelihoods, asked), strict=True):
            for text in some:
                for number in askers[prompt][text]:
                    if isinstance(result, RequestError):
                        failures[number] = str(result)
                    else:
                        answers[number] = result[text]
        return _complete(answers, failures)

    def generate(
        self,
        prompts: Sequence[Prompt],
        *,
        max_tokens: int,
        stop: Sequence[str] = (),
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
    ) -> list[Generation]:
        options: dict[str, Any] = {"max_tokens": max_tokens, "temperature": temperature, "top_p": top_p}
        if stop:
            options["stop"] = list(stop)

        def ask(prompt: Prompt) -> Generation:
            answer = self._ask(prompt, options | {"seed": draw_seed(prompt, seed)})
            choice, usage = answer["choices"][0], answer["usage"]
            text = choice["text"] if isinstance(prompt, str) else choice["message"]["content"]
            finish: Any = "length" if choice["finish_reason"] == "length" else "stop"
            return Generation(text or "", usage["completion_tokens"], usage["prompt_tokens"], finish)

        return _collect(self._each(ask, prompts))

    def count_tokens(self, prompts: Sequence[Prompt]) -> list[int]:
        return _collect(self._each(self._count, prompts))

    def close(self) -> None:
        self._server.close()

    def _find(self, url: str) -> Mapping[str, Any]:
        """The server's own entry of the model; asked once, without retries."""
        try:
            entries = {entry["id"]: entry for entry in self._server.get("models", retries=0)["data"]}
        except (RequestError, KeyError, TypeError) as error:
            raise NotFoundError(
                f"no server that speaks OpenAI's protocol answers at {url}: {error}",
                hint="start one, for example `vllm serve MODEL`, and give its address as engine.url",
            ) from error
        if self._model not in entries:
            raise NotFoundError(
                f"the server at {url} has no model {self._model!r}", hint=nearest(self._model, entries)
            )
        return entries[self._model]  # type: ignore[no-any-return]  # as the server sent it

    def _tokenizer_of(self, url: str) -> str | None:
        """Where vLLM counts tokens without reading them; None where a server does not."""
        address = url.rstrip("/").removesuffix("/v1") + "/tokenize"
        try:
            return address if "count" in self._server.post(address, self._named("a")) else None
        except RequestError:
            return None

    def _count(self, prompt: Prompt) -> int:
        if self._tokenize_url is not None:
            return int(self._server.post(self._tokenize_url, self._named(prompt))["count"])
        return int(self._ask(prompt, {"max_tokens": 1})["usage"]["prompt_tokens"])

    def _likelihoods(self, asked: tuple[Prompt, tuple[str, ...]]) -> dict[str, LogLikelihood]:
        """Of each of some continuations of one prompt."""
        prompt, continuations = asked
        candidates = self._candidates(prompt) if len(continuations) > 1 else {}
        return {
            text: LogLikelihood(candidates[text], 1) if text in candidates else self._repeated(prompt, text)
            for text in continuations
        }

    def _candidates(self, prompt: Prompt) -> dict[str, float]:
        """The likeliest next tokens, with their log-probabilities."""
        chat = not isinstance(prompt, str)
        wanted = {"logprobs": True, "top_logprobs": _CANDIDATES} if chat else {"logprobs": _CANDIDATES}
        told = self._ask(prompt, {"max_tokens": 1, "temperature": 0} | wanted)["choices"][0]["logprobs"]
        if "content" in told:  # of chats; llama.cpp answers so to texts too
            return {entry["token"]: entry["logprob"] for entry in told["content"][0]["top_logprobs"]}
        return dict(told["top_logprobs"][0])

    def _repeated(self, prompt: Prompt, continuation: str) -> LogLikelihood:
        """From the tokens that the server reads when it is given both."""
        if isinstance(prompt, str):
            wanted: dict[str, Any] = {"echo": True, "logprobs": 1}
            answer = self._ask(prompt + continuation, {"max_tokens": 1, "temperature": 0} | wanted)
            told = answer["choices"][0]["logprobs"]
            # The last token is the one it had to write.
            read = [
                _Token(text, nats)
                for text, nats in zip(
                    told.get("tokens", [])[:-1], told.get("token_logprobs", [])[:-1], strict=True
                )
            ]
        else:
            answer = self._ask(
                _continued(prompt, continuation), {"max_tokens": 1, "temperature": 0, "prompt_logprobs": 0}
            )
            read = [
                _Token(entry["decoded_token"], entry["logprob"])
                for entries in (answer.get("prompt_logprobs") or [])[1:]
                for entry in entries.values()
            ]
        return _last(read, continuation)

    def _ask(self, prompt: Prompt, options: Mapping[str, Any]) -> Any:
        path = "completions" if isinstance(prompt, str) else "chat/completions"
        return self._server.post(path, self._named(prompt) | dict(options))

    def _named(self, prompt: Prompt) -> dict[str, Any]:
        """The prompt as the server wants it, for our model."""
        if isinstance(prompt, str):
            return {"model": self._model, "prompt": prompt}
        body: dict[str, Any] = {
            "model": self._model,
            "messages": [message._asdict() for message in prompt],
        }
        if not opens_answer(prompt):  # vLLM's words for it; a server without them would begin a new turn
            body |= {"add_generation_prompt": False, "continue_final_message": True}
        return body

    def _each(self, ask: Callable[[Any], _Answer], asked: Iterable[Any]) -> list[_Answer | RequestError]:
        """The answers, and in their places what went wrong for good."""

        def attempt(one: Any) -> _Answer | RequestError:
            try:
                return ask(one)
            except RequestError as error:
                return error
            except (KeyError, IndexError, TypeError, AttributeError) as error:
                return RequestError(f"the server's answer is not what the protocol says: {error!r}")

        with ThreadPoolExecutor(self._concurrency) as pool:
            return list(pool.map(attempt, asked))


def _origin(entry: Mapping[str, Any]) -> list[str]:
    """Who serves the model, and where that was loaded from, as far as the server says."""
    return [str(entry.get("owned_by", "unknown")), *([str(entry["root"])] if entry.get("root") else [])]


def _context(entry: Mapping[str, Any], wanted: int | None) -> int:
    told = entry.get("max_model_len")
    known = [tokens for tokens in (told, wanted) if tokens is not None]
    if not known:
        raise UsageError(
            "the server does not say how many tokens its context has", hint="set engine.context_tokens"
        )
    return min(known)


def _continued(chat: tuple[Message, ...], continuation: str) -> tuple[Message, ...]:
    """The chat with the assistant's answer begun, or gone on with."""
    if opens_answer(chat):
        return (*chat, Message("assistant", continuation))
    return (*chat[:-1], Message("assistant", chat[-1].content + continuation))


def _last(read: Sequence[_Token], continuation: str) -> LogLikelihood:
    """Of the last tokens, those that are the continuation."""
    if not read:
        raise RequestError(
            f"the server does not repeat a prompt with its log-probabilities, and {continuation!r} is not among its "
            f"{_CANDIDATES} likeliest next tokens"
        )
    text, start = "", len(read)
    while start and len(text) < len(continuation):
        start -= 1
        text = read[start].text + text
    if text != continuation:
        raise RequestError(f"the server's tokens do not begin anew at the continuation {continuation!r}")
    return LogLikelihood(sum(token.nats for token in read[start:]), len(read) - start)


def _collect(results: Sequence[_Answer | RequestError]) -> list[_Answer]:
    failures = {
        number: str(result) for number, result in enumerate(results) if isinstance(result, RequestError)
    }
    return _complete([None if isinstance(result, RequestError) else result for result in results], failures)


def _complete(answers: Sequence[_Answer | None], failures: Mapping[int, str]) -> list[_Answer]:
    if failures:
        raise RequestsFailedError(answers, failures)
    return [answer for answer in answers if answer is not None]
