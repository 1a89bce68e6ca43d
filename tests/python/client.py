"""Shorthand over the compute interface for the checks: containers, processes, expectations."""

import itertools
import json
import os
import select
import time

from varlink_peer import Connection, Mismatch, ServiceError

COMPUTE = "io.hcs.Compute"
NUMBERS = itertools.count()

# The rows of the error table that the checks meet.
HRESULTS = {
    "SystemNotFound": 0x8037010E,
    "SystemAlreadyExists": 0x8037010F,
    "SystemAlreadyStopped": 0x80370110,
    "InvalidState": 0x80370105,
    "InvalidJson": 0x8037010D,
    "InvalidData": 0x8007000D,
    "InvalidHandle": 0x80070006,
    "InvalidArgument": 0x80070057,
    "NotSupported": 0x80070032,
    "NotImplemented": 0x80004001,
    "NotFound": 0x80070490,
    "FileNotFound": 0x80070002,
    "AccessDenied": 0x80070005,
    "ProcessAlreadyStopped": 0x8037011F,
    "VirtualizationMissing": 0x80370102,
    "Terminated": 0x80370107,
    "Cancelled": 0x800704C7,
}


def equal(found, expected, what):
    if found != expected:
        raise Mismatch(f"{what}: found {found!r}, expected {expected!r}")


def check(condition, what):
    if not condition:
        raise Mismatch(what)


def until(condition, what, seconds=10):
    """Waits for something that happens soon."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Mismatch(f"{what}: not within {seconds} s")
        time.sleep(0.01)


def read_all(fd, seconds=10):
    """Reads a pipe or a console to its end and closes it."""
    text, deadline = b"", time.monotonic() + seconds
    while True:
        ready, _, _ = select.select([fd], [], [], max(0, deadline - time.monotonic()))
        if not ready:
            os.close(fd)
            raise Mismatch(f"no end of the stream within {seconds} s; so far {text!r}")
        try:
            data = os.read(fd, 65536)
        except OSError:
            # A console whose last process has gone reads as an error.
            data = b""
        if not data:
            os.close(fd)
            return text
        text += data


def read_until(fd, wanted, seconds=10):
    """Reads until the text appears; returns everything read."""
    text, deadline = b"", time.monotonic() + seconds
    while wanted not in text:
        ready, _, _ = select.select([fd], [], [], max(0, deadline - time.monotonic()))
        data = os.read(fd, 65536) if ready else b""
        if not data:
            raise Mismatch(f"{wanted!r} did not come; got {text!r}")
        text += data
    return text


class Client:
    """A connection with the compute methods as short calls."""

    def __init__(self, connection: Connection, rootfs: str):
        self.connection, self.rootfs = connection, rootfs

    def another(self):
        return Client(self.connection.another(), self.rootfs)

    def call(self, method, **parameters):
        return self.connection.call(f"{COMPUTE}.{method}", **parameters)

    def refused(self, cause, method, mentions="", **parameters):
        """The call must fail with this cause; its error must tell the whole story three times over."""
        try:
            reply = self.call(method, **parameters)
        except ServiceError as error:
            equal(error.name, f"{COMPUTE}.{cause}", f"the error of {method} ({error})")
            hresult = HRESULTS[cause] - (1 << 32)
            equal(error.parameters["hresult"], hresult, f"the HRESULT of {method}")
            document = error.parameters["document"]
            equal(document["Error"], hresult, f"the ResultError of {method}")
            check(document["ErrorMessage"], f"{method}: the ResultError has no message")
            story = document["ErrorEvents"][0]["Message"]
            check(story, f"{method}: the ResultError has no event")
            for text in (error.parameters["message"], story):
                check(mentions in text, f"{method}: {text!r} does not mention {mentions!r}")
            return error.parameters
        raise Mismatch(f"{method} was done ({reply}), expected {cause}")

    def document(self, **members):
        container = {"Storage": {"Path": self.rootfs}, **members.pop("Container", {})}
        return {"Owner": "python", "SchemaVersion": {"Major": 2, "Minor": 5},
                "ShouldTerminateOnLastHandleClosed": True, "Container": container, **members}

    def create(self, id=None, **members):
        """Creates a container; returns it."""
        id = id or f"python-{os.getpid()}-{next(NUMBERS)}"
        reply = self.call("CreateComputeSystem", id=id, document=self.document(**members))
        return Container(self, id, reply)

    def started(self, id=None, **members):
        container = self.create(id, **members)
        container.call("StartComputeSystem")
        return container

    def ids(self):
        systems = self.call("EnumerateComputeSystems", query={"Owners": ["python"]})["systems"]
        return [system["Id"] for system in systems]


class Container:
    """A handle to a container."""

    def __init__(self, client, id, reply):
        self.client, self.id = client, id
        self.handle, self.instance, self.runtime_id = reply["handle"], reply["instance"], reply["runtimeId"]
        self.warnings = reply.get("warnings", [])

    def call(self, method, **parameters):
        return self.client.call(method, handle=self.handle, **parameters)

    def refused(self, cause, method, mentions="", **parameters):
        return self.client.refused(cause, method, mentions, handle=self.handle, **parameters)

    def properties(self, *kinds):
        query = {"query": {"PropertyTypes": list(kinds)}} if kinds else {}
        return self.call("GetComputeSystemProperties", **query)["properties"]

    def run(self, *arguments, stdin=False, stdout=True, stderr=False, **members):
        """Starts a process."""
        parameters = {"CommandArgs": list(arguments), "CreateStdInPipe": stdin, "CreateStdOutPipe": stdout,
                      "CreateStdErrPipe": stderr, **members}
        if "CommandLine" in members:
            del parameters["CommandArgs"]
        method = f"{COMPUTE}.CreateProcess"
        reply, fds = self.client.connection.call_fds(method, handle=self.handle, parameters=parameters)
        return Process(self.client, reply, fds)

    def output(self, *arguments, code=0, **members):
        """What a process says on its standard output."""
        process = self.run(*arguments, **members)
        text = read_all(process.stdout).decode()
        equal(process.wait(), code, f"the exit code of {arguments or members.get('CommandLine')}")
        process.close()
        return text

    def terminate(self):
        self.call("TerminateComputeSystem")

    def exit_status(self):
        return self.call("WaitForComputeSystemExit")["status"]

    def close(self):
        self.call("CloseComputeSystem")


class Process:
    """A handle to a process, and its streams."""

    def __init__(self, client, reply, fds):
        self.client, self.handle, self.id = client, reply["process"], reply["processId"]
        places = [reply.get(name) for name in ("stdInput", "stdOutput", "stdError")]
        equal(sorted(place for place in places if place is not None), list(range(len(fds))), "the places of the pipes")
        self.stdin, self.stdout, self.stderr = (None if place is None else fds[place] for place in places)

    def call(self, method, **parameters):
        return self.client.call(method, process=self.handle, **parameters)

    def refused(self, cause, method, mentions="", **parameters):
        return self.client.refused(cause, method, mentions, process=self.handle, **parameters)

    def wait(self):
        """Waits for the end; returns the exit code."""
        status = self.call("WaitForProcessExit")["status"]
        equal(status["ProcessId"], self.id, "the ProcessStatus' id")
        check(status["Exited"] is True and status["LastWaitResult"] == 0, f"an odd ProcessStatus {json.dumps(status)}")
        return status["ExitCode"]

    def close(self):
        self.call("CloseProcess")
