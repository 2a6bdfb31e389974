"""One template, many accounts: asked side by side, rendered by workers, kept as one dataset."""
