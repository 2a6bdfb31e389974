"""Pure: one answer → one tidy frame, and what its columns mean."""
