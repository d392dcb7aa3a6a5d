"""The commands: ``multinet …``, and what runs when an executable is called as a CNI plugin."""
