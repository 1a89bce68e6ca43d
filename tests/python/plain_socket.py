#!/usr/bin/env python3
"""Drives a running hcsd as a stranger would: over its plain Unix socket, by its own introspection.

    plain_socket.py SOCKET ROOTFS [CHECK...]

ROOTFS is a folder with a root file system whose /bin has busybox under its names, and whose /etc/passwd has the
user web (1000:1001, home /home/web), in the group audio (29). Ends with 0 if everything is as expected, and with
1 and one line that says what is not.
"""

import sys
import time

import checks_console
import checks_events
import checks_processes
import checks_systems
import leftovers
from client import Client
from varlink_peer import Connection, Mismatch, ServiceError

CHECKS = checks_systems.CHECKS + checks_processes.CHECKS + checks_console.CHECKS + checks_events.CHECKS


def main(socket, rootfs, wanted):
    checks = [check for check in CHECKS if not wanted or check.__name__ in wanted]
    if not checks or unknown(wanted):
        print(f"there is no check {unknown(wanted)}; there are {[check.__name__ for check in CHECKS]}")
        return 2
    before = leftovers.of_host(socket, rootfs)
    for check in checks:
        began = time.monotonic()
        try:
            connection = Connection(socket)
            connection.introspect()
            check(Client(connection, rootfs))
            connection.close()
        except (Mismatch, ServiceError, OSError, KeyError) as failure:
            print(f"FAILED {check.__name__}: {type(failure).__name__}: {failure}")
            return 1
        print(f"ok {check.__name__} ({(time.monotonic() - began) * 1000:.0f} ms)")
    left = leftovers.since(before, socket, rootfs)
    if left:
        print(f"FAILED leftovers: {left}")
        return 1
    print("ok leftovers")
    return 0


def unknown(wanted):
    return [name for name in wanted if name not in [check.__name__ for check in CHECKS]]


if __name__ == "__main__":
    if len(sys.argv) < 3:
        print(__doc__.strip())
        sys.exit(2)
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
