"""How much of our code one warm `POST /chat` runs: `python -m tests.bench.calls [DATA_DIR]`.

Counts, by `sys.setprofile` in every thread, the distinct functions of `api/` and `retrieval/` that are
called between the request and the last byte of its answer, by the extractive provider, inline, on the
bundled sample, past the answer cache; the application and its models have answered another question
before. Comprehensions and lambdas belong to the function that holds them; tasks that run by the clock
(the index's refresh, the lease) are as likely to be counted as they are to run.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import httpx
from starlette.types import Receive, Scope, Send

from api.app import create_app
from api.indexing.build import build_from_settings
from api.services import open_services
from api.settings import ROOT, load_settings

OURS = (str(ROOT / "api"), str(ROOT / "retrieval"))


class Calls:
    """Counts calls of our functions while it is on."""

    def __init__(self) -> None:
        self.on = False
        self.calls: Counter[CodeType] = Counter()

    def __call__(self, frame: FrameType, event: str, _argument: Any) -> None:
        code = frame.f_code
        if self.on and event == "call" and code.co_filename.startswith(OURS) and code.co_name[0] != "<":
            self.calls[code] += 1

    def by_file(self) -> dict[str, int]:
        """Functions called, by file."""
        return dict(Counter(str(Path(code.co_filename).relative_to(ROOT)) for code in self.calls))


async def count(data_dir: Path, question: str) -> Calls:
    """Asks a first question unseen, then counts while `question` is answered."""
    calls = Calls()
    threading.setprofile(calls)
    sys.setprofile(calls)
    # Threads that were there before are not profiled.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(4))
    settings = load_settings().model_copy(update={"data_dir": data_dir})
    async with open_services(settings) as services:
        app = create_app(services)

        async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, "state": {"services": services}}, receive, send)

        transport = httpx.ASGITransport(with_state)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            await client.post("/chat", json={"question": "정산은 언제 되나요?"})
            calls.on = True
            response = await client.post("/chat", json={"question": question})
            calls.on = False
            assert "event: turn.completed" in response.text, response.text
    sys.setprofile(None)
    threading.setprofile(None)  # type: ignore[arg-type]
    return calls


def main() -> None:
    """Prints the counts."""
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(sys.argv[1] if len(sys.argv) > 1 else folder)
        settings = load_settings().model_copy(update={"data_dir": data_dir})
        build_from_settings(settings, progress=lambda *_: None)
        calls = asyncio.run(count(data_dir, "미성년자도 판매 회원 등록이 가능한가요?"))
    files = calls.by_file()
    for name, functions in sorted(files.items()):
        print(f"{functions:5}  {name}")
    print(f"{len(calls.calls)} functions in {len(files)} files, {calls.calls.total():,} calls")


if __name__ == "__main__":
    main()
