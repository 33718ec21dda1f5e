"""The API's reference at `/docs` and `/redoc`, from assets in a wheel: no other host is asked.

Both pages come from FastAPI; their inline script is allowed by its hash, so that the policy stays strict.
"""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import fastapi_offline
from fastapi import FastAPI
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

_ASSETS = Path(fastapi_offline.__file__).parent / "static"
_MOUNT = "/reference"
_INLINE = re.compile(r"<script>(.*?)</script>", re.DOTALL)


def mount_reference(app: FastAPI) -> None:
    """Serves both pages and what they load; the application must be made without its own."""
    favicon, openapi_url = f"{_MOUNT}/favicon.png", app.openapi_url or "/openapi.json"

    @app.head("/docs", include_in_schema=False)
    @app.get("/docs", include_in_schema=False)
    async def swagger() -> HTMLResponse:
        return _with_policy(
            get_swagger_ui_html(
                openapi_url=openapi_url,
                title=app.title,
                swagger_js_url=f"{_MOUNT}/swagger-ui-bundle.js",
                swagger_css_url=f"{_MOUNT}/swagger-ui.css",
                swagger_favicon_url=favicon,
            )
        )

    @app.head("/redoc", include_in_schema=False)
    @app.get("/redoc", include_in_schema=False)
    async def redoc() -> HTMLResponse:
        return _with_policy(
            get_redoc_html(
                openapi_url=openapi_url,
                title=app.title,
                redoc_js_url=f"{_MOUNT}/redoc.standalone.js",
                redoc_favicon_url=favicon,
                with_google_fonts=False,
            )
        )

    app.mount(_MOUNT, StaticFiles(directory=_ASSETS), name="reference")


def _with_policy(page: HTMLResponse) -> HTMLResponse:
    """The page under a policy of its own: these two need inline styles, and ReDoc a worker for its search."""
    scripts = _INLINE.findall(bytes(page.body).decode())
    hashes = "".join(
        f" 'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts
    )
    page.headers["Content-Security-Policy"] = (
        f"default-src 'none'; script-src 'self'{hashes}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; connect-src 'self'; worker-src blob:; base-uri 'none'; frame-ancestors 'none'"
    )
    page.headers["X-Content-Type-Options"] = "nosniff"
    return page
