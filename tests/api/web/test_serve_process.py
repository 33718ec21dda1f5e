"""The server as a process: faults at start, and a kill in mid-answer."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import httpx
import pytest

from api.commands.serve import _import_unwatched, _listen
from tests.api.live import ROOT, SMARTSTORE, Event, Live, ask, environment, parse, serve, wait_until
from tests.api.live import smartstore as run


def _run(data_dir: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*SMARTSTORE, *arguments], cwd=ROOT, env=environment(data_dir, **settings),
        capture_output=True, text=True, timeout=100,
    )  # fmt: skip


def test_serve_without_an_index_names_the_command(tmp_path: Path) -> None:
    done = _run(tmp_path, "serve", "--port", "0")
    assert done.returncode == 1
    assert "smartstore index build" in done.stderr
    assert "Traceback" not in done.stderr


def test_serve_with_another_corpus_names_the_command(data_dir: Path, tmp_path: Path) -> None:
    faq = tmp_path / "other.csv"
    faq.write_text("question,answer\n배송비는 얼마인가요?,3천원입니다.\n", encoding="utf-8")
    done = _run(data_dir, "serve", "--port", "0", SMARTSTORE_CORPUS__FAQ=str(faq))
    assert done.returncode == 1
    assert "smartstore index build" in done.stderr


def test_serve_on_a_taken_port_says_so(data_dir: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = _run(data_dir, "serve", "--port", port)
    assert done.returncode == 1
    assert port in done.stderr
    assert "--port" in done.stderr


def test_serve_with_an_unwritable_data_folder_says_so() -> None:
    done = _run(Path("/proc/nowhere"), "serve", "--port", "0")
    assert done.returncode == 1
    assert "SMARTSTORE_DATA_DIR" in done.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [("SMARTSTORE_SERVER__PROT", "1"), ("SMARTSTORE_NOTHING", "1"), ("SMARTSTORE_TURNS__RUNNER", "magic")],
)
def test_settings_faults_are_one_clear_message(tmp_path: Path, name: str, value: str) -> None:
    done = _run(tmp_path, "settings", **{name: value})
    assert done.returncode == 1
    assert "invalid settings" in done.stderr
    assert "Traceback" not in done.stderr


def _children(pid: int) -> set[int]:
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def test_workers_share_port_and_state_and_one_that_dies_is_replaced(data_dir: Path) -> None:
    command = [*SMARTSTORE, "serve", "--port", "0", "--workers", "2"]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment(data_dir), stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        address = server.stdout.readline().split()[3]
        first = _children(server.pid)
        assert len(first) == 2

        def turn(question: str, session: str | None = None) -> list[Event]:
            # A connection for each: whichever worker accepts it answers.
            with httpx.Client(base_url=address, timeout=60) as client:
                return ask(client, question, **({"session_id": session} if session else {}))

        session = turn("배송비는 어떻게 설정하나요?")[0].data["session_id"]
        os.kill(min(first), signal.SIGKILL)
        for _ in range(6):
            assert turn("정산은 언제 되나요?", session)[-1].kind == "turn.completed"
        wait_until(lambda: len(_children(server.pid) - first) == 1)
        with httpx.Client(base_url=address, timeout=60) as client:
            assert len(client.get(f"/sessions/{session}").json()["turns"]) == 7
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0


def test_commands_work_while_the_server_runs(live: Live) -> None:
    assert "FAQs" in run(live.data_dir, "index", "build").stdout
    assert "fingerprint" in run(live.data_dir, "index", "info").stdout
    assert "배송비" in run(live.data_dir, "search", "배송비 설정").stdout
    assert "[1]" in run(live.data_dir, "chat", "배송비는 어떻게 설정하나요?").stdout


def test_kill_keeps_finished_turns_and_reports_the_cut_one(data_dir: Path) -> None:
    with serve(data_dir) as server, server.client() as client:
        done = ask(client, "배송비는 어떻게 설정하나요?")
        session = done[0].data["session_id"]
        with client.stream(
            "POST", "/chat", json={"question": "정산은 언제 되나요?", "session_id": session}
        ) as response:
            cut = response.headers["x-turn-id"]
            next(response.iter_raw())
            server.kill()
    with serve(data_dir) as server, server.client() as client:
        turns = client.get(f"/sessions/{session}").json()["turns"]
        assert turns[0]["answer"] == done[-1].data["answer"]
        assert len(turns) == 2
        assert turns[1]["turn_id"] == cut
        events = parse(client.get(f"/chat/turns/{cut}/events").text)
        assert [e.number for e in events] == list(range(1, len(events) + 1))
        finals = [e for e in events if e.kind in ("turn.completed", "error")]
        assert len(finals) == 1
        after = client.get(f"/sessions/{session}").json()["turns"][1]
        assert after["status"] == ("failed" if finals[0].kind == "error" else "completed")


def test_build_of_another_faq_is_not_undone_without_a_word(data_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(data_dir / "index", tmp_path / "index")
    faq = tmp_path / "mine.csv"
    faq.write_text("question,answer\n배송비는 얼마인가요?,3천원입니다.\n", encoding="utf-8")
    assert str(faq) in run(tmp_path, "index", "build", "--faq", str(faq)).stdout
    plain = run(tmp_path, "index", "build")
    assert plain.returncode == 1
    assert str(faq) in plain.stderr
    assert "faqs: 1\n" in run(tmp_path, "index", "info").stdout
    kept = run(tmp_path, "index", "build", SMARTSTORE_CORPUS__FAQ=str(faq))
    assert "index is current" in kept.stdout
    assert run(tmp_path, "index", "build").returncode == 0, "the settings named it since: their choice again"


def test_default_provider_without_a_key_is_told_at_start_and_in_ready(
    data_dir: Path, client: httpx.Client
) -> None:
    variable = "SMARTSTORE_PROVIDERS__ENDPOINTS__OPENAI__API_KEY"
    with serve(data_dir, SMARTSTORE_PROVIDERS__DEFAULT="openai") as server, server.client() as told:
        assert told.get("/ready").json()["warnings"][0].endswith(f"{variable}를 설정해 주세요.")
        assert variable in (data_dir / "serve.log").read_text()
    assert client.get("/ready").json()["warnings"] == []


def test_interrupt_ends_the_server_without_an_error(data_dir: Path) -> None:
    with serve(data_dir) as server:
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(60) == 0


def test_small_pieces_do_not_wait_for_each_other(live: Live) -> None:
    with _listen("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP
    loaded = (Path("/proc") / str(live.process.pid) / "maps").read_text()
    assert "uvloop/loop." in loaded


def test_what_is_imported_is_out_of_the_collectors_sight_and_the_rest_is_not() -> None:
    before = gc.get_freeze_count()
    try:
        _import_unwatched()
        assert gc.isenabled()
        assert gc.get_freeze_count() - before > 100_000
    finally:
        gc.unfreeze()
