package tilestore

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// An index finds entries by identity, exactly, and by leaf hash. The entries of
// segments that are not retired are in maps, all others in runs. It is derived
// from the log and may be removed while the store is closed.
type index struct {
	dir, tmp string
	log      *slog.Logger

	// mu guards runs: it is held for reading while they are searched, so that
	// none is closed meanwhile, and for writing only to exchange them.
	mu   sync.RWMutex
	runs []*run // adjacent, from entry 0 on
	busy int    // runs[:busy] are left alone: some of them are being merged
	shut bool

	recentMu sync.RWMutex // locked after mu
	recent   []*recentIndex

	merges sync.WaitGroup
	failed func(error) // told about a merge that failed
}

// A recentIndex has the entries from first on, those of one segment.
type recentIndex struct {
	first  uint64
	ids    []hash
	leaves []hash
	byID   map[hash]uint32 // offset from first
	byLeaf map[hash]uint32 // the lowest offset
}

func newRecentIndex(first uint64) *recentIndex {
	return &recentIndex{first: first, byID: make(map[hash]uint32), byLeaf: make(map[hash]uint32)}
}

func (r *recentIndex) add(id, leaf hash) {
	offset := uint32(len(r.ids))
	r.ids, r.leaves = append(r.ids, id), append(r.leaves, leaf)
	r.byID[id] = offset
	if _, ok := r.byLeaf[leaf]; !ok {
		r.byLeaf[leaf] = offset
	}
}

// indexed is the number of entries that are in runs.
func (x *index) indexed() uint64 {
	if len(x.runs) == 0 {
		return 0
	}
	return x.runs[len(x.runs)-1].end()
}

// openIndex opens the runs in dir. Those that merges have replaced are removed;
// so is everything after the first one that is missing or damaged, for that
// can be made again.
func openIndex(dir, tmp string, log *slog.Logger, failed func(error)) (*index, error) {
	x := &index{dir: dir, tmp: tmp, log: log, failed: failed}
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("listing the identity index: %w", err)
	}
	var runs []*run
	for _, f := range files {
		path := filepath.Join(dir, f.Name())
		r, err := openRun(path)
		if err != nil || f.Name() != runName(r.first, r.count) {
			log.Warn("removing a damaged run of the identity index", "path", path, "err", err)
			if err := removeFile(path); err != nil {
				return nil, err
			}
			continue
		}
		runs = append(runs, r)
	}
	slices.SortFunc(runs, func(a, b *run) int {
		return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(b.count, a.count)) // the longest in front
	})
	for _, r := range runs {
		if r.first == x.indexed() && r.count > 0 {
			x.runs = append(x.runs, r)
			continue
		}
		r.file.Close()
		if err := removeFile(r.path); err != nil {
			return nil, err
		}
	}
	return x, nil
}

// find returns the index of the entry with an identity.
func (x *index) find(id *hash) (uint64, bool, error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if x.shut {
		return 0, false, ErrClosed
	}
	if i, ok := x.findRecent(id); ok {
		return i, true, nil
	}
	return x.findInRuns(id)
}

// findInRuns looks at the latest runs first. The caller holds mu for reading.
func (x *index) findInRuns(id *hash) (uint64, bool, error) {
	for _, r := range slices.Backward(x.runs) {
		if i, ok, err := r.findIdentity(id); ok || err != nil {
			return i, ok, err
		}
	}
	return 0, false, nil
}

func (x *index) findRecent(id *hash) (uint64, bool) {
	x.recentMu.RLock()
	defer x.recentMu.RUnlock()
	for _, r := range slices.Backward(x.recent) {
		if offset, ok := r.byID[*id]; ok {
			return r.first + uint64(offset), true
		}
	}
	return 0, false
}

// findLeaf returns the lowest index whose leaf hash is h. Runs keep only the
// first bytes of leaf hashes: is tells whether the whole one is at an index.
func (x *index) findLeaf(h *hash, is func(index uint64) (bool, error)) (index uint64, found bool, err error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if x.shut {
		return 0, false, ErrClosed
	}
	for _, r := range x.runs {
		findErr := r.findLeaf(h, func(i uint64) bool {
			index = i
			found, err = is(i)
			return !found && err == nil
		})
		if err := errors.Join(err, findErr); found || err != nil {
			return index, found, err
		}
	}
	x.recentMu.RLock()
	defer x.recentMu.RUnlock()
	for _, r := range x.recent {
		if offset, ok := r.byLeaf[*h]; ok {
			return r.first + uint64(offset), true, nil
		}
	}
	return 0, false, nil
}

// add adds what a pass committed to the latest segment's index.
func (x *index) add(entries []entry, leaves []hash) {
	x.recentMu.Lock()
	defer x.recentMu.Unlock()
	last := x.recent[len(x.recent)-1]
	for i := range entries {
		last.add(entries[i].identity, leaves[i])
	}
}

// begin starts the index of a new segment.
func (x *index) begin(first uint64) {
	x.recentMu.Lock()
	defer x.recentMu.Unlock()
	x.recent = append(x.recent, newRecentIndex(first))
}

// retire writes the run of the oldest segment that is not in one yet, and
// merges runs. Only one goroutine calls it, for segments that are closed.
func (x *index) retire() error {
	x.recentMu.RLock()
	oldest := x.recent[0]
	x.recentMu.RUnlock()
	if err := x.appendRun(oldest); err != nil {
		return err
	}
	return x.mergeSome()
}

// appendRun writes the run of a closed recentIndex, if it has any entry, and
// puts it in the place of that.
func (x *index) appendRun(old *recentIndex) error {
	var r *run
	if len(old.ids) > 0 {
		var err error
		r, err = writeRun(x.tmp, x.dir, old.first, uint64(len(old.ids)), hashSource(old.ids, idKey), hashSource(old.leaves, leafKey))
		if err != nil {
			return err
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.recentMu.Lock()
	defer x.recentMu.Unlock()
	if r != nil {
		x.runs = append(x.runs, r)
	}
	if len(x.recent) > 0 && x.recent[0] == old {
		x.recent = slices.Clone(x.recent[1:])
	}
	return nil
}

// Merging keeps the number of runs logarithmic: a run is merged with all later
// ones as soon as those have mergeRatio times its entries together.
const (
	mergeRatio = 3
	// inlineMerge is the number of entries up to which retire merges by itself.
	// More take too long: segments would pile up meanwhile.
	inlineMerge = 1 << 20
)

// mergeSome merges if it is time to.
func (x *index) mergeSome() error {
	x.mu.RLock()
	from, runs := dueForMerge(x.runs, x.busy), slices.Clone(x.runs)
	busy := x.busy > 0
	x.mu.RUnlock()
	runs = runs[from:]
	if len(runs) < 2 {
		return nil
	}
	entries := runs[len(runs)-1].end() - runs[0].first
	switch {
	case entries <= inlineMerge:
		return x.merge(runs)
	case busy:
		return nil // one after the other
	}
	x.mu.Lock()
	x.busy = from + len(runs)
	x.mu.Unlock()
	x.merges.Go(func() {
		if err := x.merge(runs); err != nil {
			x.failed(err)
		}
		x.mu.Lock()
		x.busy = 0
		x.mu.Unlock()
	})
	return nil
}

// dueForMerge returns the first of the runs that are to be merged into one,
// len(runs) if there are none.
func dueForMerge(runs []*run, busy int) int {
	for i := busy; i < len(runs); i++ {
		end := runs[len(runs)-1].end()
		if end-runs[i].end() >= mergeRatio*runs[i].count && end-runs[i].first <= maxRun {
			return i
		}
	}
	return len(runs)
}

// merge puts one run in the place of adjacent ones.
func (x *index) merge(old []*run) error {
	merged, err := mergeRuns(x.tmp, x.dir, old)
	if err != nil {
		return fmt.Errorf("merging %d runs of the identity index: %w", len(old), err)
	}
	x.mu.Lock()
	at := slices.Index(x.runs, old[0])
	x.runs = slices.Replace(slices.Clone(x.runs), at, at+len(old), merged)
	for _, r := range old {
		r.file.Close()
	}
	x.mu.Unlock()
	for _, r := range old {
		if err := removeFile(r.path); err != nil {
			return err
		}
	}
	return nil
}

// close waits for merges and closes the runs.
func (x *index) close() {
	x.merges.Wait()
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, r := range x.runs {
		r.file.Close()
	}
	x.runs, x.shut = nil, true
}
