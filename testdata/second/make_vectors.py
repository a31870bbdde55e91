#!/usr/bin/env python3
"""Writes the vectors of testdata/chiolog: a small complete log, made a second time.

The routine is written from the rules alone and shares nothing with the Go
packages that the vectors test. It needs Python 3.9 and its standard library,
and gives the same bytes at every run:

    python3 testdata/second/make_vectors.py [FOLDER]
"""

import hashlib
import json
import pathlib
import sys

import chio
import notes
import trees

HERE = pathlib.Path(__file__).resolve().parent
ORIGIN = "example.com/log"
START = 1_790_000_000  # Unix seconds of the genesis event

KERNEL = chio.Key(0x07)
NEXT = chio.Key(0x08)
BOOTSTRAP = chio.Key(0x11)
RECOVERY = {f"recovery-{n}": chio.Key(0x20 + n) for n in (1, 2, 3)}
WRITER, REMOVED = chio.Key(0x31), chio.Key(0x32)
WITNESSES = {"witness.example/w1": chio.Key(0x41), "witness.example/w2": chio.Key(0x42)}

POLICY = {
    "policy_id": "recovery-policy-1", "threshold": 2,
    "keys": {name: key.text for name, key in RECOVERY.items()},
}
NO_RECOVERY = {"policy_id": "none", "threshold": 0, "keys": {}}


def text(value):
    return chio.canonical(value).decode()


def terms(recovery, **others):
    return dict({
        "schema": "chiolog.key-terms.v1", "origin": ORIGIN, "sequence": 0, "operation": "genesis",
        "base": {"size": 0, "root": chio.ox(chio.sha256(b""))}, "recovery": recovery,
        "bootstrap_key": BOOTSTRAP.text,
    }, **others)


def genesis(key_terms, issued_at, **others):
    """The genesis event: the parts of its making and the receipt."""
    body = chio.genesis_body(KERNEL, key_terms, issued_at, **others)
    envelope, envelope_hash = chio.envelope(body, bootstrap=BOOTSTRAP)
    metadata = {"key_event": envelope, "key_terms": key_terms}
    receipt = chio.event_receipt(KERNEL, issued_at, "authority.genesis", metadata)
    return {"terms": key_terms, "event_id": body["event_id"], "body": body, "envelope": envelope,
            "envelope_hash": envelope_hash, "content_hash": receipt["content_hash"], "id": receipt["id"],
            "entry": text(receipt), "leaf_hash": chio.ox(trees.leaf_hash(chio.canonical(receipt)))}


def genesis_vectors():
    predecessor = {"origin": "example.com/old", "size": 4096, "root": chio.ox(chio.sha256(b"old root")),
                   "statement_sha256": chio.ox(chio.sha256(b"old statement"))}
    rosters = [{"origin": ORIGIN, "witness_roster_id": f"roster-{n + 1}", "witness_keys": keys,
                "binding": chio.roster_binding(ORIGIN, f"roster-{n + 1}", keys)}
               for n, keys in enumerate([{}, {name: key.text for name, key in WITNESSES.items()}])]
    return {
        "about": "genesis events: terms, event id, envelope, its hash, and the log's leaf 0 (entry is the exact leaf); "
                 "the bindings of rule K-15. Keys: see keys.json",
        "events": [
            dict(name="recovery two of three", **genesis(terms(POLICY), START)),
            dict(name="no recovery", **genesis(terms(NO_RECOVERY), START)),
            dict(name="next key and predecessor",
                 **genesis(terms(POLICY, next_key_id=NEXT.key_id, predecessor=predecessor), START)),
            dict(name="reason", **genesis(terms(POLICY), START, reason="moved from example.com/old")),
        ],
        "recovery_bindings": [{"origin": ORIGIN, "recovery": policy, "binding": chio.recovery_binding(ORIGIN, policy)}
                              for policy in (POLICY, NO_RECOVERY)],
        "roster_bindings": rosters,
    }


class WriterMap:
    """The map of rule S-5, keyed by the raw key id."""

    def __init__(self):
        self.values = {}

    def entries(self):
        return {key: chio.canonical(value) for key, value in self.values.items()}

    def add(self, key, position):
        self.values[raw_id(key)] = {"from": position}

    def remove(self, key, position, suspect_after):
        self.values[raw_id(key)].update(until=position, suspect_after=suspect_after)

    def head(self):
        return {"size": len(self.values), "root": chio.ox(trees.trie_root(self.entries()))}


def raw_id(key):
    return bytes.fromhex(key.key_id[2:])


def map_proof(entries, key):
    """One member M of the bundle format; entries map raw keys to values."""
    encoded = {k: chio.canonical(v) for k, v in entries.items()}
    siblings, found = trees.trie_proof(encoded, key)
    proof = {"key": chio.ox(key), "siblings": notes.b64(b"".join(siblings))}
    if found is None:
        return dict(proof, end="empty")
    if found[0] == key:
        return dict(proof, end="entry", value=entries[key])
    return dict(proof, end="other", other={"key": chio.ox(found[0]), "value": entries[found[0]]})


class Log:
    """The entries of the log and what its own events say about it."""

    def __init__(self):
        self.entries, self.statements, self.statuses = [], [], []
        self.writers = WriterMap()
        self.payloads = []
        self.genesis = genesis(terms(POLICY), START)
        self.entries.append(self.genesis["entry"].encode())

    def position(self):
        return len(self.entries) + 1

    def append(self, receipt):
        self.entries.append(chio.canonical(receipt))

    def append_event(self, event, payload):
        self.payloads.append({"event": event, "index": len(self.entries), "payload": payload})
        self.append(chio.event_receipt(KERNEL, payload["issued_at"], event, {"payload": payload}))

    def change_writers(self, issued_at, added=(), removed=()):
        for key in added:
            self.writers.add(key, self.position())
        for key, suspect_after in removed:
            self.writers.remove(key, self.position(), suspect_after)
        self.append_event("writer.set-changed", dict({
            "schema": "chiolog.writer-set.v1", "origin": ORIGIN, "issued_at": issued_at,
            "added": [key.text for key in added],
            "removed": [{"key": key.text, "suspect_after": after} for key, after in removed],
        }, **self.writers.head()))

    def append_status(self, issued_at):
        last = {"checkpoint_seq": 0, "sha256": ""}
        if self.statements:
            body = self.statements[-1]["body"]
            last = {"checkpoint_seq": body["checkpoint_seq"], "sha256": chio.ox(chio.sha256(chio.canonical(body)))}
        self.statuses.append(len(self.entries))
        self.append_event("log.status", {
            "schema": "chiolog.status.v1", "origin": ORIGIN, "sequence": len(self.statuses), "issued_at": issued_at,
            "key_events": {"count": 1, "head": self.genesis["envelope_hash"]},
            "writers": self.writers.head(),
            "revocations": {"sequence": 0, "head": "", "size": 0, "root": chio.ox(trees.EMPTY)},
            "statement": last,
        })

    def publish(self, issued_at):
        start = self.statements[-1]["body"]["batch_end_seq"] + 1 if self.statements else 1
        self.statements.append(
            chio.statement(KERNEL, self.entries, start, len(self.entries), self.statements, issued_at))

    def hashes(self, size):
        return [trees.leaf_hash(entry) for entry in self.entries[:size]]

    def checkpoint(self, size, cosigned_at=()):
        """The note of one size, with a cosignature for each time given."""
        note_text = notes.checkpoint_text(ORIGIN, size, trees.root(self.hashes(size)))
        lines = [notes.signature_line(ORIGIN, KERNEL, note_text)]
        for (name, key), timestamp in zip(WITNESSES.items(), cosigned_at):
            lines.append(notes.cosignature_line(name, key, note_text, timestamp))
        return notes.note(note_text, *lines)

    def path(self, index, size):
        return trees.inclusion(index, self.hashes(size))

    def included(self, index, size):
        """One member L of the bundle format."""
        return {"index": index, "path": notes.b64(b"".join(self.path(index, size))),
                "leaf": json.loads(self.entries[index])}


STRANGE = {"\u20ac": 1, "\U0001f600": 2, "\ufb33": 3, "text": "\u007f\u0085\u2028 \"quoted\" \\ / \u00e9",
           "large": 18446744073709551615, "negative": -9223372036854775808, "none": None, "nested": [[], {}, True]}
LARGE, SUSPECT, AFTER_STATUS, FIRST_ORDINARY, BY_WRITER = 10, 7, 12, 1, 4
COSIGNED = {4: (START + 72, START + 75), 13: (START + 135, START + 133)}


def make_log():
    log = Log()
    log.append(chio.ordinary_receipt(KERNEL, START + 10, "read", {"path": "/workspace/a.txt"}))
    log.change_writers(START + 20, added=[WRITER, REMOVED])
    log.append_status(START + 60)
    log.publish(START + 60)
    log.append(chio.ordinary_receipt(WRITER, START + 70, "write", {"path": "/workspace/b.txt", "bytes": 12},
                                     metadata={"chio_receipt_signing_nonce": "call-1"}))
    log.append(chio.ordinary_receipt(REMOVED, START + 80, "read", {"path": "/workspace/c.txt"}))
    log.append(chio.ordinary_receipt(
        KERNEL, START + 81, "delete", STRANGE, tenant_id="tenant-1",
        decision={"verdict": "deny", "reason": "not in scope", "guard": "ScopeGuard"},
        evidence=[{"guard_name": "ScopeGuard", "verdict": False, "details": "delete"}]))
    log.append(chio.ordinary_receipt(REMOVED, START + 82, "read", {"path": "/workspace/d.txt"}))
    log.change_writers(START + 90, removed=[(REMOVED, SUSPECT)])
    log.append(chio.child_receipt(KERNEL, START + 100, "child-1"))
    log.append(chio.ordinary_receipt(KERNEL, START + 110, "write", {"data": "0123456789abcdef" * 3000}))
    log.append_status(START + 120)
    log.append(chio.ordinary_receipt(KERNEL, START + 121, "read", {"path": "/workspace/e.txt"}))
    log.publish(START + 130)
    return log


def bundle(log, index, size, status, receipt=True, **others):
    """A bundle of one receipt, or a status file where index is the status's."""
    extra = dict({"schema": "chiolog.bundle.v1", "status": log.included(status, size),
                  "events": [log.included(0, size)]}, **others)
    if receipt:
        extra["receipt"] = json.loads(log.entries[index])
    data = chio.canonical(extra)
    assert len(data) <= 48_000, "V-1 demands to leave something out"
    return notes.proof_file(data, index, log.path(index, size), log.checkpoint(size, COSIGNED[size]))


def bundle_files(log):
    """The proof files by name."""
    old, size = (log.statements[0]["body"]["batch_end_seq"], len(log.entries))
    first, status = log.statuses
    writers = log.writers.values
    unknown = chio.sha256(b"chiolog.revocation-key.v1\0capability\0cap-vectors")
    from_old = {"size": old, "path": notes.b64(b"".join(trees.consistency(old, log.hashes(size))))}
    return {
        "bundle-kernel.tlog-proof": bundle(log, AFTER_STATUS, size, status),
        "bundle-writer.tlog-proof": bundle(log, BY_WRITER, size, status, writer=[map_proof(writers, raw_id(WRITER))]),
        "bundle-suspect.tlog-proof": bundle(log, SUSPECT, size, status, writer=[map_proof(writers, raw_id(REMOVED))]),
        "bundle-beside.tlog-proof": bundle(log, LARGE, size, status, receipt=False),
        "bundle-old.tlog-proof": bundle(log, FIRST_ORDINARY, old, first),
        "status.tlog-proof": bundle(
            log, status, size, status, receipt=False, consistency=[from_old],
            writer=[map_proof(writers, raw_id(key)) for key in (WRITER, REMOVED, NEXT)],
            revocation=[map_proof({}, unknown)]),
    }


def bundle_vectors(log):
    quorum_time = {size: min(times) for size, times in COSIGNED.items()}
    as_of = min(START + 120, quorum_time[13])

    def row(file, index, verdict, **others):
        return dict({"file": file, "index": index, "size": 13, "verdict": verdict, "as_of": as_of}, **others)

    return {
        "about": "what a verifier with policy.txt says about each proof file (as_of in Unix seconds); "
                 "receipt: the receipt's own file where it is beside the bundle; "
                 "status: the status file that judges the bundle",
        "bundles": [
            row("bundle-kernel.tlog-proof", AFTER_STATUS, "verified"),
            row("bundle-writer.tlog-proof", BY_WRITER, "verified"),
            row("bundle-suspect.tlog-proof", SUSPECT, "suspect"),
            row("bundle-beside.tlog-proof", LARGE, "verified", receipt="receipt-beside.json"),
            row("bundle-beside.tlog-proof", LARGE, "could not tell", **{"class": "no-receipt"}),
            row("bundle-old.tlog-proof", FIRST_ORDINARY, "verified", size=4,
                as_of=min(START + 60, quorum_time[4])),
            row("bundle-old.tlog-proof", FIRST_ORDINARY, "verified", status="status.tlog-proof"),
        ],
        "status_file": {"file": "status.tlog-proof", "index": log.statuses[1], "size": 13, "consistency": [4],
                        "writers": [WRITER.key_id, REMOVED.key_id, NEXT.key_id]},
    }


def policy_text():
    lines = ["# the pins of the vectors: the log's key and two witnesses, both of which must have cosigned",
             "log " + notes.vkey(ORIGIN, 1, KERNEL)]
    for name, key in WITNESSES.items():
        short = name.rsplit("/", 1)[1]
        lines.append(f"witness {short} {notes.vkey(name, 4, key)} https://{name}")
    lines += ["group both all w1 w2", "quorum both"]
    return "\n".join(lines) + "\n"


def map_vectors():
    named = {f"{n} entries": {chio.sha256(b"map key %d" % i): {"from": i + 1} for i in range(n)} for n in (0, 1, 2, 5, 64)}
    named["keys differ in the last bit"] = {bytes(32): {"from": 1}, bytes(31) + b"\1": {"from": 2, "until": 9}}
    maps = []
    for name, entries in named.items():
        proofs, ends = [], set()
        for key in list(entries)[:3] + [chio.sha256(b"absent key %d" % i) for i in range(64)] + [bytes([0x80]) + bytes(31)]:
            proof = map_proof(entries, key)
            if key in entries or proof["end"] not in ends:
                proofs.append(proof)
                ends.add(proof["end"])
        maps.append({
            "name": name,
            "entries": [{"key": chio.ox(key), "value": value} for key, value in entries.items()],
            "root": chio.ox(trees.trie_root({k: chio.canonical(v) for k, v in entries.items()})),
            "proofs": proofs})
    return {"about": "maps of rule S-4: entries, root, and proofs in the form of the bundle format; every proof holds",
            "maps": maps}


def key_vectors():
    def row(role, key, **others):
        return dict({"role": role, "seed": key.seed.hex(), "public_key": key.text, "key_id": key.key_id}, **others)

    rows = [row("kernel", KERNEL, vkey=notes.vkey(ORIGIN, 1, KERNEL),
                log_id="local-log-" + hashlib.sha256(KERNEL.raw).hexdigest()),
            row("next", NEXT), row("bootstrap", BOOTSTRAP), row("writer", WRITER), row("removed writer", REMOVED)]
    rows += [row("recovery", key, name=name) for name, key in RECOVERY.items()]
    rows += [row("witness", key, name=name, vkey=notes.vkey(name, 4, key)) for name, key in WITNESSES.items()]
    return {"about": f"the keys of the log {ORIGIN}: test keys, each the Ed25519 seed of one byte 32 times", "keys": rows}


def log_vectors(log):
    return {
        "about": "the whole log: each leaf as its exact text, the leaf hashes, the root of every size from 0",
        "origin": ORIGIN,
        "entries": [entry.decode() for entry in log.entries],
        "leaf_hashes": [chio.ox(h) for h in log.hashes(len(log.entries))],
        "roots": [chio.ox(trees.root(log.hashes(n))) for n in range(len(log.entries) + 1)],
    }


def checkpoint_vectors(log):
    return {
        "about": "the statements of both batches with what they commit to, and the notes of three sizes, "
                 "signed and cosigned (times in Unix seconds)",
        "statements": [{
            "statement": s, "sha256": chio.hex_hash(chio.canonical(s["body"])),
            "chain_leaf_hash": chio.ox(chio.chain_leaf(s["body"]))} for s in log.statements],
        "notes": [{"size": 0, "signed": log.checkpoint(0)}] + [
            {"size": size, "signed": log.checkpoint(size), "cosigned": log.checkpoint(size, times),
             "cosigned_at": list(times)} for size, times in COSIGNED.items()],
    }


def event_vectors(log):
    writers = [{"key_id": chio.ox(key), "value": value} for key, value in log.writers.values.items()]
    rollback = {"schema": "chiolog.rollback-accepted.v1", "origin": ORIGIN, "issued_at": START + 140,
                "checkpoint_seq": 2, "size": 13, "root": chio.ox(trees.root(log.hashes(13)))}
    receipt = chio.event_receipt(KERNEL, rollback["issued_at"], "rollback.accepted", {"payload": rollback})
    return {"about": "payloads of the log's own events other than the genesis, by the index of their leaf in log.json; "
                     "the writer map after the last of them; apart: events that are no leaf of that log, with their entries",
            "events": log.payloads, "writers": writers,
            "apart": [{"event": "rollback.accepted", "payload": rollback, "entry": chio.canonical(receipt).decode()}]}


def check_against_chio():
    """Reproduces documents of Chio itself, so that a shared misreading shows."""
    for case in json.loads((HERE / "../chio/bindings/canonical-v1.json").read_text())["cases"]:
        try:
            got = text(json.loads(case["input_json"]))
        except TypeError:
            continue  # a fraction
        assert got == case["canonical_json"], case
    for name, roles in {"genesis": {"bootstrap": 1}, "rotation": {"old_key": 2, "new_key": 3}}.items():
        path = HERE / f"../chio/key-log/key-log-event-envelope-{name}-v1.json"
        want = json.loads(path.read_text())
        got, got_hash = chio.envelope(want["body"], **{role: chio.Key(byte) for role, byte in roles.items()})
        assert got == want, name
        if name == "genesis":
            genesis_hash = got_hash
        else:
            assert want["body"]["previous_event_hash"] == genesis_hash


def main():
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parent / "chiolog"
    folder.mkdir(parents=True, exist_ok=True)
    check_against_chio()
    log = make_log()
    vectors = {
        "keys.json": key_vectors(), "genesis.json": genesis_vectors(), "events.json": event_vectors(log),
        "log.json": log_vectors(log), "maps.json": map_vectors(), "checkpoints.json": checkpoint_vectors(log),
        "bundles.json": bundle_vectors(log),
    }
    files = {name: json.dumps(value, indent=1) + "\n" for name, value in vectors.items()}
    files.update(bundle_files(log))
    files["policy.txt"] = policy_text()
    files["receipt-beside.json"] = log.entries[LARGE].decode()
    for name, content in files.items():
        (folder / name).write_bytes(content.encode())


if __name__ == "__main__":
    main()
