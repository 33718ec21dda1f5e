"""Signatures of Standard Webhooks (https://www.standardwebhooks.com): HMAC-SHA256 over id, time and body."""

from __future__ import annotations

import base64
import hmac

_PREFIX = "whsec_"


def secret_bytes(secret: str) -> bytes:
    """The key inside `whsec_<base64>`. Raises `ValueError`."""
    if not secret.startswith(_PREFIX):
        raise ValueError(
            f"must begin with {_PREFIX}; make one with `echo {_PREFIX}$(openssl rand -base64 32)`"
        )
    key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    if not 24 <= len(key) <= 64:
        raise ValueError("must hold 24 to 64 bytes in base64")
    return key


def signed_headers(id: str, body: str, *, secret: str, at: int) -> dict[str, str]:
    """The headers of one attempt; `at` is Unix time in seconds."""
    text = f"{id}.{at}.{body}".encode()
    signature = base64.b64encode(hmac.digest(secret_bytes(secret), text, "sha256")).decode()
    return {
        "Content-Type": "application/json",
        "webhook-id": id,
        "webhook-timestamp": str(at),
        "webhook-signature": f"v1,{signature}",
    }
