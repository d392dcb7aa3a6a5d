"""The delegates that come with multinet, one file each, found by the entry-point group ``multinet.delegates``."""
