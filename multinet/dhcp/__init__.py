"""DHCPv4 for pods: packets, the client's states, and the keeper that renews leases as long as pods live.

================= ====================================================== =====================
module            what it is                                             effects
================= ====================================================== =====================
``message``       a DHCP message and its bytes                           none
``datagram``      IPv4 and UDP around it                                 none
``options``       option codes, and what is in an option                 none
``lease``         what a server granted, and the CNI result of it        none
``client_values`` what a client is, and what goes in and out of it       none
``client``        the client's states: events in, packets and news out   none
``record``        what is kept of a lease, on disk                       files
``place``         the interface that a lease is for, found again         namespaces
``link_socket``   raw packets on one interface                           sockets
``answer``        a lease that another thread waits for                  threads
``holding``       one lease: its client, its socket, who waits for it    through the above
``keeper``        all leases of a node, in one thread                    through the above
================= ====================================================== =====================

Sources: RFC 2131, RFC 2132, RFC 3396, RFC 3397, RFC 3442.
"""
