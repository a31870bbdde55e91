package logserver

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/chiolog/chiolog/formats/api"
	"github.com/chiolog/chiolog/formats/checkpoint"
)

// perFile is how many checkpoints one file of a History holds.
const perFile = 256

// A History keeps every published checkpoint, in both encodings, as lines of
// JSON in files of 256. It is safe for concurrent use by one process.
type History struct {
	dir string

	mu   sync.Mutex
	file *os.File // of the last checkpoint appended, nil before the first
	next uint64   // checkpoint_seq that file takes next
}

// OpenHistory opens the history in dir, which is made if it is missing.
func OpenHistory(dir string) (*History, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("checkpoint history: %w", err)
	}
	return &History{dir: dir}, nil
}

// Close releases the files.
func (h *History) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.file == nil {
		return nil
	}
	return h.file.Close()
}

// path returns the file that has a checkpoint_seq.
func (h *History) path(seq uint64) string {
	return filepath.Join(h.dir, fmt.Sprintf("%012d.ndjson", (seq-1)/perFile*perFile+1))
}

// Append adds a checkpoint, durably. To append the last one again has no
// effect; what a crash left of a line is replaced.
func (h *History) Append(size uint64, note string, s checkpoint.Statement) error {
	seq := s.Body.CheckpointSeq
	statement, err := s.Canonical()
	if err != nil {
		return fmt.Errorf("checkpoint history: %w", err)
	}
	line, err := json.Marshal(api.Checkpoint{CheckpointSeq: seq, Size: size, Note: note, Statement: statement})
	if err != nil {
		return fmt.Errorf("checkpoint history: %w", err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.file == nil || h.next != seq || (seq-1)%perFile == 0 {
		if err := h.open(seq); err != nil {
			return fmt.Errorf("checkpoint history: %w", err)
		}
	}
	// The outcome of a failed write is unknown: look again next time.
	h.next = 0
	if _, err := h.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("checkpoint history: %w", err)
	}
	if err := h.file.Sync(); err != nil {
		return fmt.Errorf("checkpoint history: %w", err)
	}
	h.next = seq + 1
	return nil
}

// open opens the file that takes seq and cuts it off where seq begins.
func (h *History) open(seq uint64) error {
	if h.file != nil {
		h.file.Close()
		h.file = nil
	}
	f, err := os.OpenFile(h.path(seq), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(f.Name())
	if err != nil {
		f.Close()
		return err
	}
	want := int((seq - 1) % perFile)
	offset := 0
	for range want {
		i := bytes.IndexByte(data[offset:], '\n')
		if i < 0 {
			f.Close()
			return fmt.Errorf("%s has fewer lines than the %d before checkpoint %d", f.Name(), want, seq)
		}
		offset += i + 1
	}
	if err := f.Truncate(int64(offset)); err != nil {
		f.Close()
		return err
	}
	dir, err := os.Open(h.dir)
	if err == nil {
		err = dir.Sync()
		dir.Close()
	}
	if err != nil {
		f.Close()
		return err
	}
	h.file = f
	return nil
}

// Read returns up to limit checkpoints with a checkpoint_seq greater than
// after and at most last.
func (h *History) Read(after, last uint64, limit int) ([]api.Checkpoint, error) {
	list := []api.Checkpoint{}
	for seq := after + 1; seq <= last && len(list) < limit; {
		data, err := os.ReadFile(h.path(seq))
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				err = fmt.Errorf("checkpoint %d is missing", seq)
			}
			return nil, fmt.Errorf("checkpoint history: %w", err)
		}
		lines := bytes.SplitAfter(data, []byte("\n"))
		for i := int((seq - 1) % perFile); i < perFile && seq <= last && len(list) < limit; i++ {
			var c api.Checkpoint
			if i >= len(lines) {
				return nil, fmt.Errorf("checkpoint history: checkpoint %d is missing", seq)
			}
			if err := json.Unmarshal(lines[i], &c); err != nil || c.CheckpointSeq != seq {
				return nil, fmt.Errorf("checkpoint history: checkpoint %d is damaged", seq)
			}
			list = append(list, c)
			seq++
		}
	}
	return list, nil
}
