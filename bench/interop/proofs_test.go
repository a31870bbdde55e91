package interop

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/chiolog/chiolog/formats/api"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/tlog"
)

// pairs is how many random proofs of each kind are checked.
const pairs = 1000

// getJSON decodes the answer of a URL that must answer 200.
func getJSON[T any](t *testing.T, url string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(get(t, url), &v); err != nil {
		t.Fatalf("%s: %v", url, err)
	}
	return v
}

// parsePath reads the hashes of a proof: none may be of another length (MK-4).
func parsePath(t *testing.T, path []string) (mod []tlog.Hash, merkle [][]byte) {
	t.Helper()
	for _, text := range path {
		raw, err := hex.DecodeString(text)
		if err != nil || len(raw) != tlog.HashSize {
			t.Fatalf("hash %q in a proof", text)
		}
		mod, merkle = append(mod, tlog.Hash(raw)), append(merkle, raw)
	}
	return mod, merkle
}

// root returns the root at a size, from the entries alone.
func root(t *testing.T, c *contents, size uint64) tlog.Hash {
	t.Helper()
	r, err := c.root(size)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// checkInclusion verifies an inclusion proof with both libraries.
func checkInclusion(t *testing.T, c *contents, p api.InclusionProof) {
	t.Helper()
	mod, merkle := parsePath(t, p.Path)
	rootHash, leaf := root(t, c, p.Size), leafHash(c.entries[p.Index])
	if p.LeafHash != hex.EncodeToString(leaf[:]) {
		t.Errorf("leaf hash of %d is %s", p.Index, p.LeafHash)
	}
	if err := tlog.CheckRecord(mod, int64(p.Size), rootHash, int64(p.Index), leaf); err != nil {
		t.Errorf("x/mod: inclusion of %d in %d: %v", p.Index, p.Size, err)
	}
	if err := proof.VerifyInclusion(rfc6962.DefaultHasher, p.Index, p.Size, leaf[:], merkle, rootHash[:]); err != nil {
		t.Errorf("merkle: inclusion of %d in %d: %v", p.Index, p.Size, err)
	}
}

// checkConsistency verifies a consistency proof with both libraries.
func checkConsistency(t *testing.T, c *contents, p api.ConsistencyProof) {
	t.Helper()
	mod, merkle := parsePath(t, p.Path)
	from, to := root(t, c, p.From), root(t, c, p.To)
	if err := tlog.CheckTree(mod, int64(p.To), to, int64(p.From), from); err != nil {
		t.Errorf("x/mod: consistency of %d with %d: %v", p.From, p.To, err)
	}
	if err := proof.VerifyConsistency(rfc6962.DefaultHasher, p.From, p.To, merkle, from[:], to[:]); err != nil {
		t.Errorf("merkle: consistency of %d with %d: %v", p.From, p.To, err)
	}
	if (len(p.Path) == 0) != (p.From == p.To) {
		t.Errorf("consistency of %d with %d has %d hashes", p.From, p.To, len(p.Path))
	}
}

func inclusionURL(s *server, index, size uint64) string {
	return fmt.Sprintf("%s%s?index=%d&size=%d", s.url, api.PathInclusion, index, size)
}

func consistencyURL(s *server, from, to uint64) string {
	return fmt.Sprintf("%s%s?from=%d&to=%d", s.url, api.PathConsistency, from, to)
}

// TestMK_1_RootOfTheEntries: the public readers derive the root from the entries
// alone, and the tree of no entries has the root that everyone knows.
func TestMK_1_RootOfTheEntries(t *testing.T) {
	c := readShared(t)
	var want storedHashes
	for i, entry := range c.entries {
		stored, err := tlog.StoredHashes(int64(i), entry, want)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, stored...)
	}
	got, err := tlog.TreeHash(c.tree.N, want)
	if err != nil || got != c.tree.Hash {
		t.Errorf("root of the entries is %v, the checkpoint's %v: %v", got, c.tree.Hash, err)
	}
}

// TestMK_2_InclusionAtAnySize proves random leaves under random sizes, whether
// a checkpoint was published over them or not.
func TestMK_2_InclusionAtAnySize(t *testing.T) {
	c := readShared(t)
	random := rand.New(rand.NewPCG(1, 2))
	for range pairs {
		size := 1 + random.Uint64N(uint64(c.tree.N))
		index := random.Uint64N(size)
		p := getJSON[api.InclusionProof](t, inclusionURL(served, index, size))
		if p.Index != index || p.Size != size {
			t.Fatalf("proof of %d under %d, asked for %d under %d", p.Index, p.Size, index, size)
		}
		checkInclusion(t, c, p)
	}
	first := getJSON[api.InclusionProof](t, inclusionURL(served, 0, 1))
	if len(first.Path) != 0 || first.Path == nil {
		t.Errorf("path of the only leaf of a tree: %v, want an empty list", first.Path)
	}
	checkInclusion(t, c, first)
}

// TestMK_2_LeafByAnyName: id and leaf hash name the leaf that the index names.
func TestMK_2_LeafByAnyName(t *testing.T) {
	c := readShared(t)
	for i := 0; i < len(served.sent); i += 100 {
		leaf := leafHash(served.sent[i])
		for _, name := range []string{"id=" + receiptID(t, served.sent[i]), "leaf_hash=" + hex.EncodeToString(leaf[:])} {
			p := getJSON[api.InclusionProof](t, served.url+api.PathInclusion+"?"+name)
			if p.Index != served.at[i] || p.Size != uint64(c.tree.N) {
				t.Errorf("%s: leaf %d under %d, want %d under %d", name, p.Index, p.Size, served.at[i], c.tree.N)
			}
			checkInclusion(t, c, p)
		}
	}
}

func TestMK_2_IndexBeyondSizeIsRefused(t *testing.T) {
	size := uint64(readShared(t).tree.N)
	getJSON[api.InclusionProof](t, inclusionURL(served, 9, 10))
	for _, at := range [][2]uint64{{10, 10}, {11, 10}, {size - 1, 10}, {size, size}, {size + 1, size}, {1 << 62, size}} {
		a := do(t, http.MethodGet, inclusionURL(served, at[0], at[1]))
		if a.status == http.StatusOK {
			t.Errorf("leaf %d under size %d: %s", at[0], at[1], a.body)
		}
	}
}

// TestMK_3_ConsistencyOfAnySizes proves random pairs of sizes, equal ones too.
func TestMK_3_ConsistencyOfAnySizes(t *testing.T) {
	c := readShared(t)
	random := rand.New(rand.NewPCG(3, 4))
	for i := range pairs {
		to := 1 + random.Uint64N(uint64(c.tree.N))
		from := 1 + random.Uint64N(to)
		if i%50 == 0 {
			from = to
		}
		p := getJSON[api.ConsistencyProof](t, consistencyURL(served, from, to))
		if p.From != from || p.To != to {
			t.Fatalf("proof from %d to %d, asked for %d to %d", p.From, p.To, from, to)
		}
		checkConsistency(t, c, p)
	}
	sizes := publishedSizes(t, served)
	for i, from := range sizes {
		for _, to := range sizes[i:] {
			checkConsistency(t, c, getJSON[api.ConsistencyProof](t, consistencyURL(served, from, to)))
		}
	}
}

func TestMK_3_NothingIsProvedFromTheEmptyTree(t *testing.T) {
	getJSON[api.ConsistencyProof](t, consistencyURL(served, 1, 10))
	for _, pair := range [][2]uint64{{0, 10}, {0, 0}, {11, 10}} {
		if a := do(t, http.MethodGet, consistencyURL(served, pair[0], pair[1])); a.status != http.StatusBadRequest {
			t.Errorf("from %d to %d: status %d, want 400", pair[0], pair[1], a.status)
		}
	}
}

// checkNotPublished checks that a URL answers 404 with the published size.
func checkNotPublished(t *testing.T, url string, size uint64) {
	t.Helper()
	a := do(t, http.MethodGet, url)
	var body api.Error
	err := json.Unmarshal(a.body, &body)
	if err != nil || a.status != http.StatusNotFound || body.Code != api.CodeSize || body.Size == nil || *body.Size != size {
		t.Errorf("%s of a log of %d: status %d: %s", url, size, a.status, a.body)
	}
	if got := a.header.Get("Content-Type"); got != api.TypeJSON {
		t.Errorf("%s: content type %q", url, got)
	}
	if a.header.Get("Cache-Control") != "" && !shortLived(a.header) {
		t.Errorf("%s: a 404 with Cache-Control: %s", url, a.header.Get("Cache-Control"))
	}
}

// TestTR_2_SubmittedAgain: a duplicate is answered with the first one's index,
// and takes no place.
func TestTR_2_SubmittedAgain(t *testing.T) {
	size := readShared(t).tree.N
	for _, published := range []bool{false, true} {
		answers, err := served.submit(served.sent, published)
		if err != nil {
			t.Fatal(err)
		}
		for i, a := range answers {
			if !a.Duplicate || a.Index != served.at[i] {
				t.Fatalf("receipt %d again: index %d, duplicate %t, want %d", i, a.Index, a.Duplicate, served.at[i])
			}
		}
	}
	if now := readShared(t).tree.N; now != size {
		t.Errorf("size is %d after duplicates alone, was %d", now, size)
	}
}

// TestTR_4_NoEmptyProofBeyondThePublishedSize asks for proofs that Trillian
// would answer with an empty or another proof: about sizes that no leaf reaches,
// and such that are sequenced but not published.
func TestTR_4_NoEmptyProofBeyondThePublishedSize(t *testing.T) {
	size := uint64(readShared(t).tree.N)
	for _, beyond := range []uint64{size + 1, size + 2, 2 * size, 1 << 40, 1<<63 - 1} {
		checkNotPublished(t, consistencyURL(served, 1, beyond), size)
		checkNotPublished(t, consistencyURL(served, size, beyond), size)
		checkNotPublished(t, consistencyURL(served, beyond, beyond), size)
		checkNotPublished(t, inclusionURL(served, 0, beyond), size)
		checkNotPublished(t, inclusionURL(served, beyond-1, beyond), size)
		checkNotPublished(t, fmt.Sprintf("%s%s?from=%d", served.url, api.PathStatus, beyond), size)
	}
}

func TestTR_4_SequencedIsNotPublished(t *testing.T) {
	s := startLog(t, "--checkpoint-interval", "3s")
	// Right after a publication the next one is a whole interval away. A machine
	// too slow to ask within it begins anew.
	for range 10 {
		if _, err := s.append(1, true); err != nil {
			t.Fatal(err)
		}
		tree, err := readCheckpoint(t.Context(), s.url, s.vkey)
		if err != nil {
			t.Fatal(err)
		}
		answers, err := s.append(300, false)
		if err != nil {
			t.Fatal(err)
		}
		size, last := uint64(tree.N), answers[len(answers)-1].Index
		urls := []string{
			consistencyURL(s, 1, last+1), consistencyURL(s, size, size+1), consistencyURL(s, last, last+1), consistencyURL(s, last+1, last+1),
			inclusionURL(s, 0, size+1), inclusionURL(s, last, last+1),
		}
		got := make([]answer, len(urls))
		for i, url := range urls {
			got[i] = do(t, http.MethodGet, url)
		}
		leaf := do(t, http.MethodGet, fmt.Sprintf("%s%s?index=%d", s.url, api.PathInclusion, last))
		after, err := readCheckpoint(t.Context(), s.url, s.vkey)
		if err != nil {
			t.Fatal(err)
		}
		if after.N != tree.N {
			continue
		}
		for i, a := range got {
			var body api.Error
			if err := json.Unmarshal(a.body, &body); err != nil || a.status != http.StatusNotFound || body.Size == nil || *body.Size != size {
				t.Errorf("%s at size %d: status %d: %s", urls[i], size, a.status, a.body)
			}
		}
		if leaf.status != http.StatusServiceUnavailable || leaf.header.Get("Retry-After") == "" {
			t.Errorf("a leaf not published: status %d, Retry-After %q", leaf.status, leaf.header.Get("Retry-After"))
		}
		return
	}
	t.Fatal("every round was overtaken by a publication")
}

// TestTR_7_SizesOnlyGrow follows a log over a restart: each checkpoint contains
// the one before.
func TestTR_7_SizesOnlyGrow(t *testing.T) {
	s := startLog(t, "--checkpoint-interval", "50ms")
	for range 3 {
		before, err := readCheckpoint(t.Context(), s.url, s.vkey)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.append(100, true); err != nil {
			t.Fatal(err)
		}
		vkey := s.vkey
		if err := s.stop(); err != nil {
			t.Fatal(err)
		}
		if err := s.restart(); err != nil {
			t.Fatal(err)
		}
		if s.vkey != vkey {
			t.Fatalf("vkey is %s after a restart, was %s", s.vkey, vkey)
		}
		c, err := readMod(t.Context(), s.url, s.vkey)
		if err != nil {
			t.Fatal(err)
		}
		if c.tree.N < before.N+100 || root(t, c, uint64(before.N)) != before.Hash {
			t.Errorf("size %d does not contain size %d and 100 receipts", c.tree.N, before.N)
		}
		checkEntries(t, c, s)
	}
	sizes := publishedSizes(t, s)
	for i := 1; i < len(sizes); i++ {
		if sizes[i] <= sizes[i-1] {
			t.Errorf("published sizes %v", sizes)
		}
	}
}

// A tlogProof is a tlog-proof file, read as its specification has it.
type tlogProof struct {
	extra      string
	index      int64
	path       tlog.RecordProof
	checkpoint []byte
}

func parseTlogProof(data string) (*tlogProof, error) {
	rest, ok := strings.CutPrefix(data, "c2sp.org/tlog-proof@v1\n")
	if !ok {
		return nil, fmt.Errorf("first line %.30q", data)
	}
	head, checkpoint, ok := strings.Cut(rest, "\n\n")
	if !ok {
		return nil, fmt.Errorf("no empty line")
	}
	p := &tlogProof{checkpoint: []byte(checkpoint)}
	lines := strings.Split(head, "\n")
	if extra, ok := strings.CutPrefix(lines[0], "extra "); ok {
		raw, err := base64.StdEncoding.Strict().DecodeString(extra)
		if err != nil || len(raw) == 0 {
			return nil, fmt.Errorf("extra %.30q: %v", extra, err)
		}
		p.extra, lines = string(raw), lines[1:]
	}
	if len(lines) == 0 || !strings.HasPrefix(lines[0], "index ") {
		return nil, fmt.Errorf("no index")
	}
	index, err := strconv.ParseInt(lines[0][len("index "):], 10, 64)
	if err != nil || "index "+strconv.FormatInt(index, 10) != lines[0] {
		return nil, fmt.Errorf("index %q", lines[0])
	}
	p.index = index
	for _, line := range lines[1:] {
		raw, err := base64.StdEncoding.Strict().DecodeString(line)
		if err != nil || len(raw) != tlog.HashSize {
			return nil, fmt.Errorf("hash %q", line)
		}
		p.path = append(p.path, tlog.Hash(raw))
	}
	return p, nil
}

// TestTP_5_BundlesVerify fetches bundles and verifies them as any tlog-proof,
// from the bytes that were submitted.
func TestTP_5_BundlesVerify(t *testing.T) {
	for i := 0; i < len(served.sent); i += 37 {
		data := string(get(t, served.url+api.PathBundle+"?id="+receiptID(t, served.sent[i])))
		p, err := parseTlogProof(data)
		if err != nil {
			t.Fatalf("bundle of receipt %d: %v", i, err)
		}
		tree, err := openCheckpoint(p.checkpoint, served.vkey)
		if err != nil {
			t.Fatal(err)
		}
		if p.index != int64(served.at[i]) {
			t.Errorf("receipt %d: index %d, want %d", i, p.index, served.at[i])
		}
		leaf := tlog.RecordHash(served.sent[i])
		if err := tlog.CheckRecord(p.path, tree.N, tree.Hash, p.index, leaf); err != nil {
			t.Errorf("receipt %d: %v", i, err)
		}
		if err := tlog.CheckRecord(p.path, tree.N, tree.Hash, p.index, tlog.RecordHash(served.sent[i][1:])); err == nil {
			t.Errorf("receipt %d: another leaf verifies too", i)
		}
	}
}

// TestTP_1_Layout is about bundles and status files alike (TP-1 to TP-4): the
// parser above refuses any other spelling.
func TestTP_1_Layout(t *testing.T) {
	checkpoint := get(t, served.url+"/checkpoint")
	for _, path := range []string{
		api.PathBundle + "?id=" + receiptID(t, served.sent[0]),
		api.PathStatus,
		api.PathStatus + "?from=1&from=100",
	} {
		a := do(t, http.MethodGet, served.url+path)
		if a.status != http.StatusOK || !shortLived(a.header) {
			t.Errorf("%s: status %d, Cache-Control: %q", path, a.status, a.header.Get("Cache-Control"))
		}
		p, err := parseTlogProof(string(a.body))
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if p.extra == "" {
			t.Errorf("%s has no extra data", path)
		}
		if string(p.checkpoint) != string(checkpoint) {
			t.Errorf("%s ends in a checkpoint other than the published one", path)
		}
	}
}

func receiptID(t *testing.T, receipt []byte) string {
	t.Helper()
	var r struct{ ID string }
	if err := json.Unmarshal(receipt, &r); err != nil {
		t.Fatal(err)
	}
	return r.ID
}
