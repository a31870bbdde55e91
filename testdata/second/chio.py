"""Chio's documents: canonical JSON, hashes, keys, receipts, key events, statements."""

import hashlib
import unicodedata

import ed25519
import trees

ORDINARY = {  # the members that every mediated receipt of these vectors has alike
    "receipt_kind": "mediated_decision",
    "boundary_class": "prevent",
    "tool_origin": "caller_executed",
    "redaction_mode": "none",
    "trust_level": "mediated",
}

EVENT = {  # what every log-authored receipt has alike
    "capability_id": "chiolog",
    "tool_server": "chiolog",
    "receipt_kind": "trace_observation",
    "boundary_class": "detect_only",
    "observation_outcome": "observed",
    "tool_origin": "caller_executed",
    "redaction_mode": "none",
    "trust_level": "verified",
}


def _string(s):
    short = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    out = []
    for c in s:
        if c in short:
            out.append(short[c])
        elif unicodedata.category(c) == "Cc":  # U+007F to U+009F too: Chio's first deviation
            out.append("\\u%04x" % ord(c))
        else:
            out.append(c)
    return '"' + "".join(out) + '"'


def _text(value):
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, list):
        return "[" + ",".join(map(_text, value)) + "]"
    if isinstance(value, dict):
        names = sorted(value, key=lambda k: k.encode("utf-16-be"))
        return "{" + ",".join(_string(k) + ":" + _text(value[k]) for k in names) + "}"
    raise TypeError(f"no canonical form for {type(value)}: these vectors hold no fractions")


def canonical(value):
    """The canonical JSON bytes of value."""
    return _text(value).encode("utf-8")


def sha256(data):
    return hashlib.sha256(data).digest()


def hex_hash(data):
    """SHA-256 as Chio's string members have it: 64 hex digits."""
    return sha256(data).hex()


def ox(digest):
    """A digest as the Hash type has it: 0x and 64 hex digits."""
    return "0x" + digest.hex()


def tagged(domain, value):
    """What the key log signs and hashes: domain, NUL, canonical form."""
    return domain.encode() + b"\0" + canonical(value)


class Key:
    """An Ed25519 key made of one byte repeated 32 times."""

    def __init__(self, byte):
        self.seed = bytes([byte]) * 32
        self.raw = ed25519.public_key(self.seed)
        self.text = self.raw.hex()
        self.key_id = ox(sha256(tagged("chio.key-log.key-id.v1", {
            "schema": "chio.key-log.key-id.v1", "algorithm": "ed25519", "public_key": self.text})))

    def sign(self, data):
        return ed25519.sign(self.seed, data)


def signed_receipt(key, body):
    """A receipt of the current generation: id and signature added to body."""
    body = dict(body, kernel_key=key.text)
    identity = hex_hash(canonical(body))
    signature = key.sign(canonical({"id": identity, "body": body})).hex()
    return dict(body, id=identity, signature=signature)


def ordinary_receipt(key, timestamp, tool, parameters, **others):
    """A mediated receipt; others override or add members."""
    body = dict(
        ORDINARY,
        timestamp=timestamp,
        capability_id="cap-vectors",
        tool_server="files",
        tool_name=tool,
        action={"parameters": parameters, "parameter_hash": hex_hash(canonical(parameters))},
        decision={"verdict": "allow"},
        content_hash=hex_hash(canonical(parameters)),
        policy_hash=hex_hash(b"policy"),
    )
    body.update(others)
    return signed_receipt(key, body)


def child_receipt(key, timestamp, name):
    """A completed child request receipt, whose id is free text."""
    body = {
        "id": name, "timestamp": timestamp, "session_id": "session-1", "parent_request_id": "request-1",
        "request_id": name + "-request", "operation_kind": "tool_call", "terminal_state": {"state": "completed"},
        "outcome_hash": hex_hash(b"outcome"), "policy_hash": hex_hash(b"policy"), "kernel_key": key.text,
    }
    return dict(body, signature=key.sign(canonical(body)).hex())


def event_receipt(key, timestamp, event, content):
    """A log-authored receipt; content is metadata without the event's name."""
    return signed_receipt(key, dict(
        EVENT,
        timestamp=timestamp,
        tool_name=event,
        action={"parameters": {}, "parameter_hash": hex_hash(b"{}")},
        content_hash=hex_hash(canonical(content)),
        policy_hash=hex_hash(b""),
        metadata=dict(content, event=event),
    ))


def event_id(terms):
    """The event id that binds terms into the envelope (rule K-3)."""
    return "key:" + hex_hash(canonical(terms))


def envelope(body, **signers):
    """A key event with one authorisation for each role, and its hash."""
    data = tagged("chio.key-log.event-signature.v1", body)
    authorizations = {role: {"key_id": key.key_id, "algorithm": "ed25519", "signature": key.sign(data).hex()}
                      for role, key in signers.items()}
    whole = {"body": body, "authorizations": authorizations}
    return whole, ox(sha256(tagged("chio.key-log.event-envelope.v1", whole)))


def genesis_body(key, terms, issued_at, **others):
    return dict({
        "schema": "chio.key-log.event.v1", "log_id": terms["origin"], "authority_id": terms["origin"],
        "sequence": 0, "event_id": event_id(terms), "key_id": key.key_id, "algorithm": "ed25519",
        "public_key": key.text, "operation": {"type": "genesis"}, "effective_at": issued_at, "issued_at": issued_at,
    }, **others)


def recovery_binding(origin, recovery):
    """The recovery_policy_binding of rule K-15."""
    return ox(sha256(canonical({
        "schema": "chio.key-log.recovery-policy-binding.v1", "log_id": origin, "authority_id": origin,
        "recovery_policy_id": recovery["policy_id"], "recovery_threshold": recovery["threshold"],
        "recovery_keys": recovery["keys"]})))


def roster_binding(origin, roster_id, keys):
    """The witness_roster_binding of rule K-15."""
    return ox(sha256(canonical({
        "schema": "chio.key-log.witness-roster-binding.v1", "log_id": origin, "authority_id": origin,
        "witness_roster_id": roster_id, "witness_threshold": len(keys) // 2 + 1, "witness_keys": keys})))


def chain_leaf(body):
    """The leaf hash of one statement in the tree of statements."""
    return trees.leaf_hash(canonical({name: body[name] for name in (
        "batch_start_seq", "batch_end_seq", "checkpoint_seq", "merkle_root")}))


def statement(key, entries, start, end, earlier, issued_at):
    """The checkpoint statement over positions start to end after the earlier ones."""
    body = {
        "schema": "chio.checkpoint_statement.v2", "checkpoint_seq": len(earlier) + 1,
        "batch_start_seq": start, "batch_end_seq": end, "tree_size": end - start + 1,
        "merkle_root": ox(trees.root([trees.leaf_hash(e) for e in entries[start - 1:end]])),
        "issued_at": issued_at, "kernel_key": key.text,
    }
    if earlier:
        body["previous_checkpoint_sha256"] = hex_hash(canonical(earlier[-1]["body"]))
    body["chain_root"] = ox(trees.root([chain_leaf(s["body"]) for s in earlier] + [chain_leaf(body)]))
    return {"body": body, "signature": key.sign(canonical(body)).hex()}
