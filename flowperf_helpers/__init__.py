"""flowperf: how Klaviyo flows perform."""
