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
    yield "no_hexadecimal", "00g0"
    yield "no_hexadecimal_behind", "000G"
    yield "no_action", "[] [a] [b] c"
    yield "all_spaces", "[A_b-9Z]\t\v[t]\f\r[2]\n{}"
    yield "no_data", "[A] [t] [2] "
    yield "raw_data", b'[PUTLOG] [t] [2] \0{"a":1}\0\1\2\0'
    yield "raw_data_torn", b'[PUTLOG] [t] [2] \0{"a":1}'
    yield "line_break_inside", "[A\n] [t] [2] {}"
    yield "never_closed", "[PING"
    yield "action_alone", "[PING]"
    yield "other_action", "[a/b] [t] [2] {}"
    yield "pubkey_alone", "[PUBKEY]"
    yield "pubkey_without_bracket", "[PUBKEY] x"
    yield "pubkey_never_closed", "[PUBKEY] [abc"
    yield "helo_without_key", "[LS0t]"
    yield "helo_without_name", " [LS0t] [AAEC]"
    yield "helo_with_half_a_key", "x] [LS0t]"
    yield "helo_with_half_a_name", "x] [LS0t] [AAEC]"
    yield "helo_without_space", "[x][LS0t] [AAEC]"
    yield "helo_empty_name", "[] [LS0t] [AAEC]"
    yield "helo_empty_key", "[x] [] [AAEC]"
    yield "key_no_json", "[KEY] nothing"
    yield "key_empty", '[KEY] {"key":"","iv":"00","cipher":"AES"}'
    yield "key_half_iv", '[KEY] {"key":"00","iv":"0","cipher":"AES"}'
    yield "key_empty_iv", '[KEY] {"key":"00","iv":"","cipher":"AES"}'
    yield "key_other_cipher", '[KEY] {"key":"00","iv":"00","cipher":"DES"}'


def session_frames():
    for padding in range(3):
        for size in range(3):
            yield f"key_{16 + 8 * size}_padding_{padding}", bytes([size, 7, 9, padding, 3, 1]) + text("AAAAAAAAAAAAAAAAAAAAAA==") + raw(
                messages["ping"])
    for name in ("command", "latin_1"):
        yield name, bytes([2, 1, 2, 1, 200, 16]) + text("QUJD\nREVGRw=") + raw(messages[name])
    for padding in range(3):
        yield f"empty_frame_padding_{padding}", bytes([0, 7, 9, padding, 0, 0]) + text("")
    yield "raw_frame", bytes([0, 7, 9, 0, 0, 0]) + text(b"\1" + b"x" * 16) + b"[PING] [] [] \0{}\0abc"
    yield "raw_frame_torn", bytes([0, 7, 9, 0, 0, 0]) + text(b"\1" + b"x" * 15)
    yield "line_breaks", bytes([0, 7, 9, 0, 0, 0]) + text("QUJDREVG\nR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9w====") + b"x"
    # Blocks of the key and the iv above, made with `openssl enc -aes-128-cbc -nopad`: their padding is none.
    for name, padding, block in (
        ("padding_count_0", 1, "aJTU8gtcsYT7kLGMF5+yyQ=="),
        ("padding_count_17", 1, "PNZBP9J+IFh6u0eW0dF4vA=="),
        ("padding_differs", 1, "+ocooT2FV29dCotq8mHjrw=="),
        ("padding_right", 1, "VhqaiamKNZrCckkR1pB1mA=="),
        ("padding_mark_lacks", 2, "aJTU8gtcsYT7kLGMF5+yyQ=="),
        ("padding_all_zero", 2, "kU8SgKmlL2tGOVF9jM3SvA=="),
    ):
        yield name, bytes([0, 7, 9, padding, 0, 0]) + text(block)


def zmtp():
    greeting = bytes([255, 0, 0, 0, 0, 0, 0, 0, 1, 127, 3, 1]) + b"NULL" + bytes(48)
    ready = b"\4\x29\5READY\x0bSocket-Type\0\0\0\6ROUTER\x08Identity\0\0\0\0"
    yield "handshake", bytes([6, 0]) + greeting + ready + b"\0\2ab"
    yield "frames", bytes([0, 1]) + b"\0\1a\2\0\0\0\0\0\0\1\0" + b"x" * 256 + b"\1\1b\0\1c\0\0"
    yield "commands", bytes([3, 1]) + b"\4\x09\4PING\0\nxy\4\6\5OTHER\4\x0b\5ERROR\4nope"
    yield "too_long", bytes([9, 1]) + b"\2" + b"\xff" * 8
    yield "old", bytes([0, 0]) + b"\xff\0\0\0\0\0\0\0\1\x7f\1\5"
    yield "curve", bytes([40, 0]) + greeting.replace(b"NULL\0", b"CURVE")
    yield "other", bytes([4, 0]) + b"SSH-2.0-OpenSSH_9.2\r\n"
    yield "older", bytes([0, 0]) + b"\xff\0\0\0\0\0\0\0\1\x7e"
    yield "unknown_flags", bytes([3, 1]) + b"\x08\0"
    yield "long_command", bytes([3, 1]) + b"\6" + (70000).to_bytes(8, "big")
    yield "empty_command", bytes([3, 1]) + b"\4\0\4\2\4P"
    yield "message_before_ready", bytes([6, 0]) + greeting + b"\0\2ab"
    yield "no_ready", bytes([6, 0]) + greeting + b"\4\6\5OTHER"
    yield "refused", bytes([6, 0]) + greeting + b"\4\x0a\5ERROR\3no!"


def mcollective_zmtp():
    greeting = bytes([255, 0, 0, 0, 0, 0, 0, 0, 1, 127, 3, 1]) + b"NULL" + bytes(48)
    ready = b"\4\x29\5READY\x0bSocket-Type\0\0\0\6DEALER\x08Identity\0\0\0\0"
    plain, curve = b"\x06\x00", b"\x28\x01"
    yield "null_handshake", plain + b"\0" + greeting + ready + b"\1\0\0\2ab"
    yield "null_frames", plain + b"\1" + b"\1\0\2\0\0\0\0\0\0\1\0" + b"x" * 256 + b"\1\1b\0\1c\0\0"
    yield "null_commands", plain + b"\1" + b"\4\x09\4PING\0\0xy\4\7\4PONGxy\4\6\5OTHER\4\5\4PING"
    yield "null_long", plain + b"\1" + b"\2" + (70000).to_bytes(8, "big") + b"y" * 100
    yield "null_too_long", plain + b"\1" + b"\2" + b"\xff" * 8
    yield "null_socket", plain + b"\0" + greeting + ready.replace(b"DEALER", b"PUBSUB")
    yield "null_other", plain + b"\0" + b"SSH-2.0-OpenSSH_9.2\r\n"
    yield "null_older", plain + b"\0" + b"\xff\0\0\0\0\0\0\0\1\x7e"
    yield "null_old", plain + b"\0" + b"\xff\0\0\0\0\0\0\0\1\x7f\1\5"
    yield "null_newer", plain + b"\0" + greeting.replace(b"\3\1", b"\4\0") + ready
    yield "null_asks_for_curve", plain + b"\0" + greeting.replace(b"NULL\0", b"CURVE") + ready
    yield "null_message_before_ready", plain + b"\0" + greeting + b"\0\2ab"
    yield "null_gives_up", plain + b"\0" + greeting + b"\4\x0a\5ERROR\3400"
    yield "null_error", plain + b"\1" + b"\4\x0a\5ERROR\3400"
    yield "null_unknown_flags", plain + b"\1" + b"\x08\0"
    yield "null_long_command", plain + b"\1" + b"\6" + (5000).to_bytes(8, "big")
    meta = lambda body: plain + b"\0" + greeting + b"\6" + (6 + len(body)).to_bytes(8, "big") + b"\5READY" + body
    socket = b"\x0bSocket-Type\0\0\0\6DEALER\x08Identity"
    yield "null_torn_name", meta(b"\xffSocket-Type")
    yield "null_torn_value", meta(b"\x0bSocket-Type\0\0\0\xffDEALER")
    yield "null_other_name", meta(b"\x0bsocket-tyre\0\0\0\0" + socket + b"\0\0\0\3web")
    yield "null_long_id", meta(socket + b"\0\0\1\0" + b"w" * 256)
    yield "null_zero_id", meta(socket + b"\0\0\0\2\0w")
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
    for name, at in ("name", 10), ("cookie", 20), ("nonce", 121):
        yield f"curve_initiate_{name}", curve + b"\0\0\1" + number(at) + b"\0"
    yield "curve_metadata_torn", curve + b"\0\1" + text(b"\x0bSocket-Type\0\0\0\xff") + b"\0"
    hello = lambda version, key: text((b"\4\xc8\5HELLO" + version).ljust(82, b"\0") + key.ljust(120, b"\0"))
    yield "curve_hello_short", curve + b"\1" + text(b"\4\6\5HELLO") + b"\0\0"
    yield "curve_hello_version", curve + b"\1" + hello(b"\2\0", b"\x09") + b"\0\0"
    yield "curve_hello_no_key", curve + b"\1" + hello(b"\1\0", b"") + b"\0\0"
    yield "curve_hello_not_sealed", curve + b"\1" + hello(b"\1\0", b"\x09") + b"\0\0"
    yield "curve_short", shaken + b"\5" + text(b"\0\5abcde")
    yield "curve_no_message", shaken + b"\5" + text(b"\0\x28\7MESSAGX" + b"\xff" * 32)
    yield "curve_long_no_message", shaken + b"\5" + text(b"\2" + (70000).to_bytes(8, "big") + b"\7MESSAGX" + b"\xff" * 200)
    yield "curve_long_damaged", shaken + b"\4\0\xf9" + text("0123456789abcdef" * 18) + number(50000) + b"\3"
    yield "curve_too_much", shaken + (b"\0\1\0\xf9" + text("x" * 900)) * 2
    out = lambda body: b"\6\0" + body + b"\0"
    make = b"\7\0\1"
    yield "curve_out_long", shaken + out(b"\0\xf9" + text("z" * 600)) + out(b"\1" + text("a")) + make * 6
    yield "curve_out_nearly_long", shaken + out(b"\0\xf9" + text("z" * 240)) * 3 + make * 6
    yield "curve_out_many", shaken + out(b"\1" + text("a")) * 300 + make * 2
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
    yield "rotated", start + greeted + of(0, sealed, clock, before, sealed, clock, before, sealed)
    yield "unused", start + greeted + of(0, clock, sealed, b"\x09" + text("gone"))
    yield "used_for_long", start + greeted + of(0, *(sealed, b"\x06" + number(400)) * 3)
    yield "offered_and_noise", start + greeted + of(0, sealed, helo, verify + yes, b"\x00" + text("noise"), b"\x0a" + text("no message"))
    yield "second_helo", start + of(0, helo, helo, verify + yes)
    yield "silent", start + greeted + of(0, clock, clock, clock, sealed)
    yield "dropped", start + greeted + of(0, b"\x07", sealed, helo, verify + yes, sealed)
    yield "repeated_handshake", start + greeted + of(0, sealed, helo, verify + yes, sealed, b"\x0a" + text(messages["ping"]), sealed, before)
    yield "restored", start + of(2, b"\x08", sealed) + of(3, helo, helo)
    yield "crowd", start + of(0, helo) + of(1, helo) + of(2, helo) + of(0, verify + yes) + of(2, helo)
    yield "long_hostname", bytes([200, 0]) + greeted + of(0, sealed, clock, sealed)


def link_machine():
    # A connection that is made, then a peer at its end.
    begun, peer, gone = b"\x00\x0c\x01\x01", b"\x0c\x00\x01", b"\x0c\x01\x01"
    start, pubkey, checked, made, opened = begun + peer, b"\x04\x01", b"\x06\x01", b"\x07\x01", b"\x08\x01\x01\x00"
    frame = b"\x03" + text("QUJDREVGR0hJSktMTU5PUA==")
    greeted = pubkey + checked + made + frame + opened
    up = start + greeted
    issue, due, no_address = b"\x05", b"\x0b\x01\x00", b"\x0c\x01\x00"
    message = b"\x09" + text(messages["pong"])
    bad_key = text('[KEY] {"key":"00","iv":"00","cipher":"AES"}')
    yield "up", b"\x00" + up + message
    yield "known_key", b"\x01" + start + made + frame + opened + message
    yield "rotated", b"\x00" + up + b"\x0a" + message
    yield "rotated_badly", b"\x00" + up + b"\x09" + bad_key + due + peer
    yield "rotated_to_nothing", b"\x00" + up + b"\x09" + text("[KEY] nothing")
    yield "lost", b"\x00" + up + issue + greeted + message
    yield "lost_often", b"\x00" + up + (issue + greeted) * 21
    yield "lost_slowly", b"\x00" + up + b"\x0b\x00\xff" + issue + greeted + message
    yield "noise", b"\x00" + up + b"\x03" + text("AAAA") + pubkey
    yield "late_key", b"\x00" + up + pubkey + message
    yield "refused", b"\x00" + start + pubkey + checked + made + issue + due + begun[1:] + peer + pubkey
    yield "mute", b"\x00" + start + due + due + due
    yield "mute_known_key", b"\x01" + start + made + due
    yield "unfinished", b"\x00" + start + pubkey + due
    yield "other_key", b"\x01" + start + made + frame + opened + issue + b"\x04\x00" + due
    yield "pinned_otherwise", b"\x00" + start + pubkey + b"\x06\x00" + due
    yield "no_helo", b"\x00" + start + pubkey + checked + b"\x07\x00" + due
    yield "no_address", b"\x00\x00" + no_address + due
    yield "address_sought_for_long", b"\x00\x00" + due + gone
    yield "nobody_there", b"\x00" + begun + due * 12 + gone + peer
    yield "away", b"\x00" + up + gone + due + gone + peer + message
    yield "away_for_long", b"\x00" + up + gone + due * 12
    yield "gone_while_greeting", b"\x00" + start + gone + peer + greeted + message
    yield "reset", b"\x00" + up + b"\x02" + gone + peer + pubkey + b"\x01\x00" + gone + start
    yield "nothing_awaited", b"\x00" + pubkey + checked + made + opened + b"\x02" + due + b"\x01\x01"
    yield "key_of_before", b"\x00" + start + b"\x03" + text(messages["pong"]) + pubkey + checked + made + b"\x03" + text(messages["pong"]) + frame + opened
    yield "public_key_does_not_load", b"\x00" + start + b"\x03" + text("[PUBKEY] [AAAA]")
    yield "bad_key", b"\x00" + start + pubkey + checked + made + frame + b"\x08\x00" + bad_key
    yield "no_key", b"\x00" + start + pubkey + checked + made + frame + b"\x08\x00" + text("nothing")
    yield "key_not_opened", b"\x00" + start + pubkey + checked + made + frame + b"\x08\x01\x00"


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
    yield "blank", b"\x05 \t\r\n"
    yield "no_pem", b"\x05ssh-rsa AAAA"
    yield "label_cut_short", b"\x05-----BEGIN RSA PUBLIC KEY"
    certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    yield "certificate", b"\x05" + raw(certificate * 2)
    yield "certificate_and_key", b"\x05" + raw(certificate + key["spki"])
    yield "odd_label", b"\x05-----BEGIN \x1b\xff KEY-----\nAAAA\n-----END X KEY-----\n"
    yield "other_headers", b"\x05" + raw(key["pkcs1_public"].replace("KEY-----\n", "KEY-----\nComment: none\n\n", 1))
    yield "headers_alone", b"\x05-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4-----END RSA PRIVATE KEY-----\n"
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
    yield "escapes", r'["\u0000\b\f\n\r\t\"\\\/\u007f\ud83d\ude00"]'
    yield "integers", "[-9223372036854775808,9223372036854775807,18446744073709551615,0,-0.0,2.5,1e300,18446744073709551616]"
    yield "numbers_in_texts", '["12","+7","+-7"," 8 ","\\t8\\n","\\r","",".5","5x","-","inf","nan","1e999","9223372036854775808"]'
    yield "utf_8", '["ä€😀\u0800\ud7ff\ue000\U00010000\U0010ffff"]'
    for name, wrong in (("overlong", b"\xc0\x80\xe0\x9f\xbf\xf0\x8f\xbf\xbf"), ("surrogate", b"\xed\xa0\x80"), ("beyond", b"\xf4\x90\x80\x80\xf5"),
                        ("torn", b"\xe2\x82x\xf0\x9f\x98"), ("ends_early", b"\xc3")):
        yield "utf_8_" + name, b'["' + wrong + (b'"]' if name != "ends_early" else b"")
    yield "followed", "{} x"


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
    # A name, and a pattern as long.
    yield "pattern_star_at_end", "aba*"
    yield "pattern_two_stars", "ab**"
    yield "pattern_goes_back", "abcabd*ab*d*"
    yield "pattern_goes_back_in_vain", "aaaba*ac"
    yield "pattern_without_star", "abac"
    yield "pattern_longer_than_name", "abcabcd"
    for name, top in {"nothing": "", "text": "x", "list": "[x]", "null": "configuration:", "configuration_text": "configuration: x",
                      "configuration_list": "configuration: [x]",
                      "gorgone_null": "configuration: {gorgone: ~}", "gorgone_text": "configuration: {gorgone: x}"}.items():
        yield f"top_{name}", top
    yield "unknown_options", ("configuration:\n  name: x\n  gorgnoe: x\n  " + "n" * 70 +
                              ": x\n  centreon: x\n  gorgone:\n    tpapi: x\n    gorgone-core: x\n"
                              "    gorgonecore: [x]\n    modules: ~\n")
    core = "configuration:\n  gorgone:\n    gorgonecore:\n"

    def options(*lines):
        return core + "".join(f"      {line}\n" for line in lines)

    yield "right_values", options("timeout: ' +60 '", "ipv6: ON", "external_com_keysize: 16", "fingerprint_mode: FIRST", "gorgone_db_type: sqlite",
                                  "id: ~",
                                  "gorgone_db_name: ' dbname=x '", "internal_com_type: [x]", "fingerprint_mgr: {a: b}", "authorized_clients: [{key: x}]")
    yield "odd_values", options("timeout: ''", "id: secret::x", "hostname: [x]", "privkey: {a: b}", "ipv6: ''", "max_strangers: 9",
                                "max_message_size: 99999999999999999999",
                                "external_com_rotation: 1e3", "external_com_path: ''", "external_com_keysize: 17", "external_com_type: udp", "timeuot: 5",
                                "authorized_clients: [x, {key: ~}, {key: ''}, {key: 'secret::x'}, {kye: x}, [x]]")
    yield "other_odd_values", options("timeout: '+-5'", "max_strangers: 5x", "max_unread_bytes: '  '", "authorized_clients: {key: x}",
                                      "fingerprint_mode: [x]", "ipv6: ~")
    yield "merged", "configuration: !include \"a.yaml, b.yaml,\"" + separator + "x: 1\nl: [1]\nm: {y: 1}\nk: 5\nn: ~\n" + separator + (
        "x: 2\nl: [2]\nm: {y: [2], z: 3}\nk: [1]\nn: 1\n")
    yield "merged_top", "a: !include a.yaml, b.yaml, c.yaml" + separator + "[x]" + separator + "x: 1\n" + separator + "x"
    for name, include in {"list": "[x]", "map": "{x: y}", "nothing": "' , '", "missing": "none.yaml", "matches_nothing": "none*.yaml", "folder": ".",
                          "everything": "'*'",
                          "broken": "a.yaml"}.items():
        yield f"include_{name}", f"a: !include {include}\n" + separator + "b: [" + separator + "b: 1\n"
    yield "include_control_character", "a: !include a.yaml\n" + separator + "b: \x01"
    yield "include_latin_1", b"a: !include a.yaml\n" + raw(separator) + b"b: \xe4\n"
    yield "include_deep", "a: " + "[" * 90 + "!include a.yaml" + "]" * 90 + separator + "[" * 20 + "]" * 20
    for name, odd in {"null": ": x", "alias": "a: &a x\n*a : y\n", "alias_of_list": "a: &a [1]\n*a : y\n", "list": "[x]: y\n",
                      "map": "{x: y}: z\n"}.items():
        yield f"key_is_{name}", odd
    yield "alias_in_itself", "a: &a [*a]\n"
    yield "alias_of_nothing", "a: *b\n"
    yield "alias_of_maps", "a: &a {b: {c: d}}\ne: *a\n"
    yield "open_quote", "a: 'x  \n\n"
    yield "open_list", "a: [\n"
    yield "too_deep", "[" * 120 + "]" * 120
    yield "too_deep_by_alias", "a: &a " + "[" * 60 + "]" * 60 + "\nb: " + "[" * 60 + "*a" + "]" * 60
    package = "package: 'gorgone::modules::{}::hooks'".format
    entries = ("name: a, " + package("core::httpserverng") + ", enable: true", "name: b, " + package("core") + ", enable: true", "name: c, " +
               package("core::a b") + ", enable: true",
               "name: d, " + package("::core"), "name: e, package: 'gorgone::modules::hooks', enable: true", "name: f, package: 'gorgone::modules::core::x', enable: true",
               "name: g, " + package("centreon::content"), "name: h, " + package("centreon::mcollective"), "name: i, " + package("core::action") + ", enable: 'off'",
               "name: j, " + package("core::action") + ", enable: false", "name: k, " + package("core::action"), "name: l, " + package("core::action") + ", library: x",
               "name: m, " + package("core::action") + ", enable: true", "name: n, " + package("core::action") + ", enable: maybe", "name: ''", "name: [x]", "name: ~",
               "name: m, library: y, enable: [x]", "name: o, library: z, enable: no", "name: o, library: z", "name: P_1-q, " + package("Z_9-x::y::z") + ", enable: 1")
    yield "many_modules", "configuration:\n  gorgone:\n    modules:\n" + "".join(f"      - {{{entry}}}\n" for entry in entries)
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
    for name, target in {
            "ping": "nodes/2/internal/nodes/3/ping", "ping_bad_node": "internal/nodes/a%2Fb/ping", "ping_no_node": "internal/nodes//ping",
            "numbers_cut": "log/t?code=1x&id=1x&etime=1x&ctime=1x&limit=1x", "numbers_below": "log/t?code=-1&id=-1&etime=-1&ctime=-1&limit=0",
            "code_above": "log/t?code=10000", "limit_above": "log/t?limit=1000001", "time_above": "log/t?ctime=1e16", "time_nan": "log/t?ctime=nan",
            "numbers_empty": "log/t?code=&id=&etime=&ctime=&limit=", "numbers_huge": "log/t?id=99999999999999999999&limit=99999999999999999999&code=99999999999999999999",
            "wait_above": "log/t?log_wait=3600000001", "wait_cut": "log/t?log_wait=&sync_wait=x", "ttl_below": "log/t?outbox_ttl=0", "ttl_above": "log/t?outbox_ttl=604801",
            "ttl": "log/t?outbox_ttl=60&x=1", "ttl_cut": "internal/thumbprint?outbox_ttl=x&log_wait=x", "slashes_behind": "log/t//", "node_alone": "nodes/2",
            "node_marks": "nodes/A-z_.9/", "node_too_long": f"nodes/{'n' * 256}/log/t", "unknown_action": "core/action/none", "nothing": "?a=b+c",
            "four_parts": "a/b/c/d", "four_internal_parts": "internal/b/c/d", "four_parts_of_nodes": "internal/nodes/2/d", "node_tilde": "nodes/~/log/t"}.items():
        yield f"target_{name}", request(f"GET /api/{target} HTTP/1.1", host)
    yield "ping_posted", request("POST /api/internal/nodes/2/ping HTTP/1.1", host)
    yield "log_posted", request("POST /api/log/t HTTP/1.1", host)
    yield "no_path", request("OPTIONS * HTTP/1.1", host)
    yield "root", request("GET / HTTP/1.1", host)
    yield "other_scheme", request("GET /api/log/t HTTP/1.1", "Authorization: Digest x")
    for name, password in {"lower_case": "basic   Z29yZ29uZTpzZWNyZXQ6w7Y", "padded_much": "Basic Zg===", "padded_inside": "Basic Z2=9",
                           "cut": "Basic Z", "empty": "Basic ",
                           "padding_alone": "Basic ===="}.items():
        yield f"password_{name}", request("GET /api/log/t HTTP/1.1", "Authorization: " + password)
    for name, network in {"address": "192.0.2.1", "whole_bytes": "192.0.2.0/24", "too_narrow": "192.0.2.128/33", "no_number": "192.0.2.1/x",
                          "number_cut": "192.0.2.1/2x",
                          "huge_number": "192.0.2.1/99999999999", "v6": "2001:db8::1/45", "v6_too_narrow": "2001:db8::/129", "v4_in_v6": "::ffff:192.0.2.1/100",
                          "no_address": "nowhere/8", "all": "0.0.0.0/0", "v6_all": "::/0", "other": "192.0.3.0/24"}.items():
        yield f"network_{name}", request("POST /api/x HTTP/1.1", f"Content-Length: {len(network)}", body=network)


def node_queue():
    def push(size, token=1, lane=0, stored=True, ttl=0, target=0):
        return bytes([2 * lane, token, target, size, 0 if stored else 1, ttl])

    send, send_silent, send_wrapped = b"\x03\x00", b"\x03\x01", b"\x03\x02"
    lost, lost_wrapped, clear = b"\x06\x01", b"\x06\x00", b"\x08\x00"
    answer, tick, back = (lambda token: bytes([5, token])), (lambda seconds: bytes([7, 1, seconds])), (lambda token: bytes([10, token]))
    withdraw, taken, sent_until = (lambda token: bytes([11, token])), (lambda kept: bytes([12, 0 if kept else 1])), (lambda back: bytes([14, back, 0]))
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
    yield "put_back", wide + push(1, 0, ttl=9) + push(1, 1, ttl=9) + push(1, 2, ttl=9) + send * 3 + lost + send + back(0) + send * 3 + back(1) + lost
    yield "not_stored", wide + push(1, stored=False) + push(2) + push(3, lane=1) + send * 2 + taken(True) + send + push(4, stored=False) + taken(False)
    yield "held", wide + push(1) + hold_and_forget + send + push(2) + hold_on + send + taken(True) + send
    sent_once = b"\x0e\x00\x01"
    yield "pong", wide + push(1, ttl=9) * 3 + send_silent * 3 + sent_until(1) + sent_until(0)
    yield "sent_once", wide + push(1, ttl=9) + hold_and_forget + send + push(2, ttl=9) + send + sent_once
    yield "wrapped", wide + push(1, ttl=9) * 3 + send_wrapped * 2 + send + lost_wrapped + send_wrapped * 2 + lost + send + tick(20)
    yield "full_of_messages", bytes([0, 255, 60, 7, 255, 255]) + push(5) * 2 + push(5, target=1) + clear
    yield "few_in_flight", bytes([19, 255, 60, 0, 255, 255]) + push(5, ttl=9) * 2 + push(5, lane=1, ttl=9) * 2 + send * 4 + answer(1) + send * 2
    yield "not_stored_in_time", wide + push(1, stored=False, ttl=1) + push(2, 2, stored=False, ttl=40) + send + tick(5) + taken(True) + send + tick(60)
    refused = wide + push(1, 1, ttl=40, target=1) + push(1, 2, ttl=40, target=1) + push(1, 0, ttl=40, target=2) + send * 3 + back(1) + back(2) + answer(0)
    yield "refused", refused + tick(1) + send + back(1) + tick(2) + send + answer(1) + send
    yield "refused_again", refused + tick(1) + send + back(1) + tick(2) + send + back(1) + tick(4) + send + lost + tick(1) + send * 2 + answer(1) + send
    yield "refused_lost", refused + push(1, 0, ttl=40, target=2) + tick(1) + send * 2 + lost + send + tick(60) + clear


def wss_text():
    yield from messages.items()
    yield "encoded", "[PONG] [ab] [] {&quot;a&quot;:&#39;1&#39;,&quot;b&quot;:&quot;&lt;x &amp; y&gt;&quot;}"
    yield "latin_1_names", "{&quot;a&quot;:&quot;&Atilde;&copy;&eacute;&#xE9;&nbsp;&yuml;&quot;}"
    yield "numbers", "&#8364;&#x1F600;&#2047;&#xD800;&#1114112;&#99999999999;&#;&#x;&;&&"
    yield "refusal", '{"code":500,"message":"please registernodes"}'
    yield "registration", '[REGISTERNODES] [] [] {"nodes":[{"id":2,"type":"wss","identity":2}]}'
    yield "answer", b"\x01" + text("token") + b"hello \xe4"
    yield "other_entities", "&#X41;&#12x;&apos;&euro;&#0;&waytoolonganame;"
    yield "not_encoded", "<&amp;>"
    yield "actions_alone", "[PONG] x"
    yield "no_refusal", '{"codd":500,"message":"x"}'
    yield "refusal_without_message", '{"code":500}'


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
    yield "shared_too_long", b"\0\2" + root_folder + b"\1\x09" + content_text("a")
    yield "piece", b"\2" + content_number(0) + content_number(300) + content_text("hello") + b"\1\0" + content_text("x")
    yield "set", b"\1\x0a\x28\xb5\x2f\xfd\x20\x02\x11\x00\x00\xff\x03"
    yield "zstd", b"\3\x28\xb5\x2f\xfd\x20\x02\x11\x00\x00\xff\x03"
    hash_text = base64.b64encode(digest).decode()
    yield "offer", b"\4" + raw(json.dumps({"token": "t", "attempt": 1, "manifest": hash_text, "files": 2, "bytes": 3, "destination": "/a/b", "owner": "o",
                                          "extra": "remove", "atomic": "required", "check_command": "true {staged}", "followed": True}))
    yield "part", b"\4" + raw('{"token":"t","attempt":1,"number":0,"of":1,"bytes":"aGVsbG8="}')
    yield "answer", b"\4" + raw('{"content":{"stage":"lack","attempt":1,"next":3,"lack":"aGVsbG8=","offset":7,"files":1,"files_of":2,"bytes":3,"bytes_of":4}}')
    yield "index", b"\5" + content_text("/root") + b"\1" + content_text("a") + b"\1\2\3\4\5\6" + digest

    def tree(*entries):
        return b"\0" + content_number(len(entries)) + b"".join(entries)

    def entry(kind, path, shared=0, mode=0o644, end=b""):
        return content_number(kind) + content_number(shared) + content_text(path) + content_number(mode) + end

    small, empty = b"\3" + digest, b"\0"
    for name, path in (("zero_byte", "a\0b"), ("no_name", "a//b"), ("dot", "./a"), ("climbs", "../a"), ("name_too_long", "n" * 256),
                       ("too_long", "n/" * 2049),
                       ("no_folder", "a/b")):
        yield "path_" + name, tree(root_folder, entry(1, path, end=empty))
    yield "paths_take_too_much", tree(root_folder, entry(0, "n" * 253 + "00"), *(entry(0, f"{i:02}", 253) for i in range(1, 20)))
    yield "paths_too_many", b"\0" + content_number(51) + root_folder
    yield "paths_fall", tree(root_folder, entry(1, "b", end=empty), entry(1, "a", end=empty))
    yield "none", tree()
    yield "root_with_a_name", tree(entry(0, "a"))
    yield "root_is_a_link", tree(entry(2, "", end=content_text("a")))
    yield "more_than_a_file", tree(entry(1, "", end=small), entry(1, "a", end=small))
    yield "goes_on", tree(root_folder) + b"x"
    yield "ends_early", tree(root_folder, b"\1\0" + content_text("a"))
    yield "kind_unknown", tree(root_folder, entry(3, "a"))
    yield "mode_too_large", tree(root_folder, entry(1, "a", mode=0o1777, end=empty))
    yield "size_too_large", tree(root_folder, entry(1, "a", end=content_number(1 << 63) + digest))
    yield "number_too_long", b"\0" + b"\xff" * 11
    for name, target in {"empty": "", "absolute": "/x", "dots": "./a//b", "zero_byte": "a\0", "leads_out": "..", "too_long": "x" * 4097}.items():
        yield "link_" + name, tree(root_folder, entry(2, "l", end=content_text(target)))

    def owned(owners, *entries):
        return b"\x08GORGONE-TREE-2\n" + content_number(len(owners)) + b"".join(b"\0\0" + content_text(user) + content_text("") for user in owners) + (
            content_number(len(entries)) + b"".join(entries))

    yield "owned", owned(["", "engine"], root_folder + b"\1")
    yield "owner_not_listed", owned(["root"], root_folder + b"\1")
    yield "owners_none", owned([], root_folder)
    yield "owners_too_many", b"\x08GORGONE-TREE-2\n" + content_number(4097)
    yield "owners_cut_short", b"\x08GORGONE-TREE-2\n\2\0\0\0"
    for name, user in {"control": "\x1b[0m", "delete": "\x7f", "too_long": "u" * 256}.items():
        yield "owner_" + name, owned([user], root_folder)
    yield "another_version", b"\x08GORGONE-TREE-9\n\0"
    yield "pieces_empty", b"\2\0\0\0"
    yield "piece_torn", b"\2\0\0\5ab"
    yield "set_of_another_size", b"\1\x20\x28\xb5\x2f\xfd\x20\x02\x11\x00\x00\xff\x03"
    yield "set_no_zstd", b"\1\x20hello"
    for name, frame in {"no_length": b"\x00\x58\x01\x00\x00", "too_long": b"\xa0\xff\xff\xff\x7f", "broken": b"\x20\x02\xff\xff\xff",
                        "other_length": b"\x20\x03\x11\x00\x00\xff\x03"}.items():
        yield "zstd_" + name, b"\3\x28\xb5\x2f\xfd" + frame
    offered = {"token": "t", "manifest": hash_text, "destination": "/a"}
    for name, change in {"no_token": {"token": ""}, "long_token": {"token": "t" * 4097}, "short_hash": {"manifest": "AAAA"},
                         "no_place": {"destination": ""},
                         "relative": {"destination": "a"}, "climbs": {"destination": "/a/../b"}, "zero_byte": {"destination": "/a\0"},
                         "long_place": {"destination": "/" +
                                        "a" * 4096}, "bad_mode": {"mode": "0999"}, "long_mode": {"mode": "000644"}, "bad_extra": {"extra": "all"},
                         "bad_atomic": {"atomic": "always"}, "said_defaults": {"extra": "keep", "atomic": "preferred", "group": "g", "mode": "0644",
                                                                               "attempt": -1, "files": -1}}.items():
        yield "offer_" + name, b"\4" + raw(json.dumps(offered | change))
    yield "part_without_bytes", b"\4" + raw('{"token":"t","bytes":3}')
    for stage in ("taken", "manifest", "again", "changed", "busy", "placing"):
        yield "answer_" + stage, b"\4" + raw(json.dumps({"content": {"stage": stage, "owners": 1}}))
    yield "answer_none", b"\4" + raw('{"content":"lack"}')
    yield "list", b"\4[]"
    yield "index_of_another", b"\5" + content_text("/other") + b"\0"
    yield "index_goes_on", b"\5" + content_text("/root") + b"\0x"
    yield "index_cut_short", b"\5" + content_text("/root") + b"\2" + content_text("a") + b"\1\2\3\4\5\6" + digest[:9]
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
    yield "made_odd_root", b"\6\7\0" + made_file("a", "one")
    yield "made_single_file", b"\6\0\7"
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
    offered = one + two + offer(0) + manifest
    for name, which in ("number", b"\1\5"), ("count", b"\2\0"), ("bytes", b"\3" + text("no zstd")), ("attempt", b"\4\x09"):
        yield "manifest_with_another_" + name, one + two + offer(0) + b"\2" + which + manifest + piece * 2
    yield "manifest_twice", offered + manifest + piece * 2
    yield "manifest_unasked", one + two + manifest + push(0) + manifest
    for name, which, more in (("blob", 1, number(9)), ("offset", 2, number(1)), ("number", 5, b"\x09"), ("bytes", 6, text("no zstd")), ("size", 7, b"")):
        yield "piece_with_another_" + name, offered + bytes([3, which, 0, 255]) + more + b"\1" + (more if which > 4 else b"") + piece + push(1)
    yield "piece_repeated", offered + b"\3\0\0\0\1" + b"\3\5\0\0\1\0" + piece + push(0)
    yield "pieces_of_some_bytes", tree(file("a", "a" * 99), file("b", "b" * 99)) + two + offer(0) + manifest + b"\3\0\0\1\1" * 9 + push(0)
    yield "interrupted_between_files", offered + b"\3\0\0\xff\1" + restart + offer(0) + manifest + piece + push(0)
    yield "interrupted_in_a_file", tree(file("a", "a" * 99), file("b", "b" * 99)) + two + offer(0) + manifest + b"\3\0\0\1\1" + restart + offer(0) + (
            manifest + piece)
    yield "offer_changes_before_the_pieces", tree(file("a", "")) + two + offer(1) + manifest + offer(0) + piece + manifest + push(1)
    yield "attempt_of_before", offered + bytes([0, 0, 0, 7, 0, 0, 0]) + piece + push(0)
    yield "atomic", one + two + bytes([0, 0, 1, 0, 1, 3]) + manifest + piece * 2 + push(0, 1) + push(1, 1)
    yield "empty_files", tree(file("a", ""), file("b", ""), file("file", "")) + tree(file("a", "x"), file("b", "")) + push(0) + push(0) + push(1) + push(0)
    yield "same_contents", tree(file("a", "same"), file("b", "same"), file("file", "old")) + tree(file("a", "same"), file("c", "same"), folder("b")) + (
            push(0) + push(1) + push(0, 1))
    yield "other_modes", tree(folder("sub"), file("sub/a", "a"), file("file", "f")) + tree(b"\0" + text("sub") + b"\0", b"\1" + text("sub/a") +
                                                                                           text("a") + b"\0\0", file("file", "f")) + (
        push(0) + push(1) + push(0))
    yield "other_kinds", tree(folder("a"), file("a/b", "x"), link("c", "a"), file("d", "x")) + tree(file("a", "x"), folder("c"), link("d", "c")) + (
            push(0) + push(1) + push(0) + push(1, 1))
    yield "extra_stays", tree(file("new", "x")) + tree(link("sub", "file"), file("other", "x")) + push(0) + push(1)
    yield "nested", tree(folder("a"), folder("a/b"), file("a/b/f", "1"), folder("c"), link("c/l", "../a/b")) + tree(folder("c"), file("c/f", "2"), file("f", "3")) + (
        push(0) + push(1) + push(0, 1) + push(1, 1))
    yield "empty_folder", tree() + one + push(0) + push(0, 1) + push(1)
    yield "file_over_a_folder", single + one + push(0) + push(1)
    yield "folder_over_a_file", one + single + change(3) + change(4) + push(0) + push(1) + push(1)
    yield "file_in_an_own_mode", bytes([7, 0]) + b"\1" + text("new") + b"\0\0" + b"\0" + single + change(3) + push(0) + push(1) + push(0) + push(0, 1)
    for name, what in ("file", change(0) + text("changed")), ("folder", change(1)), ("link", change(1) + change(2)), ("destination",
                                                                                                                      change(3)), ("destination_kind",
                                                                                                                                   change(3) + change(4)):
        yield f"{name}_changes_before_the_manifest", one + two + push(1) + offer(0) + what + manifest + piece * 2
        yield f"{name}_changes_before_the_pieces", one + two + push(1) + offer(0) + manifest + what + piece * 2 + push(0)
    yield "too_many_entries", tree(*(file(name, name) for name in "abcde")) + tree(b"\1" + text("big") + text("x") + b"\x24\x0f" + number(1 << 31)) + (
            push(0) + push(1) + offer(1) + manifest + piece)
    yield "broken_manifest", bytes([0, 0]) + top + b"\7" + text("goes on") + two + push(0) + push(1)
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
    "hard_links": member(b"0", "a/f", content="x") + member(b"1", "g", "a/f") + member(b"1", "a/f", "g"),
    "hard_link_to_nothing": member(b"0", "f") + member(b"1", "g", "none"),
    "hard_link_to_a_link": member(b"2", "l", "f") + member(b"1", "g", "l"),
    "hard_link_through_a_file": member(b"0", "f", content="x") + member(b"1", "g", "f/x"),
    "hard_link_to_the_top": member(b"1", "g", "./"),
    "through_a_file": member(b"0", "f", content="x") + member(b"0", "f/x", content="x"),
    "file_over_folder": member(b"5", "d/") + member(b"0", "d", content="x"),
    "folder_over_file": member(b"0", "d", content="x") + member(b"5", "d/"),
    "twice": member(b"5", "d/", mode=0o755) + member(b"5", "d/", mode=0o500) + member(b"0", "f") + member(b"0", "f", content="x"),
    "top": member(b"5", "./") + member(b"0", "f"),
    "link_at_the_top": member(b"2", ".", "a"),
    "link_absolute": member(b"2", "l", "@/secret"),
    "link_to_nothing": member(b"2", "l", ""),
    "no_name": member(b"0", "", content="x"),
    "very_long_name": member(b"L", "././@LongLink", content="n" * 4096) + member(b"0", "short"),
    "very_deep": member(b"L", "././@LongLink", content="n/" * 201) + member(b"0", "short"),
    "very_long_link": member(b"K", "././@LongLink", content="n" * 4096) + member(b"2", "short", "x"),
    "named_like_ours": member(b"5", ".gorgone-unpacking-0") + member(b"0", "a/.gorgone-unpacking-1", content="x"),
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
    def anything(who, *frames):
        return step(who, 2, len(frames)) + b"".join(b"\1" + text(frame) if frame else b"\0" for frame in frames)

    lost, other_key = (lambda who: step(who, 1)), (lambda who, name=0: step(who, 0, name, 0))
    first = connected(0)
    yield "no_commands", plain + first + b"".join(anything(0, *frames) for frames in (
        [""], ["x", "SUB"], ["", "SUB", "ID", "1", "ID", "2"], ["", "SUB", "ID"], ["", "SUB", "", "", "a"], ["", "SUB", "\x1b", "x", "ID"], []))
    yield "times_to_live", plain + opened(0) + b"".join(anything(0, "", "CONNECT", "TTL", ttl) for ttl in ("x", "-1", "99999999999", "5x", "", "0", "1"))
    yield "versions", plain + opened(0) + anything(0, "", "CONNECT", "VERSION", "2.0") + anything(0, "", "CONNECT", "CERTIFICATE", "none")
    yield "long_headers", plain + first + anything(0, "", "NOOP", "K" * 3000, "v" * 2000)
    yield "not_connected", plain + opened(0) + subscribed(0, 0) + opened(1, 1) + said(1, 4, 8)
    yield "unknown_verbs", plain + first + said(0, 6, 9) + said(0, 7, 8) + said(0, 4, 9) + said(0, 4, 8)
    yield "topics_refused", plain + first + said(0, 1, 1, 0) + said(0, 1, 9) + said(0, 2, 1, 0) + b"".join(subscribed(0, topic) for topic in (5, 6, 0, 0, 1, 2, 3, 4)) + (
        said(0, 1, 1, 3, 0, 1, 4) + said(0, 2, 1, 2, 4, 6) + said(0, 2, 1, 2, 0, 0) + said(0, 2, 8) + said(0, 1, 0, 1, 0) + said(0, 2, 0, 1, 0))
    yield "puts_refused", plain + first + said(0, 3, 5, 1, 1) + put(0, 5) + put(0, 6) + put(0, 0, 255) + put(0, 0, 255, 1) + said(0, 3, 9, 0) + (
            said(0, 3, 1, 0, 0))
    yield "put_answered", plain + pair + tick + put(1, 0, 5, 1) + put(1, 1, 5, 1) + put(0, 0, 5, 1) + reads(0) + put(1, 0, 100, 1) * 9
    yield "put_answered_joined", joined + pair + tick + put(1, 0, 5, 1) + put(1, 1, 5, 1) + reads(0) + put(1, 0, 100, 1) * 9
    yield "two_at_once", plain + opened(0) + opened(2) + said(0, 0, 3, 50, 0) + subscribed(0, 0) + said(2, 0, 3, 50, 0) + subscribed(2, 0) + tick
    yield "two_keys_at_once", plain + opened(0) + other_key(2) + said(0, 0, 3, 50, 0) + said(2, 0, 3, 50, 0) + other_key(3) + said(2, 0, 1, 0)
    yield "too_many_clients", plain + first + connected(1, 1) + connected(2, 2) + connected(3, 3) + opened(4, 3) + tick
    yield "without_a_name", plain + connected(3, 3) + subscribed(3, 0) + subscribed(3, 2) + tick + lost(3) + connected(3, 3) + said(3, 5, 1, 0) + (
            opened(4, 3) + said(4, 5, 0, 0))
    yield "key_refused", plain + other_key(0) + said(0, 0, 3, 50, 0) + subscribed(0, 0) + grants + other_key(1, 1) + said(1, 0, 1, 0) + opened(2, 2) + (
            grants)
    yield "refused_at_connect", plain + other_key(0) + grants + said(0, 0, 3, 50, 0) + tick
    away = plain + pair + subscribed(0, 2) + subscribed(0, 1) + tick + lost(0) + put(1, 0) * 2 + put(1, 2) + kept
    yield "away_and_back", away + connected(0) + subscribed(0, 0) + subscribed(0, 2) + tick + kept
    yield "away_and_back_for_less", away + connected(0) + subscribed(0, 1) + bytes([0, 3, 255]) * 2 + subscribed(0, 0) + tick
    yield "away_for_long", away + put(1, 0, 100) * 8 + bytes([0, 3, 255]) * 2
    yield "away_while_asking", plain + first + put(0, 2, 5, 1) + lost(0) + opened(0) + said(0, 0, 3, 50, 0) + kept
    yield "takes_over_itself", plain + first + reads(0) + said(0, 4, 9) * 3 + said(0, 0, 3, 50, 0) + reads(0) + tick
    yield "reads_no_answers", plain + pair + reads(0) + said(0, 4, 9) * 20 + tick + reads(0) + said(0, 4, 9)
    yield "reads_no_answers_and_leaves", plain + pair + reads(0) + said(0, 4, 9) * 20 + lost(0) + opened(0) + said(0, 0, 3, 50, 0)
    yield "slow_without_grace", bytes([0, 0, 1]) + pair + reads(0) + put(1, 0, 100) * 12 + subscribed(1, 1) + tick * 3 + reads(0) + put(1, 0)
    yield "slow_is_lost", bytes([0, 1, 0]) + pair + reads(0) + put(1, 0, 100) * 12 + lost(1) + lost(0) + tick + connected(0) + tick * 2
    yield "queue_moves", plain + first + subscribed(0, 2) + connected(1, 1) + subscribed(1, 2) + connected(2, 2) + subscribed(2, 2) + tick + step(0, 7, 1) + said(0, 2, 1, 1, 2) + (
        step(0, 7, 1) + lost(1) + bytes([0, 3, 255]) + step(0, 7, 0) + lost(2) + bytes([0, 3, 255]) * 2)
    yield "queue_offered_to_nobody", plain + step(0, 7, 1) + first + step(0, 7, 1) + step(0, 7, 0) + subscribed(0, 2) + reads(0) + step(0, 7, 1) * 12 + (
            tick + said(0, 5, 1, 0))
    yield "queue_answers_late", plain + pair + put(1, 2, 5, 1) + said(1, 4, 9) + put(1, 2) + put(1, 3, 5, 1) + kept + full + kept + lost(1) + full
    yield "leaves_while_asking", plain + pair + put(1, 2, 5, 1) + said(1, 5, 1, 0) + kept + tick
    yield "silent_for_long", plain + first + connected(1, 1) + bytes([0, 3, 255]) * 8
    yield "says_nothing", plain + opened(0) + bytes([0, 3, 255])
    yield "any_frames", plain + connected(0) + step(0, 2, 4, 0, 1) + text("PUT") + b"\x01" + text("TOPIC") + b"\x01" + text("a")
    yield "odd", plain + connected(0) + step(0, 2, 5, 0, 1) + text("SUB") + b"\x01" + text("ID") + b"\x01" + text("7") + b"\x01" + text("X")


def archive():
    plain = [("a", tarfile.REGTYPE, "", b"hello"), ("l", tarfile.SYMTYPE, "a", b""), ("n" * 120, tarfile.REGTYPE, "", b"x")]
    yield "gnu_bytes", b"\0\0\0" + tar_bytes(plain[:2])
    yield "pax_bytes_gzip", b"\0\0\0" + gzip.compress(tar_bytes(plain, pax=True), mtime=0)
    yield "no_archive", b"\0\0\0hello"
    yield "nothing", b"\0\0\0"
    yield "cut_in_a_header", b"\0\0\0" + tar_bytes(plain)[:300]
    yield "cut_in_a_file", b"\0\0\0" + tar_bytes([("a", tarfile.REGTYPE, "", b"x" * 2000)])[:1500]
    yield "gzip_cut_short", b"\0\0\0" + gzip.compress(tar_bytes(plain), mtime=0)[:60]
    sparse = bytearray(tar_bytes([("holes", tarfile.GNUTYPE_SPARSE, "", b"x")]))
    sparse[386:410], sparse[483:495] = b"00000010000\x0000000000001\0", b"00000100000\0"
    sparse[148:156] = b" " * 8
    sparse[148:156] = b"%06o\0 " % sum(sparse[:512])
    yield "sparse_bytes", b"\0\0\0" + bytes(sparse)
    for name, members in escapes.items():
        yield name, b"\2\0\0" + members
    yield "too_large", b"\2\0\x02" + escapes["files"]
    yield "link_text", b"\1\0\0" + text("a/b/c") + b"../../x"
    yield "link_climbs", b"\1\0\0" + text("a/b") + b"../../x"
    yield "link_text_empty", b"\1\0\0" + text("a/b")
    yield "link_text_absolute", b"\1\0\0" + text("a/b") + b"/x"
    yield "with_mode", b"\2\1\0" + b"\x3c" + escapes["files"]


def process_copy():
    def chunk(copy, value, fault=0, place=0, needs=0, is_archive=0):
        return bytes([copy, 0]) + text(value) + bytes([fault, is_archive, place, needs]) + (b"\1" if needs == 1 else b"")

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
    yield "no_base64", chunk(0, "hello", 1) + chunk(0, "again") + end(0)
    yield "bad_mode", chunk(0, "a") + end(0, 2, text("9z"))
    yield "archive_offsets", chunk(3, "abc", 0, 2, 0, 1) + chunk(3, "def", 0, 1, 0, 1) + chunk(4, "no room", 0, 2, 1, 1) + end(4, is_archive=True)
    yield "no_base64_of_a_try", chunk(3, "abc", 0, 2) + chunk(3, "def", 1) + chunk(4, "abc", 0, 2) + end(4)
    yield "end_alone", end(0) + end(1, is_archive=True)
    folders = {"cache_dir": "/x", "destination": "/x"}
    wrong = [3, {"cache_dir": "x"}, {"cache_dir": "/\0"}, {"cache_dir": "/x"}, folders, folders | {"type": "archive", "status": "none"},
             *(folders | {"type": "regular", "status": "inprogress"} | more for more in ({}, {"chunk": 3}, {"chunk": {"size": 1}},
                                                                                         {"chunk": {"data": "", "size": "x"}}))]
    for name, some in ("", wrong[:6]), ("_chunks", wrong[6:]):
        yield "no_requests" + name, b"".join(bytes([i, 4]) + text(json.dumps({"content": content})) for i, content in enumerate(some))
    yield "no_content", b"\0\4" + text("{}") + b"\1\4" + text("no JSON") + chunk(1, "x") + end(1)


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
