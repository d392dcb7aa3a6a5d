"""Debian packages that tests use without installing them: what they would start or enable stays off the machine."""
