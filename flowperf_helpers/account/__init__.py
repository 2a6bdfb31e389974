"""What a notebook holds: one account, what can be asked of it, and what is kept of its answers."""
