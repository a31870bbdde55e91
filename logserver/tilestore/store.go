// Package tilestore keeps a Trillian log in the files of a C2SP tlog-tiles log:
// it is a storage.LogStorage whose directory a plain file server can serve.
//
// In the directory are, for everybody to read,
//
//	checkpoint                the last signed checkpoint, see WriteCheckpoint
//	tile/<L>/<N>[.p/<W>]      hash tiles
//	tile/entries/<N>[.p/<W>]  entry bundles
//
// and below .state what the store needs itself, none of it secret: the lock,
// the tree's id, append segments and the identity index.
//
// A pass of Trillian's sequencer is one checksummed record at the end of a
// segment, made durable by one fdatasync. After a crash the tree is the last
// committed one, or that and one whole pass. Tiles and bundles are written from
// memory, behind the log; so is the identity index. Once they are durable the
// segments that they were made of are removed.
//
// Every hash in a tile, and every root, is one that the sequencer passed in.
// The store hashes only to rebuild nodes inside a tile that it has read, and to
// check what it finds when it is opened.
package tilestore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chiolog/chiolog/formats/tile"
	"github.com/google/trillian"
	"github.com/google/trillian/storage"
	"github.com/google/trillian/storage/tree"
	"github.com/google/trillian/types"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

var (
	// ErrLocked reports that another process, or another Store, has the directory open.
	ErrLocked = errors.New("store is in use")
	// ErrNetworkFS reports a directory on a file system where other machines
	// could write the log as well.
	ErrNetworkFS = errors.New("a network file system, where a lock does not keep others out")
	// ErrVersion reports a store of another format version.
	ErrVersion = errors.New("store has a format that this version does not know")
	// ErrClosed reports a call after Close.
	ErrClosed = errors.New("store is closed")
)

// Options are what a store needs to know. The zero value is usable.
type Options struct {
	// Logger gets what an operator should see. Nil discards it.
	Logger *slog.Logger
	// QueueLeaves and QueueBytes bound what waits in memory for the next pass;
	// beyond, QueueLeaves is ResourceExhausted. Default 65,536 leaves and 256 MiB.
	QueueLeaves int
	QueueBytes  int
	// Identity computes the identity of an entry that was stored with that
	// identity. It is called for leaves that are returned to Trillian and
	// when the identity index is rebuilt. Nil means that identities
	// are Merkle leaf hashes. A wrong one breaks the search for duplicates.
	Identity func(value []byte) ([32]byte, error)

	segmentSize int64 // bytes; 0 is segmentSize, tests have smaller ones
}

// A Store is a storage.LogStorage of exactly one tree. It is safe for
// concurrent use; its passes are serialised.
//
// After a failed write or sync nobody knows what is on the disk. The Store then
// fails every later write with that error, see Err, until it is opened again;
// the tree as it was committed can still be read.
type Store struct {
	dir      string
	log      *slog.Logger
	identity func([]byte) (hash, error)
	lock     *os.File
	tree     *trillian.Tree

	queue   queue
	index   *index
	tail    tail
	tiles   *cache[tileKey, *nodeTile]
	bundles *cache[uint64, [][]byte]

	at atomic.Pointer[committed] // nil before InitLog

	txMu   sync.Mutex // one pass at a time
	writer segmentWriter

	filesMu      sync.Mutex // one writer of public files at a time
	publisher    *publisher
	partials     *partials
	materialised uint64 // size of the last Materialise

	closedMu sync.Mutex
	room     *sync.Cond      // broadcast when closed shrinks and on failure
	closed   []closedSegment // oldest first; more than maxSegments stop commits
	failure  error

	wake       chan struct{} // a segment was closed
	background sync.WaitGroup
	stop       context.CancelFunc
}

// A closedSegment takes no more passes and waits to be retired.
type closedSegment struct {
	segment
	indexed bool // its entries are in runs
}

var _ storage.LogStorage = (*Store)(nil)

func (s *Store) stateDir() string    { return filepath.Join(s.dir, ".state") }
func (s *Store) tmpDir() string      { return filepath.Join(s.stateDir(), "tmp") }
func (s *Store) indexDir() string    { return filepath.Join(s.stateDir(), "index") }
func (s *Store) spareDir() string    { return filepath.Join(s.stateDir(), "spare") }
func (s *Store) segmentsDir() string { return filepath.Join(s.stateDir(), "segments") }

// Err returns the error that made the store fail, nil while it is sound.
func (s *Store) Err() error {
	s.closedMu.Lock()
	defer s.closedMu.Unlock()
	return s.failure
}

// fail makes the store fail with err, unless it already has, and returns err.
func (s *Store) fail(err error) error {
	s.closedMu.Lock()
	defer s.closedMu.Unlock()
	if s.failure == nil {
		s.failure = fmt.Errorf("store %s failed and must be opened again: %w", s.dir, err)
		s.log.Error("store failed: no more entries are taken until it is opened again", "dir", s.dir, "err", err)
	}
	s.room.Broadcast()
	return err
}

// Size returns the size of the committed tree.
func (s *Store) Size() uint64 {
	if at := s.at.Load(); at != nil {
		return at.TreeSize
	}
	return 0
}

// Head returns the committed root; ok is false before InitLog.
func (s *Store) Head() (root types.LogRootV1, ok bool) {
	if at := s.at.Load(); at != nil {
		return at.LogRootV1, true
	}
	return root, false
}

// CheckDatabaseAccessible returns Err.
func (s *Store) CheckDatabaseAccessible(context.Context) error { return s.Err() }

// GetActiveLogIDs returns the id of the one tree.
func (s *Store) GetActiveLogIDs(context.Context) ([]int64, error) {
	return []int64{s.tree.TreeId}, nil
}

// AddSequencedLeaves is Unimplemented: the tree is a LOG, not a PREORDERED_LOG (TR-3).
func (s *Store) AddSequencedLeaves(context.Context, *trillian.Tree, []*trillian.LogLeaf, time.Time) ([]*trillian.QueuedLogLeaf, error) {
	return nil, status.Error(codes.Unimplemented, "this log gives the indexes itself")
}

func (s *Store) checkTree(tree *trillian.Tree) error {
	if tree.GetTreeId() != s.tree.TreeId {
		return status.Errorf(codes.NotFound, "no tree %d in this store", tree.GetTreeId())
	}
	return nil
}

// SnapshotForTree returns a transaction that reads the tree as it is now.
func (s *Store) SnapshotForTree(_ context.Context, tree *trillian.Tree) (storage.ReadOnlyLogTreeTX, error) {
	if err := s.checkTree(tree); err != nil {
		return nil, err
	}
	tx := &readTX{s, s.at.Load()}
	if tx.at == nil {
		return tx, storage.ErrTreeNeedsInit
	}
	return tx, nil
}

// ReadWriteTransaction runs one pass. What f has set is durable and visible if
// the error is nil, and as if it had never been otherwise, but for a failed
// store: that shows when it is opened again.
func (s *Store) ReadWriteTransaction(ctx context.Context, tree *trillian.Tree, f storage.LogTXFunc) error {
	if err := s.checkTree(tree); err != nil {
		return err
	}
	s.txMu.Lock()
	defer s.txMu.Unlock()
	if err := s.Err(); err != nil {
		return err
	}
	tx := &writeTX{readTX: readTX{s, s.at.Load()}}
	defer tx.Close()
	if err := f(ctx, tx); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

// commit makes a pass durable and then visible. The caller holds txMu.
func (s *Store) commit(next *committed, p *pass, nodes []tree.Node) error {
	if err := s.waitForRoom(); err != nil {
		return err
	}
	previous := s.writer.segment
	begun, err := s.writer.append(p, func() *segmentStart { return s.tail.start(p.first) })
	if err != nil {
		return s.fail(fmt.Errorf("committing size %d: %w", p.size(), err))
	}
	// From here on the pass cannot be lost. It is shown to readers from the
	// entries up: whoever sees a root or an index finds all that is below it,
	// and whoever misses a leaf in the queue finds it in the index.
	if err := s.tail.add(p, nodes); err != nil {
		return s.fail(fmt.Errorf("committing size %d: %w", p.size(), err))
	}
	s.at.Store(next)
	if begun {
		s.index.begin(p.first)
	}
	if len(p.levels) > 0 {
		s.index.add(p.entries, p.levels[0])
	}
	s.queue.done(p.entries)
	if begun && previous.path != "" {
		s.closeSegment(previous)
	}
	return nil
}

// waitForRoom waits until there are fewer than maxSegments closed segments: if
// tiles are written more slowly than passes, passes wait.
func (s *Store) waitForRoom() error {
	s.closedMu.Lock()
	defer s.closedMu.Unlock()
	for len(s.closed) >= maxSegments && s.failure == nil {
		s.room.Wait()
	}
	return s.failure
}

// closeSegment hands a segment to the background, which retires it.
func (s *Store) closeSegment(seg segment) {
	s.closedMu.Lock()
	s.closed = append(s.closed, closedSegment{segment: seg})
	s.closedMu.Unlock()
	s.wakeUp()
}

func (s *Store) wakeUp() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// retireLoop retires closed segments until ctx ends.
func (s *Store) retireLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		}
		if s.Err() != nil {
			return
		}
		if err := s.retire(); err != nil {
			s.fail(fmt.Errorf("retiring segments: %w", err))
			return
		}
	}
}

// retire writes the index of closed segments and the full tiles of the log, and
// removes the segments that nothing needs any more.
func (s *Store) retire() error {
	s.closedMu.Lock()
	closed := append([]closedSegment(nil), s.closed...)
	s.closedMu.Unlock()
	for i := range closed {
		if closed[i].indexed {
			continue
		}
		if err := s.index.retire(); err != nil {
			return err
		}
		s.closedMu.Lock()
		s.closed[i].indexed = true
		s.closedMu.Unlock()
	}
	s.filesMu.Lock()
	size, err := s.flush()
	s.filesMu.Unlock()
	if err != nil {
		return err
	}
	for _, seg := range closed {
		if seg.end > size/tile.Width*tile.Width {
			break // the last bundle that it has a part of is not full
		}
		// One after the other, so that never one is left behind a gap.
		if err := s.writer.retire(seg.path); err != nil {
			return err
		}
		s.closedMu.Lock()
		s.closed = s.closed[1:]
		s.room.Broadcast()
		s.closedMu.Unlock()
	}
	return nil
}

// Close stops the background and releases the lock. Leaves that are still
// queued are lost; nobody was told that they are in the log.
func (s *Store) Close() error {
	s.closedMu.Lock()
	if errors.Is(s.failure, ErrClosed) {
		s.closedMu.Unlock()
		return nil
	}
	s.failure = ErrClosed
	s.room.Broadcast()
	s.closedMu.Unlock()
	s.stop()
	s.background.Wait()
	s.txMu.Lock()
	defer s.txMu.Unlock()
	s.filesMu.Lock()
	defer s.filesMu.Unlock()
	s.index.close()
	s.writer.close()
	return s.lock.Close()
}
