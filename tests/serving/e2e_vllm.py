"""Trains, serves, promotes and rolls back adapters on a real vLLM on this machine's CPU: `make e2e-vllm`.

A tiny Qwen3 with its own tokenizer learns the sample FAQ with `finetune.train`; `serving.launch` serves it,
`smartstore serve` answers with it. Everything runs as a process of its own, as an operator would run it.
Prints each step with its seconds; the exit status is 1 where one does not do what it must.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import openai
import yaml

from serving.registry.adapter import Adapter, read_adapter
from serving.registry.pointer import FILE, read_pointer
from serving.vllm_api import Vllm
from tests.api.providers.upstream import ANSWER, MODEL
from tests.serving.broken import halved, misnamed, rebased
from tests.serving.e2e_kit import ROOT, Broken, Workshop, ask, free_port, need, process, wait_for

QUESTION = "가입 심사는 며칠이나 걸리나요?"
STEPS = 100
# Still being written when somebody looks: the tiny model says 600 tokens a second.
LONG = 3000


@contextmanager
def step(title: str) -> Iterator[None]:
    """Prints a step and how long it took."""
    began = time.monotonic()
    yield
    print(f"ok  {title} ({time.monotonic() - began:.0f} s)", flush=True)


def write_configurations(shop: Workshop, port: int) -> None:
    """The vLLM server's configuration and the API's base settings."""
    raw = yaml.safe_load((ROOT / "configs/serving/tiny-cpu.yaml").read_text(encoding="utf-8"))
    raw["model"]["path"] = str(shop.folder / "base")
    raw["server"] |= {"port": port, "python": shop.vllm}
    raw["lora"]["adapters"] = str(shop.registry)
    (shop.folder / "serving.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")


def write_settings(shop: Workshop, port: int, candidate: str, openai_url: str) -> None:
    """Settings of an API that answers with this vLLM: under the alias, with the base, with a candidate.

    Its provider `openai` is a small OpenAI-compatible server on this machine.
    """
    plain = {"temperature": 0, "chat_template_kwargs": {"enable_thinking": False}}
    endpoint = {
        "base_url": f"http://127.0.0.1:{port}/v1",
        "third_party": False,
        "first_token_timeout_s": 60.0,
        "extra_body": plain,
    }
    alias = {"model": "faq-current", "alias_file": str(shop.registry / "current.json")}
    long = {"model": "tiny", "extra_body": plain | {"max_tokens": LONG, "ignore_eos": True}}
    raw = {
        "corpus": {"faq": "configs/faq/sample.jsonl", "expansions": "configs/expansions"},
        "conversation": {"passages": 1, "max_answer_tokens": 48},
        "providers": {
            "default": "vllm",
            "fallback": [],
            "endpoints": {
                "vllm": endpoint | alias,
                "vllm-base": endpoint | {"model": "tiny"},
                "vllm-long": endpoint | long,
                "vllm-candidate": endpoint | {"model": candidate},
                "openai": {"base_url": openai_url, "model": MODEL, "api_key": "local"},
            },
        },
    }
    (shop.folder / "app.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")


def train_adapters(shop: Workshop, trained: Path) -> None:
    """Two adapters of the base that is served, one of another; their names go to `trained`."""
    names = [
        shop.train("first", base="base", steps=STEPS, seed=7),
        shop.train("second", base="base", steps=STEPS // 2, seed=8),
        shop.train("foreign", base="other-base", steps=STEPS // 4, seed=9, registry="others"),
    ]
    trained.write_text(json.dumps(names), encoding="utf-8")


def try_promotion(shop: Workshop, api: str, vllm: Vllm, first: str) -> None:
    """The first adapter goes into service while the API runs."""
    before = ask(api, QUESTION)
    need(before["turn.started"]["model"] == "faq-current", "the base model must answer under the alias")
    need("the base model answers" in shop.smartstore("adapters", "list"), "adapters list")
    need("in effect" in shop.smartstore("adapters", "load", first), "adapters load")
    need(ask(api, QUESTION)["text"] == before["text"], "a loaded adapter must answer nobody yet")
    need(first in shop.smartstore("adapters", "promote", first), "adapters promote")
    after = ask(api, QUESTION)
    need(after["turn.started"]["model"] == first, f"the alias did not move: {after['turn.started']}")
    need(after["turn.completed"]["provider"] == "vllm", "another provider answered")
    need(after["text"] != before["text"], "the adapter changed nothing")
    need(after["turn.completed"]["usage"]["completion_tokens"] > 0, "no usage")
    rows = (shop.folder / "data" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    messages = json.loads(rows[0])["messages"]
    question = messages[-2]["content"].rsplit("질문: ", 1)[1]
    wanted = vllm.answer(first, messages[:-1], max_tokens=48).strip()
    answer = ask(api, question)["text"].strip()
    need(answer == wanted, f"asked as in training:\n  {answer!r}\ninstead of\n  {wanted!r}")


def try_openai_sdk(api: str) -> None:
    """The openai SDK gets answers from the FAQ and from the raw model, streamed."""
    with openai.OpenAI(base_url=f"{api}/v1", api_key="none", max_retries=0, timeout=120) as client:
        names = [model.id for model in client.models.list()]
        need({"faq/vllm", "vllm/faq-current"} <= set(names), f"/v1/models: {names}")
        for model in ("faq/vllm", "vllm/faq-current"):
            chunks = client.chat.completions.create(
                model=model, messages=[{"role": "user", "content": QUESTION}], max_tokens=32, stream=True
            )
            text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
            need(text.strip(), f"{model}: an empty answer")


def try_switching(shop: Workshop, api: str) -> None:
    """One session, three backends, chosen by name alone."""
    session = ask(api, QUESTION, "extractive")["turn.started"]["session_id"]
    order = ["extractive", "vllm", "openai", "extractive"]
    for provider in order:
        said = shop.smartstore("chat", QUESTION, "--provider", provider, "--session", session, "--url", api)
        need(said.strip(), f"smartstore chat --provider {provider} said nothing")
        need((ANSWER in said) == (provider == "openai"), f"{provider} answered {said}")
    turns = httpx.get(f"{api}/sessions/{session}", timeout=30, trust_env=False).json()["turns"]
    told = [turn["provider"] for turn in turns]
    need(told == ["extractive", *order], f"the session's turns were answered by {told}")


def _says(line: str) -> bool:
    """Whether a line of a completion's stream carries text."""
    if not line.startswith("data: {"):
        return False
    choices = json.loads(line.removeprefix("data: "))["choices"]
    return bool(choices and choices[0]["delta"].get("content"))


def try_stopping(api: str, vllm: Vllm) -> None:
    """Whoever hangs up frees vLLM within a second: on the raw path, and in a grounded turn."""
    long = {"max_tokens": LONG, "stream": True, "messages": [{"role": "user", "content": QUESTION}]}
    for body in (long | {"model": "vllm-base/tiny", "ignore_eos": True}, long | {"model": "faq/vllm-long"}):
        with httpx.stream(
            "POST", f"{api}/v1/chat/completions", json=body, timeout=60, trust_env=False
        ) as response:
            # Kept: httpx hangs up when nobody holds the iterator any more.
            lines = response.iter_lines()
            need(any(map(_says, lines)), f"{body['model']}: no text")
            began = time.monotonic()
            while not vllm.counters()["vllm:num_requests_running"]:
                need(time.monotonic() - began < 2.0, f"{body['model']}: not running")
        hung_up = time.monotonic()
        while vllm.counters()["vllm:num_requests_running"]:
            need(time.monotonic() - hung_up < 1.0, f"{body['model']}: vLLM still works a second later")
            time.sleep(0.02)
        print(f"    {body['model']}: idle {time.monotonic() - hung_up:.2f} s after the reader left")


def try_second_adapter(shop: Workshop, api: str, first: str, second: str) -> None:
    """Hot load, evaluation, A/B split, promotion and rollback."""
    shop.smartstore("adapters", "load", second)
    cases = [{"id": "s1", "text": QUESTION, "label": "in_scope"},
             {"id": "s2", "text": "오늘 점심 뭐 먹을까요?", "label": "off_topic"}]  # fmt: skip
    (shop.folder / "cases").mkdir()
    lines = "".join(json.dumps(case, ensure_ascii=False) + "\n" for case in cases)
    (shop.folder / "cases" / "scope.jsonl").write_text(lines, encoding="utf-8")
    said = shop.run(
        shop.finetune, "-m", "finetune.evaluate", "--adapter", str(shop.registry / second),
        "--cases", str(shop.folder / "cases"),
        "--base", "vllm-base", "--current", "vllm", "--candidate", "vllm-candidate",
    )  # fmt: skip
    need(second in said, f"finetune.evaluate: {said}")
    need("evaluation" in read_adapter(shop.registry, second).card.metrics, "no verdict in the card")
    shop.smartstore("adapters", "promote", second, "--share", "0.5")
    models = [ask(api, QUESTION)["turn.started"]["model"] for _ in range(16)]
    need({*models} == {first, second}, f"16 sessions at a share of 0.5 met {set(models)}")
    shop.smartstore("adapters", "promote", second)
    now = ask(api, QUESTION)
    need(now["turn.started"]["model"] == second, "the second adapter does not answer")
    need(first in shop.smartstore("adapters", "rollback"), "rollback")
    back = ask(api, QUESTION)
    need(back["turn.started"]["model"] == first, "rollback did not reach the API")
    need(back["text"] != now["text"], "two adapters gave one answer")


def try_broken(shop: Workshop, vllm: Vllm, good: Adapter, foreign: Adapter, in_service: str) -> None:
    """Wrong module names and a wrong base: refused by their files, and by the canary once loaded."""
    for title, adapter, by_files, by_canary in (
        ("wrong module names", misnamed(good, shop.registry), "no module for", "ignored"),
        ("half of the module names wrong", halved(good, shop.registry), "no module for", ""),
        ("another base", rebased(foreign, shop.registry), "was trained on", "like the reference"),
    ):
        for verb in ("load", "promote"):
            said = shop.smartstore("adapters", verb, adapter.name, fails=True)
            need(by_files in said, f"{title}: {verb} said {said}")
        try:
            vllm.load(adapter.name, str(adapter.folder))
        except Exception as exc:
            print(f"    {title}: vLLM itself refuses it ({str(exc)[:100]})")
        else:
            said = shop.smartstore("adapters", "canary", adapter.name, fails=True)
            need("canary of" in said and by_canary in said, f"{title}: the canary said {said}")
            print(f"    {title}: vLLM loads it, the canary does not let it pass")
        shop.smartstore("adapters", "remove", adapter.name)
        need(read_pointer(shop.registry / FILE).model == in_service, f"{title}: the alias moved")


def try_crash(shop: Workshop, api: str, vllm: Vllm, launcher: subprocess.Popen[str], name: str) -> None:
    """vLLM is killed: the launcher starts it again, with the adapter in service."""
    listed = subprocess.run(["ps", "--ppid", str(launcher.pid), "-o", "pid="], capture_output=True, text=True)
    os.kill(int(listed.stdout.split()[0]), signal.SIGKILL)
    wait_for(launcher, shop.folder / "vllm.log", lambda: not vllm.healthy(), seconds=30)
    wait_for(launcher, shop.folder / "vllm.log", vllm.healthy, seconds=300)
    need(any(model["id"] == name for model in vllm.models()), "the adapter in service was not loaded again")
    response = httpx.post(
        f"{api}/v1/chat/completions", timeout=120, trust_env=False,
        json={"model": "faq/vllm", "messages": [{"role": "user", "content": QUESTION}], "seed": 1},
    )  # fmt: skip
    need(response.status_code == 200, f"after the crash: {response.status_code} {response.text[:300]}")


def run(shop: Workshop, *, keep: bool) -> None:
    """The whole story, in the order in which an operator lives it."""
    port, api_port = free_port(), free_port()
    write_configurations(shop, port)
    trained = shop.folder / "trained.json"
    if not trained.is_file():
        with step("two tiny base models with their tokenizer"):
            shop.run(shop.finetune, "-m", "finetune.tiny", str(shop.folder / "base"))
            shop.run(shop.finetune, "-m", "finetune.tiny", str(shop.folder / "other-base"), "--seed", "8")
    log = shop.folder / "vllm.log"
    launch = (sys.executable, "-m", "serving.launch", str(shop.folder / "serving.yaml"))
    with process(shop, "vllm.log", *launch) as launcher, Vllm(f"http://127.0.0.1:{port}") as vllm:
        if not trained.is_file():
            with step("data, three adapters (two of this base), while vLLM starts"):
                train_adapters(shop, trained)
        first, second, foreign = json.loads(trained.read_text(encoding="utf-8"))
        with step("vLLM ready"):
            wait_for(launcher, log, vllm.healthy, seconds=400)
        upstream_port = free_port()
        write_settings(shop, port, second, f"http://127.0.0.1:{upstream_port}/none/before/v1")
        with step("index of the sample"):
            shop.smartstore("index", "build")
        serve = (sys.executable, "-m", "api.cli", "serve", "--port", str(api_port))
        api = f"http://127.0.0.1:{api_port}"
        small = (sys.executable, "-m", "tests.api.providers.upstream", "--port", str(upstream_port))
        with process(shop, "openai.log", *small), process(shop, "api.log", *serve) as server:
            with step("API ready"):
                ready = shop.folder / "api.log"
                wait_for(server, ready, lambda: "is ready" in ready.read_text(), seconds=120)
            with step("first adapter: canary, promotion, POST /chat, prompt as in training"):
                try_promotion(shop, api, vllm, first)
            with step("openai SDK: faq/vllm and vllm/faq-current"):
                try_openai_sdk(api)
            with step("one session, switched by name: extractive, vllm, openai"):
                try_switching(shop, api)
            with step("a reader who leaves frees vLLM within a second"):
                try_stopping(api, vllm)
            with step("second adapter: hot load, evaluation, split, promotion, rollback"):
                try_second_adapter(shop, api, first, second)
            with step("broken adapters are caught"):
                good, other = (
                    read_adapter(shop.registry, first),
                    read_adapter(shop.folder / "others", foreign),
                )
                try_broken(shop, vllm, good, other, first)
            with step("vLLM killed and back with its adapter"):
                try_crash(shop, api, vllm, launcher, first)
            need("answers sessions" in shop.smartstore("adapters", "remove", first, fails=True), "remove")
            if not keep:
                shop.smartstore("adapters", "remove", second)
                need(second not in shop.smartstore("adapters", "list"), "remove")


def main() -> int:
    """Runs the story in a fresh folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--finetune-python", required=True, help="an interpreter with torch, peft and trl")
    parser.add_argument("--vllm-python", required=True, help="an interpreter with vLLM")
    parser.add_argument("--folder", type=Path, default=ROOT / "var" / "e2e-vllm", help="emptied first")
    parser.add_argument("--reuse", action="store_true", help="what an earlier run has trained there")
    given = parser.parse_args()
    began = time.monotonic()
    if given.reuse:
        shutil.rmtree(given.folder / "cases", ignore_errors=True)
        (given.folder / "adapters" / "current.json").unlink(missing_ok=True)
    else:
        shutil.rmtree(given.folder, ignore_errors=True)
        given.folder.mkdir(parents=True)
    shop = Workshop(
        given.folder.resolve(), *(str(Path(p).absolute()) for p in (given.finetune_python, given.vllm_python))
    )
    try:
        run(shop, keep=given.reuse)
    except (Broken, subprocess.TimeoutExpired) as exc:
        print(f"FAILED after {time.monotonic() - began:.0f} s: {exc}", file=sys.stderr)
        return 1
    print(f"e2e-vllm passed in {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
