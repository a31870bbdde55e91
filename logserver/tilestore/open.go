package tilestore

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/chiolog/chiolog/formats/tile"
	"github.com/google/trillian"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	defaultQueueLeaves = 1 << 16
	defaultQueueBytes  = 256 << 20
)

// Open opens the store in a directory, which it creates if it is missing, and
// locks it until Close. It reads the segments alone, whose length is bounded,
// however long the log is; only an identity index that was lost is made again
// from all entries.
//
// It checks every entry and hash in the segments, and that the tiles they lead
// to have the committed root. ErrCorrupt means that durable bytes have changed.
func Open(dir string, opts Options) (*Store, error) {
	s := &Store{
		dir:      dir,
		log:      opts.Logger,
		identity: opts.Identity,
		queue: queue{
			maxLeaves: cmp.Or(opts.QueueLeaves, defaultQueueLeaves),
			maxBytes:  cmp.Or(opts.QueueBytes, defaultQueueBytes),
			pending:   make(map[hash]*trillian.LogLeaf),
		},
		tiles:   newCache[tileKey, *nodeTile](tileCacheSize),
		bundles: newCache[uint64, [][]byte](bundleCacheSize),
		wake:    make(chan struct{}, 1),
	}
	s.room = sync.NewCond(&s.closedMu)
	s.writer.limit = cmp.Or(opts.segmentSize, segmentSize)
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if err := s.open(); err != nil {
		s.abandon()
		return nil, fmt.Errorf("opening store %s: %w", dir, err)
	}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.background.Go(func() { s.retireLoop(ctx) })
	s.wakeUp()
	return s, nil
}

// abandon releases what an open that failed has taken.
func (s *Store) abandon() {
	if s.index != nil {
		s.index.close()
	}
	s.writer.close()
	if s.lock != nil {
		s.lock.Close()
	}
}

func (s *Store) open() error {
	if err := makeDir(s.dir, publicDir); err != nil {
		return err
	}
	if err := refuseNetworkFS(s.dir); err != nil {
		return err
	}
	if err := makeDir(s.stateDir(), privateDir); err != nil {
		return err
	}
	var err error
	if s.lock, err = lock(filepath.Join(s.stateDir(), "lock")); err != nil {
		return err
	}
	for _, dir := range []string{s.tmpDir(), s.indexDir(), s.spareDir(), s.segmentsDir()} {
		if err := makeDir(dir, privateDir); err != nil {
			return err
		}
	}
	if err := errors.Join(clearDir(s.tmpDir()), clearDir(s.spareDir())); err != nil {
		return err
	}
	s.writer.dir, s.writer.spareDir = s.segmentsDir(), s.spareDir()
	s.publisher = newPublisher(s.tmpDir())
	if err := s.openConfig(); err != nil {
		return err
	}
	if s.partials, err = openPartials(filepath.Join(s.stateDir(), "partials")); err != nil {
		return err
	}
	if s.index, err = openIndex(s.indexDir(), s.tmpDir(), s.log, func(err error) { s.fail(err) }); err != nil {
		return err
	}
	segments, err := readSegments(s.segmentsDir())
	if err != nil {
		return err
	}
	return s.replay(segments)
}

const configHeader = "chiolog tile store 1\n"

// openConfig reads the format version and the tree's id, or makes them in an
// empty directory. Other files without it mean that it was lost.
func (s *Store) openConfig() error {
	path := filepath.Join(s.stateDir(), "config")
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if found, err := exists(filepath.Join(s.dir, "tile")); found || err != nil {
			return errors.Join(err, fmt.Errorf("there are tiles, but no %s: %w", path, ErrCorrupt))
		}
		data = fmt.Appendf([]byte(configHeader), "tree %d\ncreated %d\n", newTreeID(), time.Now().UnixNano())
		err = s.publisher.replace(path, data, privateFile)
	}
	if err != nil {
		return err
	}
	rest, ok := bytes.CutPrefix(data, []byte(configHeader))
	if !ok {
		line, _, _ := bytes.Cut(data, []byte("\n"))
		return fmt.Errorf("%s begins with %.40q: %w", path, line, ErrVersion)
	}
	var id, created int64
	if _, err := fmt.Sscanf(string(rest), "tree %d\ncreated %d\n", &id, &created); err != nil || id <= 0 {
		return fmt.Errorf("%s: %w", path, ErrCorrupt)
	}
	at := timestamppb.New(time.Unix(0, created))
	s.tree = &trillian.Tree{
		TreeId:          id,
		TreeState:       trillian.TreeState_ACTIVE,
		TreeType:        trillian.TreeType_LOG,
		DisplayName:     "chiolog",
		CreateTime:      at,
		UpdateTime:      at,
		MaxRootDuration: durationpb.New(0), // never a root over nothing new
	}
	return nil
}

func newTreeID() int64 {
	var b [8]byte
	rand.Read(b[:])
	return int64(binary.BigEndian.Uint64(b[:])>>1 | 1)
}

// replay makes the tail from the segments, the oldest first.
func (s *Store) replay(segments []*readSegment) error {
	all := segments
	if n := len(segments); n > 0 && len(segments[n-1].passes) == 0 {
		segments = segments[:n-1]
	}
	if len(segments) == 0 {
		return s.openFresh(all)
	}
	oldest := segments[0]
	s.tail.begin(oldest.start)
	for _, seg := range segments {
		for _, p := range seg.passes {
			if err := s.tail.replay(p); err != nil {
				return errors.Join(fmt.Errorf("segment %s, after entry %d: %w", seg.path, p.first, err), ErrCorrupt)
			}
		}
	}
	newest := segments[len(segments)-1]
	at, err := parseRoot(newest.passes[len(newest.passes)-1].root)
	if err != nil {
		return errors.Join(err, ErrCorrupt)
	}
	s.at.Store(at)
	if err := s.checkReplayed(oldest.first); err != nil {
		return errors.Join(err, ErrCorrupt)
	}
	if err := s.replayIndex(segments); err != nil {
		return err
	}
	if err := all[len(all)-1].repair(s.log); err != nil {
		return err
	}
	for _, seg := range segments[:len(segments)-1] {
		s.closed = append(s.closed, closedSegment{seg.segment, seg.end <= s.index.indexed()})
	}
	s.writer.segment = newest.segment
	s.writer.file, err = openFile(newest.path)
	return err
}

// openFresh opens a store without a pass, which then never had one: there is at
// most a segment that a crash left unfinished.
func (s *Store) openFresh(unfinished []*readSegment) error {
	found, err := exists(filepath.Join(s.dir, "tile"))
	if err != nil {
		return err
	}
	if found || s.index.indexed() > 0 {
		return fmt.Errorf("there are tiles, but no segment in %s: %w", s.segmentsDir(), ErrCorrupt)
	}
	for _, seg := range unfinished {
		if err := seg.repair(s.log); err != nil {
			return err
		}
	}
	return nil
}

// checkReplayed checks that the tail, whose segments begin at entry first, has
// the entries of its hashes, the hashes of its nodes, and the committed root.
func (s *Store) checkReplayed(first uint64) error {
	t, at := &s.tail, s.at.Load()
	if size := uint64(len(t.entries)) + t.first; size != at.TreeSize {
		return fmt.Errorf("root of size %d over %d entries", at.TreeSize, size)
	}
	if first%tile.Width > 0 {
		name := tile.Tile{Level: tile.Entries, Index: first / tile.Width, Width: tile.Width}
		if found, err := exists(s.path(name)); err != nil || !found {
			return errors.Join(err, fmt.Errorf("segments begin at entry %d, but %s is missing", first, name.Path()))
		}
	}
	for i := range t.entries {
		index := t.first + uint64(i)
		want := t.levels[0].at(index / tile.Width).nodes[index%tile.Width]
		if got := rfc6962.DefaultHasher.HashLeaf(t.entries[i].value); !bytes.Equal(got, want[:]) {
			return fmt.Errorf("entry %d does not have its leaf hash", index)
		}
	}
	if err := t.rebuild(); err != nil {
		return err
	}
	return s.checkRoot(at)
}

// checkRoot checks that the nodes of the tail lead to the root.
func (s *Store) checkRoot(at *committed) error {
	root := rfc6962.DefaultHasher.EmptyRoot()
	if at.TreeSize > 0 {
		var hashes [][]byte
		for _, id := range compact.RangeNodes(0, at.TreeSize, nil) {
			h := s.tail.node(placeOf(id))
			if h == nil {
				return fmt.Errorf("node %d at level %d is missing", id.Index, id.Level)
			}
			hashes = append(hashes, h)
		}
		factory := compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
		r, err := factory.NewRange(0, at.TreeSize, hashes)
		if err != nil {
			return err
		}
		if root, err = r.GetRootHash(nil); err != nil {
			return err
		}
	}
	if !bytes.Equal(root, at.RootHash) {
		return fmt.Errorf("nodes of size %d have another root than was committed", at.TreeSize)
	}
	return nil
}

// replayIndex puts the entries of the segments that are not in runs yet into
// the recent index, after runs for what comes before the segments.
func (s *Store) replayIndex(segments []*readSegment) error {
	if err := s.rebuildIndex(segments[0].first); err != nil {
		return fmt.Errorf("rebuilding the identity index: %w", err)
	}
	indexed := s.index.indexed()
	if size := s.Size(); indexed > size {
		return fmt.Errorf("index of %d entries for a tree of size %d: %w", indexed, size, ErrIndexCorrupt)
	}
	for i, seg := range segments {
		if last := i == len(segments)-1; seg.end <= indexed && !last {
			continue
		}
		s.index.begin(max(seg.first, indexed))
		for _, p := range seg.passes {
			if skip := max(p.first, indexed) - p.first; skip < uint64(len(p.entries)) {
				s.index.add(p.entries[skip:], p.levels[0][skip:])
			}
		}
	}
	return nil
}

// rebuildRun is the number of entries in one run of a rebuilt index.
const rebuildRun = 1 << 16

// rebuildIndex makes runs from bundles and tiles until the index has all
// entries before size.
func (s *Store) rebuildIndex(size uint64) error {
	if s.index.indexed() < size {
		s.log.Warn("the identity index is not complete: rebuilding it", "from", s.index.indexed(), "to", size)
	}
	ctx := context.Background()
	for from := s.index.indexed(); from < size; from = s.index.indexed() {
		to := min(from+rebuildRun, size)
		recent := &recentIndex{first: from}
		var err error
		if recent.leaves, err = s.LeafHashes(ctx, from, to); err != nil {
			return err
		}
		err = s.ReadEntries(ctx, from, to, func(index uint64, value []byte) error {
			id, err := s.identityOf(value, recent.leaves[index-from])
			recent.ids = append(recent.ids, id)
			return err
		})
		if err != nil {
			return err
		}
		if err := s.index.appendRun(recent); err != nil {
			return err
		}
		if err := s.index.mergeSome(); err != nil {
			return err
		}
	}
	return nil
}
