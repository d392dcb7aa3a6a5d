"""How the shim and the node daemon talk: one request and one response over a unix stream socket.

A CNI runtime starts the shim for each call; the shim hands the call to the daemon and prints its answer. The
shim is a small C program, so the framing is one that C can write without parsing or building JSON.

**Connection.** The daemon listens on a unix stream socket; each connection carries one request and one
response. The client keeps its side open while it waits: the end of the stream (or a reset) seen by the daemon
before it has answered means that the caller hung up.

**Frame.** Four bytes, big-endian: the length of the rest. Then fields, in any order; each is one byte tag,
four bytes big-endian length, and that many bytes. A field with an unknown tag is skipped, so that fields may
be added; a known one, other than the environment, comes at most once.

Request:

=== ============================= ==========================================================================
tag field                         value
=== ============================= ==========================================================================
1   protocol version, required    ``1``; a daemon refuses any other
2   program, required             last component of the shim's ``argv[0]``: which plugin is meant
3   environment entry, repeated   ``KEY=VALUE``; only ``CNI_*``, ``TRACEPARENT``, ``TRACESTATE``, ``BAGGAGE``;
                                  of a repeated key the first counts, as for getenv(3)
4   standard input                raw bytes; absent: empty
5   time limit                    milliseconds, decimal: how long the caller waits, counted from the arrival;
                                  absent: the daemon's default
6   namespace error               errno, decimal: ``CNI_NETNS`` is set and could not be opened
=== ============================= ==========================================================================

If ``CNI_NETNS`` is set and could be opened, its descriptor comes as ancillary data (``SCM_RIGHTS``) with the
request's first byte. Daemon and runtime may then live in different mount namespaces.

Response:

=== ============================= ==========================================================================
tag field                         value
=== ============================= ==========================================================================
1   exit code, required           decimal, 0 to 255
2   standard output               raw bytes; absent: empty
3   standard error                raw bytes; absent: empty
=== ============================= ==========================================================================

A daemon may answer before it has read the whole request (when it refuses it); the client looks for an answer
while it still sends.

**Limits** (``multinet.wire.message``): standard input 4 MiB, request frame 5 MiB, response frame 16 MiB,
lengths counted without the four bytes in front. A longer one is refused as soon as its length is known.

**Spool** (``multinet.wire.spool``). A DEL must not get lost because the daemon is away, so the shim then
writes the request frame, four bytes of length included and without a descriptor, to a file of the spool
directory and reports success; the daemon carries it out later. The file is named ``{unix seconds, 10
digits}-{nanoseconds, 9 digits}-{pid}.del``, so that names sort by age; it is written under a temporary name
that starts with a dot, synced, renamed, and the directory synced. Mode 0600, directory 0700.

This package imports nothing of multinet's others, and its client's side only what is built into the
interpreter: the shim's Python twin has to start fast.
"""
