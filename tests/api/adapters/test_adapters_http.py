"""Adapters over HTTP: a real server, a real registry, and a small server with vLLM's routes."""

from __future__ import annotations

import getpass
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from serving.registry.pointer import FILE, locked, read_pointer
from tests.api.live import ROOT, SMARTSTORE, ask, environment, serve, wait_until
from tests.serving.vllm_server import Server, make_base, publish, running_server

MINORS = "미성년자도 판매 회원 등록이 가능한가요?"
VLLM = "SMARTSTORE_PROVIDERS__ENDPOINTS__VLLM__"


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    """The folder of adapters."""
    return tmp_path / "adapters"


@pytest.fixture
def vllm(tmp_path: Path) -> Iterator[Server]:
    """A running server over a base model."""
    with running_server(make_base(tmp_path / "base")) as server:
        yield server


@pytest.fixture
def names(registry: Path, vllm: Server) -> tuple[str, str]:
    """Two adapters of that base."""
    return publish(registry, vllm.base), publish(registry, vllm.base, salt="둘째")


def settings(registry: Path, url: str) -> dict[str, str]:
    """The provider vllm is at `url`, and answers by default."""
    return {
        "SMARTSTORE_PROVIDERS__DEFAULT": "vllm",
        f"{VLLM}BASE_URL": url,
        f"{VLLM}ALIAS_FILE": str(registry / FILE),
        "SMARTSTORE_STATE__ANSWER_TTL_S": "0",
    }


@pytest.fixture
def client(data_dir: Path, tmp_path: Path, registry: Path, vllm: Server) -> Iterator[httpx.Client]:
    """A client of a server with that provider."""
    shutil.copytree(data_dir / "index", tmp_path / "index")
    with serve(tmp_path, **settings(registry, vllm.url)) as server, server.client() as http:
        yield http


def test_an_adapter_is_tried_promoted_and_rolled_back(
    client: httpx.Client, registry: Path, vllm: Server, names: tuple[str, str], tmp_path: Path
) -> None:
    first, second = names
    [before] = client.get("/adapters").json()
    assert (before["provider"], before["back_to"], before["moves"]) == ("vllm", None, [])
    assert [(each["name"], each["loaded"]) for each in before["adapters"]] == [
        (name, False) for name in sorted(names)
    ]
    done = client.post(f"/adapters/{first}/promote")
    assert (done.status_code, done.json()) == (200, {"model": first, "candidate": "", "share": 0.0})
    assert ask(client, MINORS)[0].data["model"] == first
    tried = client.post(f"/adapters/{second}/trial", params={"share": 0.25}).json()
    assert tried == {"model": first, "candidate": second, "share": 0.25}
    assert set(vllm.loaded) == set(names)
    shares = {each["name"]: each["share"] for each in client.get("/adapters").json()[0]["adapters"]}
    assert shares == {first: 0.75, second: 0.25}
    assert client.delete("/adapters/trial").json()["candidate"] == ""
    assert client.post("/adapters/rollback").json()["model"] == ""
    env = environment(tmp_path, **settings(registry, vllm.url))
    command = [*SMARTSTORE, "adapters", "promote", second]
    assert subprocess.run(command, cwd=ROOT, env=env, capture_output=True).returncode == 0
    moves = client.get("/adapters").json()[0]["moves"]
    assert [(move["action"], move["name"], move["by"]) for move in moves] == [
        ("promote", second, getpass.getuser()),
        ("rollback", "", "local"),
        ("end_trial", second, "local"),
        ("try", second, "local"),
        ("promote", first, "local"),
    ]
    assert moves[2]["before"] == {"model": first, "candidate": second, "share": 0.25}
    assert moves[2]["after"] == {"model": first, "candidate": "", "share": 0.0}


def test_what_cannot_be_done_says_why_in_korean_and_moves_nothing(
    client: httpx.Client, registry: Path, vllm: Server, names: tuple[str, str]
) -> None:
    first, second = names
    vllm.ignores.add(second)

    def refused(response: httpx.Response, status: int, detail: str) -> None:
        assert response.status_code == status, response.text
        assert detail in response.json()["detail"]
        # Reasons in English are for the log.
        assert status == 422 or not re.search("[a-z]+ [a-z]+", response.json()["detail"])

    refused(client.post("/adapters/rollback"), 409, "되돌릴 것이 없습니다")
    refused(client.delete("/adapters/trial"), 409, "시험하고 있는 어댑터가 없습니다")
    refused(client.post("/adapters/faq-20261122-00000000/promote"), 404, "찾을 수 없습니다")
    refused(
        client.post(f"/adapters/{first}/promote", params={"provider": "openai"}), 404, "쓰는 provider: vllm"
    )
    for share in (0, 1, -0.5, "절반"):
        refused(client.post(f"/adapters/{first}/trial", params={"share": share}), 422, "share")
    refused(client.post(f"/adapters/{second}/promote"), 409, "학습을 마쳤을 때처럼 답하지 않아")
    with locked(registry):
        refused(client.post(f"/adapters/{first}/promote"), 409, "다른 사람이 지금")
    assert not (registry / FILE).exists()
    assert vllm.loaded == {}
    assert client.post(f"/adapters/{first}/promote").status_code == 200
    refused(client.post(f"/adapters/{first}/trial"), 409, "이미 모든 대화에 답하고")


def test_servers_load_adapters_from_where_they_see_them(
    data_dir: Path, tmp_path: Path, registry: Path, names: tuple[str, str], vllm: Server
) -> None:
    shutil.copytree(data_dir / "index", tmp_path / "index")
    elsewhere = settings(registry, vllm.url) | {f"{VLLM}ADAPTERS_MOUNTED": "/models/adapters"}
    with serve(tmp_path, **elsewhere) as server, server.client() as client:
        assert client.post(f"/adapters/{names[0]}/promote").status_code == 200
    assert vllm.loaded.pop(names[0]) == f"/models/adapters/{names[0]}"
    env = environment(tmp_path, **elsewhere)
    for name, options, folder in (
        (names[0], (), "/models/adapters"),
        (names[1], ("--mounted", "/mnt"), "/mnt"),
    ):
        subprocess.run([*SMARTSTORE, "adapters", "load", name, *options], cwd=ROOT, env=env, check=True)
        assert vllm.loaded[name] == f"{folder}/{name}"


def test_both_sides_are_measured_from_when_the_trial_began(
    client: httpx.Client, names: tuple[str, str], vllm: Server
) -> None:
    first, second = names
    client.post(f"/adapters/{first}/promote")
    ask(client, MINORS)
    # Answers as the base does, which cites nothing.
    client.post(f"/adapters/{second}/trial", params={"share": 0.5})
    vllm.ignores.add(second)
    given: dict[str, list[str]] = {first: [], second: []}
    # Sessions are drawn by their ids: 30 of them miss one side once in half a billion times.
    for _ in range(30):
        started = ask(client, MINORS)[0].data
        rating = "down" if started["model"] == second else "up"
        body = {"rating": rating}
        assert client.put(f"/chat/turns/{started['turn_id']}/feedback", json=body).status_code == 204
        given[started["model"]].append(rating)
    wait_until(lambda: client.get("/history/turns").json()["total"] == 31)
    [view] = client.get("/adapters").json()
    assert view["since_ms"] == view["moves"][0]["at_ms"]
    one, two = view["arms"]
    assert [(arm["model"], arm["share"], arm["fell_back"]) for arm in (one, two)] == [
        (first, 0.5, 0), (second, 0.5, 0),
    ]  # fmt: skip
    assert (one["measures"]["turns"], one["measures"]["up"]) == (len(given[first]), len(given[first]))
    assert (two["measures"]["turns"], two["measures"]["down"]) == (len(given[second]), len(given[second]))
    assert one["measures"]["verdicts"] == {"answered": len(given[first])}
    # No FAQ that it cites holds its figure.
    assert one["measures"]["faults"] == {"ungrounded": len(given[first])}
    assert two["measures"]["faults"] == {"uncited": len(given[second])}
    assert one["measures"]["p95_ms"] >= one["measures"]["p50_ms"] > 0
    assert one["measures"]["liked"] == 1.0
    assert one["measures"]["liked_from"] < 1.0
    models = client.get("/insights/models").json()["models"]
    assert {each["model"]: each["turns"] for each in models} == {
        first: len(given[first]) + 1,
        second: len(given[second]),
    }
    client.delete("/adapters/trial")
    assert client.get("/adapters").json()[0]["arms"][0]["measures"]["turns"] == len(given[first]) + 1


def test_a_server_that_is_away_is_told_and_a_trial_ends_without_it(
    data_dir: Path, tmp_path: Path, registry: Path, names: tuple[str, str], vllm: Server
) -> None:
    shutil.copytree(data_dir / "index", tmp_path / "index")
    with ExitStack() as stack, ExitStack() as running:
        url = running.enter_context(running_server(vllm.base)).url
        server = stack.enter_context(serve(tmp_path, **settings(registry, url)))
        client = stack.enter_context(server.client())
        client.post(f"/adapters/{names[0]}/trial", params={"share": 0.5})
        running.close()
        [view] = client.get("/adapters").json()
        assert "연결할 수 없습니다" in view["servers"][0]["detail"]
        assert {each["loaded"] for each in view["adapters"]} == {None}
        ask(client, MINORS)
        wait_until(lambda: client.get("/history/turns").json()["total"] == 1)
        assert sum(arm["fell_back"] for arm in client.get("/adapters").json()[0]["arms"]) == 1
        away = client.post(f"/adapters/{names[1]}/promote")
        assert (away.status_code, "아무것도 바꾸지 않았습니다" in away.json()["detail"]) == (502, True)
        assert read_pointer(registry / FILE).candidate == names[0]
        assert client.delete("/adapters/trial").status_code == 200
        assert read_pointer(registry / FILE).candidate == ""


def test_adapters_are_for_admins_and_a_server_without_any_says_so(data_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(data_dir / "index", tmp_path / "index")
    lines = (ROOT / "configs" / "app.yaml").read_text(encoding="utf-8").splitlines()
    without = [line for line in lines if "alias_file" not in line]
    assert len(without) == len(lines) - 1
    (tmp_path / "app.yaml").write_text("\n".join(without), encoding="utf-8")
    off = {"SMARTSTORE_CONFIG": str(tmp_path / "app.yaml"), "SMARTSTORE_HISTORY__ENABLED": "false"}
    with serve(tmp_path, **off) as server, server.client() as client:
        made = client.post("/keys", json={"name": "분석", "scopes": ["history"]}).json()
        head = {"Authorization": f"Bearer {made['secret']}"}
        for method, path in (
            ("GET", "/adapters"),
            ("POST", "/adapters/faq-20261122-00000000/promote"),
            ("POST", "/adapters/faq-20261122-00000000/trial"),
            ("DELETE", "/adapters/trial"),
            ("POST", "/adapters/rollback"),
        ):
            assert client.request(method, path, headers=head).status_code == 403
            response = client.request(method, path)
            assert response.status_code == 404
            assert "alias_file" in response.json()["detail"]
