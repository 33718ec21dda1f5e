"""The chat page at `/`: static files with a strict content security policy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import FastAPI, Response
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

from api.settings import Settings

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
        headers = {
            "Content-Security-Policy": policy,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-cache",
        }
        return FileResponse(STATIC / "index.html", headers=headers)

    app.mount("/static", _Assets(directory=STATIC), name="static")
