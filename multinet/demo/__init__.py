"""``multinet demo``: a node, its daemon and three pods, for real, in namespaces that exist only for it.

``isolation`` takes the process out of the machine's network and writable directories, ``stage`` builds the
node there, ``daemon_process`` and ``runtime`` are the two that talk to each other through the installed shim,
``look`` reads what has come of it from the kernel and the disk, ``traffic`` sends packets, ``report`` prints,
and ``steps`` is the story.
"""
