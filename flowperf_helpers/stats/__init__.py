"""Frame → frame: no network, no disk, no pictures."""
