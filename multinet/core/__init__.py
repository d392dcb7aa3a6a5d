"""Decisions: which networks, which interface names, which routes; the desired state of a node. Pure."""
