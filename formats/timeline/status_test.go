package timeline

import (
	"strings"
	"testing"

	"github.com/chiolog/chiolog/formats/chio"
)

// statusPayload is a good status with edits.
func statusPayload(edits ...func(object)) object {
	return edit(all(edits...), object{
		"schema": StatusSchema, "origin": testOrigin, "sequence": 3, "issued_at": vectorTime,
		"key_events":  object{"count": 1, "head": hashOf("head")},
		"writers":     object{"size": 2, "root": hashOf("writers")},
		"revocations": object{"sequence": 1, "head": hashOf("delta"), "size": 1, "root": hashOf("revocations")},
		"statement":   object{"checkpoint_seq": 7, "sha256": hashOf("statement")},
	})
}

// parseStatus reads a payload in a receipt of the right form.
func parseStatus(t *testing.T, event string, payload object) (*Status, error) {
	t.Helper()
	e, err := ParseLogEntry(eventEntry(t, object{"event": event, "payload": payload}, vectorTime, kernelKey, nil, nil))
	if err != nil {
		t.Fatal(err)
	}
	return ParseStatus(e, testOrigin)
}

func TestS_1_Status(t *testing.T) {
	zero := chio.Hash{}
	none := object{"sequence": 0, "head": "", "size": 0, "root": zero}
	for _, tt := range []struct {
		name     string
		accepted bool
		edit     func(object)
	}{
		{"good", true, nil},
		{"another schema", false, set("schema", "chiolog.status.v2")},
		{"origin of another log", false, set("origin", "example.com/other")},
		{"sequence 1", true, set("sequence", 1)},
		{"sequence 0", false, set("sequence", 0)},
		{"unknown member", false, set("comment", "")},
		{"unknown member inside", false, set("comment", "", "writers")},
		{"no writers", false, remove("writers")},
		{"no statement", false, remove("statement")},
		{"no key event", false, set("key_events", object{"count": 0, "head": ""})},
		{"key events without head", false, set("head", "", "key_events")},
		{"head without key events", false, set("count", 0, "key_events")},
		{"head without 0x", false, set("head", hashOf("head").Hex(), "key_events")},
		{"head in upper case", false, set("head", "0x"+strings.ToUpper(hashOf("head").Hex()), "key_events")},
		{"empty writer map", true, set("writers", object{"size": 0, "root": zero})},
		{"empty writer map with a root", false, set("size", 0, "writers")},
		{"writers with the empty root", false, set("root", zero, "writers")},
		{"writers with an empty text for a root", false, set("writers", object{"size": 0, "root": ""})},
		{"before the first delta", true, set("revocations", none)},
		{"deltas without head", false, set("head", "", "revocations")},
		{"head before the first delta", false, set("sequence", 0, "revocations")},
		{"delta of an empty set", true, all(set("size", 0, "revocations"), set("root", zero, "revocations"))},
		{"empty set with a root", false, set("size", 0, "revocations")},
		{"revocations with the empty root", false, set("root", zero, "revocations")},
		{"revocations before the first delta", false, all(set("sequence", 0, "revocations"), set("head", "", "revocations"))},
		{"before the first statement", true, set("statement", object{"checkpoint_seq": 0, "sha256": ""})},
		{"statement without hash", false, set("sha256", "", "statement")},
		{"hash before the first statement", false, set("checkpoint_seq", 0, "statement")},
	} {
		if _, err := parseStatus(t, EventStatus, statusPayload(tt.edit)); (err == nil) != tt.accepted {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	if _, err := parseStatus(t, "log.frozen", statusPayload()); err == nil {
		t.Error("a status under another event's name is read")
	}
}

func TestS_2_Successor(t *testing.T) {
	first, err := parseStatus(t, EventStatus, statusPayload())
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name     string
		sequence uint64
		issuedAt uint64
		accepted bool
	}{
		{"next", 4, vectorTime + 1, true},
		{"in the same second", 4, vectorTime, true},
		{"earlier", 4, vectorTime - 1, false},
		{"same sequence", 3, vectorTime, false},
		{"gap", 5, vectorTime, false},
	} {
		next := *first
		next.Sequence, next.IssuedAt = tt.sequence, tt.issuedAt
		if err := first.CheckSuccessor(&next); (err == nil) != tt.accepted {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestS_5_WriterEntry(t *testing.T) {
	for _, tt := range []struct {
		value    string
		accepted bool
	}{
		{`{"from":1}`, true},
		{`{"from":0}`, false},
		{`{}`, false},
		{`{"from":3,"until":4}`, true},
		{`{"from":3,"until":3}`, false},
		{`{"from":3,"until":null}`, false},
		{`{"from":3,"suspect_after":2,"until":9}`, true},
		{`{"from":3,"suspect_after":1,"until":9}`, false},
		{`{"from":3,"suspect_after":8,"until":9}`, true},
		{`{"from":3,"suspect_after":9,"until":9}`, false},
		{`{"from":3,"suspect_after":3}`, false},
		{`{"from":1,"suspect_after":0,"until":9}`, true},
		{`{"from":3,"key":""}`, false},
		{`{"until":9,"from":3}`, false},
		{`{"from":9007199254740992}`, false},
	} {
		if _, err := ParseWriter([]byte(tt.value)); (err == nil) != tt.accepted {
			t.Errorf("%s: %v", tt.value, err)
		}
	}
}

func TestS_5_Positions(t *testing.T) {
	w, err := ParseWriter([]byte(`{"from":3,"suspect_after":5,"until":9}`))
	if err != nil {
		t.Fatal(err)
	}
	for position, want := range map[uint64][2]bool{2: {false, false}, 3: {true, false}, 5: {true, false}, 6: {true, true}, 8: {true, true}, 9: {false, true}} {
		if in, suspect := w.Range().Contains(position), w.Suspect(position); in != want[0] || suspect != want[1] {
			t.Errorf("position %d: in range %t, suspect %t", position, in, suspect)
		}
	}
	open, err := ParseWriter([]byte(`{"from":3}`))
	if err != nil {
		t.Fatal(err)
	}
	if open.Range().Contains(2) || !open.Range().Contains(1<<53) || open.Suspect(1<<53) {
		t.Errorf("open range %+v", open.Range())
	}
}
