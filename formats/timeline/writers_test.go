package timeline

import (
	"slices"
	"strings"
	"testing"

	"github.com/chiolog/chiolog/formats/chio"
)

// goodTimeline is a timeline after the good genesis, read under a policy that
// pins witnessKey.
func goodTimeline(t testing.TB) *Timeline {
	t.Helper()
	e, err := ParseLogEntry(genesisEdit{}.entry(t))
	if err != nil {
		t.Fatal(err)
	}
	tl := New(testOrigin, witnessKey.Key)
	if err := tl.Apply(0, e); err != nil {
		t.Fatal(err)
	}
	return tl
}

func TestK_1_Writers(t *testing.T) {
	tl := goodTimeline(t)
	var before Writers
	_, writers, err := before.Change(tl, 3, vectorTime, []string{writerKey.Text(), removedKey.Text()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, writers, err = writers.Change(tl, 9, vectorTime, nil, []RemovedWriter{{Key: removedKey.Text()}})
	if err != nil {
		t.Fatal(err)
	}
	other := newTestKey(0x51)
	small := newSmallOrderKey(t)
	for _, tt := range []struct {
		name     string
		accepted bool
		added    []string
		removed  []string
	}{
		{"new key", true, []string{other.Text()}, nil},
		{"new key twice", false, []string{other.Text(), other.Text()}, nil},
		{"kernel key", false, []string{kernelKey.Text()}, nil},
		{"bootstrap key", false, []string{bootstrapKey.Text()}, nil},
		{"recovery key", false, []string{newTestKey(0x22).Text()}, nil},
		{"witness key", false, []string{witnessKey.Text()}, nil},
		{"writer", false, []string{writerKey.Text()}, nil},
		{"removed writer", false, []string{removedKey.Text()}, nil},
		{"key of small order", false, []string{small.Text()}, nil},
		{"no key text", false, []string{"0x" + other.Text()}, nil},
		{"key text in upper case", false, []string{strings.ToUpper(other.Text())}, nil},
		{"removal of a writer", true, nil, []string{writerKey.Text()}},
		{"removal twice", false, nil, []string{writerKey.Text(), writerKey.Text()}},
		{"removal of a removed writer", false, nil, []string{removedKey.Text()}},
		{"removal of nobody", false, nil, []string{other.Text()}},
		{"adding and removal at once", false, []string{other.Text()}, []string{other.Text()}},
	} {
		var removed []RemovedWriter
		for _, key := range tt.removed {
			removed = append(removed, RemovedWriter{Key: key})
		}
		root := writers.Map.Root()
		set, after, err := writers.Change(tl, 12, vectorTime, tt.added, removed)
		if (err == nil) != tt.accepted {
			t.Errorf("%s: %v", tt.name, err)
		}
		if writers.Map.Root() != root || len(writers.Current()) != 1 {
			t.Errorf("%s: Change changed the set", tt.name)
		}
		if err == nil && (set.Root != after.Map.Root() || set.Size != uint64(after.Map.Len())) {
			t.Errorf("%s: payload with size %d and root %s", tt.name, set.Size, set.Root)
		}
	}
}

// TestS_5_SuspectAfter: from − 1 ≤ s < until, the event's own position.
func TestS_5_SuspectAfter(t *testing.T) {
	tl := goodTimeline(t)
	var none Writers
	_, writers, err := none.Change(tl, 3, vectorTime, []string{writerKey.Text()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for after, accepted := range map[uint64]bool{1: false, 2: true, 8: true, 9: false} {
		_, changed, err := writers.Change(tl, 9, vectorTime, nil, []RemovedWriter{{Key: writerKey.Text(), SuspectAfter: &after}})
		if (err == nil) != accepted {
			t.Errorf("suspect_after %d: %v", after, err)
		}
		if err != nil {
			continue
		}
		w, ok := changed.Get(writerKey.Key)
		if !ok || w.From != 3 || *w.Until != 9 || *w.SuspectAfter != after || changed.Map.Len() != 1 || len(changed.Current()) != 0 {
			t.Errorf("suspect_after %d: entry %+v", after, w)
		}
	}
}

// TestDESIGN_2_WriterSet reads changed payloads of writer.set-changed.
func TestDESIGN_2_WriterSet(t *testing.T) {
	tl := goodTimeline(t)
	var none Writers
	good, after, err := none.Change(tl, 3, vectorTime, []string{writerKey.Text()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name     string
		accepted bool
		index    uint64
		edit     func(object)
	}{
		{"good", true, 2, nil},
		{"at another position", false, 3, nil},
		{"another schema", false, 2, set("schema", "chiolog.writer-set.v2")},
		{"origin of another log", false, 2, set("origin", "example.com/other")},
		{"unknown member", false, 2, set("comment", "")},
		{"no added", false, 2, remove("added")},
		{"null added", false, 2, all(set("added", nil), set("size", 0), set("root", chio.Hash{}))},
		{"empty added", true, 2, all(set("added", []string{}), set("size", 0), set("root", chio.Hash{}))},
		{"no removed", false, 2, remove("removed")},
		{"null removed", false, 2, set("removed", nil)},
		{"unknown member of removed", false, 2, set("removed", []object{{"key": writerKey.Text(), "until": 3}})},
		{"size before", false, 2, set("size", 0)},
		{"root before", false, 2, set("root", chio.Hash{})},
	} {
		payload := edit(tt.edit, object{"schema": WriterSetSchema, "origin": testOrigin, "issued_at": vectorTime,
			"added": good.Added, "removed": good.Removed, "size": good.Size, "root": good.Root})
		entry := eventEntry(t, object{"event": EventWriterSet, "payload": payload}, vectorTime, kernelKey, nil, nil)
		e, err := ParseLogEntry(entry)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		var writers Writers
		if err := writers.Apply(tl, tt.index, e); (err == nil) != tt.accepted {
			t.Errorf("%s: %v", tt.name, err)
		} else if err != nil && writers.Map.Len() != 0 {
			t.Errorf("%s: a refused change has an effect", tt.name)
		}
	}
	if got := after.Current(); !slices.Equal(got, []string{writerKey.Text()}) {
		t.Errorf("writers %v", got)
	}
	status, err := ParseLogEntry(eventEntry(t, object{"event": EventStatus, "payload": statusPayload()}, vectorTime, kernelKey, nil, nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := none.Apply(tl, 2, status); err == nil {
		t.Error("a status is applied as a writer set")
	}
}
