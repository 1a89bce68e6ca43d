"""The life of systems: states, properties, refusals, ends."""

import os
import threading
import time

from client import COMPUTE, Client, check, equal, read_all, until
from varlink_peer import SERVICE, Mismatch, ServiceError


def introspection(client: Client):
    connection = client.connection
    info = connection.call(f"{SERVICE}.GetInfo")
    equal(info["product"], "hcsd", "the product")
    check(COMPUTE in info["interfaces"], "the compute interface is not announced")
    for method, parameters, name in (
        (f"{COMPUTE}.NoSuchMethod", {}, "MethodNotFound"),
        ("org.example.Nothing", {}, "InterfaceNotFound"),
        (f"{COMPUTE}.StartComputeSystem", {}, "InvalidParameter"),
        (f"{COMPUTE}.StartComputeSystem", {"handle": "one"}, "InvalidParameter"),
        (f"{COMPUTE}.WatchEvents", {}, "ExpectedMore"),
        (f"{SERVICE}.GetInterfaceDescription", {"interface": "org.example"}, "InterfaceNotFound"),
    ):
        connection.send(method, parameters)
        message, _ = connection.receive()
        equal(message.get("error"), f"{SERVICE}.{name}", f"the answer to {method} {parameters}")


def documents(client: Client):
    def refused(cause, mentions, document, **more):
        client.refused(cause, "CreateComputeSystem", mentions, id="python-refused", document=document, **more)

    good = client.document()
    refused("InvalidData", "$.SchemaVersion", {**good, "SchemaVersion": None})
    refused("InvalidData", "$.Owner", {**good, "Owner": 7})
    refused("NotSupported", "version 1", {**good, "SchemaVersion": {"Major": 1}})
    refused("InvalidData", "found none", {"SchemaVersion": {"Major": 2}})
    refused("InvalidData", "$.VirtualMachine.ComputeTopology.Memory.SizeInMB", {"SchemaVersion": {"Major": 2}, "VirtualMachine": {}})
    refused("InvalidData", "Container and VirtualMachine", {**good, "VirtualMachine": {}})
    refused("InvalidData", "$.Container.Storage.Path", {**good, "Container": {}})
    refused("FileNotFound", "$.Container.Storage.Path", {**good, "Container": {"Storage": {"Path": "/no/such/root"}}})
    refused("NotSupported", "HvSocket", client.document(Container={"HvSocket": {"HvSocketConfig": {"DefaultBindSecurityDescriptor": "x"}}}))
    refused("InvalidData", "HostName", client.document(Container={"GuestOs": {"HostName": "a/b"}}))
    refused("InvalidData", "Maximum", client.document(Container={"Processor": {"Maximum": 10001}}))
    refused("InvalidData", "Containr", {**good, "Containr": {}}, strict=True)
    client.refused("InvalidArgument", "CreateComputeSystem", id="", document=good)
    equal(client.ids(), [], "what is left of refused systems")

    system = client.create(Containr={}, Container={"RegistryChanges": {"AddValues": [{"Name": "a"}]}})
    equal(sorted(warning["path"] for warning in system.warnings), ["$.Container.RegistryChanges", "$.Containr"], "the warnings")
    query = {"Queries": {"Warnings": {}, "Statistics": {}, "Nonsense": {}}}
    responses = system.call("GetComputeSystemProperties", query=query)["properties"]["PropertyResponses"]
    equal(len(responses["Warnings"]["Response"]), 2, "the property Warnings")
    check("Timestamp" in responses["Statistics"]["Response"], "the query Statistics has no answer")
    equal(responses["Nonsense"]["Error"]["Error"], 0x80070032 - (1 << 32), "the answer to a query for nonsense")
    system.terminate()


def states(client: Client):
    system = client.create("Python-Case")
    check(len(system.runtime_id) == 36 and system.runtime_id == system.runtime_id.lower(), "an odd RuntimeId")
    client.refused("SystemAlreadyExists", "CreateComputeSystem", id="PYTHON-CASE", document=client.document())
    equal(system.properties()["State"], "Created", "the state after creation")
    system.refused("InvalidState", "CreateProcess", parameters={"CommandArgs": ["id"]})
    for method in ("PauseComputeSystem", "ResumeComputeSystem", "ShutDownComputeSystem", "SaveComputeSystem"):
        system.refused("InvalidState", method)
    system.call("StartComputeSystem")
    equal(system.properties()["State"], "Running", "the state after the start")
    for method in ("StartComputeSystem", "ResumeComputeSystem", "SaveComputeSystem"):
        system.refused("InvalidState", method)
    system.refused("NotSupported", "CrashComputeSystem")
    system.refused("InvalidData", "ModifyComputeSystem", request={"ResourcePath": "Container/Memory/SizeInMB"})
    system.refused("NotSupported", "ModifyComputeSystem", request={"ResourcePath": "Container/Devices/Generic"})
    system.refused("InvalidData", "ModifyComputeSystem", request={"ResourcePath": "Container/Nothing"})

    opened = client.call("OpenComputeSystem", id="pYTHON-cASE")
    equal((opened["id"], opened["instance"]), ("Python-Case", system.instance), "what was opened")
    check(opened["handle"] != system.handle, "two handles have one number")
    client.call("CloseComputeSystem", handle=opened["handle"])
    client.refused("InvalidHandle", "CloseComputeSystem", handle=opened["handle"])
    client.refused("InvalidHandle", "GetComputeSystemProperties", handle=4711)
    client.refused("SystemNotFound", "OpenComputeSystem", id="python-nobody")

    system.terminate()
    system.refused("SystemAlreadyStopped", "TerminateComputeSystem")
    system.refused("SystemAlreadyStopped", "StartComputeSystem")
    system.refused("SystemAlreadyStopped", "CreateProcess", parameters={"CommandArgs": ["id"]})
    client.refused("SystemNotFound", "OpenComputeSystem", id="python-case")
    exit = {"Status": 0, "ExitType": "ForcedExit",
            "Attribution": [{"SystemExit": {"Detail": "Terminate", "Initiator": "Client"}}]}
    equal(system.exit_status(), exit, "the exit status of a terminated system")
    system.close()
    again = client.create("python-case")
    check(again.instance != system.instance, "two systems are one instance")
    again.terminate()


def pause(client: Client):
    system = client.started()
    process = system.run("sh", "-c", "while :; do echo tick; sleep 0.01; done")
    os.read(process.stdout, 5)
    system.call("PauseComputeSystem", options={"SuspensionLevel": "Suspend"})
    equal(system.properties()["State"], "Paused", "the state after the pause")
    system.refused("InvalidState", "PauseComputeSystem")
    system.refused("InvalidState", "CreateProcess", parameters={"CommandArgs": ["id"]})
    system.refused("InvalidState", "ShutDownComputeSystem")
    os.set_blocking(process.stdout, False)
    try:
        while os.read(process.stdout, 65536):
            pass
    except BlockingIOError:
        pass
    time.sleep(0.1)
    try:
        raise Mismatch(f"a paused process said {os.read(process.stdout, 100)!r}")
    except BlockingIOError:
        os.set_blocking(process.stdout, True)
    system.call("ResumeComputeSystem")
    check(os.read(process.stdout, 5), "a resumed process is silent")
    system.call("PauseComputeSystem")
    system.terminate()
    equal(process.wait(), 137, "the exit code of a process of a terminated system")
    os.close(process.stdout)


def properties(client: Client):
    system = client.started(Container={"GuestOs": {"HostName": "stone"}, "Memory": {"SizeInMB": 64}})
    process = system.run("sleep", "1000", stdout=False)
    basic = system.properties()
    expected = {"Id": system.id, "SystemType": "Container", "RuntimeOsType": "Linux", "Owner": "python",
                "RuntimeId": system.runtime_id, "State": "Running", "Name": system.id}
    equal(basic, expected, "the basic properties")
    statistics = system.properties("Statistics")["Statistics"]
    for member in ("Timestamp", "ContainerStartTime"):
        check(statistics[member].endswith("Z"), f"Statistics.{member} is {statistics[member]!r}")
    check(statistics["Uptime100ns"] > 0, "Statistics.Uptime100ns is 0")
    check(statistics["Processor"]["TotalRuntime100ns"] > 0, "Statistics.Processor.TotalRuntime100ns is 0")
    memory = statistics["Memory"]
    check(0 < memory["MemoryUsageCommitBytes"] <= memory["MemoryUsageCommitPeakBytes"] <= 64 << 20, f"odd {memory}")
    processes = system.properties("ProcessList")["ProcessList"]
    names = {one["ProcessId"]: one["ImageName"] for one in processes}
    equal(names, {1: "hcs-init", process.id: "sleep"}, "the process list")
    whole = system.properties("TerminateOnLastHandleClosed", "SystemGUID", "ProcessList", "Statistics")
    equal(whole["TerminateOnLastHandleClosed"], True, "TerminateOnLastHandleClosed")
    equal(whole["SystemGUID"], system.runtime_id, "SystemGUID")
    assigned = system.properties("Memory")["Memory"]["VirtualMachineMemory"]["AssignedMemory"]
    equal(assigned, (64 << 20) // 4096, "the pages that the container may use")
    for kind in ("SharedMemoryRegion", "GuestConnection", "GuestMemory", "ICHeartbeatStatus",
                 "ContainerCredentialGuard", "ProcessorTopology", "CpuGroup", "MappedVirtualDisk"):
        system.refused("NotSupported", "GetComputeSystemProperties", kind, query={"PropertyTypes": [kind]})
    system.refused("InvalidData", "GetComputeSystemProperties", query={"PropertyTypes": ["Nonsense"]})
    equal(system.output("hostname"), "stone\n", "the host name")
    query = {"Types": ["Container"], "Ids": [system.id.upper()]}
    equal(client.call("EnumerateComputeSystems", query=query)["systems"], [basic], "the enumeration")
    for query in ({"Types": ["VirtualMachine"]}, {"Owners": ["nobody"]}, {"Ids": []}):
        equal(client.call("EnumerateComputeSystems", query=query)["systems"], [], f"the enumeration of {query}")
    system.terminate()
    equal(client.ids(), [], "the enumeration after the end")


def service(client: Client):
    answer = client.call("GetServiceProperties")["properties"]["Properties"]
    check({"Major": 2, "Minor": 7} in answer[0]["SupportedSchemaVersions"], f"odd schema versions {answer}")
    kinds = ["Basic", "ProcessorTopology", "CpuGroup", "QoSCapabilities", "Memory"]
    answers = client.call("GetServiceProperties", query={"PropertyTypes": kinds})["properties"]["Properties"]
    equal(answers[1]["LogicalProcessorCount"], os.cpu_count(), "the number of processors")
    check(answers[4]["TotalBytes"] > 0, "the host has no memory")
    query = {"PropertyQueries": {"ProcessorCapabilities": {}}}
    response = client.call("GetServiceProperties", query=query)["properties"]["PropertyResponses"]
    check("ProcessorFeatures" in response["ProcessorCapabilities"]["Response"], f"odd capabilities {response}")

    report = client.call("SubmitWerReport", report={"SystemId": "python-crash", "CrashLog": "it broke"})["report"]
    entries = {one["report"]: one for one in client.call("ListCrashReports")["reports"]}
    equal(entries[report]["id"], "python-crash", "the system of the crash report")
    document = client.call("GetCrashReport", report=report)["document"]
    equal(document, {"SystemId": "python-crash", "CrashLog": "it broke"}, "the crash report")
    client.refused("NotFound", "GetCrashReport", "../record", report="../record")
    check(abs(entries[report]["time"] - time.time()) < 60, "the crash report is of another time")


def shut_down(client: Client):
    # A process that does as it is asked, one that was left to init, and none at all.
    for script in ("exec sleep 1000", "sleep 1000 & exit 0", None):
        system = client.started()
        process = system.run("sh", "-c", script, stdout=False) if script else None
        if script and "&" in script:
            equal(process.wait(), 0, "the exit code of the parent")
        began = time.monotonic()
        system.call("ShutDownComputeSystem", options={"Mechanism": "IntegrationService", "Type": "Shutdown"})
        status = system.exit_status()
        # Else it is killed, which the exit would tell.
        check(time.monotonic() - began < 10, f"the shutdown of {script!r} took too long")
        equal((status["Status"], status["ExitType"]), (0, "GracefulExit"), f"the end of {script!r}")
        equal(status["Attribution"], [{"SystemExit": {"Detail": "Shutdown", "Initiator": "Client"}}], "the cause")
        system.refused("SystemAlreadyStopped", "ShutDownComputeSystem")

    system = client.started()
    system.refused("NotSupported", "ShutDownComputeSystem", options={"Type": "Hibernate"})
    stubborn = system.run("sh", "-c", "trap : TERM; echo ready; while :; do sleep 1; done")
    equal(os.read(stubborn.stdout, 6), b"ready\n", "the stubborn process")
    system.call("ShutDownComputeSystem")
    system.refused("SystemAlreadyStopped", "ShutDownComputeSystem")
    system.terminate()
    equal(system.exit_status()["ExitType"], "ForcedExit", "the end of a system terminated in its shutdown")
    os.close(stubborn.stdout)


def last_handle(client: Client):
    system = client.started()
    system.run("sleep", "1000", stdout=False)
    client.call("OpenComputeSystem", id=system.id)
    system.close()
    equal(client.ids(), [system.id], "a system with a handle left")
    second = client.another()
    third = second.create()
    kept = second.create(ShouldTerminateOnLastHandleClosed=False)
    # A client that dies takes its handles with it, and its systems that end with the last handle.
    second.connection.close()
    until(lambda: third.id not in client.ids(), "a system of a client that has gone ends")
    check(kept.id in client.ids(), "a system that is to stay has ended")
    handle = client.call("OpenComputeSystem", id=kept.id)["handle"]
    client.call("TerminateComputeSystem", handle=handle)
    handle = client.call("OpenComputeSystem", id=system.id)["handle"]
    client.call("TerminateComputeSystem", handle=handle)


def concurrent(client: Client):
    """Many clients at once; each sees its own."""
    failures = []

    def work():
        try:
            own = client.another()
            for _ in range(4):
                system = own.started()
                equal(system.output("echo", system.id), f"{system.id}\n", "what a process says")
                system.terminate()
                system.close()
            own.connection.close()
        except (Mismatch, ServiceError, OSError) as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(failures, [], "failures among eight clients at once")


def pending(client: Client):
    """A call that waits is listed, and its wait is ended by the end of the system."""
    system = client.started()
    process = system.run("sleep", "1000", stdout=False)
    waiter = client.another()
    handle = waiter.call("OpenComputeSystem", id=system.id)["handle"]
    waiter.connection.send(f"{COMPUTE}.WaitForComputeSystemExit", {"handle": handle})
    client.refused("NotFound", "CancelOperation", operation=12345)
    system.terminate()
    reply, _, _ = waiter.connection.reply(f"{COMPUTE}.WaitForComputeSystemExit")
    equal(reply["status"]["ExitType"], "ForcedExit", "what the waiting client hears")
    equal(process.wait(), 137, "the exit code of a killed process")
    waiter.connection.close()


CHECKS = [introspection, documents, states, pause, properties, service, shut_down, last_handle, concurrent, pending]
