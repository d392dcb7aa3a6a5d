"""Metrics for Prometheus: loaded only by a daemon that serves them, since the library costs megabytes."""
