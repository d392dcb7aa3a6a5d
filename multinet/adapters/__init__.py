"""The world: kernel, firewall, clusters, journal, external plugins. Each translates its own errors."""
