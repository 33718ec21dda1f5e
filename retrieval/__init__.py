"""FAQ corpus, embedders, Milvus index, hybrid search, grounded prompt, retrieval metrics."""
