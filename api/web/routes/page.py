"""The chat page at `/` and the console at `/console`: static files, a strict content security policy."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Header, Response
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles

from api.settings import Settings
from api.web.routes.dependencies import CallerDep, ServicesDep
from retrieval.first.index import build_progress

STATIC = Path(__file__).resolve().parent.parent / "static"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors {frames}"
)


class _Assets(StaticFiles):
    """Files asked for again on every load (an unchanged one costs a 304), so that no two versions mix."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "no-cache"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response


def mount_page(app: FastAPI, settings: Settings) -> None:
    """Serves the page and its assets; pages of the listed origins may show it in a frame."""
    policy = _POLICY.format(frames=" ".join(settings.server.origins) or "'none'")

    @app.head("/", include_in_schema=False)
    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return _html(STATIC / "index.html", policy)

    @app.head("/console", include_in_schema=False)
    @app.get("/console", include_in_schema=False)
    async def console() -> FileResponse:
        # No foreign page may frame what edits the FAQ.
        return _html(STATIC / "console" / "index.html", _POLICY.format(frames="'none'"))

    @app.get("/page.json", include_in_schema=False)
    async def shown(caller: CallerDep, services: ServicesDep) -> JSONResponse:
        public = not caller.visits or settings.public.choose_provider
        fields = settings.page.model_dump() | {
            "providers": settings.page.providers and public,
            "hand_over": bool(settings.hand_over.url),
            "max_question_chars": settings.server.max_question_chars,
            "building": build_progress(services.engine.searcher.index),
        }
        return JSONResponse(fields, headers={"Cache-Control": "no-cache"})

    script = (STATIC / "widget.js").read_bytes()
    packed = gzip.compress(script, 9, mtime=0)

    @app.get("/widget.js", include_in_schema=False)
    async def widget(accept_encoding: Annotated[str, Header()] = "") -> Response:
        # Any page may load the script; what it may do then is decided by who asks.
        small = "gzip" in accept_encoding
        headers = {
            "Cache-Control": "public, max-age=300",
            "Vary": "Accept-Encoding",
            "X-Content-Type-Options": "nosniff",
            "Cross-Origin-Resource-Policy": "cross-origin",
        } | ({"Content-Encoding": "gzip"} if small else {})
        return Response(packed if small else script, media_type="text/javascript", headers=headers)

    app.mount("/static", _Assets(directory=STATIC), name="static")


def _html(file: Path, policy: str) -> FileResponse:
    headers = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }
    return FileResponse(file, headers=headers)
