"""Event streams: Attach with its session, WatchEvents, cancelled creations."""

import os

from client import COMPUTE, Client, check, equal, until
from varlink_peer import Mismatch, ServiceError

ATTACH, WATCH = f"{COMPUTE}.Attach", f"{COMPUTE}.WatchEvents"


class Listener:
    """A connection with an event stream, and one beside it that has joined its session."""

    def __init__(self, client: Client, **parameters):
        self.stream = client.connection.another()
        self.stream.stream(ATTACH, **parameters)
        reply, _, more = self.stream.reply(ATTACH)
        check(more and reply.get("attached"), f"the stream begins with {reply}")
        self.attached, self.sequence = reply["attached"], 0
        self.client = client.another()
        self.client.call("Join", token=self.attached["token"])

    def next(self):
        reply, _, more = self.stream.reply(ATTACH)
        check(more and reply.get("event"), f"the stream goes on with {reply}")
        event = reply["event"]
        self.sequence += 1
        equal(event["sequence"], self.sequence, "the sequence number of an event")
        return event

    def close(self):
        self.client.connection.close()
        self.stream.close()


def session(client: Client):
    listener = Listener(client)
    equal((listener.attached["handles"], listener.attached["processes"]), ([], []), "the handles of a new session")
    system = listener.client.started()
    second = listener.client.call("OpenComputeSystem", id=system.id)["handle"]
    process = system.run("sh", "-c", "exit 5", stdout=False)
    event = listener.next()
    equal((event["type"], event["process"], event.get("handle")), ("processExited", process.handle, None), "the event")
    equal(event["data"], {"ProcessId": process.id, "Exited": True, "ExitCode": 5, "LastWaitResult": 0}, "its data")
    # A handle that is opened after the exit is told all the same.
    reopened = system.call("OpenProcess", processId=process.id)["process"]
    event = listener.next()
    equal((event["type"], event["process"], event["data"]["ExitCode"]), ("processExited", reopened, 5), "the event")
    system.terminate()
    events = [listener.next() for _ in range(2)]
    equal([event["type"] for event in events], ["systemExited"] * 2, "the events of the end")
    equal({event["handle"] for event in events}, {system.handle, second}, "whom the end was told")
    equal(events[0]["data"]["ExitType"], "ForcedExit", "the end")

    # The session lives by its stream and not by those who joined.
    kept = listener.client.started()
    listener.client.connection.close()
    joined = client.another()
    joined.call("Join", token=listener.attached["token"])
    equal(joined.call("GetComputeSystemProperties", handle=kept.handle)["properties"]["Id"], kept.id, "a shared handle")
    stranger = client.another()
    stranger.refused("NotFound", "Join", token="00000000-0000-4000-8000-000000000000")
    equal(stranger.connection.receive(), None, "a connection that could not join")
    listener.stream.close()
    until(lambda: kept.id not in client.ids(), "a system of a session that has ended ends")
    joined.connection.close()


def watch(client: Client):
    standing = client.create()
    stream = client.connection.another()
    stream.stream(WATCH)

    def next_of(connection, id):
        while True:
            event = connection.reply(WATCH)[0]["event"]
            if event["id"] == id:
                return event

    event = next_of(stream, standing.id)
    equal((event["type"], event["state"]), ("present", "Created"), "the beginning of the stream")
    system = client.started()
    process = system.run("false", stdout=False)
    process.wait()
    system.call("PauseComputeSystem")
    system.call("ResumeComputeSystem")
    system.terminate()
    seen = [next_of(stream, system.id) for _ in range(7)]
    equal([(event["type"], event["state"]) for event in seen],
          [("created", "Created"), ("started", "Running"), ("processCreated", "Running"), ("processExited", "Running"),
           ("paused", "Paused"), ("resumed", "Running"), ("exited", "Stopped")], "the events")
    equal((seen[3]["data"]["ExitCode"], seen[6]["data"]["ExitType"]), (1, "ForcedExit"), "the data of the events")
    stream.close()
    later = client.connection.another()
    later.stream(WATCH, since=seen[2]["sequence"])
    equal(next_of(later, system.id)["sequence"], seen[3]["sequence"], "where a resumed stream goes on")
    later.close()
    standing.terminate()


def takeover(client: Client):
    """A session that is attached again by its token goes on in the new stream, and the old one ends."""
    listener = Listener(client)
    system = listener.client.started()
    process = system.run("sleep", "1000", stdout=False)
    claim = {"handle": system.handle, "id": system.id, "instance": system.instance,
             "processes": [{"process": process.handle, "processId": process.id}]}
    stale = {**claim, "handle": 900, "instance": "00000000-0000-4000-8000-000000000000"}
    again = Listener(client, token=listener.attached["token"], claims=[claim, stale])
    equal(again.attached["token"], listener.attached["token"], "the token")
    equal((again.attached["handles"], again.attached["processes"]), ([system.handle], [process.handle]), "the claims")
    equal(listener.stream.receive(), None, "the replaced stream")
    again.client.call("TerminateProcess", process=process.handle)
    event = again.next()
    equal((event["type"], event["process"]), ("processExited", process.handle), "the event on a claimed handle")
    again.client.call("TerminateComputeSystem", handle=system.handle)
    equal(again.next()["handle"], system.handle, "the event on a claimed handle")
    again.close()
    listener.close()


def cancelled(client: Client):
    """A creation that is cancelled leaves nothing, or is done before the cancellation comes."""
    # Two connections of one session: one creates, the other cancels.
    listener = Listener(client)
    creator = listener.client.another()
    creator.call("Join", token=listener.attached["token"])
    for round in range(10):
        id = f"python-cancelled-{os.getpid()}-{round}"
        creator.connection.send(f"{COMPUTE}.CreateComputeSystem", {"id": id, "document": client.document(), "operation": 77})
        try:
            listener.client.call("CancelOperation", operation=77)
        except ServiceError as error:
            check(error.name in (f"{COMPUTE}.NotFound",), f"an odd answer to the cancellation: {error}")
        try:
            reply, _, _ = creator.connection.reply(f"{COMPUTE}.CreateComputeSystem")
            creator.call("TerminateComputeSystem", handle=reply["handle"])
        except ServiceError as error:
            equal(error.name, f"{COMPUTE}.Cancelled", "the answer to a cancelled creation")
        if id in client.ids():
            raise Mismatch("a cancelled creation has left a system")
    creator.connection.close()
    listener.close()


CHECKS = [session, watch, takeover, cancelled]
