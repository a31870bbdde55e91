package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chiolog/chiolog/formats/api"
	"github.com/chiolog/chiolog/formats/checkpoint"
	"github.com/chiolog/chiolog/formats/chio"
	"github.com/chiolog/chiolog/formats/policy"
	"github.com/chiolog/chiolog/formats/timeline"
	"github.com/chiolog/chiolog/internal/tlogtest"
)

const auditOrigin = "example.com/audited"

// auditPolicy pins the log's kernel key, and its witnesses if it has any.
func auditPolicy(t *testing.T, l *tlogtest.Log) *policy.Policy {
	t.Helper()
	text := "log " + tlogtest.NewKey("kernel/"+auditOrigin).VKey(auditOrigin).String() + "\n"
	quorum := "none"
	for _, w := range l.Witnesses {
		text += "witness " + w.Name + " " + w.VKey().String() + "\n"
		quorum = w.Name
	}
	p, err := policy.Parse([]byte(text + "quorum " + quorum + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// auditedBy audits a log of which change sees every answer.
func auditedBy(t *testing.T, l *tlogtest.Log, change func(path string, body []byte) []byte) (*AuditReport, error) {
	t.Helper()
	inner := l.Handler()
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		inner.ServeHTTP(rec, r)
		body := rec.Body.Bytes()
		if change != nil {
			body = change(r.URL.Path, body)
		}
		w.Header().Set("Content-Type", rec.Header().Get("Content-Type"))
		w.WriteHeader(rec.Code)
		w.Write(body)
	})
	return serve(t, h).Audit(t.Context(), auditPolicy(t, l), AuditOptions{Workers: 3})
}

// newAudited returns a log with a writer, several batches and a full bundle.
func newAudited(t *testing.T, opts ...tlogtest.Option) (*tlogtest.Log, tlogtest.Key) {
	l := tlogtest.New(t, auditOrigin, opts...)
	l.Append(5)
	writer := tlogtest.NewKey("writer")
	l.SetWriters([]tlogtest.Key{writer})
	l.Add(tlogtest.Receipt(writer, "of a writer", l.Time), tlogtest.ChildReceipt(writer, "child", l.Time))
	l.Append(300)
	return l, writer
}

func TestAudit(t *testing.T) {
	l, writer := newAudited(t, tlogtest.WithWitnesses(1))
	l.Time++
	l.SetWriters(nil, timeline.RemovedWriter{Key: writer.Text()})
	l.Add(tlogtest.Receipt(l.Kernel, "flagged", l.Time, func(o tlogtest.Object) {
		o["action"] = tlogtest.Object{"parameter_hash": tlogtest.HexSum(nil), "parameters": tlogtest.Object{}}
	}))
	l.Append(300)
	var done, total uint64
	got, err := newClient(t, l.Serve()).Audit(t.Context(), auditPolicy(t, l), AuditOptions{Progress: func(d, n uint64) {
		if d <= done {
			t.Errorf("progress from %d to %d", done, d)
		}
		done, total = d, n
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := AuditReport{
		Origin: auditOrigin, Size: l.Size(), Root: l.Root(l.Size()), Receipts: 608, OwnLeaves: l.Size() - 608, Flagged: 1,
		Statements: 3, LastStatus: l.Time, AsOf: l.Time,
	}
	if *got != want || done != l.Size() || total != done {
		t.Errorf("report %+v, want %+v; progress %d of %d", *got, want, done, total)
	}
}

// TestAudit_TT_9_TilesAboveLevel0 has a tree of 257 full bundles, of which only
// the hashes above are made: a full tile and one hash more.
func TestAudit_TT_9_TilesAboveLevel0(t *testing.T) {
	const bundles = 257
	var roots [bundles][32]byte
	var full []byte
	for i := range roots {
		roots[i] = checkpoint.LeafHash([]byte{byte(i), byte(i >> 8)})
		full = append(full, roots[i][:]...)
	}
	row := append([][32]byte{}, roots[:256]...)
	for ; len(row) > 1; row = row[:len(row)/2] {
		for i := range len(row) / 2 {
			row[i] = checkpoint.NodeHash(row[2*i], row[2*i+1])
		}
	}
	for _, wrong := range []string{"", "tile/1/000", "tile/1/001.p/1", "tile/2/000.p/1"} {
		tiles := map[string][]byte{
			"tile/1/000":     bytes.Clone(full[:256*32]),
			"tile/1/001.p/1": bytes.Clone(full[256*32:]),
			"tile/2/000.p/1": bytes.Clone(row[0][:]),
		}
		if wrong != "" {
			tiles[wrong][31] ^= 1
		}
		c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Write(tiles[strings.TrimPrefix(r.URL.Path, "/")])
		}))
		a := newAudit(c, &policy.Policy{}, checkpoint.Checkpoint{Size: bundles * 256})
		var err error
		for i, root := range roots {
			if err == nil {
				err = a.grow(t.Context(), 1, uint64(i), root)
			}
		}
		if err == nil {
			err = a.checkEdge(t.Context())
		}
		if wrong != "" {
			wantRule(t, err, "TT-9", wrong)
		} else if err != nil {
			t.Error(err)
		}
	}
}

func wantRule(t *testing.T, err error, rule, where string) {
	t.Helper()
	var broken *AuditError
	if !errors.As(err, &broken) || broken.Rule != rule || broken.Where != where {
		t.Errorf("error %v, want rule %s broken by %s", err, rule, where)
	}
}

// TestAuditRefusesLeaves has logs that sign what no log may have.
func TestAuditRefusesLeaves(t *testing.T) {
	l, writer := newAudited(t)
	size := l.Size()
	at := func(i uint64) string { return entryName(size + i) }
	stranger := tlogtest.NewKey("stranger")
	for _, tt := range []struct {
		name, rule, where string
		lie               func(l *tlogtest.Log)
	}{
		{"honest", "", "", func(l *tlogtest.Log) { l.Add(tlogtest.Receipt(writer, "new", l.Time)) }},
		{"stranger", "V-7", at(0), func(l *tlogtest.Log) { l.Add(tlogtest.Receipt(stranger, "x", l.Time)) }},
		{"writer before its range", "V-7", at(0), func(l *tlogtest.Log) {
			l.Add(tlogtest.Receipt(stranger, "x", l.Time))
			l.SetWriters([]tlogtest.Key{stranger})
		}},
		{"removed writer", "V-7", at(1), func(l *tlogtest.Log) {
			l.SetWriters(nil, timeline.RemovedWriter{Key: writer.Text()})
			l.Add(tlogtest.Receipt(writer, "late", l.Time))
		}},
		{"bootstrap key", "V-7", at(0), func(l *tlogtest.Log) {
			l.Add(tlogtest.Receipt(tlogtest.NewKey("bootstrap/"+auditOrigin), "x", l.Time))
		}},
		{"duplicate", "DESIGN 2", at(0), func(l *tlogtest.Log) { l.Add(l.Entry(2)) }},
		{"legacy receipt", "V-7", at(0), func(l *tlogtest.Log) { l.Add(tlogtest.LegacyReceipt(writer, "old", l.Time)) }},
		{"bad signature", "V-7", at(0), func(l *tlogtest.Log) {
			l.Add(bytes.Replace(tlogtest.Receipt(writer, "x", l.Time), []byte(`"files"`), []byte(`"filez"`), 1))
		}},
		{"no receipt", "V-7", at(0), func(l *tlogtest.Log) { l.Add([]byte("{}")) }},
		{"status by another key", "S-2", at(0), func(l *tlogtest.Log) {
			l.Author = writer
			l.Status()
			l.Author = l.Kernel
		}},
		{"status with a gap", "S-2", at(0), func(l *tlogtest.Log) { l.Status(func(s *timeline.Status) { s.Sequence++ }) }},
		{"status of other writers", "S-1", at(0), func(l *tlogtest.Log) {
			l.Status(func(s *timeline.Status) { s.Writers.Root[0] ^= 1 })
		}},
		{"status of other events", "S-1", at(0), func(l *tlogtest.Log) { l.Status(func(s *timeline.Status) { s.KeyEvents.Count++ }) }},
		{"status of another statement", "S-1", at(0), func(l *tlogtest.Log) {
			l.Status(func(s *timeline.Status) { s.Statement.SHA256.Hash[0] ^= 1 })
		}},
		{"status of a statement to come", "S-1", at(0), func(l *tlogtest.Log) {
			l.Status(func(s *timeline.Status) { s.Statement.CheckpointSeq = 9 })
		}},
		{"root of other entries", "TT-9", "tile/0/001.p/56", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := l.Fork(size)
			var err error
			if tt.lie == nil {
				err = auditFork(t, f)
			} else {
				tt.lie(f)
				f.Publish()
				_, err = auditedBy(t, f, nil)
			}
			if tt.rule == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantRule(t, err, tt.rule, tt.where)
		})
	}
}

// auditFork audits a log that serves the entry bundles of its fork.
func auditFork(t *testing.T, l *tlogtest.Log) error {
	other := l.Fork(l.Size() - 1)
	other.Append(1)
	l = l.Fork(other.Size() - 1)
	l.Append(1)
	h := other.Handler()
	_, err := auditedBy(t, l, func(path string, body []byte) []byte {
		if !strings.Contains(path, "/entries/") {
			return body
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest("GET", path, nil))
		return rec.Body.Bytes()
	})
	return err
}

func TestAudit_S_3_StatusAfterEveryChange(t *testing.T) {
	l, _ := newAudited(t)
	l.SetWriters([]tlogtest.Key{tlogtest.NewKey("another")})
	text := checkpoint.Checkpoint{Origin: auditOrigin, Size: l.Size(), Root: l.Root(l.Size())}
	note := l.Sign(text)
	f := l.Fork(l.Size())
	f.Publish() // with the status
	if _, err := auditedBy(t, f, nil); err != nil {
		t.Errorf("with a status: %v", err)
	}
	_, err := auditedBy(t, f, func(path string, body []byte) []byte {
		if path == api.PathCheckpoint {
			return note.Bytes()
		}
		return body
	})
	wantRule(t, err, "S-3", "checkpoint")
}

// TestAuditRefusesAnswers has logs whose answers do not fit what they signed.
func TestAuditRefusesAnswers(t *testing.T) {
	l, _ := newAudited(t, tlogtest.WithWitnesses(1))
	flip := func(path string, at int) func(string, []byte) []byte {
		return func(p string, body []byte) []byte {
			if strings.HasSuffix(p, path) {
				body[at] ^= 1
			}
			return body
		}
	}
	listed := func(edit func([]api.Checkpoint) []api.Checkpoint) func(string, []byte) []byte {
		return func(p string, body []byte) []byte {
			if p != api.PathCheckpoints {
				return body
			}
			var list api.Checkpoints
			if err := json.Unmarshal(body, &list); err != nil {
				t.Error(err)
			}
			list.Checkpoints = edit(list.Checkpoints)
			body, _ = json.Marshal(list)
			return body
		}
	}
	for _, tt := range []struct {
		name, rule, where string
		change            func(path string, body []byte) []byte
	}{
		{"tile of leaf hashes", "TT-9", "tile/0/000", flip("tile/0/000", 100)},
		{"tile above", "TT-9", "tile/1/000.p/1", flip("tile/1/000.p/1", 31)},
		{"length in a bundle", "TT-14", "tile/entries/000", flip("tile/entries/000", 0)},
		{"byte of an entry", "K-8", "entry 0", flip("tile/entries/000", 1000)},
		{"checkpoint's root", "V-2", "checkpoint", flip(api.PathCheckpoint, len(auditOrigin)+6)},
		{"statement", "chio-wire 4.4", "statement 2", listed(func(c []api.Checkpoint) []api.Checkpoint {
			c[1].Statement = bytes.Replace(c[1].Statement, []byte(`"issued_at":1`), []byte(`"issued_at":2`), 1)
			return c
		})},
		{"no first statement", "chio-wire 4.4", "statement 2", listed(func(c []api.Checkpoint) []api.Checkpoint { return c[1:] })},
		{"no last statement", "chio-wire 4.4", "checkpoint", listed(func(c []api.Checkpoint) []api.Checkpoint { return c[:1] })},
		{"size beside the statement", "chio-wire 4.4", "statement 1", listed(func(c []api.Checkpoint) []api.Checkpoint {
			c[0].Size--
			return c
		})},
		{"note of another key", "V-6", "statement 1", listed(func(c []api.Checkpoint) []api.Checkpoint {
			text := l.History()[0].Note.Text
			n := checkpoint.Note{Text: text, Signatures: []checkpoint.Signature{tlogtest.NewKey("x").SignNote(auditOrigin, text)}}
			c[0].Note = n.String()
			return c
		})},
		{"note of another root", "CP-4", "statement 1", listed(func(c []api.Checkpoint) []api.Checkpoint {
			head := l.History()[0].Checkpoint
			head.Root = chio.Hash{1}
			c[0].Note = l.Sign(head).String()
			return c
		})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := auditedBy(t, l, tt.change)
			wantRule(t, err, tt.rule, tt.where)
		})
	}
}

// TestAuditCouldNotTell has answers that are no proof of a lie.
func TestAuditCouldNotTell(t *testing.T) {
	l, _ := newAudited(t)
	inner := l.Handler()
	for _, missing := range []string{api.PathCheckpoint, api.PathCheckpoints, "/tile/0/000", "/tile/entries/001.p/", "/tile/1/000.p/1"} {
		c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, missing) {
				http.NotFound(w, r)
				return
			}
			inner.ServeHTTP(w, r)
		}))
		_, err := c.Audit(t.Context(), auditPolicy(t, l), AuditOptions{Workers: 2})
		var broken *AuditError
		if err == nil || errors.As(err, &broken) {
			t.Errorf("without %s: %v", missing, err)
		}
	}
}

// TestAudit_TT_12_FullTileForPartial reads a log that has grown meanwhile and
// dropped the partial tiles of the checkpoint.
func TestAudit_TT_12_FullTileForPartial(t *testing.T) {
	l, _ := newAudited(t)
	note := l.Published().Note.Bytes()
	l.Append(500)
	inner := l.Handler()
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == api.PathCheckpoint:
			w.Write(note)
		case strings.HasPrefix(r.URL.Path, "/tile/0/001.p/"), strings.HasPrefix(r.URL.Path, "/tile/entries/001.p/"):
			http.NotFound(w, r)
		default:
			inner.ServeHTTP(w, r)
		}
	}))
	if _, err := c.Audit(t.Context(), auditPolicy(t, l), AuditOptions{}); err != nil {
		t.Error(err)
	}
}
