"""Processes: streams, surroundings, ends, signals."""

import os
import threading

from client import COMPUTE, Client, check, equal, read_all, read_until, until


def streams(client: Client):
    system = client.started()
    process = system.run("sh", "-c", "echo out; echo err >&2; exit 3", stderr=True)
    check(process.stdin is None, "a pipe that nobody asked for")
    equal(read_all(process.stdout), b"out\n", "the standard output")
    equal(read_all(process.stderr), b"err\n", "the standard error")
    equal(process.wait(), 3, "the exit code")
    status = process.call("GetProcessProperties")["status"]
    equal(status, {"ProcessId": process.id, "Exited": True, "ExitCode": 3, "LastWaitResult": 0}, "the status")
    process.close()
    process.refused("InvalidHandle", "WaitForProcessExit")

    equal(system.output(CommandLine="sh -c 'echo \"a  b\"; echo c'"), "a  b\nc\n", "a command line")
    equal(system.output("sh", "-c", "cat; echo end"), "end\n", "a process without input")
    equal(system.run("true", stdout=False).wait(), 0, "a process without streams")

    # The two ways to end the input.
    cat = system.run("cat", stdin=True)
    os.write(cat.stdin, b"one\n")
    equal(os.read(cat.stdout, 100), b"one\n", "what cat says")
    cat.call("ModifyProcess", request={"Operation": "CloseHandle", "CloseHandle": {"Handle": "StdIn"}})
    equal(read_all(cat.stdout), b"", "what cat says after its end")
    equal(cat.wait(), 0, "cat's exit code")
    os.close(cat.stdin)
    cat = system.run("cat", stdin=True)
    os.write(cat.stdin, b"two\n")
    os.close(cat.stdin)
    equal(read_all(cat.stdout), b"two\n", "what cat says")
    cat.wait()

    # More than pipes hold, and a reader that goes away.
    cat = system.run("cat", stdin=True)
    block = os.urandom(3 << 20)
    writer = threading.Thread(target=lambda: (write_all(cat.stdin, block), os.close(cat.stdin)))
    writer.start()
    check(read_all(cat.stdout) == block, "three megabytes came back changed")
    writer.join()
    cat.wait()
    endless = system.run("yes")
    os.read(endless.stdout, 10)
    os.close(endless.stdout)
    equal(endless.wait(), 128 + 13, "the exit code of a process whose reader has gone")
    early = system.run("sh", "-c", "exec <&-; sleep 1000", stdin=True)
    wait_for_broken_pipe(early.stdin)
    os.close(early.stdin)
    os.close(early.stdout)
    system.terminate()


def write_all(fd, data):
    while data:
        data = data[os.write(fd, data):]


def wait_for_broken_pipe(fd):
    def is_broken():
        try:
            os.write(fd, b"x")
        except BrokenPipeError:
            return True
        return False

    until(is_broken, "the writer hears that the process has closed its input")


def information(client: Client):
    system = client.started()
    cat = system.run("cat", stdin=True)
    reply, fds = client.connection.call_fds(f"{COMPUTE}.GetProcessInfo", process=cat.handle)
    equal((reply["processId"], reply.get("stdError")), (cat.id, None), "the process information")
    os.write(fds[reply["stdInput"]], b"fresh\n")
    equal(os.read(cat.stdout, 100), b"fresh\n", "what went in by the fresh pipe")
    os.write(cat.stdin, b"first\n")
    equal(os.read(fds[reply["stdOutput"]], 100), b"first\n", "what came out of the fresh pipe")
    os.close(cat.stdin)
    os.close(fds[reply["stdInput"]])
    equal(read_all(cat.stdout), b"", "the end")
    os.close(fds[reply["stdOutput"]])
    cat.wait()
    cat.refused("ProcessAlreadyStopped", "GetProcessInfo")

    sleeper = system.run("sleep", "1000", stdout=False)
    opened = system.call("OpenProcess", processId=sleeper.id)["process"]
    check(opened != sleeper.handle, "two handles have one number")
    sleeper.close()
    equal(client.call("GetProcessProperties", process=opened)["status"]["Exited"], False, "a live process")
    client.call("TerminateProcess", process=opened)
    equal(client.call("WaitForProcessExit", process=opened)["status"]["ExitCode"], 137, "a killed process")
    system.refused("NotFound", "OpenProcess", processId=0x7FFFFFF0)
    system.terminate()


def surroundings(client: Client):
    system = client.started()
    equal(system.output("pwd", WorkingDirectory="/home/web"), "/home/web\n", "the working directory")
    equal(system.output("sh", "-c", 'echo "$A"', Environment={"A": "two words"}), "two words\n", "the environment")
    environment = dict(line.split("=", 1) for line in system.output("env").splitlines())
    check(set(environment) <= {"PATH", "HOME", "PWD", "SHLVL"}, f"more variables than asked for: {environment}")
    equal(environment["HOME"], "/root", "HOME of root")
    ids = "echo $(id -u) $(id -g) $(id -G) $HOME"
    for user, expected in (("", "0 0 0 /root"), ("web", "1000 1001 1001 29 /home/web"), ("1000", "1000 1001 1001 29 /home/web"),
                           ("web:audio", "1000 29 29 /home/web"), ("4000:5000", "4000 5000 5000 /")):
        equal(system.output("sh", "-c", ids, User=user), expected + "\n", f"the ids of user {user!r}")
    for members, cause, mentions in (
        ({"CommandArgs": ["/no/such/program"]}, "FileNotFound", "/no/such/program"),
        ({"CommandArgs": ["nosuchprogram"]}, "FileNotFound", "nosuchprogram"),
        ({"CommandArgs": ["/etc/passwd"]}, "AccessDenied", "/etc/passwd"),
        ({"CommandArgs": ["id"], "WorkingDirectory": "/nowhere"}, "FileNotFound", "$.WorkingDirectory"),
        ({"CommandArgs": ["id"], "WorkingDirectory": "etc"}, "InvalidData", "$.WorkingDirectory"),
        ({"CommandArgs": ["id"], "User": "nobody"}, "NotFound", "$.User"),
        ({"CommandArgs": ["id"], "CommandLine": "id"}, "InvalidData", "$.CommandArgs"),
        ({"CommandLine": "echo 'a"}, "InvalidData", "$.CommandLine"),
        ({}, "InvalidData", "$.CommandLine"),
        ({"CommandArgs": ["id"], "RestrictedToken": True}, "NotSupported", "RestrictedToken"),
    ):
        system.refused(cause, "CreateProcess", mentions, parameters=members)
    equal(len(system.properties("ProcessList")["ProcessList"]), 1, "what is left of processes that did not start")
    system.terminate()


def confinement(client: Client):
    """What a container may not do, tried out."""
    system = client.started()
    for script in ("mount -t tmpfs none /tmp", "echo 1 > /proc/sys/kernel/printk", "cat /proc/kcore", "mknod /tmp/x b 254 0",
                   "touch /sys/x", "hostname other", "echo b > /proc/sysrq-trigger", "chroot . mount -o remount,rw /sys",
                   "kill -9 1; ls -d /proc/2000"):
        equal(system.run("sh", "-c", f"({script}) 2>/dev/null || exit 9", stdout=False).wait(), 9, script)
    equal(system.output("sh", "-c", "ls /proc | grep -c '^[0-9]*$'").strip() in ("3", "4"), True, "the visible processes")
    interfaces = {line.split()[0] for line in system.output("ip", "-o", "link").splitlines() if "lo" in line}
    equal(len(interfaces), 1, "the interfaces")
    status = dict(line.split(":", 1) for line in system.output("cat", "/proc/self/status").splitlines())
    equal(status["NoNewPrivs"].strip(), "1", "NoNewPrivs")
    equal(int(status["CapEff"], 16), int(status["CapBnd"], 16), "effective and bounding capabilities of root")
    check(not int(status["CapEff"], 16) & (1 << 21 | 1 << 19 | 1 << 12), "a capability that no container has")
    status = dict(line.split(":", 1) for line in system.output("cat", "/proc/self/status", User="web").splitlines())
    equal(int(status["CapEff"], 16), 0, "the capabilities of a user")
    open_files = system.output("sh", "-c", "ls /proc/self/fd").split()
    check(set(open_files) <= {"0", "1", "2", "3"}, f"descriptors have leaked into a process: {open_files}")
    system.terminate()


def signals(client: Client):
    system = client.started()
    for options, code in (({}, 143), ({"Signal": 15}, 143), ({"Signal": 9}, 137), ({"Signal": "CtrlC"}, 130),
                          ({"Signal": "CtrlClose"}, 129), ({"Signal": 34}, 162)):
        sleeper = system.run("sleep", "1000", stdout=False)
        sleeper.call("SignalProcess", options=options)
        equal(sleeper.wait(), code, f"the exit code after {options}")
        sleeper.refused("ProcessAlreadyStopped", "SignalProcess", options=options)
        sleeper.close()
    trapped = system.run("sh", "-c", "trap 'echo caught; exit 7' USR1; echo ready; while :; do sleep 0.01; done")
    read_until(trapped.stdout, b"ready\n")
    trapped.call("SignalProcess", options={"Signal": 10})
    equal(read_all(trapped.stdout), b"caught\n", "what a trap says")
    equal(trapped.wait(), 7, "the exit code of a trap")
    trapped.refused("ProcessAlreadyStopped", "TerminateProcess")
    sleeper = system.run("sleep", "1000", stdout=False)
    sleeper.refused("InvalidData", "SignalProcess", "$.Signal", options={"Signal": 65})
    sleeper.refused("InvalidData", "SignalProcess", options={"Signal": "CtrlZ"})
    sleeper.refused("InvalidArgument", "TerminateProcess", options={"Force": True})
    sleeper.call("TerminateProcess", options={})
    equal(sleeper.wait(), 137, "the exit code of a terminated process")
    system.terminate()


CHECKS = [streams, information, surroundings, confinement, signals]
