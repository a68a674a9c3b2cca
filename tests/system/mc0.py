"""MCollective's ZeroMQ connector as the wire has it ("mc0", docs/protocol.md), written for the tests and independent of the broker, and a broker
of our own to talk to. A client is a DEALER of libzmq; `Client.raw` sends any frames at all."""
import itertools
import json
import os
import re
import time
import uuid

import zmq

from fleet import Daemon, FleetCase, eventually
from pace import SLOWNESS, clock
from ports import free_port

BROKER_LINE = r"the MCollective broker listens on tcp://\S+?:(\d+)"
SENT_AWAY = (zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
             | zmq.EVENT_HANDSHAKE_FAILED_AUTH)
PROCESS_IDS = itertools.count(1000)
NO_KEYS = (None, None)  # a client that knows the broker's key and was given none of its own


class Unexpected(AssertionError):
    """Something came that was not what the connector waits for: mcollectived would have ended here."""


def routing_id(identity):
    """As the connector makes one: <identity> <pid> #<Thread…>."""
    return f"{identity} {next(PROCESS_IDS)} #<Thread:0x00007f0000000000>".encode()


class Client:
    """One connector. Its frames are text where they can be."""

    def __init__(self, broker, identity="node", name=None, keys=None, curve=True, server_key=None, ttl=30000, context=None, high_water=0, events=0):
        """`events`: those that `monitor` tells; one that comes at once would be missed by who asks for them later."""
        self.events, self.monitor = events, None
        self.broker, self.ttl, self.curve, self.high_water = broker, ttl, curve, high_water
        self.name = routing_id(identity) if name is None else name
        self.keys = keys or zmq.curve_keypair()
        self.server_key = server_key
        self.context = context or zmq.Context.instance()
        self.socket = None
        self.open()

    def open(self):
        """A new socket of the same name."""
        self.close()
        self.socket = socket = self.context.socket(zmq.DEALER)
        socket.linger, socket.sndhwm, socket.rcvhwm = 0, 0, self.high_water
        socket.sndtimeo = int(10000 * SLOWNESS)
        socket.reconnect_ivl, socket.reconnect_ivl_max = 100, 500
        if self.name:
            socket.routing_id = self.name
        if self.curve:
            if self.keys != NO_KEYS:
                socket.curve_publickey, socket.curve_secretkey = self.keys
            socket.curve_serverkey = self.server_key or self.broker.mc_public_key()
        if self.events:
            self.monitor = socket.get_monitor_socket(self.events)
        socket.connect(f"tcp://127.0.0.1:{self.broker.mc_port}")

    def close(self):
        if self.monitor is not None:
            self.socket.disable_monitor()
            self.monitor.close(0)
            self.monitor = None
        if self.socket is not None:
            self.socket.close(0)
            self.socket = None

    # What goes out

    def raw(self, *frames):
        """Any frames, without a delimiter before them."""
        self.socket.send_multipart([frame.encode() if isinstance(frame, str) else frame for frame in frames])

    def send(self, verb, headers=(), body=None):
        """`headers`: pairs in their order, or a dictionary."""
        pairs = headers.items() if isinstance(headers, dict) else headers
        frames = ["", verb, *(part for pair in pairs for part in pair)]
        self.raw(*frames, *(["", *body] if body is not None else []))

    def ask(self, verb, headers=(), body=None, timeout=5):
        """Sends a command with an ID and returns the one message that the connector reads then."""
        identity = str(uuid.uuid4())
        pairs = list(headers.items() if isinstance(headers, dict) else headers)
        self.send(verb, [("ID", identity), *pairs], body)
        answer = self.read(timeout)
        if answer is None:
            raise Unexpected(f"nothing came for {verb} within {timeout} s")
        if answer[0] not in ("OK", "ERROR") or answer[1].get("ID") != identity:
            raise Unexpected(f"{verb} ID {identity} was answered {answer}")
        return answer

    def ok(self, verb, headers=(), body=None, timeout=5):
        answer = self.ask(verb, headers, body, timeout)
        if answer[0] != "OK":
            raise Unexpected(f"{verb} was refused: {answer}")

    def refused(self, verb, headers=(), body=None):
        """The text of the ERROR that must come."""
        answer = self.ask(verb, headers, body)
        if answer[0] != "ERROR":
            raise Unexpected(f"{verb} was taken: {answer}")
        return answer[1]["MESSAGE"]

    def connect(self, *topics):
        """CONNECT, then SUB one by one, as the connector starts."""
        self.ok("CONNECT", {"TTL": str(self.ttl), "VERSION": "0.2"} if self.ttl else {"VERSION": "0.2"})
        for topic in topics:
            self.ok("SUB", body=[topic])
        return self

    def put(self, topic, body="x", reply_to=None):
        headers = [("TOPIC", topic)] + ([("X-REPLY-TO", reply_to)] if reply_to is not None else [])
        self.send("PUT", headers, [body])

    # What comes in

    def read(self, timeout=5.0):
        """(verb, headers, body frames) of the next message, None where none comes in time."""
        if not self.socket.poll(timeout * 1000 * SLOWNESS):
            return None
        return parse(self.socket.recv_multipart())

    def message(self, timeout=5.0):
        """The next MESSAGE; NOOPs are passed over, anything else is wrong."""
        end = clock() + timeout
        while (left := end - clock()) > 0:
            came = self.read(left)
            if came is None:
                break
            if came[0] == "MESSAGE":
                return came
            if came[0] != "NOOP":
                raise Unexpected(f"{came} came in place of a MESSAGE")
        return None

    def bodies(self, count, timeout=5.0):
        """The first body frame of the next `count` MESSAGEs."""
        found = []
        end = clock() + timeout
        while len(found) < count and (came := self.message(max(0.001, end - clock()))) is not None:
            found.append(came[2][0].decode())
        return found

    def hears_nothing(self, seconds=0.5):
        """True where no MESSAGE, OK or ERROR comes."""
        return self.message(seconds) is None


def parse(frames):
    """As strict as can be: what a broker sends has the one form."""
    if len(frames) < 2 or frames[0] != b"":
        raise Unexpected(f"no delimiter in {frames}")
    verb, rest, headers = frames[1].decode(), frames[2:], {}
    while rest and rest[0] != b"":
        if len(rest) < 2:
            raise Unexpected(f"a header without a value in {frames}")
        headers[rest[0].decode()] = rest[1].decode(errors="replace")
        rest = rest[2:]
    return verb, headers, rest[1:]


class Broker(Daemon):
    """A daemon with the module mcollective, from the example."""

    def __init__(self, directory, options):
        keys = f"{directory}/keys"
        super().__init__(directory, "mcollective", {"8085": "0", "/etc/mcollective": keys, "tcp://*:61616": "tcp://127.0.0.1:0"})
        self.options, self.mc_port, self.keys = dict(options), free_port(), f"{directory}/keys"
        os.makedirs(keys, exist_ok=True)
        self.save()

    def module_entry(self):
        keys = {"private_key": f"{self.keys}/broker.private", "public_key": f"{self.keys}/broker.public"}
        return {"name": "mcollective", "package": "gorgone::modules::core::mcollective::hooks", "enable": True,
                "bind": f"tcp://127.0.0.1:{self.mc_port}", **keys, **self.options}

    def save(self):
        """The module's options as they are now, for the next start."""
        self.configure("10-mcollective", {"modules": [self.module_entry()]})

    def start(self):
        super().start()
        self.wait_log(BROKER_LINE)
        return self

    def mc_public_key(self):
        with open(f"{self.keys}/broker.public", "rb") as file:
            return file.read().strip()

    def ask_api(self, what, match=""):
        """The rows' data of GET /mcollective/<what>, lists joined."""
        found = {}
        rows = self.api().get(f"/api/mcollective/{what}?log_wait=10000000" + (f"&match={match}" if match else ""))["data"]
        for row in rows:
            for key, value in json.loads(row["data"]).items():
                if isinstance(value, list):
                    found.setdefault(key, []).extend(value)
                elif isinstance(value, dict):
                    known = found.setdefault(key, {})
                    for name, inner in value.items():
                        known[name] = known.get(name, []) + inner if isinstance(inner, list) else inner
                else:
                    found[key] = value
        return found

    def status(self):
        return self.ask_api("status")["status"]

    def sessions(self):
        return self.status()["clients"]["sessions"]


class BrokerCase(FleetCase):
    def broker(self, name="broker", **options):
        """A broker that runs."""
        return self.make_broker(name, **options).start()

    def make_broker(self, name="broker", **options):
        broker = Broker(self.directory / name, options)
        broker.make_keys()
        self.daemons.append(broker)
        return broker

    def client(self, broker, identity="node", topics=(), connect=True, **options):
        """A client that is connected and subscribed."""
        options.setdefault("curve", broker.options.get("curve", True))
        client = Client(broker, identity, **options)
        self.addCleanup(client.close)
        return client.connect(*topics) if connect else client

    @staticmethod
    def is_in(broker, identity, keys):
        """Whether a CONNECT without more is answered OK; the connection of one who is refused at the door is closed."""
        client = Client(broker, identity, keys=keys, events=SENT_AWAY)
        try:
            client.send("CONNECT", {"ID": "1", "TTL": "30000"})
            poller = zmq.Poller()
            for one in (client.socket, client.monitor):
                poller.register(one, zmq.POLLIN)
            came = dict(poller.poll(5000 * SLOWNESS))
            assert came, f"{identity} was neither answered nor sent away"
            return client.socket in came and client.read()[0] == "OK"
        except zmq.Again:
            return False  # it was sent away before it said a word
        finally:
            client.close()

    def wait_sessions(self, broker, count, timeout=10):
        eventually(lambda: broker.sessions() == count, timeout, f"{count} sessions")

    @staticmethod
    def pause(seconds):
        """For what must not happen in that time."""
        time.sleep(seconds)


def log_has(broker, expression):
    return re.search(expression, broker.log()) is not None
