"""`make bench-edits`: 500 edits of the FAQ in a row, what they cost, and what they do to searching.

A real server on the bundled corpus, whose FAQs are changed and added to by turns; every tenth edit is
searched by its own title at once. Search is measured on the same server before and after, by the time that
the search itself reports. At the end the index is rolled back: the last edit is not found, the one before is.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles

import httpx

from tests.api.live import ROOT, SMARTSTORE, Live, environment, serve, wait_until
from tests.bench.faq import questions
from tests.bench.report import conditions, table, write_section

SEARCHES = 200


def searched(client: httpx.Client) -> float:
    """The p50 of searching, in milliseconds."""
    times = []
    for question in questions(SEARCHES):
        answer = client.get("/faqs/search", params={"q": question}).raise_for_status().json()
        times.append(sum(answer["timings_ms"].values()))
    return median(times)


def edit(client: httpx.Client, n: int, known: list[str]) -> tuple[float, str]:
    """Seconds that edit number `n` takes, and the title it shall be found by."""
    title = f"시험 편집 {n}번은 무엇을 바꾸었나요?"
    body = {"question": title, "answer": f"{n}번째로 고친 답입니다. 배송과 정산은 그대로입니다."}
    began = time.perf_counter()
    if n % 2 and n // 2 < len(known):
        response = client.put(f"/faqs/{known[n // 2]}", json=body)
    else:
        response = client.post("/faqs", json=body)
    response.raise_for_status()
    return time.perf_counter() - began, title


def run(server: Live, count: int) -> dict[str, object]:
    """The measures of `count` edits."""
    with httpx.Client(base_url=server.url, timeout=120) as client:
        known = [faq["id"] for faq in client.get("/faqs", params={"limit": 200}).json()["faqs"]]
        searched(client)
        before = searched(client)
        seconds, missed = [], 0
        for n in range(count):
            took, title = edit(client, n, known)
            seconds.append(took)
            if n % 10 == 0:
                missed += first_of(client, title) != title
            if n % 100 == 99:
                print(f"{n + 1} edits, the last {median(seconds[-20:]):.2f} s", flush=True)
        after = searched(client)
        rollback(server)
        titles = [f"시험 편집 {n}번은 무엇을 바꾸었나요?" for n in (count - 2, count - 1)]
        wait_until(lambda: first_of(client, titles[1]) != titles[1], 30)
        back = first_of(client, titles[0]) == titles[0]
    tenth = max(count // 10, 2)
    return {
        "edits": count, "p50 of the first tenth, s": median(seconds[:tenth]),
        "p50 of the last tenth, s": median(seconds[-tenth:]), "p95, s": quantiles(seconds, n=20)[-1],
        "slowest, s": max(seconds), "search p50 before, ms": before, "search p50 after, ms": after,
        "not found first by their title": missed, "rolled back": back,
    }  # fmt: skip


def first_of(client: httpx.Client, question: str) -> str:
    """The title that is found first."""
    hits = client.get("/faqs/search", params={"q": question}).raise_for_status().json()["hits"]
    title: str = hits[0]["faq"]["question"]
    return title


def rollback(server: Live) -> None:
    command = [*SMARTSTORE, "index", "rollback"]
    done = subprocess.run(command, cwd=ROOT, env=environment(server.data_dir), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)


def main() -> int:
    """Measures, prints, and writes the section; 1 where search got slower or the rollback failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edits", type=int, default=500)
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        env = environment(data)
        subprocess.run([*SMARTSTORE, "index", "build"], cwd=ROOT, env=env, check=True, capture_output=True)
        with serve(data) as server:
            found = run(server, options.edits)
    print(json.dumps(found, ensure_ascii=False, indent=2))
    shown = [(name, f"{value:.2f}" if isinstance(value, float) else value) for name, value in found.items()]
    section = "## Edits of the FAQ in a row (`make bench-edits`)\n\n" + table(("measure", "value"), shown)
    write_section("bench-edits", f"{section}\n\n{conditions()}")
    before, after = float(str(found["search p50 before, ms"])), float(str(found["search p50 after, ms"]))
    failed = after > 1.1 * before or not found["rolled back"] or bool(found["not found first by their title"])
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
