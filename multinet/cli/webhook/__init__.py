"""The validating webhook: what an apiserver asks before it stores a definition or a pod, and what it is told."""
