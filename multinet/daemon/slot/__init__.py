"""The configuration slot: the file by which the container runtime comes to call multinet, and no one else.

``plan`` says what is wanted, ``primary`` finds the node's own network, ``composition`` makes the text, ``pace``
keeps a fight for the file from becoming a hot loop, ``keeper`` looks, decides and writes.
"""
