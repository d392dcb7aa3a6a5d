"""The node daemon: a server, one handler that tells the whole story, and what runs in the background."""
