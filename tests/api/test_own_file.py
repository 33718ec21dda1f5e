"""An operator's own Excel file, as Excel saves it in Korea, becomes a served FAQ with one command."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.api.live import ROOT, ask, serve, wait_until


@pytest.mark.parametrize("name", ["shop.xlsx", "shop-cp949.csv"])
def test_a_file_is_served_by_one_command(tmp_path: Path, name: str) -> None:
    with (
        serve(tmp_path, "--build", SMARTSTORE_CORPUS__FAQ=str(ROOT / "configs/faq" / name)) as server,
        server.client() as client,
    ):
        wait_until(lambda: client.get("/ready").json()["building"] is None, 100)
        events = ask(client, "제주도까지 배송비가 얼마나 드나요?")
        [sources] = [event.data["sources"] for event in events if event.kind == "sources"]
        assert sources[0]["question"] == "배송비는 얼마인가요?"
        assert events[-1].data["verdict"] == "answered"
        assert "3,000원" in events[-1].data["answer"]
        faq = client.get(f"/faqs/{sources[0]['faq_id']}").json()
        assert (faq["link"], faq["date"]) == ("https://shop.example/help/delivery", "2026-03-02")
