"""The HTTP interface of Multus' daemon, on a unix socket of its own: for its shim, and for controllers that plug
interfaces into running pods.

``http`` puts requests together, ``message`` reads what they say, ``api`` has it done.
"""
