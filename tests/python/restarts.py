#!/usr/bin/env python3
"""Kills hcsd and its workers at bad moments, and looks whether anything is lost or left.

    restarts.py HCSD ROOTFS [CHECK...]

Starts services of its own below a temporary folder. ROOTFS is as for plain_socket.py. Ends with 0 if everything is
as expected, and with 1 and one line that says what is not.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import leftovers
from checks_events import ATTACH, Listener
from client import COMPUTE, Client, Container, check, equal, until
from varlink_peer import Connection, Mismatch, ServiceError

# In which the service must answer again after its death.
PROMPT = 1.0


class Service:
    """An hcsd below a folder of its own."""

    def __init__(self, program, rootfs):
        self.program, self.rootfs = program, rootfs
        self.root = tempfile.mkdtemp(prefix="hcs-restarts-")
        self.socket = os.path.join(self.root, "run", "hcs.sock")
        self.process = None

    def start(self):
        """Starts it and returns how long it took to answer."""
        began = time.monotonic()
        with open(os.path.join(self.root, "log"), "ab") as log:
            self.process = subprocess.Popen([self.program, "--root", self.root], stdin=subprocess.DEVNULL, stderr=log)
        until(self.answers, "the service answers", 30)
        return time.monotonic() - began

    def answers(self):
        try:
            Connection(self.socket).call("org.varlink.service.GetInfo")
            return True
        except OSError:
            return False

    def kill(self):
        self.process.kill()
        self.process.wait()

    def client(self, timeout=30):
        connection = Connection(self.socket, timeout=timeout)
        connection.introspect()
        return Client(connection, self.rootfs)

    def worker(self, container):
        """The process id of a container's worker."""
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file, open(f"/proc/{pid}/comm") as name:
                    if container.runtime_id.encode() in file.read() and name.read().strip() == "hcs-worker":
                        return int(pid)
            except OSError:
                continue
        raise Mismatch(f"{container.id} has no worker")

    def clear(self):
        """After a failure: ends what is left, through the service, so that nothing stays on the host."""
        if self.process.poll() is not None:
            self.start()
        client = self.client(timeout=60)
        for id in client.ids():
            handle = client.call("OpenComputeSystem", id=id)["handle"]
            client.call("TerminateComputeSystem", handle=handle)
        self.process.terminate()
        self.process.wait(10)

    def end(self):
        self.process.terminate()
        equal(self.process.wait(10), 0, "the exit code of the service")
        shutil.rmtree(self.root)


def claim(container, *processes):
    return {"handle": container.handle, "id": container.id, "instance": container.instance,
            "processes": [{"process": process.handle, "processId": process.id} for process in processes]}


def adoption(service: Service):
    """Twenty running containers outlive the service; ends that nobody saw are told as they were."""
    listener = Listener(service.client())
    containers = [listener.client.started() for _ in range(20)]
    processes = [one.run("sh", "-c", f"read line; exit {number}", stdin=True, stdout=False)
                 for number, one in enumerate(containers)]
    containers[19].call("PauseComputeSystem")
    kept = listener.client.create(ShouldTerminateOnLastHandleClosed=False)
    doomed = listener.client.started()
    dead = doomed.run("sleep", "1000", stdout=False)
    service.kill()
    for process in processes[:10]:
        os.write(process.stdin, b"\n")
    os.kill(service.worker(doomed), signal.SIGKILL)
    time.sleep(0.2)
    took = service.start()
    check(took < PROMPT, f"the service took {took:.2f} s to answer")
    print(f"   adopted 21 systems in {took * 1000:.0f} ms")

    client = service.client()
    equal(sorted(client.ids()), sorted(one.id for one in [*containers, kept]), "the adopted systems")
    claims = [claim(one, process) for one, process in zip(containers, processes)] + [claim(kept), claim(doomed, dead)]
    again = Listener(client, token=listener.attached["token"], claims=claims)
    equal(again.attached["token"], listener.attached["token"], "the token")
    equal(sorted(again.attached["handles"]), sorted(one["handle"] for one in claims), "the claimed systems")
    equal(sorted(again.attached["processes"]), sorted(one.handle for one in [*processes, dead]), "the claimed processes")
    # What has ended meanwhile is told at once, with the true exit codes.
    events = [again.next() for _ in range(12)]
    codes = {event["process"]: event["data"]["ExitCode"] for event in events if event["type"] == "processExited"}
    equal(codes, {**{one.handle: number for number, one in enumerate(processes[:10])}, dead.handle: 137}, "the exits")
    exits = [event for event in events if event["type"] == "systemExited"]
    equal([event["handle"] for event in exits], [doomed.handle], "the systems that have ended")
    equal(exits[0]["data"]["ExitType"], "UnexpectedExit", "the end of the system whose worker was killed")

    for one, process in zip(containers, processes):
        one.client = process.client = again.client
    equal(containers[19].properties()["State"], "Paused", "the state of a paused system")
    containers[19].call("ResumeComputeSystem")
    for number in range(10, 20):
        equal(containers[number].output("echo", "still here"), "still here\n", "a new process in an adopted system")
        os.write(processes[number].stdin, b"\n")
        equal(processes[number].wait(), number, "the exit code of an adopted process")
    kept.client = again.client
    equal(kept.properties()["State"], "Created", "the state of a system that was not started")
    for one in [*containers, kept]:
        one.terminate()
        equal(one.exit_status()["ExitType"], "ForcedExit", "the end of an adopted system")
    again.close()
    for process in processes:
        os.close(process.stdin)


def forsaken(service: Service):
    """A system that ends with its last handle waits ten seconds for its clients; another stays."""
    listener = Listener(service.client())
    system, kept = listener.client.started(), listener.client.started(ShouldTerminateOnLastHandleClosed=False)
    service.kill()
    service.start()
    client = service.client()
    time.sleep(8)
    equal(sorted(client.ids()), sorted([system.id, kept.id]), "the systems after eight seconds")
    until(lambda: client.ids() == [kept.id], "the system that nobody has come back to ends", 5)
    handle = client.call("OpenComputeSystem", id=kept.id)["handle"]
    client.call("TerminateComputeSystem", handle=handle)


def worker_death(service: Service):
    """A worker that is killed takes its system along; everything is cleaned and told."""
    listener = Listener(service.client())
    system = listener.client.started()
    process = system.run("sh", "-c", "trap '' TERM; sleep 1000 & wait")
    system.run("sleep", "1000", stdout=False, User="web")
    began = time.monotonic()
    os.kill(service.worker(system), signal.SIGKILL)
    events = [listener.next() for _ in range(3)]
    check(time.monotonic() - began < 2, "the death of the worker was told late")
    equal([event["type"] for event in events], ["processExited", "processExited", "systemExited"], "the events")
    data = events[2]["data"]
    equal(data["ExitType"], "UnexpectedExit", "the exit type")
    equal(data["Status"], 0x80370106 - (1 << 32), "the exit status")
    worker = data["Attribution"][0]["WorkerExit"]
    equal((worker["ExitCode"], worker["Type"]), (137, "UnexpectedStop"), f"the attribution {data}")
    equal(listener.client.ids(), [], "the systems")
    until(lambda: os.read(process.stdout, 1) == b"", "the process is gone")
    os.close(process.stdout)
    system.refused("SystemAlreadyStopped", "CreateProcess", parameters={"CommandArgs": ["id"]})
    again = listener.client.started(system.id)
    again.terminate()

    # In the state Created, and paused.
    created = listener.client.create()
    os.kill(service.worker(created), signal.SIGKILL)
    equal(created.exit_status()["ExitType"], "UnexpectedExit", "the end of a created system")
    paused = listener.client.started()
    paused.run("sleep", "1000", stdout=False)
    paused.call("PauseComputeSystem")
    os.kill(service.worker(paused), signal.SIGKILL)
    equal(paused.exit_status()["ExitType"], "UnexpectedExit", "the end of a paused system")
    # A container whose init is killed from outside ends too, and says so.
    system = listener.client.started()
    with open(f"/proc/{service.worker(system)}/task/{service.worker(system)}/children") as file:
        os.kill(int(file.read().split()[0]), signal.SIGKILL)
    status = system.exit_status()
    equal(status["ExitType"], "UnexpectedExit", "the end of a system whose init was killed")
    check("WorkerExit" not in status["Attribution"][0], f"the worker is blamed: {status}")
    listener.close()


def half_made(service: Service):
    """The service dies in the midst of creations; what was half made is gone after the restart."""
    whole = 0
    for _ in range(25):
        clients = [service.client() for _ in range(4)]
        for number, client in enumerate(clients):
            document = client.document(ShouldTerminateOnLastHandleClosed=False)
            client.connection.send(f"{COMPUTE}.CreateComputeSystem", {"id": f"python-half-{number}", "document": document})
        time.sleep(random.uniform(0, 0.03))
        service.kill()
        took = service.start()
        check(took < PROMPT, f"the service took {took:.2f} s to answer")
        client = service.client()
        for id in client.ids():
            whole += 1
            system = Container(client, id, client.call("OpenComputeSystem", id=id))
            system.call("StartComputeSystem")
            equal(system.output("echo", "whole"), "whole\n", "a process in a system that was made before the death")
            system.terminate()
    print(f"   of 100 systems {whole} were whole")


def stopped_worker(service: Service):
    """A worker that does not answer delays nobody else, and its system can be terminated all the same."""
    listener = Listener(service.client(timeout=60))
    system, other = listener.client.started(), listener.client.started()
    process = system.run("sleep", "1000", stdout=False)
    os.kill(service.worker(system), signal.SIGSTOP)
    began = time.monotonic()
    equal(system.properties()["State"], "Running", "the basic properties")
    equal(other.output("echo", "works"), "works\n", "another system")
    check(time.monotonic() - began < 1, "others are delayed")
    began = time.monotonic()
    system.terminate()
    took = time.monotonic() - began
    check(took < 15, f"the termination took {took:.1f} s")
    print(f"   terminated in {took:.1f} s")
    equal(system.exit_status()["ExitType"], "ForcedExit", "the end of the system")
    equal(process.wait(), 137, "the exit code of its process")

    # The same across a restart: the service does not wait for it, and it does not stay.
    system = listener.client.started(ShouldTerminateOnLastHandleClosed=False)
    system.run("sleep", "1000", stdout=False)
    other = listener.client.started(ShouldTerminateOnLastHandleClosed=False)
    os.kill(service.worker(system), signal.SIGSTOP)
    service.kill()
    took = service.start()
    check(took < PROMPT, f"the service took {took:.2f} s to answer beside a stopped worker")
    client = service.client(timeout=60)
    handle = client.call("OpenComputeSystem", id=other.id)["handle"]
    client.call("TerminateComputeSystem", handle=handle)
    until(lambda: client.ids() == [], "a worker that cannot be adopted is done away with", 20)


CHECKS = [adoption, forsaken, worker_death, half_made, stopped_worker]


def main(program, rootfs, wanted):
    for one in (one for one in CHECKS if not wanted or one.__name__ in wanted):
        service = Service(program, rootfs)
        before = leftovers.of_host(service.socket, rootfs)
        service.start()
        began = time.monotonic()
        try:
            one(service)
            left = leftovers.since(before, service.socket, rootfs)
            check(not left, f"left over: {left}")
            service.end()
            check(not leftovers.folders(service.socket), f"left over: {leftovers.folders(service.socket)}")
        except (Mismatch, ServiceError, OSError, KeyError) as failure:
            print(f"FAILED {one.__name__}: {type(failure).__name__}: {failure}; the log is in {service.root}")
            service.clear()
            return 1
        print(f"ok {one.__name__} ({time.monotonic() - began:.1f} s)")
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 3:
        print(__doc__.strip())
        sys.exit(2)
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
