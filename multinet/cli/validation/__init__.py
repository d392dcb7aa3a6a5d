"""What is wrong with manifests and CNI configurations, found without a cluster or a node."""
