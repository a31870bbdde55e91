package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/chiolog/chiolog/formats/api"
	"github.com/chiolog/chiolog/formats/bundle"
	"github.com/chiolog/chiolog/formats/timeline"
)

// serveLog answers for the log over HTTP.
func (r *running) serve(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(r.Handler(os.DirFS(r.site.dir())))
	t.Cleanup(s.Close)
	return s
}

// An answer is an HTTP answer, read to its end.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func request(t *testing.T, method, url, contentType string, body []byte) answer {
	t.Helper()
	return send(t, method, url, contentType, bytes.NewReader(body))
}

func send(t *testing.T, method, url, contentType string, body io.Reader) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, data}
}

func get(t *testing.T, url string) answer { return request(t, http.MethodGet, url, "", nil) }

func (a answer) decode(t *testing.T, into any) {
	t.Helper()
	if err := json.Unmarshal(a.body, into); err != nil {
		t.Fatalf("%v in %s", err, a.body)
	}
}

// wantError checks that an answer is the one error form.
func (a answer) wantError(t *testing.T, name string, status int, code string) *api.Error {
	t.Helper()
	var e api.Error
	if a.status != status || json.Unmarshal(a.body, &e) != nil || e.Code != code || e.Message == "" {
		t.Errorf("%s: %d %s, want %d %s", name, a.status, a.body, status, code)
	}
	if e.Temporary() != (a.header.Get("Retry-After") != "") {
		t.Errorf("%s: Retry-After %q", name, a.header.Get("Retry-After"))
	}
	return &e
}

func TestSubmitAnswers(t *testing.T) {
	s := newSite(t)
	writer, p256 := newTestWriter(1), newP256Writer(t)
	s.writers = []string{writer.text(), p256.text()}
	r := s.mustOpen(t)
	url := r.serve(t).URL + api.PathReceipts
	legacy, err := os.ReadFile("../../testdata/chio/replay-receipts/00-clean.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	legacy, _, _ = bytes.Cut(legacy, []byte("\n"))
	good := writer.receipt(t, 1)
	signedTwice := [2][]byte{p256.receipt(t, 2), p256.receipt(t, 2)}
	for _, tt := range []struct {
		name        string
		contentType string
		body        []byte
		status      int
		code        string
	}{
		{"good", api.TypeJSON, good, 200, ""},
		{"again", api.TypeJSON, good, 200, ""},
		{"with white space", "application/json; charset=utf-8", bytes.ReplaceAll(good, []byte(`,"`), []byte(", \n\"")), 200, ""},
		{"no content type", "", good, 200, ""},
		{"ECDSA", api.TypeJSON, signedTwice[0], 200, ""},
		{"ECDSA, same body signed again", api.TypeJSON, signedTwice[1], 200, ""},
		{"child", api.TypeJSON, writer.child(t, "c", "1"), 200, ""},
		{"child, other outcome", api.TypeJSON, writer.child(t, "c", "2"), 409, api.CodeConflict},
		{"other content type", "text/html", good, 400, api.CodeBadRequest},
		{"not JSON", api.TypeJSON, []byte("{ this is not"), 400, api.CodeMalformed},
		{"empty", api.TypeJSON, nil, 400, api.CodeMalformed},
		{"two receipts", api.TypeJSON, append(append([]byte{}, good...), good...), 400, api.CodeMalformed},
		{"no receipt", api.TypeJSON, []byte(`{"schema_version":"chio.receipt/v999"}`), 400, api.CodeMalformed},
		{"member twice", api.TypeJSON, append([]byte(`{"timestamp":1,`), good[1:]...), 400, api.CodeMalformed},
		{"stranger", api.TypeJSON, newTestWriter(2).receipt(t, 3), 403, api.CodeForbidden},
		{"too large as sent", api.TypeJSON, bytes.Repeat([]byte(" "), api.MaxReceipt+1), 413, api.CodeTooLarge},
		{"too large as entry", api.TypeJSON, writer.change(t, 4, map[string]any{"tenant_id": strings.Repeat("x", 66000)}), 413, api.CodeTooLarge},
		{"legacy", api.TypeJSON, legacy, 422, api.CodeLegacyReceipt},
		{"reserved event", api.TypeJSON, writer.change(t, 5, map[string]any{"metadata": map[string]any{"event": timeline.EventStatus}}), 422, api.CodeReservedEvent},
		{"unknown member", api.TypeJSON, writer.change(t, 6, map[string]any{"extra": 1}), 422, api.CodeInvalidReceipt},
		{"broken signature", api.TypeJSON, bytes.Replace(good, []byte(`"signature":"`), []byte(`"signature":"00`), 1), 422, api.CodeInvalidReceipt},
		{"changed body", api.TypeJSON, bytes.Replace(good, []byte(`"tool_name":"tool"`), []byte(`"tool_name":"rm"`), 1), 422, api.CodeInvalidReceipt},
	} {
		a := request(t, http.MethodPost, url, tt.contentType, tt.body)
		if tt.code != "" {
			a.wantError(t, tt.name, tt.status, tt.code)
			continue
		}
		var submitted api.Submitted
		a.decode(t, &submitted)
		if a.status != tt.status || submitted.ID == "" || submitted.LeafHash == "" {
			t.Errorf("%s: %d %s", tt.name, a.status, a.body)
		}
	}
	request(t, http.MethodPost, url+"?wait=forever", api.TypeJSON, good).wantError(t, "unknown wait", 400, api.CodeBadRequest)
	request(t, http.MethodPost, url+"?wiat=published", api.TypeJSON, good).wantError(t, "unknown parameter", 400, api.CodeBadRequest)
}

func TestSubmitStream(t *testing.T) {
	s := newSite(t)
	writer := newTestWriter(1)
	s.writers = []string{writer.text()}
	r := s.mustOpen(t)
	url := r.serve(t).URL + api.PathReceipts
	var lines [][]byte
	for i := range 1000 {
		line := writer.receipt(t, i)
		if i%10 == 3 {
			line = []byte("{bad}")
		}
		lines = append(lines, line)
	}
	body := append(bytes.Join(lines, []byte("\n")), "\n\n"...)
	a := request(t, http.MethodPost, url, api.TypeNDJSON, body)
	answers := bytes.Split(bytes.TrimSpace(a.body), []byte("\n"))
	if a.status != 200 || len(answers) != len(lines) {
		t.Fatalf("%d with %d answers, want %d", a.status, len(answers), len(lines))
	}
	last := uint64(0)
	for i, line := range answers {
		var sub api.Submitted
		if err := json.Unmarshal(line, &sub); err != nil {
			t.Fatal(err)
		}
		if (sub.Error != nil) != (i%10 == 3) {
			t.Errorf("line %d: %s", i, line)
		}
		if sub.Error != nil {
			continue
		}
		if sub.Index <= last {
			t.Errorf("line %d has index %d after %d: the order is that of the lines", i, sub.Index, last)
		}
		last = sub.Index
	}

	tooLong := bytes.Join([][]byte{lines[0], bytes.Repeat([]byte("x"), api.MaxReceipt+1), lines[1], bytes.Repeat([]byte("y"), api.MaxReceipt)}, []byte("\r\n"))
	a = request(t, http.MethodPost, url, api.TypeNDJSON, tooLong)
	var codes []string
	for d := json.NewDecoder(bytes.NewReader(a.body)); d.More(); {
		var sub api.Submitted
		if err := d.Decode(&sub); err != nil {
			t.Fatal(err)
		}
		code := "ok"
		if sub.Error != nil {
			code = sub.Error.Code
		}
		codes = append(codes, code)
	}
	if want := []string{"ok", api.CodeTooLarge, "ok", api.CodeMalformed}; !slices.Equal(codes, want) {
		t.Errorf("lines over the limit among others: %q, want %q", codes, want)
	}
	large := append(append([]byte{}, lines[0]...), bytes.Repeat([]byte("\n"), api.MaxBatchBytes)...)
	request(t, http.MethodPost, url, api.TypeNDJSON, large).wantError(t, "a length over the byte limit", 413, api.CodeTooLarge)
	// Without a length the limit shows only on the way.
	a = send(t, http.MethodPost, url, api.TypeNDJSON, io.MultiReader(bytes.NewReader(large)))
	if !bytes.Contains(a.body, []byte(api.CodeTooLarge)) || bytes.Count(a.body, []byte("\n")) != 2 {
		t.Errorf("a request over the byte limit: %s", a.body)
	}
	a = request(t, http.MethodPost, url, api.TypeNDJSON, bytes.Repeat([]byte("0\n"), api.MaxBatchLines+5))
	if n := bytes.Count(a.body, []byte("\n")); n != api.MaxBatchLines+1 || !bytes.Contains(a.body, []byte(api.CodeTooLarge)) {
		t.Errorf("a request over the line limit has %d answers", n)
	}
}

// TestWaitForTheFirstCheckpoint asks for a published place in a log that has
// published nothing yet.
func TestWaitForTheFirstCheckpoint(t *testing.T) {
	r := newSite(t).mustOpen(t)
	url := r.serve(t).URL
	answered := make(chan answer)
	go func() {
		answered <- request(t, http.MethodPost, url+api.PathReceipts+"?wait=published", api.TypeJSON, r.site.key.writer.receipt(t, 1))
	}()
	for {
		r.publish(t)
		select {
		case a := <-answered:
			var submitted api.Submitted
			a.decode(t, &submitted)
			if submitted.Size <= submitted.Index {
				t.Errorf("published size %d for index %d", submitted.Size, submitted.Index)
			}
			return
		default:
			runtimeYield(t.Context())
		}
	}
}

func TestReading(t *testing.T) {
	s := newSite(t)
	writer := newTestWriter(1)
	s.writers = []string{writer.text()}
	r := s.mustOpen(t)
	server := r.serve(t)
	url := server.URL
	get(t, url+api.PathReady).wantError(t, "not ready", 503, api.CodeUnavailable)
	get(t, url+api.PathCheckpoint).wantError(t, "no checkpoint", 503, api.CodeNotPublished)
	one := r.append(t, writer.receipt(t, 1))
	child := r.append(t, writer.child(t, "free text & more", "1"))
	r.publish(t)
	pending := r.append(t, writer.receipt(t, 2))
	size := child.Index + 2 // and a status

	var found api.Receipt
	get(t, url+"/v1/receipts/"+one.Receipt.ID).decode(t, &found)
	if found.Index != one.Index || !bytes.Equal(found.Receipt, one.Receipt.Canonical()) {
		t.Errorf("receipt: %+v", found)
	}
	get(t, url+"/v1/receipts?id=free+text+%26+more").decode(t, &found)
	if found.Index != child.Index {
		t.Errorf("child receipt: %+v", found)
	}

	leafHash := one.Receipt.LeafHash()
	for _, q := range []string{"id=" + one.Receipt.ID, fmt.Sprintf("index=%d", one.Index), fmt.Sprintf("leaf_hash=%x", leafHash), fmt.Sprintf("index=%d&size=%d", one.Index, one.Index+1)} {
		var p api.InclusionProof
		get(t, url+api.PathInclusion+"?"+q).decode(t, &p)
		if p.Index != one.Index || p.LeafHash != fmt.Sprintf("%x", leafHash) {
			t.Errorf("inclusion by %s: %+v", q, p)
		}
	}

	a := get(t, url+api.PathBundle+"?id="+one.Receipt.ID)
	if _, err := bundle.ParseProof(a.body); err != nil || a.header.Get("Content-Type") != api.TypeProof {
		t.Errorf("bundle: %v", err)
	}
	a = get(t, fmt.Sprintf("%s%s?from=1&from=%d&writer=%s&writer=%s&revocation=%s", url, api.PathStatus, size, writer.key.ID(), newTestWriter(5).key.ID(), writer.key.ID()))
	file, err := bundle.ParseProof(a.body)
	if err != nil {
		t.Fatalf("status file: %v in %s", err, a.body)
	}
	extra, err := bundle.ParseExtra(file.Extra)
	if err != nil || extra.Receipt != nil || extra.Status.Index != file.Index || len(extra.Consistency) != 1 || len(extra.Writer) != 2 || len(extra.Revocation) != 1 {
		t.Errorf("status file: %+v, %v", extra, err)
	}

	var list api.Checkpoints
	get(t, url+api.PathCheckpoints).decode(t, &list)
	if len(list.Checkpoints) != 1 || list.Checkpoints[0].Size != size {
		t.Errorf("checkpoints: %+v", list)
	}
	if a := get(t, url+api.PathMetrics); !bytes.Contains(a.body, []byte("chiolog_receipts_appended_total 3")) {
		t.Errorf("metrics: %s", a.body)
	}

	unknown := strings.Repeat("0", 64)
	for _, tt := range []struct {
		path   string
		status int
		code   string
	}{
		{"/v1/receipts/" + unknown, 404, api.CodeNotFound},
		{"/v1/receipts", 400, api.CodeBadRequest},
		{"/v1/receipts/xyz", 404, api.CodeNotFound},
		{api.PathBundle + "?id=" + unknown, 404, api.CodeNotFound},
		{api.PathBundle + "?id=" + pending.Receipt.ID, 503, api.CodeNotPublished},
		{api.PathInclusion, 400, api.CodeBadRequest},
		{api.PathInclusion + "?index=0&leaf_hash=" + unknown, 400, api.CodeBadRequest},
		{api.PathInclusion + "?index=-1", 400, api.CodeBadRequest},
		{api.PathInclusion + "?index=0&sise=1", 400, api.CodeBadRequest},
		{api.PathInclusion + "?leaf_hash=" + unknown, 404, api.CodeNotFound},
		{fmt.Sprintf("%s?index=%d", api.PathInclusion, pending.Index), 503, api.CodeNotPublished},
		{api.PathInclusion + "?index=3&size=2", 404, api.CodeNotFound},
		{api.PathInclusion + "?index=4611686018427387904", 404, api.CodeNotFound},
		{api.PathInclusion + "?index=0&size=1000", 404, api.CodeSize},
		{api.PathConsistency + "?from=0&to=1", 400, api.CodeBadRequest},
		{api.PathConsistency + "?from=2&to=1", 400, api.CodeBadRequest},
		{api.PathConsistency + "?from=1", 400, api.CodeBadRequest},
		{fmt.Sprintf("%s?from=1&to=%d", api.PathConsistency, size+1), 404, api.CodeSize},
		{api.PathCheckpoints + "?limit=0", 400, api.CodeBadRequest},
		{api.PathStatus + "?from=1000", 404, api.CodeSize},
		{api.PathStatus + "?writer=xyz", 400, api.CodeBadRequest},
		{api.PathStatus + "?" + strings.Repeat("from=1&", 65), 400, api.CodeBadRequest},
		{"/tile/0/000.p/0", 404, api.CodeNotFound},
		{"/tile/64/000", 404, api.CodeNotFound},
		{"/.state/config", 404, api.CodeNotFound},
		{"/nothing", 404, api.CodeNotFound},
	} {
		e := get(t, url+tt.path).wantError(t, tt.path, tt.status, tt.code)
		if tt.code == api.CodeSize && (e.Size == nil || *e.Size != size) {
			t.Errorf("%s: published size %v, want %d", tt.path, e.Size, size)
		}
	}
	if a := request(t, http.MethodDelete, url+api.PathCheckpoint, "", nil); a.status != http.StatusMethodNotAllowed {
		t.Errorf("DELETE: %d", a.status)
	}
}

func TestConditionalAndHead(t *testing.T) {
	s := newSite(t)
	r := s.mustOpen(t)
	r.publish(t)
	url := r.serve(t).URL
	for _, tt := range []struct{ path, contentType, cache string }{
		{api.PathCheckpoint, "text/plain; charset=utf-8", "no-cache"},
		{"/tile/0/000.p/2", "application/octet-stream", "public, max-age=31536000, immutable"},
		{"/tile/entries/000.p/2", "application/octet-stream", "public, max-age=31536000, immutable"},
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			a := request(t, method, url+tt.path, "", nil)
			if a.status != 200 || a.header.Get("Content-Type") != tt.contentType || a.header.Get("Cache-Control") != tt.cache {
				t.Errorf("%s %s: %d %v", method, tt.path, a.status, a.header)
			}
			if (method == http.MethodHead) != (len(a.body) == 0) {
				t.Errorf("%s %s has a body of %d bytes", method, tt.path, len(a.body))
			}
		}
	}
	if a := get(t, url+"/tile/0/000"); a.status != 404 || strings.Contains(a.header.Get("Cache-Control"), "immutable") {
		t.Errorf("missing tile: %d, Cache-Control %q", a.status, a.header.Get("Cache-Control"))
	}
}
