"""An index that Milvus searches outlives a restart of the server."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from retrieval.errors import IndexUnavailable
from retrieval.index.build import build_index
from retrieval.index.opening import open_index
from retrieval.tokenizer import KoreanTokenizer
from tests.cluster.servers import Milvus
from tests.retrieval.index.index_kit import HashingEmbedder, corpus, faq


def test_milvus_index_searches_again_after_a_server_restart(tmp_path: Path) -> None:
    embedder, tokenizer, server = HashingEmbedder(), KoreanTokenizer(), Milvus(tmp_path)
    server.start()
    try:
        known = corpus(faq("정산은 언제 되나요?"), faq("배송비는 어떻게 정하나요?"))
        build_index(known, {}, embedder, tokenizer, server.url)
        versions = {"embedder": embedder.name, "tokenizer": tokenizer.version}
        index = open_index(server.url, **versions, snapshot_max_faqs=0)
        ids = list(known.by_id)
        assert len(index.get(ids)) == 2
        server.stop()
        with pytest.raises(IndexUnavailable):
            index.get(ids)
        server.start()
        # Milvus Lite forgets in a restart which collections were loaded.
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                assert len(index.get(ids)) == 2
                break
            except IndexUnavailable:
                time.sleep(0.5)
        else:
            pytest.fail("not searchable within 30 s of the restart")
        index.close()
    finally:
        server.stop()
