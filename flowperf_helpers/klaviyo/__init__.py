"""HTTP only: one account's requests to Klaviyo, its limits, and its secrets."""
