"""Consoles: a real terminal inside, its master outside."""

import os

from client import COMPUTE, Client, check, equal, read_all, read_until


def console_of(system, *arguments, size=None, **members):
    if size:
        members["ConsoleSize"] = size
    # The pipe for errors is asked for and not given: a console has all three streams in one.
    process = system.run(*arguments, stdin=True, stderr=True, EmulateConsole=True, **members)
    check(process.stderr is None, "a process with a console has a pipe for errors")
    return process


def lines(process):
    """Everything until the end, as lines; a terminal ends them with CR LF."""
    text = read_all(process.stdout).decode()
    os.close(process.stdin)
    return text.replace("\r\n", "\n").splitlines()


def terminal(client: Client):
    system = client.started()
    process = console_of(system, "sh", "-c", "read line; tty; stty size; echo error >&2; echo $TERM; test -t 2 && echo yes",
                         size=[30, 100])
    check(os.fstat(process.stdin).st_dev != os.stat("/dev/pts").st_dev, "the console is a terminal of the host")
    os.write(process.stdin, b"go\n")
    equal(lines(process), ["go", "/dev/pts/0", "30 100", "error", "xterm", "yes"], "what is said on the console")
    equal(process.wait(), 0, "the exit code")
    process = console_of(system, "sh", "-c", "stty size; ls -l $(tty) | awk '{print $1, $3, $4}'; echo x > /dev/tty", User="web")
    equal(lines(process), ["24 80", "crw--w---- web 5", "x"], "the console of a user")
    # What it said ends with its last process; its name, with the worker's own end of it, when the exit is known.
    equal(process.wait(), 0, "the exit code of a user's process")
    equal(system.output("sh", "-c", "tty; ls /dev/pts", code=0), "not a tty\nptmx\n", "a process without console")

    # It is the controlling terminal of a session of its own, with jobs: keys become signals.
    process = console_of(system, "sh", "-c", "echo ready; exec sleep 1000")
    read_until(process.stdout, b"ready")
    os.write(process.stdin, b"\x03")
    equal(process.wait(), 130, "the exit code after Ctrl-C was typed")
    lines(process)
    process = console_of(system, "sh", "-i", WorkingDirectory="/tmp", Environment={"PS1": "> ", "TERM": "dumb"})
    read_until(process.stdout, b"> ")
    os.write(process.stdin, b"sleep 1000\n")
    read_until(process.stdout, b"sleep 1000")
    while b"sleep" not in system.output("ps").encode():
        pass
    # A shell throws away what was typed before its prompt.
    os.write(process.stdin, b"\x1a")
    text = read_until(process.stdout, b"sleep 1000\r\n> ")
    check(b"Stopped" in text, f"there is no job control: {text!r}")
    os.write(process.stdin, b"echo $TERM\n")
    read_until(process.stdout, b"dumb\r\n")
    process.call("TerminateProcess")
    equal(process.wait(), 137, "the exit code of a shell")
    for fd in (process.stdin, process.stdout):
        os.close(fd)
    system.refused("FileNotFound", "CreateProcess", "$.CommandArgs[0]", parameters={"CommandArgs": ["/x"], "EmulateConsole": True})
    system.terminate()


def resize(client: Client):
    system = client.started()
    script = "trap 'stty size' WINCH; echo ready; while :; do sleep 0.01; done"
    process = console_of(system, "sh", "-c", script, size=[25, 80])
    read_until(process.stdout, b"ready\r\n")
    process.call("ModifyProcess", request={"Operation": "ConsoleSize", "ConsoleSize": {"Height": 50, "Width": 120}})
    equal(read_until(process.stdout, b"\n"), b"50 120\r\n", "what is said after the resize")
    process.refused("InvalidData", "ModifyProcess", "$.ConsoleSize", request={"Operation": "ConsoleSize"})
    process.call("TerminateProcess")
    equal(process.wait(), 137, "the exit code")
    lines(process)
    size = {"Operation": "ConsoleSize", "ConsoleSize": {"Height": 5, "Width": 5}}
    process.refused("ProcessAlreadyStopped", "ModifyProcess", request=size)
    plain = system.run("sleep", "1000", stdout=False)
    plain.refused("NotSupported", "ModifyProcess", "EmulateConsole", request=size)
    system.terminate()


def ends(client: Client):
    system = client.started()
    # The end of the input, by request and as it is typed.
    process = console_of(system, "sh", "-c", "stty -echo; echo ready; cat; echo done")
    read_until(process.stdout, b"ready\r\n")
    os.write(process.stdin, b"one\n")
    read_until(process.stdout, b"one\r\n")
    process.call("ModifyProcess", request={"Operation": "CloseHandle", "CloseHandle": {"Handle": "StdIn"}})
    equal(lines(process), ["done"], "what is said after the end of the input")
    equal(process.wait(), 0, "the exit code")

    # Both ends once more; the console stays while a client has neither.
    process = console_of(system, "sh", "-c", "stty -echo; echo ready; read line; echo got $line")
    read_until(process.stdout, b"ready\r\n")
    os.close(process.stdin)
    os.close(process.stdout)
    reply, fds = client.connection.call_fds(f"{COMPUTE}.GetProcessInfo", process=process.handle)
    equal(reply.get("stdError"), None, "the pipe for errors")
    process.stdin, process.stdout = fds[reply["stdInput"]], fds[reply["stdOutput"]]
    os.write(process.stdin, b"it\n")
    equal(lines(process), ["got it"], "what is said on a console that was opened again")
    process.wait()

    # One that nobody reads is no obstacle, nor one that its process has left.
    process = system.run("sh", "-c", "yes | head -c 300000; exit 6", stdout=False, EmulateConsole=True)
    equal(process.wait(), 6, "the exit code of a process whose console nobody reads")
    process = system.run("sh", "-c", "exec <&- >&- 2>&-; sleep 0.2; exit 8", stdout=False, EmulateConsole=True)
    equal(process.wait(), 8, "the exit code of a process that has closed its console")
    many = [console_of(system, "tty") for _ in range(5)]
    equal(sorted(lines(one)[0] for one in many), [f"/dev/pts/{number}" for number in range(5)], "five consoles")
    system.terminate()


CHECKS = [terminal, resize, ends]
