"""The parent process of a weekly report: checks, the kernel, delivery."""
