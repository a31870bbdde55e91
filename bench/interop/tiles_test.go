package interop

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/chiolog/chiolog/formats/api"
	"github.com/chiolog/chiolog/formats/tile"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// An answer is an HTTP answer, read to its end.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// do makes a request as it is: no redirect is followed, no header added but
// those given, and nothing is decompressed.
func do(t *testing.T, method, url string, header ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept-Encoding", "identity")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, body}
}

// get returns the body of a URL that must answer 200.
func get(t *testing.T, url string) []byte {
	t.Helper()
	a := do(t, http.MethodGet, url)
	if a.status != http.StatusOK {
		t.Fatalf("%s: status %d: %s", url, a.status, a.body)
	}
	return a.body
}

// readShared returns the checked contents of the shared, served log.
func readShared(t *testing.T) *contents {
	t.Helper()
	c, err := readMod(t.Context(), served.url, served.vkey)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// publishedSizes returns the size of every checkpoint that a log published.
func publishedSizes(t *testing.T, s *server) []uint64 {
	t.Helper()
	var list api.Checkpoints
	if err := json.Unmarshal(get(t, s.url+api.PathCheckpoints+"?limit=1000"), &list); err != nil {
		t.Fatal(err)
	}
	if list.Next != 0 || len(list.Checkpoints) == 0 {
		t.Fatalf("%d checkpoints and more after %d", len(list.Checkpoints), list.Next)
	}
	var sizes []uint64
	for _, c := range list.Checkpoints {
		sizes = append(sizes, c.Size)
	}
	return sizes
}

// maxAge returns the max-age of a Cache-Control header in seconds, -1 without one.
func maxAge(h http.Header) int {
	for _, directive := range strings.Split(h.Get("Cache-Control"), ",") {
		if text, ok := strings.CutPrefix(strings.TrimSpace(directive), "max-age="); ok {
			if n, err := strconv.Atoi(text); err == nil {
				return n
			}
		}
	}
	return -1
}

func shortLived(h http.Header) bool {
	control := h.Get("Cache-Control")
	return strings.Contains(control, "no-cache") || strings.Contains(control, "no-store") || maxAge(h) >= 0 && maxAge(h) <= 5
}

func TestTT_2_CheckpointIsPlainText(t *testing.T) {
	a := do(t, http.MethodGet, served.url+"/checkpoint")
	if got := a.header.Get("Content-Type"); a.status != http.StatusOK || got != "text/plain; charset=utf-8" {
		t.Errorf("status %d, content type %q", a.status, got)
	}
	if _, err := openCheckpoint(a.body, served.vkey); err != nil {
		t.Error(err)
	}
}

func TestTT_3_CheckpointIsCachedForSecondsAtMost(t *testing.T) {
	if a := do(t, http.MethodGet, served.url+"/checkpoint"); !shortLived(a.header) {
		t.Errorf("Cache-Control: %q", a.header.Get("Cache-Control"))
	}
}

func TestTT_4_CheckpointHasAnEd25519Signature(t *testing.T) {
	verifier, err := note.NewVerifier(served.vkey) // knows Ed25519 only
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open(get(t, served.url+"/checkpoint"), note.VerifierList(verifier))
	if err != nil {
		t.Fatal(err)
	}
	if len(n.Sigs) != 1 || n.Sigs[0].Name != origin {
		t.Errorf("signatures %v, want one by %s", n.Sigs, origin)
	}
}

func TestTT_5_TilesAreOctetStreams(t *testing.T) {
	for n := range tile.Needed(uint64(readShared(t).tree.N)) {
		a := do(t, http.MethodGet, served.url+"/"+n.Path())
		if got := a.header.Get("Content-Type"); a.status != http.StatusOK || got != "application/octet-stream" {
			t.Errorf("%s: status %d, content type %q", n.Path(), a.status, got)
		}
	}
}

// TestTT_7_OneSpellingForEachTile: each row is refused, and differs in one thing
// from a path that is served.
func TestTT_7_OneSpellingForEachTile(t *testing.T) {
	size := uint64(readShared(t).tree.N)
	edge := fmt.Sprintf("/tile/0/002.p/%d", size%256)
	for _, good := range []string{"/tile/0/000", "/tile/1/000.p/2", "/tile/entries/000", edge} {
		get(t, served.url+good)
	}
	for _, bad := range []string{
		"/tile/00/000", "/tile/+0/000", "/tile/-1/000", "/tile/64/000", "/tile/x/000", "/tile/0x0/000", "/tile/data/000", "/tile/8/0/000",
		"/tile/0/0", "/tile/0/00", "/tile/0/0000", "/tile/0/x000/000", "/tile/0/000/000", "/tile/0/x000", "/tile/0/-00",
		"/tile/0/000/", "/tile/0/", "/tile/0", "/tile/", "/tile", "/tile/0/000.p", "/tile/0/000.p/",
		"/tile/1/000.p/02", "/tile/1/000.p/+2", "/tile/1/000.p/2/", "/tile/1/000.p/0", "/tile/0/000.p/256", "/tile/0/000.p/0", "/tile/0/000.p/257",
		"/tile/entries/000.p/256", "/tile/entries/000.p/0", "/tile/entries/0", "/tile/Entries/000", "/tile/entries/000.P/1",
		"/tile/0/000%00", "/Tile/0/000",
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			a := do(t, method, served.url+bad)
			if a.status != http.StatusNotFound {
				t.Errorf("%s %s: status %d, want 404", method, bad, a.status)
			}
			if a.header.Get("Cache-Control") != "" && !shortLived(a.header) {
				t.Errorf("%s %s: a 404 with Cache-Control: %s", method, bad, a.header.Get("Cache-Control"))
			}
		}
	}
	// What the router cleans leads to the one spelling, and never serves itself.
	for _, unclean := range []string{"//tile/0/000", "/tile//0/000", "/tile/./0/000", "/tile/0/../0/000", "/tile/0/%2e%2e/0/000", "/tile/0/..%2f0%2f000"} {
		if a := do(t, http.MethodGet, served.url+unclean); a.status == http.StatusOK {
			t.Errorf("%s is served", unclean)
		}
	}
}

func TestTT_8_TilesHaveTheirWidth(t *testing.T) {
	for n := range tile.Needed(uint64(readShared(t).tree.N)) {
		if n.Level == tile.Entries {
			continue
		}
		if got := len(get(t, served.url+"/"+n.Path())); got != n.Width*32 {
			t.Errorf("%s has %d bytes, want %d", n.Path(), got, n.Width*32)
		}
	}
}

// TestTT_9_TilesHoldSubtreeRoots compares every hash tile with roots computed
// from the entries.
func TestTT_9_TilesHoldSubtreeRoots(t *testing.T) {
	c := readShared(t)
	for n := range tile.Needed(uint64(c.tree.N)) {
		if n.Level == tile.Entries {
			continue
		}
		var want []byte
		for i := range n.Width {
			index := int64(n.Index)*256 + int64(i)
			hashes, err := c.hashes.ReadHashes([]int64{tlog.StoredHashIndex(8*n.Level, index)})
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, hashes[0][:]...)
		}
		if !bytes.Equal(get(t, served.url+"/"+n.Path()), want) {
			t.Errorf("%s does not hold the roots of the subtrees below it", n.Path())
		}
	}
}

func TestTT_10_RightEdge(t *testing.T) {
	size := uint64(readShared(t).tree.N)
	get(t, fmt.Sprintf("%s/tile/0/%03d.p/%d", served.url, size/256, size%256))
	get(t, fmt.Sprintf("%s/tile/1/000.p/%d", served.url, size/256))
	for _, beyond := range []string{
		fmt.Sprintf("/tile/0/%03d", size/256), fmt.Sprintf("/tile/0/%03d.p/%d", size/256, size%256+1), fmt.Sprintf("/tile/0/%03d.p/1", size/256+1),
		fmt.Sprintf("/tile/1/000.p/%d", size/256+1), "/tile/1/000", "/tile/2/000.p/1", "/tile/63/000",
		fmt.Sprintf("/tile/entries/%03d", size/256), fmt.Sprintf("/tile/entries/%03d.p/%d", size/256, size%256+1),
	} {
		if a := do(t, http.MethodGet, served.url+beyond); a.status != http.StatusNotFound {
			t.Errorf("%s of a log of %d: status %d, want 404", beyond, size, a.status)
		}
	}
}

func TestTT_11_TilesAreImmutable(t *testing.T) {
	size := uint64(readShared(t).tree.N)
	for n := range tile.Needed(size) {
		a := do(t, http.MethodGet, served.url+"/"+n.Path())
		if control := a.header.Get("Cache-Control"); !strings.Contains(control, "immutable") || maxAge(a.header) < 86400 {
			t.Errorf("%s: Cache-Control: %q", n.Path(), control)
		}
	}
	for _, absent := range []string{"/tile/0/999", "/tile/entries/999", "/tile/0/000.p/0", "/absent"} {
		a := do(t, http.MethodGet, served.url+absent)
		if a.status != http.StatusNotFound || a.header.Get("Cache-Control") != "" && !shortLived(a.header) {
			t.Errorf("%s: status %d with Cache-Control: %q", absent, a.status, a.header.Get("Cache-Control"))
		}
	}
}

// TestTT_12_PartialTilesOfPublishedSizes asks for all that any published
// checkpoint ever needed: each partial tile is there until the full one is.
func TestTT_12_PartialTilesOfPublishedSizes(t *testing.T) {
	c := readShared(t)
	sizes := publishedSizes(t, served)
	if len(sizes) < 5 {
		t.Fatalf("published sizes %v, want more of them", sizes)
	}
	kept := 0
	for _, size := range sizes {
		for n := range tile.Needed(size) {
			a := do(t, http.MethodGet, served.url+"/"+n.Path())
			full := tile.WidthAt(n.Level, n.Index, uint64(c.tree.N)) == tile.Width
			if a.status != http.StatusOK && (!full || n.Full()) {
				t.Errorf("size %d needs %s: status %d", size, n.Path(), a.status)
			}
			if a.status == http.StatusOK && !n.Full() {
				kept++
			}
		}
	}
	if kept == 0 {
		t.Error("no partial tile was there")
	}
}

func TestTT_13_BundlesAreOctetStreams(t *testing.T) {
	size := uint64(readShared(t).tree.N)
	for _, path := range []string{"/tile/entries/000", fmt.Sprintf("/tile/entries/%03d.p/%d", size/256, size%256)} {
		a := do(t, http.MethodGet, served.url+path)
		if got := a.header.Get("Content-Type"); a.status != http.StatusOK || got != "application/octet-stream" {
			t.Errorf("%s: status %d, content type %q", path, a.status, got)
		}
	}
}

// TestTT_14_EntriesMatchLeafHashes is about the served bytes: entries of the
// bundles against hashes of the tiles beside them.
func TestTT_14_EntriesMatchLeafHashes(t *testing.T) {
	for n := range tile.Needed(uint64(readShared(t).tree.N)) {
		if n.Level != tile.Entries {
			continue
		}
		entries, err := splitBundle(get(t, served.url+"/"+n.Path()))
		if err != nil || len(entries) != n.Width {
			t.Fatalf("%s has %d entries: %v", n.Path(), len(entries), err)
		}
		hashes := get(t, served.url+"/"+tile.Path(0, n.Index, n.Width))
		for i, entry := range entries {
			if want := leafHash(entry); !bytes.Equal(hashes[32*i:32*i+32], want[:]) {
				t.Errorf("entry %d of %s has another leaf hash", i, n.Path())
			}
		}
	}
}

// TestTT_15_Encodings reads a bundle with and without gzip on offer.
func TestTT_15_Encodings(t *testing.T) {
	plain := get(t, served.url+"/tile/entries/000")
	a := do(t, http.MethodGet, served.url+"/tile/entries/000", "Accept-Encoding", "gzip")
	if a.header.Get("Content-Encoding") == "gzip" {
		r, err := gzip.NewReader(bytes.NewReader(a.body))
		if err != nil {
			t.Fatal(err)
		}
		if a.body, err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(a.body, plain) {
		t.Error("a reader that takes gzip reads other bytes")
	}
}

func TestTT_18_NothingIsPruned(t *testing.T) {
	for n := range tile.Needed(uint64(readShared(t).tree.N)) {
		if n.Full() {
			get(t, served.url+"/"+n.Path())
		}
	}
}

func TestTT_19_AbsentIs404(t *testing.T) {
	for _, path := range []string{"/tile/0/999", "/tile/0/x001/000", "/tile/entries/999", "/tile/entries/000.p/1/2", "/latest", "/lookup/a", "/checkpoint/", "/checkpoints"} {
		if a := do(t, http.MethodGet, served.url+path); a.status != http.StatusNotFound {
			t.Errorf("%s: status %d, want 404", path, a.status)
		}
	}
}

// TestTT_20_NothingIsMissingBehindACheckpoint reads a log again and again while
// it grows: whatever checkpoint a reader gets, all that it needs is there.
func TestTT_20_NothingIsMissingBehindACheckpoint(t *testing.T) {
	s := startLog(t, "--checkpoint-interval", "50ms")
	done := make(chan error, 1)
	go func() {
		for i := range 60 {
			if _, err := s.append(3+i%17, i%3 == 0); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	var sizes []int64
	for growing := true; growing; {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			growing = false
		default:
		}
		c, err := readMod(t.Context(), s.url, s.vkey)
		if err != nil {
			t.Fatalf("after sizes %v: %v", sizes, err)
		}
		if len(sizes) == 0 || sizes[len(sizes)-1] != c.tree.N {
			sizes = append(sizes, c.tree.N)
		}
	}
	if len(sizes) < 5 {
		t.Errorf("only the sizes %v were read", sizes)
	}
}

func TestTT_21_HEAD(t *testing.T) {
	for _, path := range []string{"/checkpoint", "/tile/0/000", "/tile/1/000.p/2", "/tile/entries/001"} {
		want := do(t, http.MethodGet, served.url+path)
		got := do(t, http.MethodHead, served.url+path)
		if got.status != http.StatusOK || len(got.body) != 0 {
			t.Errorf("HEAD %s: status %d, %d bytes", path, got.status, len(got.body))
		}
		for _, name := range []string{"Content-Type", "Content-Length", "Cache-Control"} {
			if got.header.Get(name) != want.header.Get(name) {
				t.Errorf("HEAD %s: %s: %q, GET has %q", path, name, got.header.Get(name), want.header.Get(name))
			}
		}
	}
	if a := do(t, http.MethodHead, served.url+"/tile/0/999"); a.status != http.StatusNotFound {
		t.Errorf("HEAD of an absent tile: status %d", a.status)
	}
}
