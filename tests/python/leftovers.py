"""What a host has of one service's containers: mounts, cgroups, processes, files. Compared before and after."""

import os
import time

# What every container must take along.
KINDS = ("mounts", "cgroups", "processes", "files")


def group_name(socket):
    """The folder of a service in the cgroup hierarchies, named after the root that the service was given."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(socket)))
    if root == "/run":
        return "hcs"
    number = 0xCBF29CE484222325
    for byte in os.fsencode(root):
        number = (number ^ byte) * 0x100000001B3 % (1 << 64)
    return f"hcs-{number:016x}"


def of_host(socket, rootfs):
    """Everything that a container of the service at this socket could leave. Other services are left out."""
    places = [os.path.dirname(os.path.abspath(socket)), os.path.abspath(rootfs)]
    with open("/proc/self/mountinfo") as file:
        lines = file.read().splitlines()
    name = group_name(socket)
    cgroups = set()
    for folder in folders(socket):
        for inner in os.listdir(folder):
            if os.path.isdir(os.path.join(folder, inner)) and inner != "cpu-groups":
                cgroups.add(os.path.join(folder, inner))
    systems = os.path.join(os.path.dirname(os.path.abspath(socket)), "systems")
    with open("/proc/net/unix") as file:
        rows = [row.split() for row in file if systems in row]
    inodes = {f"socket:[{row[6]}]" for row in rows}
    processes = {one for pid in filter(str.isdigit, os.listdir("/proc")) for one in belongs(pid, name, inodes)}
    files = {os.path.join(folder, one) for folder, inner, names in os.walk(systems) for one in inner + names}
    mounts = {line.split()[4] for line in lines if any(place in line for place in places)}
    return {"mounts": mounts, "cgroups": cgroups, "processes": processes, "files": files}


def belongs(pid, name, inodes):
    """The process, if it is in a group of the service or is one of its workers."""
    try:
        with open(f"/proc/{pid}/comm") as comm, open(f"/proc/{pid}/cgroup") as cgroup:
            shown, inside = f"{comm.read().strip()} {pid}", f"/{name}/" in cgroup.read()
        # A worker is told by the socket it listens at; the service itself only by those it has connected to.
        listens = shown.startswith("hcs-worker ") and os.readlink(f"/proc/{pid}/fd/0") in inodes
        return [shown] if inside or listens else []
    except OSError:
        return []


def folders(socket):
    """The cgroup folders of the service itself, which go with it."""
    with open("/proc/self/mountinfo") as file:
        mounts = {line.split()[4] for line in file if " - cgroup" in line}
    named = (os.path.join(mount, group_name(socket)) for mount in mounts)
    return sorted(folder for folder in named if os.path.isdir(folder))


def since(before, socket, rootfs, seconds=5):
    """What there is more than before, once everything that is going has gone."""
    deadline = time.monotonic() + seconds
    while True:
        now = of_host(socket, rootfs)
        left = {kind: sorted(now[kind] - before[kind]) for kind in KINDS if now[kind] - before[kind]}
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.05)
