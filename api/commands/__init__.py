"""The `smartstore` sub-commands, one module each; heavy imports stay inside the functions."""
