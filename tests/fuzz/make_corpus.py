#!/usr/bin/env python3
"""Writes the kept corpus, tests/fuzz/corpus/<target>/, from the project's own examples and test vectors. Each file is named after what
it holds. Run it again after an example, a vector or the form of a target's input has changed."""

import base64
import gzip
import hashlib
import io
import json
import pathlib
import shutil
import struct
import tarfile

here = pathlib.Path(__file__).resolve().parent
root = here.parent.parent
vectors = json.loads((root / "tests/data/vectors.json").read_text())
TOKEN = "0123456789abcdef" * 8


def raw(text):
    return text.encode() if isinstance(text, str) else text


def text(value):
    """A text as tests/fuzz/fuzz.hpp reads it: its length in two bytes, then itself."""
    value = raw(value)
    return struct.pack(">H", len(value)) + value


def number(value):
    return struct.pack(">I", value)


messages = {
    "ping": f"[PING] [{TOKEN}] [] {{}}",
    "command": f'[COMMAND] [{TOKEN}] [2] {{"content":[{{"command":"echo hello","timeout":5}}],"logging":true}}',
    "getlog": '[GETLOG] [] [] {"ctime":1700000000.12345}',
    "ack": f'[ACK] [{TOKEN}] {{"code":0,"data":{{"action":"getlog","result":[],"id":1}}}}',
    "pong": '[PONG] [] [] {"code":0,"data":{"action":"ping","message":"ping ok","id":1,"hostname":"central","data":{}}}',
    "list_as_data": '[PUTLOG] [t] [2] [{"a":1}]',
    "issue": '[ACK] [] {"code":1,"data":{"message":"handshake issue"}}',
    "latin_1": b'[COMMAND] [t] [] {"content":"\xe4\xf6"}',
    "brackets": "[[[[]]]] [a] [b] [c]",
}


def text_target():
    yield from messages.items()
    yield "getpubkey", "[GETPUBKEY]"
    yield "pubkey", "[PUBKEY] [LS0tLS1CRUdJTg==]"
    yield "helo", "[poller] [LS0tLS1CRUdJTg==] [AAECAwQF]"
    yield "helo_junk", "junk [a] [b] [c] \n [LS0t\nLS0t] [AAEC]\n"
    yield "key", '[KEY] {"hostname":"h","key":"' + "ab" * 32 + '","iv":"' + "cd" * 16 + '","cipher":"AES","padding":"1"}'
    yield "key_short", '[KEY] {"key":"0","iv":null,"cipher":"DES"}'
    yield "hexadecimal", "00FFabCD"


def session_frames():
    for padding in range(3):
        for size in range(3):
            yield f"key_{16 + 8 * size}_padding_{padding}", bytes([size, 7, 9, padding, 3, 1]) + text("AAAAAAAAAAAAAAAAAAAAAA==") + raw(
                messages["ping"])
    for name in ("command", "latin_1"):
        yield name, bytes([2, 1, 2, 1, 200, 16]) + text("QUJD\nREVGRw=") + raw(messages[name])


def zmtp():
    greeting = bytes([255, 0, 0, 0, 0, 0, 0, 0, 1, 127, 3, 1]) + b"NULL" + bytes(48)
    ready = b"\4\x29\5READY\x0bSocket-Type\0\0\0\6ROUTER\x08Identity\0\0\0\0"
    yield "handshake", bytes([6, 0]) + greeting + ready + b"\0\2ab"
    yield "frames", bytes([0, 1]) + b"\0\1a\2\0\0\0\0\0\0\1\0" + b"x" * 256 + b"\1\1b\0\1c\0\0"
    yield "commands", bytes([3, 1]) + b"\4\9\4PING\0\nxy\4\6\5OTHER\4\x0b\5ERROR\4nope"
    yield "too_long", bytes([9, 1]) + b"\2" + b"\xff" * 8
    yield "old", bytes([0, 0]) + b"\xff\0\0\0\0\0\0\0\1\x7f\1\5"
    yield "curve", bytes([40, 0]) + greeting.replace(b"NULL\0", b"CURVE")
    yield "other", bytes([4, 0]) + b"SSH-2.0-OpenSSH_9.2\r\n"


def mcollective_zmtp():
    greeting = bytes([255, 0, 0, 0, 0, 0, 0, 0, 1, 127, 3, 1]) + b"NULL" + bytes(48)
    ready = b"\4\x29\5READY\x0bSocket-Type\0\0\0\6DEALER\x08Identity\0\0\0\0"
    plain, curve = b"\x06\x00", b"\x28\x01"
    yield "null_handshake", plain + b"\0" + greeting + ready + b"\1\0\0\2ab"
    yield "null_frames", plain + b"\1" + b"\1\0\2\0\0\0\0\0\0\1\0" + b"x" * 256 + b"\1\1b\0\1c\0\0"
    yield "null_commands", plain + b"\1" + b"\4\9\4PING\0\0xy\4\7\4PONGxy\4\6\5OTHER"
    yield "null_long", plain + b"\1" + b"\2" + (70000).to_bytes(8, "big") + b"y" * 100
    yield "null_too_long", plain + b"\1" + b"\2" + b"\xff" * 8
    yield "null_socket", plain + b"\0" + greeting + ready.replace(b"DEALER", b"PUBSUB")
    shaken = curve + b"\0\0\0"
    put = [b"\0\1\1" + text(frame) for frame in ("", "PUT", "TOPIC", "mcollective nodes web1", "")]
    yield "curve_message", shaken + b"".join(put) + b"\0\0\1" + text("body" * 100)
    yield "curve_long", shaken + b"\0\0\0\xf9" + text("0123456789abcdef" * 30)
    yield "curve_commands", shaken + b"\2" + text("\4PING\0\0abc") + b"\2" + text("\4PONGabc") + b"\2" + text("")
    yield "curve_nonce", shaken + b"\0\0\1" + text("one") + b"\3\1\0" + text("two") + b"\0"
    yield "curve_damaged", shaken + b"\0\0\1" + text("one") + b"\4\1" + text("two") + number(20) + b"\3"
    yield "curve_raw", shaken + b"\5" + text("\0\x25\7MESSAGE")
    yield "curve_hello_torn", curve + b"\1" + text("\4\x05\5HELL") + b"\0\0"
    yield "curve_metadata", curve + b"\0\1" + text("\x0bSocket-Type\0\0\0\3REQ\x08Identity\0\0\0\3web") + b"\0"
    yield "curve_initiate_damaged", curve + b"\0\0\1" + number(150) + b"\7"
    yield "curve_out", shaken + b"\6\2\1" + text("") + b"\1" + text("MESSAGE") + b"\0\xfa" + text("z" * 500) + b"\1\7\1" + text("ctx") + b"\1\7\0\1"


def server_sessions():
    helo, verify, yes, no = b"\x01" + text("central"), b"\x03", b"\x01", b"\x00"

    def of(client, *operations):
        return b"".join(bytes([client]) + operation for operation in operations)

    start = bytes([3, 1])
    sealed = b"\x04" + text(messages["command"])
    before = b"\x05" + text(messages["ping"])
    clock = b"\x06" + number(4000)
    greeted = of(0, helo, verify + yes)
    yield "getpubkey", start + of(0, b"\x00" + text("[GETPUBKEY]"))
    yield "refused", start + of(1, helo, verify + no, b"\x00" + text("noise"))
    yield "bad_key", start + of(1, b"\x02" + text("no PEM"), verify + yes)
    yield "command", start + greeted + of(0, sealed, b"\x09" + text(messages["ack"]))
    yield "no_request", start + greeted + of(0, b"\x04" + text("[X] no more"), b"\x04" + text("no message"))
    yield "rotated", start + greeted + of(0, clock, sealed, before, clock, before, sealed)
    yield "silent", start + greeted + of(0, clock, clock, clock, sealed)
    yield "dropped", start + greeted + of(0, b"\x07", sealed, helo, verify + yes, sealed)
    yield "repeated_handshake", start + greeted + of(0, sealed, helo, verify + yes, sealed, b"\x0a" + text(messages["ping"]), sealed, before)
    yield "restored", start + of(2, b"\x08", sealed) + of(3, helo, helo)
    yield "crowd", start + of(0, helo) + of(1, helo) + of(2, helo) + of(0, verify + yes) + of(2, helo)
    yield "long_hostname", bytes([200, 0]) + greeted + of(0, sealed, clock, sealed)


def link_machine():
    start, pubkey, checked, made, opened = b"\x00\x0c\x01", b"\x04\x01", b"\x06\x01", b"\x07\x01", b"\x08\x01\x01\x00"
    frame = b"\x03" + text("QUJDREVGR0hJSktMTU5PUA==")
    up = start + pubkey + checked + made + frame + opened
    due = b"\x0b\x01\x00\x0c\x01"
    message = b"\x09" + text(messages["pong"])
    yield "up", b"\x00" + up + message
    yield "known_key", b"\x01" + start + made + frame + opened + message
    yield "rotated", b"\x00" + up + b"\x0a" + message
    yield "lost", b"\x00" + up + b"\x05" + pubkey + checked + made + frame + opened + message
    yield "noise", b"\x00" + up + b"\x03" + text("AAAA") * 1 + pubkey
    yield "refused", b"\x00" + start + pubkey + checked + made + b"\x05" + due + pubkey
    yield "mute", b"\x00" + start + due + due + due
    yield "other_key", b"\x01" + start + b"\x04\x00" + due
    yield "pinned_otherwise", b"\x00" + start + pubkey + b"\x06\x00" + due
    yield "no_address", b"\x00\x00\x0c\x00" + due
    yield "reset", b"\x00" + up + b"\x02\x0c\x01" + pubkey + b"\x01\x00" + start
    yield "bad_key", b"\x00" + start + pubkey + checked + made + frame + b"\x08\x00" + text('[KEY] {"key":"00","iv":"00","cipher":"AES"}')


def dsa_private_key(bits):
    """PKCS#8, made up: g to the power of x modulo p is what its decoding as a private key works out."""
    def part(tag, content):
        return bytes([tag]) + b"\x82" + struct.pack(">H", len(content)) + content

    def integer(value):
        return part(2, value.to_bytes(value.bit_length() // 8 + 1, "big"))

    parameters = part(0x30, integer((1 << bits) - 1) + integer((1 << 256) - 1) + integer(3))
    kind = part(0x30, bytes.fromhex("06072a8648ce380401") + parameters)
    return part(0x30, integer(0) + kind + part(4, integer((1 << bits - 1) - 1)))


def keys():
    forms = {"spki": 0, "pkcs1_public": 1, "pkcs8_private": 2, "pkcs1_private": 3}
    key = next(k for k in vectors["keys"] if k["bits"] == 1024)
    for form, label in forms.items():
        yield form, b"\x05" + raw(key[form])
        armour = key[form].strip().split("\n")
        yield form + "_bytes", bytes([label]) + base64.b64decode("".join(armour[1:-1]))
    yield "encrypted", b"\x05" + raw(vectors["encrypted"]["pkcs8"])
    for which in ("refused_public", "refused_private"):
        for i, pem in enumerate(vectors[which].values()):
            yield f"{which}_{i}", b"\x05" + raw(pem)
    yield "even_exponent", b"\x05" + raw(vectors["refused_even_exponent"])
    for label in (0, 2):
        yield f"dsa_private_bytes_{label}", bytes([label]) + dsa_private_key(1024)
    yield "cut_short", b"\x05-----BEGIN RSA PUBLIC KEY-----\nMIIB"
    yield "headers", b"\x05-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n"


def json_target():
    for name, message in messages.items():
        body = raw(message)
        yield name, body[body.index(b"{"):] if b"{" in body else body
    yield "numbers", '[0,-0.0,1e400,-1e-400,9223372036854775807,18446744073709551615,18446744073709551616,1.5,"12","+7"," 8 ","1e3"]'
    yield "strings", r'["\u0000","\ud83d\ude00","\ud800","\/\b\f\n\r\t","\u007f"]'
    yield "scalars", '{"":null,"a":true,"b":false,"a":1}'
    yield "deep", "[" * 199 + "]" * 199
    yield "too_deep", "[" * 201
    yield "latin_1", b'{"\xe4":"\xf6\xc3\xa4"}'


def yaml():
    separator = "\n%%%\n"
    central = root / "etc/central/config.d"
    for file in sorted(central.glob("*.yaml")):
        yield "central_" + file.stem, "configuration:\n" + "".join("  " + line + "\n" for line in file.read_text().splitlines())
    yield "include", "configuration: !include \"*.yaml\"" + separator + "gorgone:\n  gorgonecore:\n    id: 1\n" + separator + (
        "gorgone:\n  modules:\n    - name: action\n      package: \"gorgone::modules::core::action::hooks\"\n      enable: yes\n")
    yield "include_loop", "a: !include a.yaml" + separator + "b: !include a.yaml, main.yaml"
    yield "wrong_values", ("configuration:\n  gorgone:\n    gorgonecore:\n      timeout: abc\n      ipv6: maybe\n      external_com_keysize: 17\n"
                           "      fingerprint_mode: never\n      authorized_clients:\n        - kye: x\n        - key: [y]\n    modules: 3\n")
    yield "aliases", "a: &a [1, 2]\nb: &b [*a, *a]\nc: {<<: *b, d: *b}\n"
    yield "twice", 'a: 1\na: 2\n"\\e[31m\\n": x\n? [x]\n: y\n'
    yield "documents", "a: 1\n---\nb: 2\n"
    yield "half_a_character", b'x: "\\\xc3\xbf"\n'
    yield "tags", "a: !!binary aGVsbG8=\nb: !x y\nc: ~\nd: |\n  text\n  more\ne: >-\n  folded\n"
    yield "pattern", "a.yaml*.y*"
    yield "modules", ("configuration:\n  gorgone:\n    modules:\n      - name: a\n        library: x\n      - name: a\n        package: nonsense\n"
                      "      - package: \"gorgone::modules::core::proxy::hooks\"\n      - 7\n")


def http():
    def request(line, *headers, body="", piece=0):
        return bytes([piece]) + raw("\r\n".join([line, *headers, "", ""]) + body)

    host = "Host: central"
    yield "command", request("POST /api/nodes/2/core/action/command?log_wait=100000 HTTP/1.1", host, "Content-Length: 26",
                             body='[{"command":"echo hello"}]')
    yield "log", request("GET /api/nodes/2/log/abc?code=2&limit=5&ctime=1.5&id=7&etime=3 HTTP/1.1", host)
    yield "password", request("GET /api/internal/thumbprint HTTP/1.1", host, "Authorization: Basic Z29yZ29uZTpzZWNyZXQ6w7Y=", piece=7)
    yield "variables", request("GET /api/core/cron/definitions/one/two%2Fthree HTTP/1.1", host)
    yield "wrong_method", request("DELETE /api/core/cron/definitions HTTP/1.1", host)
    yield "outside", request("GET /../../etc/passwd HTTP/1.0")
    yield "bad_number", request("GET /api/log/x?limit=0&code=%00&sync_wait=-1 HTTP/1.1", host)
    yield "bad_node", request("GET /api/nodes/%2e%2e%2f/log/x HTTP/1.1", host)
    yield "proxy_form", request("GET http://central:8085/api/log/x HTTP/1.1", host)
    yield "chunked", request("POST /api/core/action/command HTTP/1.1", "Transfer-Encoding: chunked", body="4\r\n1::1\r\n4\r\n/128\r\n0\r\n\r\n", piece=3)
    yield "network", request("POST /api/x HTTP/1.1", "Content-Length: 14", body="192.0.2.128/25")
    yield "broken", b"\x00GET /api HTTP/9.9\r\n\r\n"


def node_queue():
    def push(size, token=1, lane=0, stored=True, ttl=0, target=0):
        return bytes([2 * lane, token, target, size, 0 if stored else 1, ttl])

    send, lost, clear = b"\x03", b"\x06", b"\x08\x00"
    answer, tick, back = (lambda token: bytes([5, token])), (lambda seconds: bytes([7, 1, seconds])), (lambda token: bytes([10, token]))
    withdraw, taken, sent_until = (lambda token: bytes([11, token])), (lambda kept: bytes([12, 0 if kept else 1])), (lambda back: bytes([14, 0, back]))
    hold_on, hold_and_forget = b"\x0d\x01", b"\x0d\x00"
    wide = bytes([19, 255, 60, 7, 255, 255])
    yield "unknown_action", wide + push(5) + push(5) + send + send + b"\x09\x01" + b"\x09\x01" + answer(1)
    yield "answered", wide + push(5) + push(5, 2) + send + send + answer(2) + answer(1)
    yield "lost", wide + push(1) + push(2) + push(3) + send + send + lost + send + answer(0) + clear
    yield "full", bytes([1, 2, 60, 0, 1, 1]) + push(20) * 3 + send * 2 + push(200)
    yield "expired", wide + push(1, ttl=59) + tick(30) + push(1, ttl=5) + send + tick(31) + lost + tick(30)
    yield "large", bytes([9, 255, 255, 7, 2, 2]) + push(200) + push(1) + send * 2 + answer(0) + send
    yield "bulk", wide + push(90, 2, 1) * 3 + push(1) + send * 4 + withdraw(2) + answer(1)
    yield "bulk_window", bytes([19, 255, 60, 7, 255, 20]) + push(90, 2, 1) * 2 + send * 2 + push(9) + send + answer(2) + send + lost + send * 3
    yield "put_back", wide + push(1, 0) + push(1, 1) + push(1, 2) + send * 3 + lost + send + back(0) + send * 3 + back(1) + lost
    yield "not_stored", wide + push(1, stored=False) + push(2) + push(3, lane=1) + send * 2 + taken(True) + send + push(4, stored=False) + taken(False)
    yield "held", wide + push(1) + hold_and_forget + send + push(2) + hold_on + send + taken(True) + send
    yield "pong", wide + push(1) * 3 + send * 3 + sent_until(1) + b"\x0e\x01"
    refused = wide + push(1, 1, target=1) + push(1, 2, target=1) + push(1, 0, target=2) + send * 3 + back(1) + back(2) + answer(0)
    yield "refused", refused + tick(1) + send + back(1) + tick(2) + send + answer(1) + send
    yield "refused_lost", refused + push(1, 0, target=2) + tick(1) + send * 2 + lost + send + tick(60) + clear


def wss_text():
    yield from messages.items()
    yield "encoded", "[PONG] [ab] [] {&quot;a&quot;:&#39;1&#39;,&quot;b&quot;:&quot;&lt;x &amp; y&gt;&quot;}"
    yield "latin_1_names", "{&quot;a&quot;:&quot;&Atilde;&copy;&eacute;&#xE9;&nbsp;&yuml;&quot;}"
    yield "numbers", "&#8364;&#x1F600;&#2047;&#xD800;&#1114112;&#99999999999;&#;&#x;&;&&"
    yield "refusal", '{"code":500,"message":"please registernodes"}'
    yield "registration", '[REGISTERNODES] [] [] {"nodes":[{"id":2,"type":"wss","identity":2}]}'
    yield "answer", b"\x01" + text("token") + b"hello \xe4"


def content_number(value):
    out = b""
    while value >= 0x80:
        out, value = out + bytes([value & 0x7f | 0x80]), value >> 7
    return out + bytes([value])


def content_text(value):
    return content_number(len(value)) + raw(value)


def manifest():
    digest = hashlib.sha256(b"one").digest()
    root_folder = b"\0\0\0" + content_number(0o755)
    a_file = b"\1\0" + content_text("a") + content_number(0o644) + b"\3" + digest
    a_link = b"\2\0" + content_text("l") + b"\0" + content_text("sub/../x")
    good_link = b"\2\0" + content_text("l") + b"\0" + content_text("a")
    yield "tree", b"\0\3" + root_folder + a_file + good_link
    yield "link_climbs", b"\0\3" + root_folder + a_file + a_link
    yield "single_file", b"\0\1\1\0\0" + content_number(0o600) + b"\3" + digest
    yield "count_too_large", b"\0\xff\xff\xff\xff\x0f" + root_folder
    yield "shared_too_long", b"\0\2" + root_folder + b"\1\9" + content_text("a")
    yield "piece", b"\2" + content_number(0) + content_number(300) + content_text("hello") + b"\1\0" + content_text("x")
    yield "set", b"\1\x0a\x28\xb5\x2f\xfd\x20\x02\x11\x00\x00\xff\x03"
    yield "zstd", b"\3\x28\xb5\x2f\xfd\x20\x02\x11\x00\x00\xff\x03"
    hash_text = base64.b64encode(digest).decode()
    yield "offer", b"\4" + raw(json.dumps({"token": "t", "attempt": 1, "manifest": hash_text, "files": 2, "bytes": 3, "destination": "/a/b", "owner": "o",
                                          "extra": "remove", "atomic": "required", "check_command": "true {staged}", "followed": True}))
    yield "part", b"\4" + raw('{"token":"t","attempt":1,"number":0,"of":1,"bytes":"aGVsbG8="}')
    yield "answer", b"\4" + raw('{"content":{"stage":"lack","attempt":1,"next":3,"lack":"aGVsbG8=","offset":7,"files":1,"files_of":2,"bytes":3,"bytes_of":4}}')
    yield "index", b"\5" + content_text("/root") + b"\1" + content_text("a") + b"\1\2\3\4\5\6" + digest
    made_file = lambda name, content: b"\1\0" + text(name) + b"\0" + number(0o644) + number(len(content)) + b"\0" + text(content)
    made_folder = lambda name: b"\0\0" + text(name) + b"\0" + number(0o755)
    made_link = lambda name, target: b"\2\0" + text(name) + b"\0" + text(target)
    start = b"\6\0\0"
    yield "made_tree", start + made_folder("d") + made_file("d/f", "one") + made_link("d/l", "../d/f")
    yield "made_owners", (b"\7\1\0\0" + text("root") + text("root") + b"\1\2" + text("") + text("engine") + b"\0\0" + made_folder("d") + b"\1" +
                          made_file("d/f", "one") + b"\0")
    yield "made_chain", start + made_folder("d") + made_link("d/x", "..") + made_link("y", "d/x")
    yield "made_deep", start + made_folder("d") + b"\0\xff" + text("") + b"\1\xf0" + number(0o755)
    yield "made_sizes", start + b"".join(b"\1\0" + text(name) + b"\0" + number(0o644) + number(1 << 31) + b"\x1e" + text(name) for name in "abcdefgh")
    yield "made_two_sizes", start + made_file("a", "one") + b"\1\0" + text("b") + b"\0" + number(0o644) + number(9) + b"\0" + text("one")


def landing():
    file = lambda name, content: b"\1" + text(name) + text(content) + b"\x24\0"
    folder = lambda name: b"\0" + text(name) + b"\x2d"
    link = lambda name, target: b"\2" + text(name) + text(target)
    top = b"\0\x2d"

    def tree(*entries):
        return bytes([0, len(entries)]) + top + b"".join(entries) + b"\0"

    one = tree(file("file", "new"), folder("sub"), file("sub/a", "aaaa"), link("l", "sub/a"))
    two = tree(file("file", "other"), file("in", "no link any more"))
    single = bytes([7, 0]) + b"\1" + text("a single file") + b"\x24\0" + b"\0"
    offer = lambda which, extra=0, followed=0: bytes([0, which, extra, 0, followed, 0])
    manifest, piece, restart = b"\2\0", b"\3\0\x03\xff\1", b"\x08"
    push = lambda which, extra=0: bytes([9, which, extra])
    change = lambda what: bytes([7, what])
    yield "push", one + two + push(0) + push(1, 1) + push(0, 1) + push(0)
    yield "by_pieces", one + two + offer(0) + manifest + piece + piece
    yield "interrupted", one + two + offer(0) + manifest + b"\3\0\0\0\1" + restart + offer(0) + piece + restart + push(0)
    yield "changed_mind", one + two + offer(0) + manifest + offer(1, 1, 1) + manifest + piece + push(0)
    yield "halves", one + two + offer(0) + b"\2\5" + piece + piece
    yield "wrong_pieces", one + two + offer(0) + manifest + b"\3\4\3\xff\1" + push(0) + offer(1) + manifest + b"\3\3\3\xff" + text("more") * 3 + b"\1" + push(1)
    yield "single_file", single + single + change(3) + push(0) + change(3) + change(4) + push(1)
    yield "destination_changes", one + two + push(0) + change(0) + text("x") + push(0) + change(1) + change(2) + push(0, 1)
    yield "climbs", tree(link("l", "../outside"), file("l/x", "y")) + tree(folder(".."), file("../x", "y")) + push(0) + push(1)
    yield "through_old_link", tree(folder("in"), file("in/new", "x")) + tree(file("in/new", "x")) + push(0, 1) + push(1)
    yield "texts", one + two + b"\6\0" + text('{"token":"push","attempt":1}') + offer(0) + b"\6\1" + text('{"attempt":1,"number":0,"of":1,"bytes":""}') + b"\6\2" + text("[")


def tar_bytes(members, pax=False):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT if pax else tarfile.GNU_FORMAT) as tar:
        for name, kind, link, content in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size, info.mtime = kind, link, len(content), 1_600_000_000
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue().rstrip(b"\0") + b"\0" * 512


KINDS = [b"0", b"\0", b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"L", b"K", b"x", b"g", b"S", b"D", b"V", b"Z"]


def member(kind, name, link="", content="", mode=0o644):
    name = raw(name)
    flags = b"\0" if len(name) > 100 else b""
    return bytes([KINDS.index(kind)]) + number(mode) + text(name) + text(link) + text(content) + flags + b"\0"


escapes = {
    "files": member(b"0", "a/b/c", content="hello") + member(b"5", "d/", mode=0o755) + member(b"0", "./file", content="new"),
    "absolute": member(b"0", "@/secret", content="x"),
    "climbs": member(b"0", "a/../../outside/secret", content="x"),
    "link_out": member(b"2", "l", "../outside") + member(b"0", "l/secret", content="x"),
    "link_chain": member(b"2", "a/l", "../folder") + member(b"2", "m", "a/l/../..") + member(b"0", "m/outside/new", content="x"),
    "through_old_link": member(b"0", "out/secret", content="x") + member(b"5", "out/new"),
    "hard_link": member(b"1", "h", "out/secret") + member(b"1", "i", "@/secret") + member(b"1", "j", "file"),
    "device": member(b"3", "null") + member(b"6", "pipe"),
    "set_user_id": member(b"0", "suid", content="x", mode=0o6755),
    "replaced": member(b"2", "x", "folder") + member(b"5", "x") + member(b"0", "folder", content="x"),
    "gnu_long": member(b"L", "././@LongLink", content="../outside/secret\0") + member(b"0", "short", content="x"),
    "pax": member(b"x", "h", content="26 path=../outside/secret\n") + member(b"0", "short", content="x"),
}


def mc0():
    def step(who, operation, *rest):
        return bytes([who, operation, *rest])

    def opened(who, name=0):
        return step(who, 0, name, 1)

    def said(who, verb, which, *rest):
        return step(who, 8, verb, which, *rest)

    def connected(who, name=0):
        return opened(who, name) + said(who, 0, 1 | 2, 50, 0)

    def subscribed(who, topic):
        return said(who, 1, 1, 1, topic)

    def put(who, topic, size=5, with_id=0):
        return said(who, 3, with_id, topic, 1, size)

    tick, kept, full, reads, grants = bytes([0, 3, 1]), bytes([0, 4, 1]), bytes([0, 4, 0]), (lambda who: step(who, 5)), bytes([0, 6, 0, 0])
    plain, joined = bytes([7, 1, 0]), bytes([7, 1, 1])
    pair = connected(0) + subscribed(0, 0) + tick + connected(1, 1)
    yield "request_and_reply", plain + pair + subscribed(1, 1) + put(1, 0) + put(0, 1) + said(0, 2, 1, 1, 0) + said(1, 5, 0, 0)
    yield "put_while_subscribing", plain + pair + subscribed(0, 1) + put(1, 0) + subscribed(0, 2) + put(1, 0) + tick
    yield "kept", joined + connected(0) + subscribed(0, 2) + connected(1, 2) + put(1, 2, 5, 1) + put(1, 2) + subscribed(1, 0) + kept + full
    yield "offered", plain + connected(0) + subscribed(0, 2) + tick + step(0, 7, 1) + reads(0) + reads(0) + step(0, 1) + opened(0) + tick
    yield "slow", bytes([0, 0, 0]) + pair + reads(0) + put(1, 0) * 8 + tick + put(1, 0) * 3 + reads(0) + put(1, 0)
    yield "taken_over", plain + pair + opened(2) + put(1, 0) + said(2, 0, 3, 50, 0) + said(2, 1, 1, 1, 1) + tick
    yield "not_allowed", joined + pair + subscribed(0, 1) + grants + put(1, 4) + subscribed(0, 4)
    yield "silent", plain + pair + bytes([0, 3, 255]) * 3
    yield "any_frames", plain + connected(0) + step(0, 2, 4, 0, 1) + text("PUT") + b"\x01" + text("TOPIC") + b"\x01" + text("a")
    yield "odd", plain + connected(0) + step(0, 2, 5, 0, 1) + text("SUB") + b"\x01" + text("ID") + b"\x01" + text("7") + b"\x01" + text("X")


def archive():
    plain = [("a", tarfile.REGTYPE, "", b"hello"), ("l", tarfile.SYMTYPE, "a", b""), ("n" * 120, tarfile.REGTYPE, "", b"x")]
    yield "gnu_bytes", b"\0\0\0" + tar_bytes(plain[:2])
    yield "pax_bytes_gzip", b"\0\0\0" + gzip.compress(tar_bytes(plain, pax=True), mtime=0)
    yield "no_archive", b"\0\0\0hello"
    for name, members in escapes.items():
        yield name, b"\2\0\0" + members
    yield "too_large", b"\2\0\x02" + escapes["files"]
    yield "link_text", b"\1\0\0" + text("a/b/c") + b"../../x"
    yield "link_climbs", b"\1\0\0" + text("a/b") + b"../../x"


def process_copy():
    def chunk(copy, value, fault=0, place=0, needs=0):
        return bytes([copy, 0]) + text(value) + bytes([fault, 0, place, needs]) + (b"\1" if needs == 1 else b"")

    def end(copy, fault=0, more=b"", is_archive=False):
        return bytes([copy, 3 if is_archive else 2, fault]) + more

    yield "file", chunk(0, "hello ") + chunk(0, "world" * 30, 2) + end(0)
    yield "wrong_sum", chunk(1, "hello") + end(1, 1, text("0" * 32)) + end(1)
    yield "wrong_size", chunk(1, "hello", 4) + chunk(1, "again") + end(1)
    yield "mixed", chunk(0, "a") + chunk(1, "b") + chunk(2, "c") + end(2) + end(0) + end(1)
    yield "owner_and_mode", chunk(0, "a") + end(0, 2, text("0600")) + chunk(0, "b") + end(0, 3, text("nobody-knows"))
    yield "no_copy", bytes([0, 4]) + text('{"content":{"status":"inprogress"},"logging":false}') + chunk(0, "x") + end(0)
    for name in ("files", "link_out", "gnu_long"):
        yield "archive_" + name, bytes([0, 1]) + text(escapes[name]) + b"\0\1\0\0" + end(0, is_archive=True)
    yield "offsets", chunk(0, "abc", 0, 2) + chunk(0, "def", 0, 1) + chunk(0, "def", 0, 3) + chunk(0, "abc", 0, 2) + end(0)
    yield "gap", chunk(0, "abc", 0, 2) + chunk(0, "ghi", 0, 4) + chunk(0, "jkl", 0, 1) + end(0)
    yield "far_away", bytes([2, 0]) + text("abc") + bytes([0, 0, 6, 1, 0]) + end(2)
    yield "no_room", chunk(0, "abc", 0, 2, 1) + end(0)
    yield "tries", chunk(3, "old") + chunk(4, "other", 0, 2) + chunk(3, "more") + chunk(5, "new", 0, 2) + end(5) + end(3)
    yield "no_archive", chunk(0, "no archive") + end(0, is_archive=True)


targets = {
    "text": text_target, "session_frames": session_frames, "server_sessions": server_sessions, "link_machine": link_machine, "zmtp": zmtp,
    "mcollective_zmtp": mcollective_zmtp, "keys": keys,
    "json": json_target, "yaml": yaml, "http": http, "node_queue": node_queue, "mc0": mc0, "wss_text": wss_text,
    "manifest": manifest, "landing": landing, "archive": archive, "process_copy": process_copy,
}

for target, units in targets.items():
    folder = here / "corpus" / target
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, unit in units():
        (folder / name).write_bytes(raw(unit))
total = sum(f.stat().st_size for f in (here / "corpus").rglob("*") if f.is_file())
print(f"{sum(1 for f in (here / 'corpus').rglob('*') if f.is_file())} files, {total} bytes")
