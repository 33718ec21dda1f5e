"""Reading a FAQ corpus and its expansions."""
