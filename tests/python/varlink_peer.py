"""A stranger's view of a Varlink service: nothing but a Unix socket, JSON, and what introspection tells.

The text of an interface is parsed, and every call and every reply is held against it, so a program over this
module notices when the service and its own manual disagree. Only the standard library is used.
"""

import json
import os
import re
import socket

SERVICE = "org.varlink.service"
PRIMITIVES = {"bool": bool, "int": int, "float": (int, float), "string": str}


class Mismatch(Exception):
    """The service did something else than it says, or than was expected."""


class ServiceError(Exception):
    """An error reply."""

    def __init__(self, name, parameters):
        super().__init__(f"{name} {json.dumps(parameters)}")
        self.name, self.parameters = name, parameters


class Interface:
    """A parsed interface text: its types, methods and errors."""

    def __init__(self, text):
        self.tokens = re.findall(r"->|\[\]|\[string\]|[A-Za-z][A-Za-z0-9_.-]*|[():,?]", re.sub(r"#[^\n]*", "", text))
        self.types, self.methods, self.errors = {}, {}, {}
        self.expect("interface")
        self.name = self.take()
        while self.tokens:
            kind, name = self.take(), self.take()
            if kind == "type":
                self.types[name] = self.type()
            elif kind == "method":
                parameters = self.type()
                self.expect("->")
                self.methods[name] = (parameters, self.type())
            elif kind == "error":
                self.errors[name] = self.type()
            else:
                raise Mismatch(f"{self.name}: found {kind!r}, expected type, method or error")

    def take(self):
        if not self.tokens:
            raise Mismatch("the interface text ends in the middle")
        return self.tokens.pop(0)

    def expect(self, token):
        found = self.take()
        if found != token:
            raise Mismatch(f"the interface text has {found!r} where {token!r} belongs")

    def type(self):
        token = self.take()
        if token == "?":
            return ("maybe", self.type())
        if token == "[]":
            return ("array", self.type())
        if token == "[string]":
            return ("map", self.type())
        if token != "(":
            return ("name", token)
        members, choices = {}, []
        while self.tokens and self.tokens[0] != ")":
            name = self.take()
            if self.tokens[0] == ":":
                self.take()
                members[name] = self.type()
            else:
                choices.append(name)
            if self.tokens[0] == ",":
                self.take()
        self.expect(")")
        return ("choice", choices) if choices else ("struct", members)

    def check(self, value, wanted, where):
        """Holds a value against a type."""
        kind, inner = wanted
        if kind == "maybe":
            return None if value is None else self.check(value, inner, where)
        if kind == "array" and isinstance(value, list):
            return [self.check(one, inner, f"{where}[{index}]") for index, one in enumerate(value)]
        if kind == "map" and isinstance(value, dict):
            return [self.check(one, inner, f"{where}.{key}") for key, one in value.items()]
        if kind == "choice" and value in inner:
            return None
        if kind == "struct" and isinstance(value, dict):
            for name in value:
                if name not in inner:
                    raise Mismatch(f"{where} has {name!r}, which the interface does not")
            for name, member in inner.items():
                if name not in value and member[0] != "maybe":
                    raise Mismatch(f"{where} lacks {name!r}")
                self.check(value.get(name), member, f"{where}.{name}")
            return None
        if kind == "name":
            if inner in self.types:
                return self.check(value, self.types[inner], where)
            if inner == "object" and value is not None:
                return None
            primitive = PRIMITIVES.get(inner)
            if primitive and isinstance(value, primitive) and (inner == "bool" or not isinstance(value, bool)):
                return None
        raise Mismatch(f"{where} is {value!r}, expected {wanted}")


BUILT_IN = """interface org.varlink.service
method GetInfo() -> (vendor: string, product: string, version: string, url: string, interfaces: []string)
method GetInterfaceDescription(interface: string) -> (description: string)
error InterfaceNotFound (interface: string)
error MethodNotFound (method: string)
error MethodNotImplemented (method: string)
error InvalidParameter (parameter: string)
error PermissionDenied ()
error ExpectedMore ()
"""


class Connection:
    """A connection: calls, replies, descriptors."""

    def __init__(self, path, interfaces=None, timeout=30):
        self.path = path
        self.interfaces = interfaces if interfaces is not None else {SERVICE: Interface(BUILT_IN)}
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        self.socket.connect(path)
        self.buffer, self.fds = b"", []

    def introspect(self):
        """Learns every interface of the service from the service."""
        info = self.call(f"{SERVICE}.GetInfo")
        for name in info["interfaces"]:
            text = self.call(f"{SERVICE}.GetInterfaceDescription", interface=name)["description"]
            self.interfaces[name] = Interface(text)
            if self.interfaces[name].name != name:
                raise Mismatch(f"the text of {name} is of {self.interfaces[name].name}")
        return info

    def another(self):
        """A second connection that knows the same interfaces."""
        return Connection(self.path, self.interfaces, self.socket.gettimeout())

    def signature(self, method):
        interface, name = method.rsplit(".", 1)
        found = self.interfaces[interface].methods.get(name)
        if found is None:
            raise Mismatch(f"{interface} has no method {name}")
        return self.interfaces[interface], found

    def send(self, method, parameters, more=False, **members):
        message = {"method": method, "parameters": parameters, **members}
        if more:
            message["more"] = True
        self.socket.sendall(json.dumps(message).encode() + b"\0")

    def receive(self):
        """The next message and the descriptors that came with it; None when the service has hung up."""
        while b"\0" not in self.buffer:
            data, fds, flags, _ = socket.recv_fds(self.socket, 65536, 16)
            self.fds += fds
            if flags & socket.MSG_CTRUNC:
                raise Mismatch("descriptors were lost")
            if not data:
                return None
            self.buffer += data
        text, self.buffer = self.buffer.split(b"\0", 1)
        fds, self.fds = self.fds, []
        return json.loads(text), fds

    def reply(self, method):
        """One reply, held against the interface; returns its parameters, descriptors, and whether more follow."""
        received = self.receive()
        if received is None:
            raise Mismatch(f"{method}: the service hung up")
        message, fds = received
        interface, (_, result) = self.signature(method)
        parameters = message.get("parameters") or {}
        if "error" in message:
            owner, name = message["error"].rsplit(".", 1)
            known = self.interfaces[owner].errors.get(name)
            if known is None:
                raise Mismatch(f"{method} failed with {message['error']}, which no interface has")
            self.interfaces[owner].check(parameters, known, f"{method}'s error {name}")
            raise ServiceError(message["error"], parameters)
        interface.check(parameters, result, f"{method}'s reply")
        return parameters, fds, bool(message.get("continues"))

    def call_fds(self, method, **parameters):
        """Calls a method; returns the reply and its descriptors."""
        interface, (wanted, _) = self.signature(method)
        interface.check(parameters, wanted, f"{method}'s call")
        self.send(method, parameters)
        reply, fds, more = self.reply(method)
        if more:
            raise Mismatch(f"{method} promised another reply that was not asked for")
        return reply, fds

    def call(self, method, **parameters):
        """Calls a method that gives no descriptors."""
        reply, fds = self.call_fds(method, **parameters)
        for fd in fds:
            os.close(fd)
        if fds:
            raise Mismatch(f"{method} sent {len(fds)} descriptors that nobody wants")
        return reply

    def stream(self, method, **parameters):
        """Calls a method with "more"; replies are then taken with `next`."""
        interface, (wanted, _) = self.signature(method)
        interface.check(parameters, wanted, f"{method}'s call")
        self.send(method, parameters, more=True)

    def close(self):
        self.socket.close()
