"""Which pages may use the server, and what an address is."""

from __future__ import annotations

import pytest

from api.access.origins import Origins, check_origin
from api.access.visitors import place_of


@pytest.mark.parametrize("origin", ["https://shop.example", "http://127.0.0.1:8080", "https://가게.example"])
def test_origins_are_as_browsers_write_them(origin: str) -> None:
    assert check_origin(origin) == origin


@pytest.mark.parametrize(
    "text", ["*", "shop.example", "https://shop.example/", "https://a@b.example", "ftp://x", "null", ""]
)
def test_what_is_no_origin_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no origin"):
        check_origin(text)


def test_listed_and_own_pages_are_allowed_and_no_others() -> None:
    origins = Origins(["https://shop.example"], own="https://faq.example")
    host = "10.0.0.5:8000"
    for origin in (
        "https://shop.example",
        "https://SHOP.example",
        "http://10.0.0.5:8000",
        "https://faq.example",
    ):
        assert origins.allow(origin, host=host), origin
    for origin in ("http://shop.example", "https://shop.example.evil.example", "https://shop.example:444",
                   "null", "", "https://"):  # fmt: skip
        assert not origins.allow(origin, host=host), origin


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("nonsense", "nonsense"),
    ],
)
def test_a_subscriber_is_an_address_or_a_network(address: str, place: str) -> None:
    assert place_of(address) == place
