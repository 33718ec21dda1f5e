"""Answer providers: the seam, its implementations and the choice between them."""
