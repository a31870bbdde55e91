"""Signed notes, cosignatures and proof files of the transparency-log world."""

import base64
import hashlib

MAGIC = "c2sp.org/tlog-proof@v1\n"


def b64(data):
    return base64.b64encode(data).decode()


def key_hash(name, kind, key):
    """The 4-byte key ID of a key under a name and signature type."""
    return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + key.raw).digest()[:4]


def vkey(name, kind, key):
    return f"{name}+{key_hash(name, kind, key).hex()}+{b64(bytes([kind]) + key.raw)}"


def checkpoint_text(origin, size, root):
    return f"{origin}\n{size}\n{b64(root)}\n"


def signature_line(name, key, text):
    """A log's signature, type 0x01."""
    return f"\u2014 {name} {b64(key_hash(name, 1, key) + key.sign(text.encode()))}\n"


def cosignature_line(name, key, text, timestamp):
    """A witness's timestamped cosignature, type 0x04."""
    signature = key.sign(f"cosignature/v1\ntime {timestamp}\n{text}".encode())
    return f"\u2014 {name} {b64(key_hash(name, 4, key) + timestamp.to_bytes(8, 'big') + signature)}\n"


def note(text, *lines):
    return text + "\n" + "".join(lines)


def proof_file(extra, index, path, checkpoint):
    """A tlog-proof; extra is the data of the extra line."""
    lines = [MAGIC, f"extra {b64(extra)}\n", f"index {index}\n"]
    lines += [b64(h) + "\n" for h in path]
    return "".join(lines) + "\n" + checkpoint
