package timeline

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chiolog/chiolog/formats/checkpoint"
	"github.com/chiolog/chiolog/formats/chio"
	"github.com/chiolog/chiolog/formats/receipt"
	"github.com/chiolog/chiolog/internal/jcs"
)

const testOrigin = "example.com/log"

// readVector decodes testdata/name, in which every member must be known.
func readVector(t testing.TB, name string, v any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("../../testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// A testKey is an Ed25519 key whose seed is one byte 32 times.
type testKey struct {
	chio.Key
	private ed25519.PrivateKey
}

func newTestKey(seed byte) testKey {
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, 32))
	return testKey{chio.NewEd25519(private.Public().(ed25519.PublicKey)), private}
}

func (k testKey) sign(message []byte) (string, error) {
	return hex.EncodeToString(ed25519.Sign(k.private, message)), nil
}

// The keys of the vectors.
var (
	kernelKey    = newTestKey(0x07)
	nextKey      = newTestKey(0x08)
	bootstrapKey = newTestKey(0x11)
	writerKey    = newTestKey(0x31)
	removedKey   = newTestKey(0x32)
	witnessKey   = newTestKey(0x41)
)

// vectorTime is the genesis's issued_at, Unix seconds.
const vectorTime = 1_790_000_000

func recoveryPolicy() *RecoveryPolicy {
	p := &RecoveryPolicy{Keys: map[string]string{}, PolicyID: "recovery-policy-1", Threshold: 2}
	for i, id := range []string{"recovery-1", "recovery-2", "recovery-3"} {
		p.Keys[id] = newTestKey(0x21 + byte(i)).Text()
	}
	return p
}

// entryOf makes the entry of a log-authored receipt by key.
func entryOf(t testing.TB, m Metadata, key testKey) []byte {
	t.Helper()
	draft, err := NewDraft(m, key.Key)
	if err != nil {
		t.Fatal(err)
	}
	signature, _ := key.sign(draft.SignedBytes())
	entry, err := draft.Entry(signature)
	if err != nil {
		t.Fatal(err)
	}
	return entry
}

func sameText(t testing.TB, what string, got []byte, want string) {
	t.Helper()
	if string(got) != want {
		t.Errorf("%s\n got %s\nwant %s", what, got, want)
	}
}

// canonical gives the canonical form of a member of a vector file.
func canonical(t testing.TB, v json.RawMessage) string {
	t.Helper()
	c, err := jcs.Canonical(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(c)
}

func TestVectorKeys(t *testing.T) {
	var file struct {
		About string
		Keys  []struct {
			Role, Seed, Name, VKey string
			PublicKey              string    `json:"public_key"`
			KeyID                  chio.Hash `json:"key_id"`
			LogID                  string    `json:"log_id"`
		}
	}
	readVector(t, "chiolog/keys.json", &file)
	for _, k := range file.Keys {
		seed, _ := hex.DecodeString(k.Seed)
		key := newTestKey(seed[0])
		if key.Text() != k.PublicKey || key.ID() != k.KeyID {
			t.Errorf("%s %s: key %s with id %s", k.Role, k.Name, key.Text(), key.ID())
		}
		if k.LogID != "" && checkpoint.LogID(key.Key) != k.LogID {
			t.Errorf("%s: log id %s", k.Role, checkpoint.LogID(key.Key))
		}
		var vkey checkpoint.VKey
		var err error
		switch k.Role {
		case "kernel":
			vkey, err = checkpoint.NewVKey(testOrigin, key.Key)
		case "witness":
			vkey, err = checkpoint.NewCosignatureVKey(k.Name, key.Ed25519())
		default:
			continue
		}
		if err != nil || vkey.String() != k.VKey {
			t.Errorf("%s %s: vkey %s, %v; want %s", k.Role, k.Name, vkey, err, k.VKey)
		}
	}
}

// A genesisVector is one genesis, made by the second routine.
type genesisVector struct {
	Name         string
	Terms        json.RawMessage
	EventID      string `json:"event_id"`
	Body         json.RawMessage
	Envelope     json.RawMessage
	EnvelopeHash chio.Hash `json:"envelope_hash"`
	ContentHash  string    `json:"content_hash"`
	ID           string
	Entry        string
	LeafHash     chio.Hash `json:"leaf_hash"`
}

func genesisVectors(t testing.TB) []genesisVector {
	var file struct {
		About            string
		Events           []genesisVector
		RecoveryBindings json.RawMessage `json:"recovery_bindings"`
		RosterBindings   json.RawMessage `json:"roster_bindings"`
	}
	readVector(t, "chiolog/genesis.json", &file)
	return file.Events
}

func TestVectorGenesisBuild(t *testing.T) {
	predecessor := &Predecessor{
		Origin: "example.com/old", Size: 4096,
		Root: hashOf("old root"), StatementSHA256: chio.OptionalHash{Hash: hashOf("old statement"), Valid: true},
	}
	next := nextKey.ID()
	builds := map[string]Genesis{
		"recovery two of three":    {Recovery: recoveryPolicy()},
		"no recovery":              {Recovery: NoRecovery()},
		"next key and predecessor": {Recovery: recoveryPolicy(), NextKeyID: &next, Predecessor: predecessor},
	}
	for _, v := range genesisVectors(t) {
		g, ok := builds[v.Name]
		if !ok {
			continue
		}
		delete(builds, v.Name)
		g.Origin, g.Key, g.Bootstrap, g.IssuedAt = testOrigin, kernelKey.Key, bootstrapKey.Key, vectorTime
		m, err := g.Metadata(bootstrapKey.sign)
		if err != nil {
			t.Fatalf("%s: %v", v.Name, err)
		}
		sameText(t, v.Name+": terms", m.KeyTerms, canonical(t, v.Terms))
		sameText(t, v.Name+": envelope", m.KeyEvent, canonical(t, v.Envelope))
		sameText(t, v.Name+": entry", entryOf(t, m, kernelKey), v.Entry)
		if h := EnvelopeHash(m.KeyEvent); h != v.EnvelopeHash {
			t.Errorf("%s: envelope hash %s, want %s", v.Name, h, v.EnvelopeHash)
		}
	}
	if len(builds) != 0 {
		t.Errorf("no vector for %v", builds)
	}
}

func hashOf(text string) chio.Hash {
	h, err := chio.ParseHex(hexSum([]byte(text)))
	if err != nil {
		panic(err)
	}
	return h
}

func TestVectorGenesisRead(t *testing.T) {
	for _, v := range genesisVectors(t) {
		e, err := ParseLogEntry([]byte(v.Entry))
		if err != nil {
			t.Fatalf("%s: %v", v.Name, err)
		}
		if e.IssuedAt != vectorTime || !e.Key.Equal(kernelKey.Key) || e.Event != EventGenesis {
			t.Errorf("%s: read as %s of %d by %s", v.Name, e.Event, e.IssuedAt, e.Key.Text())
		}
		sameText(t, v.Name+": terms", e.KeyTerms, canonical(t, v.Terms))
		envelope, err := ParseEnvelope(e.KeyEvent)
		if err != nil {
			t.Fatalf("%s: %v", v.Name, err)
		}
		body, err := jcs.Marshal(envelope.Body)
		if err != nil {
			t.Fatal(err)
		}
		sameText(t, v.Name+": body", body, canonical(t, v.Body))
		if envelope.Body.EventID != v.EventID || eventID(e.KeyTerms) != v.EventID {
			t.Errorf("%s: event id %s", v.Name, envelope.Body.EventID)
		}
		r, err := receipt.ParseCanonical([]byte(v.Entry))
		if err != nil {
			t.Fatal(err)
		}
		if r.ID != v.ID || chio.Hash(r.LeafHash()) != v.LeafHash {
			t.Errorf("%s: id %s, leaf hash %s", v.Name, r.ID, chio.Hash(r.LeafHash()))
		}
		tl := New(testOrigin)
		if err := tl.Apply(0, e); err != nil {
			t.Fatalf("%s: %v", v.Name, err)
		}
		if tl.Count() != 1 || tl.Head() != (chio.OptionalHash{Hash: v.EnvelopeHash, Valid: true}) {
			t.Errorf("%s: %d events, head %s", v.Name, tl.Count(), tl.Head().Hash)
		}
	}
}

// A logVector is the whole log of the second routine.
type logVector struct {
	About, Origin string
	Entries       []string
	LeafHashes    []chio.Hash `json:"leaf_hashes"`
	Roots         []chio.Hash
}

func vectorLog(t testing.TB) logVector {
	var v logVector
	readVector(t, "chiolog/log.json", &v)
	return v
}

func TestVectorTree(t *testing.T) {
	v := vectorLog(t)
	var tree checkpoint.Frontier
	for i, entry := range v.Entries {
		if root := chio.Hash(tree.Root()); root != v.Roots[i] {
			t.Errorf("root of size %d is %s, want %s", i, root, v.Roots[i])
		}
		r, err := receipt.ParseCanonical([]byte(entry))
		if err != nil {
			t.Fatalf("entry %d: %v", i, err)
		}
		if err := r.Verify(); err != nil || !r.ParameterHashValid() {
			t.Errorf("entry %d: %v", i, err)
		}
		if h := chio.Hash(r.LeafHash()); h != v.LeafHashes[i] {
			t.Errorf("leaf hash %d is %s, want %s", i, h, v.LeafHashes[i])
		}
		tree.Append(r.LeafHash())
	}
	if root := chio.Hash(tree.Root()); root != v.Roots[len(v.Entries)] {
		t.Errorf("root of the whole log is %s, want %s", root, v.Roots[len(v.Entries)])
	}
}

// An eventsVector holds the log's own receipts other than the genesis.
type eventsVector struct {
	About  string
	Events []struct {
		Event   string
		Index   uint64
		Payload json.RawMessage
	}
	Writers []struct {
		KeyID chio.Hash `json:"key_id"`
		Value json.RawMessage
	}
	Apart []struct {
		Event   string
		Payload json.RawMessage
		Entry   string
	}
}

// TestVectorRollback builds and reads the receipt of an operator's word.
func TestVectorRollback(t *testing.T) {
	var file eventsVector
	readVector(t, "chiolog/events.json", &file)
	if len(file.Apart) != 1 || file.Apart[0].Event != EventRollback {
		t.Fatalf("events apart: %+v", file.Apart)
	}
	want := file.Apart[0]
	var doc RollbackAccepted
	if err := json.Unmarshal(want.Payload, &doc); err != nil {
		t.Fatal(err)
	}
	m, err := doc.Metadata()
	if err != nil {
		t.Fatal(err)
	}
	sameText(t, want.Event, entryOf(t, m, kernelKey), want.Entry)
	e, err := ParseLogEntry([]byte(want.Entry))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ParseRollback(e, doc.Origin); err != nil || *got != doc {
		t.Errorf("read back: %+v, %v", got, err)
	}
	if _, err := ParseRollback(e, "example.com/other"); err == nil {
		t.Error("a rollback of another log is read")
	}
}

// TestVectorEvents replays the log's own receipts, and builds each again from
// the state before it.
func TestVectorEvents(t *testing.T) {
	v := vectorLog(t)
	var file eventsVector
	readVector(t, "chiolog/events.json", &file)
	tl := New(v.Origin, witnessKey.Key)
	genesis, err := ParseLogEntry([]byte(v.Entries[0]))
	if err != nil {
		t.Fatal(err)
	}
	if err := tl.Apply(0, genesis); err != nil {
		t.Fatal(err)
	}
	var writers Writers
	var last *Status
	for _, want := range file.Events {
		entry := []byte(v.Entries[want.Index])
		e, err := ParseLogEntry(entry)
		if err != nil {
			t.Fatalf("entry %d: %v", want.Index, err)
		}
		sameText(t, want.Event, e.Payload, canonical(t, want.Payload))
		var m Metadata
		switch e.Event {
		case EventWriterSet:
			m = rebuildWriters(t, tl, &writers, want.Index, e)
		case EventStatus:
			last, m = rebuildStatus(t, tl, &writers, last, e)
		default:
			t.Fatalf("event %s", e.Event)
		}
		sameText(t, want.Event, entryOf(t, m, kernelKey), string(entry))
	}
	if len(file.Writers) != writers.Map.Len() || len(file.Writers) == 0 {
		t.Errorf("%d writers, want %d", writers.Map.Len(), len(file.Writers))
	}
	for _, w := range file.Writers {
		value, _ := writers.Map.Get(w.KeyID)
		sameText(t, "writer", value, canonical(t, w.Value))
	}
	if got := writers.Current(); !slices.Equal(got, []string{writerKey.Text()}) {
		t.Errorf("current writers %v", got)
	}
}

func rebuildWriters(t *testing.T, tl *Timeline, writers *Writers, index uint64, e *LogEntry) Metadata {
	var want WriterSet
	if err := json.Unmarshal(e.Payload, &want); err != nil {
		t.Fatal(err)
	}
	set, after, err := writers.Change(tl, index+1, e.IssuedAt, want.Added, want.Removed)
	if err != nil {
		t.Fatal(err)
	}
	if err := writers.Apply(tl, index, e); err != nil {
		t.Fatal(err)
	}
	if writers.Map.Root() != after.Map.Root() {
		t.Errorf("index %d: Change and Apply come to different maps", index)
	}
	m, err := set.Metadata()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func rebuildStatus(t *testing.T, tl *Timeline, writers *Writers, last *Status, e *LogEntry) (*Status, Metadata) {
	got, err := ParseStatus(e, tl.Origin())
	if err != nil {
		t.Fatal(err)
	}
	again := &Status{
		IssuedAt: e.IssuedAt, Origin: tl.Origin(), Schema: StatusSchema, Sequence: 1,
		KeyEvents: KeyEventsStatus{Count: tl.Count(), Head: tl.Head()},
		Writers:   writers.Map.Status(), Statement: got.Statement,
	}
	if last != nil {
		if err := last.CheckSuccessor(got); err != nil {
			t.Error(err)
		}
		again.Sequence = last.Sequence + 1
	}
	m, err := again.Metadata()
	if err != nil {
		t.Fatal(err)
	}
	return got, m
}

// mapsVector holds maps of rule S-4 with proofs.
type mapsVector struct {
	About string
	Maps  []struct {
		Name    string
		Entries []struct {
			Key   chio.Hash
			Value json.RawMessage
		}
		Root   chio.Hash
		Proofs []json.RawMessage
	}
}

func TestVectorMaps(t *testing.T) {
	var file mapsVector
	readVector(t, "chiolog/maps.json", &file)
	ends := map[string]int{}
	for _, v := range file.Maps {
		var m Map
		for _, e := range v.Entries {
			m.Set(e.Key, []byte(canonical(t, e.Value)))
		}
		if m.Root() != v.Root || m.Len() != len(v.Entries) {
			t.Errorf("%s: root %s of %d entries, want %s", v.Name, m.Root(), m.Len(), v.Root)
		}
		for _, raw := range v.Proofs {
			var p MapProof
			if err := jcs.Unmarshal([]byte(canonical(t, raw)), &p, jcs.StrictNumbers); err != nil {
				t.Fatalf("%s: %v", v.Name, err)
			}
			ends[p.End]++
			if present, err := p.Verify(v.Root); err != nil || present != (p.End == EndEntry) {
				t.Errorf("%s: key %s: present %t, %v", v.Name, p.Key, present, err)
			}
			again, err := jcs.Marshal(m.Prove(p.Key))
			if err != nil {
				t.Fatal(err)
			}
			sameText(t, v.Name, again, canonical(t, raw))
		}
	}
	if ends[EndEntry] == 0 || ends[EndOther] == 0 || ends[EndEmpty] == 0 {
		t.Errorf("proofs by their ends: %v", ends)
	}
}

// TestVectorCheckpoints rebuilds the statements and the notes of the log.
func TestVectorCheckpoints(t *testing.T) {
	log := vectorLog(t)
	var file struct {
		About      string
		Statements []struct {
			Statement json.RawMessage
			SHA256    string
			ChainLeaf chio.Hash `json:"chain_leaf_hash"`
		}
		Notes []struct {
			Size             uint64
			Signed, Cosigned string
			CosignedAt       []uint64 `json:"cosigned_at"`
		}
	}
	readVector(t, "chiolog/checkpoints.json", &file)
	var chain checkpoint.Chain
	for i, v := range file.Statements {
		s, err := checkpoint.ParseStatement([]byte(canonical(t, v.Statement)))
		if err != nil {
			t.Fatal(err)
		}
		if err := chain.Append(s); err != nil {
			t.Errorf("statement %d: %v", i+1, err)
		}
		var batch checkpoint.Frontier
		for _, h := range log.LeafHashes[s.Body.BatchStartSeq-1 : s.Body.BatchEndSeq] {
			batch.Append(h)
		}
		sha, err := s.Body.SHA256()
		if err != nil || sha.Hex() != v.SHA256 || s.Body.MerkleRoot != chio.Hash(batch.Root()) || chio.Hash(s.Body.ChainLeaf()) != v.ChainLeaf {
			t.Errorf("statement %d: hash %s (%v), batch root %s, chain leaf %s", i+1, sha, err, chio.Hash(batch.Root()), chio.Hash(s.Body.ChainLeaf()))
		}
	}
	for _, v := range file.Notes {
		text := checkpoint.Checkpoint{Origin: log.Origin, Size: v.Size, Root: log.Roots[v.Size]}.String()
		vkey, err := checkpoint.NewVKey(log.Origin, kernelKey.Key)
		if err != nil {
			t.Fatal(err)
		}
		note := checkpoint.Note{Text: text, Signatures: []checkpoint.Signature{vkey.Sign(ed25519.Sign(kernelKey.private, []byte(text)))}}
		sameText(t, "signed note", note.Bytes(), v.Signed)
		for i, at := range v.CosignedAt {
			note.Signatures = append(note.Signatures, cosign(t, i+1, text, at))
		}
		if v.Cosigned != "" {
			sameText(t, "cosigned note", note.Bytes(), v.Cosigned)
		}
	}
}

// cosign signs as witness n of the vectors.
func cosign(t *testing.T, n int, text string, timestamp uint64) checkpoint.Signature {
	key := newTestKey(0x40 + byte(n))
	vkey, err := checkpoint.NewCosignatureVKey("witness.example/w"+string(rune('0'+n)), key.Ed25519())
	if err != nil {
		t.Fatal(err)
	}
	sig, err := checkpoint.Cosign(vkey, text, timestamp, func(m []byte) ([]byte, error) { return ed25519.Sign(key.private, m), nil })
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

// TestVectorsAreCurrent regenerates the vectors where Python is installed.
func TestVectorsAreCurrent(t *testing.T) {
	t.Attr("component", "python3")
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	if version, err := exec.Command(python, "--version").Output(); err == nil {
		t.Attr("component", "python3 "+strings.TrimSpace(strings.TrimPrefix(string(version), "Python ")))
	}
	dir := t.TempDir()
	if out, err := exec.Command(python, "-B", "../../testdata/second/make_vectors.py", dir).CombinedOutput(); err != nil {
		t.Fatalf("make_vectors.py: %v\n%s", err, out)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, f := range files {
		made, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		kept, err := os.ReadFile(filepath.Join("../../testdata/chiolog", f.Name()))
		if err != nil || !bytes.Equal(made, kept) {
			t.Errorf("%s differs from what make_vectors.py writes; run it again (%v)", f.Name(), err)
		}
	}
}

// TestKeyLogVectors checks Chio's own key-log documents.
func TestKeyLogVectors(t *testing.T) {
	read := func(name string) *Envelope {
		data, err := os.ReadFile("../../testdata/chio/key-log/" + name)
		if err != nil {
			t.Fatal(err)
		}
		e, err := ParseEnvelope(bytes.TrimSpace(data))
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	const genesisFile = "key-log-event-envelope-genesis-v1.json"
	genesis, rotation := read(genesisFile), read("key-log-event-envelope-rotation-v1.json")
	for _, v := range []struct {
		name string
		auth *Authorization
		body *Body
		seed byte
	}{
		{"genesis, bootstrap key", genesis.Authorizations.Bootstrap, &genesis.Body, 1},
		{"rotation, old key", rotation.Authorizations.OldKey, &rotation.Body, 2},
		{"rotation, new key", rotation.Authorizations.NewKey, &rotation.Body, 3},
	} {
		signed, err := v.body.SignedBytes()
		if err != nil {
			t.Fatal(err)
		}
		key := newTestKey(v.seed)
		if err := errors.Join(v.auth.checkKey(key.Key), v.auth.verify(signed, key.Key)); err != nil {
			t.Errorf("%s: %v", v.name, err)
		}
		if again, _ := key.sign(signed); again != v.auth.Signature {
			t.Errorf("%s: signature %s, want %s", v.name, again, v.auth.Signature)
		}
	}
	envelope, err := jcs.Marshal(genesis)
	if err != nil {
		t.Fatal(err)
	}
	if hash := EnvelopeHash(envelope); rotation.Body.PreviousEventHash == nil || *rotation.Body.PreviousEventHash != hash {
		t.Errorf("the genesis hashes to %s, the rotation says %v", hash, rotation.Body.PreviousEventHash)
	}
	var signedRoot struct {
		Body struct {
			RootHash chio.Hash `json:"root_hash"`
		}
	}
	data, err := os.ReadFile("../../testdata/chio/key-log/key-log-checkpoint-envelope-genesis-v1.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &signedRoot); err != nil {
		t.Fatal(err)
	}
	if leaf := chio.Hash(checkpoint.LeafHash(envelope)); leaf != signedRoot.Body.RootHash {
		t.Errorf("leaf of the genesis is %s, the checkpoint's root %s", leaf, signedRoot.Body.RootHash)
	}
}
