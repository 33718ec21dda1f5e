"""Jobs: run in a process of their own, followed, cancelled, taken over, and never begun twice."""

from __future__ import annotations

import asyncio
import contextlib
import sys

import httpx
import pytest

from api.errors import NotFound
from api.jobs.inline import open_inline_jobs
from api.jobs.queued import JobWorker, QueuedJobs
from api.jobs.records import JobEvent, JobRecords
from api.jobs.requests import Evaluate, Reindex
from api.jobs.runner import run_job
from api.jobs.start import begin_job
from api.state.broker import Broker
from api.state.connection import State
from api.work.kinds import LeaseLost
from tests.api.live import wait_until

REINDEX = Reindex(kind="reindex")
MISSING = Evaluate(kind="evaluate", cases="없는-파일.jsonl")
WORKS = """
import json
for n in range(3): print(json.dumps({"step": "embed", "done": n + 1, "total": 3}), flush=True)
print(json.dumps({"result": {"faqs": 186}}))
"""
SLOW = 'import time; print(\'{"step": "embed", "done": 1, "total": 9}\', flush=True); time.sleep(60)'
FAILS = 'print(\'{"error": "FAQ 파일이 없습니다", "reason": "no FAQ file"}\'); raise SystemExit(1)'
CRASHES = "import os; os._exit(9)"


def script(text: str) -> tuple[str, ...]:
    """The command of a job process that runs this Python text."""
    return (sys.executable, "-c", text)


@pytest.fixture
async def records(embedded_state: State) -> JobRecords:
    """Jobs with a short lease."""
    return JobRecords(embedded_state, lease_s=0.6)


@pytest.fixture
async def records_anywhere(state: State) -> JobRecords:
    """The same on each kind of state store."""
    return JobRecords(state, lease_s=0.6)


async def progressed(records: JobRecords, job_id: str) -> None:
    """Waits for the job's first step."""
    async with asyncio.timeout(60):
        while not (await records.view(job_id)).progress:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_job_reports_progress_and_its_result(records_anywhere: JobRecords) -> None:
    records = records_anywhere
    job_id, _ = await records.create(REINDEX)
    await run_job(job_id, records, command=script(WORKS))
    view = await records.view(job_id)
    assert (view.status, view.kind, view.attempts) == ("completed", "reindex", 1)
    assert view.progress == {"result": {"faqs": 186}}
    assert view.ended_at is not None
    seen = [item async for item in records.follow(job_id)]
    assert [n for n, _ in seen] == [1, 2, 3, 4]
    assert seen[1][1] == {"step": "embed", "done": 2, "total": 3}
    assert [item async for item in records.follow(job_id, after=3)] == seen[3:]


async def test_job_that_waits_or_runs_is_not_begun_twice(records_anywhere: JobRecords) -> None:
    records = records_anywhere
    job_id, created = await records.create(REINDEX)
    assert (await records.create(REINDEX)) == (job_id, False)
    assert created
    await run_job(job_id, records, command=script(WORKS))
    await run_job(job_id, records, command=script(CRASHES))
    assert (await records.view(job_id)).status == "completed"
    assert (await records.create(REINDEX)) == (job_id, True)
    assert (await records.view(job_id)).status == "queued"


async def test_job_that_fails_says_why(records: JobRecords) -> None:
    job_id, _ = await records.create(REINDEX)
    await run_job(job_id, records, command=script(FAILS))
    view = await records.view(job_id)
    assert (view.status, view.progress) == ("failed", {"error": "FAQ 파일이 없습니다"})
    assert await records.unfinished() == []


async def test_job_process_that_crashes_fails_the_job(records: JobRecords) -> None:
    job_id, _ = await records.create(REINDEX)
    await run_job(job_id, records, command=script(CRASHES))
    view = await records.view(job_id)
    assert view.status == "failed"
    assert "9" in view.progress["error"]


async def test_job_is_cancelled_in_mid_run(records: JobRecords) -> None:
    job_id, _ = await records.create(REINDEX)
    running = asyncio.create_task(run_job(job_id, records, command=script(SLOW)))
    await progressed(records, job_id)
    await records.cancel(job_id)
    await asyncio.wait_for(running, 60)
    assert (await records.view(job_id)).status == "cancelled"


async def test_job_given_back_is_finished_by_another_run(records: JobRecords) -> None:
    job_id, _ = await records.create(REINDEX)
    running = asyncio.create_task(run_job(job_id, records, command=script(SLOW)))
    await progressed(records, job_id)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert (await records.view(job_id)).status == "queued"
    assert await records.unfinished() == [job_id]
    await run_job(job_id, records, command=script(WORKS))
    view = await records.view(job_id)
    assert (view.status, view.attempts) == ("completed", 2)


async def test_job_of_a_dead_runner_is_taken_over_after_its_lease(records: JobRecords) -> None:
    job_id, _ = await records.create(REINDEX)
    dead = await records.claim(job_id)
    assert dead is not None
    await records.log.append(job_id, 1, {"step": "embed", "done": 1, "total": 3}, token=dead.token)
    await asyncio.wait_for(run_job(job_id, records, command=script(WORKS)), 60)
    view = await records.view(job_id)
    assert (view.status, view.attempts) == ("completed", 2)
    assert [n for n, _ in [item async for item in records.follow(job_id)]] == [1, 2, 3, 4, 5]


async def test_runner_that_lost_its_job_ends_its_process_and_writes_no_more(records: JobRecords) -> None:
    job_id, _ = await records.create(REINDEX)
    slow = asyncio.create_task(run_job(job_id, records, command=script(SLOW)))
    await progressed(records, job_id)
    key = records.log.keys(job_id)[0]
    await records._state.redis.hset(key, "token", "other")
    with pytest.raises(LeaseLost):
        await asyncio.wait_for(slow, 60)
    assert (await records.view(job_id)).progress == {"step": "embed", "done": 1, "total": 9}


async def test_job_cancelled_while_it_waits_never_runs(records: JobRecords) -> None:
    job_id, _ = await records.create(REINDEX)
    await records.cancel(job_id)
    await run_job(job_id, records, command=script(CRASHES))
    view = await records.view(job_id)
    assert (view.status, view.progress) == ("cancelled", {"cancelled": True})


async def test_job_whose_start_was_lost_is_started_by_the_next_request(records: JobRecords) -> None:
    started: list[str] = []

    class Runner:
        async def start(self, job_id: str) -> None:
            started.append(job_id)

    job_id, _ = await records.create(REINDEX)  # and its process dies before it reaches the queue
    assert (await begin_job(REINDEX, records, Runner())).status == "queued"
    assert started == [job_id]
    await records.claim(job_id)
    assert (await begin_job(REINDEX, records, Runner())).status == "running"
    assert started == [job_id]


async def test_follower_sees_progress_as_it_comes(records: JobRecords, embedded_state: State) -> None:
    job_id, _ = await records.create(REINDEX)
    elsewhere = JobRecords(embedded_state)
    following = asyncio.create_task(_collect(elsewhere, job_id))
    await run_job(job_id, records, command=script(WORKS))
    assert await asyncio.wait_for(following, 60) == [
        *({"step": "embed", "done": n, "total": 3} for n in (1, 2, 3)),
        {"result": {"faqs": 186}},
    ]


async def _collect(records: JobRecords, job_id: str) -> list[JobEvent]:
    return [event async for _, event in records.follow(job_id)]


async def test_log_of_a_long_job_keeps_its_newest_steps(records: JobRecords) -> None:
    job_id, _ = await records.create(REINDEX)
    steps: list[JobEvent] = [{"step": "embed", "done": n, "total": 9000} for n in range(1, 2501)]
    for first in range(0, 2500, 100):
        await records.log.append_all(job_id, first + 1, steps[first : first + 100])
    left = await records.log.read(job_id)
    assert 1000 <= len(left) < 1300
    assert left[-1] == (2500, steps[-1])
    assert (await records.view(job_id)).progress == steps[-1]


async def test_unknown_job_is_not_found(records: JobRecords) -> None:
    for action in (records.view, records.cancel, records.claim):
        with pytest.raises(NotFound):
            await action("j_없는작업")


async def test_inline_jobs_take_up_what_a_crash_left(records: JobRecords) -> None:
    job_id, _ = await records.create(MISSING)
    async with open_inline_jobs(records):
        seen = [event async for _, event in records.follow(job_id)]
    assert "없는-파일.jsonl" in seen[-1]["error"]


@pytest.mark.rabbitmq
async def test_queued_job_is_run_by_a_worker(records: JobRecords, broker: Broker) -> None:
    job_id, _ = await records.create(MISSING)
    await QueuedJobs(broker).start(job_id)
    async with JobWorker(broker, records).consuming(drain_s=0.0):
        seen = [event async for _, event in records.follow(job_id)]
    assert "없는-파일.jsonl" in seen[-1]["error"]
    assert (await records.view(job_id)).status == "failed"
    assert await broker.depth("jobs") == 0


@pytest.mark.rabbitmq
async def test_order_delivered_twice_runs_the_job_once(records: JobRecords, broker: Broker) -> None:
    job_id, _ = await records.create(MISSING)
    for _ in range(2):
        await QueuedJobs(broker).start(job_id)
    async with JobWorker(broker, records).consuming(drain_s=0.0):
        await _collect(records, job_id)
        async with asyncio.timeout(60):
            while await broker.depth("jobs"):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    assert (await records.view(job_id)).attempts == 1


@pytest.mark.rabbitmq
async def test_job_of_a_worker_that_ends_is_finished_by_the_next(records: JobRecords, broker: Broker) -> None:
    job_id, _ = await records.create(MISSING)
    await QueuedJobs(broker).start(job_id)
    async with JobWorker(broker, records).consuming(drain_s=0.0):
        async with asyncio.timeout(60):
            while (await records.view(job_id)).status == "queued":  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    assert (await records.view(job_id)).status == "queued"
    async with JobWorker(broker, records).consuming(drain_s=0.0):
        await _collect(records, job_id)
    view = await records.view(job_id)
    assert (view.status, view.attempts) == ("failed", 2)
    assert "없는-파일.jsonl" in view.progress["error"]


def test_reindex_over_http_is_followed_to_its_end(client: httpx.Client) -> None:
    begun = client.post("/jobs", json={"kind": "reindex"})
    assert begun.status_code == 202, begun.text
    job_id = begun.json()["job_id"]
    body = client.get(f"/jobs/{job_id}/events", timeout=90).text
    assert "event: job.ended" in body
    job = client.get(f"/jobs/{job_id}").json()
    assert (job["status"], job["progress"]["result"]["unchanged"]) == ("completed", True)
    assert client.delete(f"/jobs/{job_id}").status_code == 202
    assert wait_until(lambda: client.get(f"/jobs/{job_id}").json()["status"]) == "completed"


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "청소"},
        {"kind": "evaluate", "cases": "../비밀.jsonl"},
        {"kind": "reindex", "faq": "/etc/passwd"},
    ],
)
def test_job_request_that_cannot_be_meant_is_refused(client: httpx.Client, body: dict[str, str]) -> None:
    assert client.post("/jobs", json=body).status_code == 422


def test_job_that_is_unknown_over_http(client: httpx.Client) -> None:
    assert client.get("/jobs/j_없음").status_code == 404
    assert client.get("/jobs/j_없음/events").status_code == 404
    assert client.delete("/jobs/j_없음").status_code == 404
