package tilestore

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
)

// A segment is an append file: every pass is one frame at the end of the last
// segment, written and synced before the pass counts. When it has grown to
// segmentSize the next pass begins a new one. A segment goes as soon as
// full bundles, full tiles and runs hold what is in it, so that on disk
// everything but a bounded tail is stored once.
type segment struct {
	path  string
	first uint64 // index of its first entry
	end   uint64 // the size after its last pass
	salt  [saltSize]byte
	size  int64 // bytes
}

const (
	segmentSize = 8 << 20
	// maxPass bounds the values of one pass in bytes, but for the last one.
	maxPass = 8 << 20
	// maxSegments is how many segments there can be before commits wait until
	// the oldest is retired: the bound of what the tail takes in memory.
	maxSegments = 8
)

// segmentName has the salt as well, so that it is known if it is damaged.
func segmentName(first uint64, salt [saltSize]byte) string {
	return fmt.Sprintf("%020d-%x", first, salt)
}

func parseSegmentName(name string) (first uint64, salt [saltSize]byte, err error) {
	var hexSalt []byte
	if _, err := fmt.Sscanf(name, "%d-%x", &first, &hexSalt); err != nil || len(hexSalt) != saltSize ||
		name != segmentName(first, [saltSize]byte(hexSalt)) {
		return 0, salt, errors.New("not the name of a segment")
	}
	return first, [saltSize]byte(hexSalt), nil
}

// A segmentWriter appends passes.
type segmentWriter struct {
	dir   string
	limit int64 // bytes from which on a segment takes no more passes
	file  *os.File
	segment
	buf []byte

	spareDir string
	mu       sync.Mutex
	spares   []string // paths in spareDir
	made     int      // spares so far, for their names
}

// maxSpares is how many retired segments are kept to be written over. Writing
// into a file that has its length and blocks already changes no metadata, so
// that the sync of a pass does not have to wait for those of other files.
const maxSpares = 2

// retire removes a segment from the log's, durably, and keeps it as a spare if
// one is needed.
func (w *segmentWriter) retire(path string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.spares) >= maxSpares {
		return removeFile(path)
	}
	w.made++
	spare := filepath.Join(w.spareDir, fmt.Sprintf("spare-%d", w.made))
	if err := renameFile(path, spare); err != nil {
		return err
	}
	w.spares = append(w.spares, spare)
	return errors.Join(syncDir(w.spareDir), syncDir(w.dir))
}

// create makes the file of a segment, out of a spare if there is one: what is
// in that has another salt.
func (w *segmentWriter) create(path string) (*os.File, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(w.spares) - 1
	if n < 0 {
		return createFile(path, privateFile)
	}
	spare := w.spares[n]
	w.spares = w.spares[:n]
	if err := renameFile(spare, path); err != nil {
		return nil, err
	}
	return openFile(path)
}

// append writes a pass durably. start is used if it begins a new segment,
// which append reports.
func (w *segmentWriter) append(p *pass, start func() *segmentStart) (begun bool, err error) {
	w.buf = w.buf[:0]
	if begun = w.file == nil || w.size >= w.limit; begun {
		if err := w.begin(p.first, start()); err != nil {
			return false, fmt.Errorf("beginning a segment at entry %d: %w", p.first, err)
		}
	}
	w.buf = appendFrame(w.buf, w.salt, p.append)
	if err := writeAt(w.file, w.buf, w.size); err != nil {
		return begun, err
	}
	if err := syncFile(w.file); err != nil {
		return begun, err
	}
	if begun {
		// The name of the new file must last as long as what is in it.
		if err := syncDir(w.dir); err != nil {
			return begun, err
		}
	}
	w.size += int64(len(w.buf))
	w.end = p.size()
	if cap(w.buf) > 2*maxPass {
		w.buf = nil
	}
	return begun, nil
}

// begin creates the next segment, whose start goes to the disk with the first pass.
func (w *segmentWriter) begin(first uint64, start *segmentStart) error {
	next := segment{first: first, end: first}
	rand.Read(next.salt[:])
	next.path = filepath.Join(w.dir, segmentName(first, next.salt))
	f, err := w.create(next.path)
	if err != nil {
		return err
	}
	if w.file != nil {
		w.file.Close()
	}
	w.file, w.segment = f, next
	w.buf = appendFrame(w.buf, w.salt, start.append)
	return nil
}

func (w *segmentWriter) close() {
	if w.file != nil {
		w.file.Close()
	}
}

// A readSegment is what was found in a segment file.
type readSegment struct {
	segment
	start  *segmentStart
	passes []*pass
	torn   int64 // bytes after the last whole pass
}

// parseSegment reads the segment that starts at entry first. It ends where no
// frame of its salt follows: there may be older bytes of a spare. In the last one a pass that is not whole is the
// one that a crash interrupted: it ends there. Everywhere else, and if a whole
// pass comes after it, bytes that were durable have changed, which is an error.
func parseSegment(data []byte, first uint64, salt [saltSize]byte, last bool) (*readSegment, error) {
	s := &readSegment{segment: segment{first: first, end: first, salt: salt}}
	payload, n, err := readFrame(data, s.salt)
	if err == nil {
		s.start, err = parseStart(payload)
	}
	if err == nil && s.start.first != first {
		err = fmt.Errorf("it starts at entry %d", s.start.first)
	}
	if err != nil {
		if last && !wholePassAfter(data, 0, s.salt) {
			return s, nil
		}
		return nil, fmt.Errorf("its start is damaged: %w", err)
	}
	for s.size = int64(n); bytes.HasPrefix(data[s.size:], salt[:]); s.size += int64(n) {
		var p *pass
		if payload, n, err = readFrame(data[s.size:], s.salt); err == nil {
			p, err = parsePass(payload)
		}
		if err == nil && p.first != s.end {
			err = fmt.Errorf("entry %d follows entry %d", p.first, s.end)
		}
		if err != nil {
			if last && !wholePassAfter(data, s.size, s.salt) {
				s.torn = int64(len(data)) - s.size
				return s, nil
			}
			return nil, fmt.Errorf("damaged at byte %d, after entry %d: %w", s.size, s.end, err)
		}
		s.passes = append(s.passes, p)
		s.end = p.size()
	}
	if wholePassAfter(data, s.size, salt) {
		return nil, fmt.Errorf("damaged at byte %d, after entry %d: %w", s.size, s.end, errFrame)
	}
	return s, nil
}

// wholePassAfter reports whether there is a whole frame behind the damaged one
// at off. One pass is written at a time, so that a crash damages the last alone.
func wholePassAfter(data []byte, off int64, salt [saltSize]byte) bool {
	for rest := data[min(off+1, int64(len(data))):]; ; rest = rest[1:] {
		i := bytes.Index(rest, salt[:])
		if i < 0 {
			return false
		}
		rest = rest[i:]
		if _, _, err := readFrame(rest, salt); err == nil {
			return true
		}
	}
}

// ErrCorrupt reports a store whose bytes changed after they were durable.
var ErrCorrupt = errors.New("store is corrupt")

// readSegments reads all segments in dir, in order. It changes nothing: repair
// removes what it found torn, once it is clear that all else is sound.
func readSegments(dir string) (segments []*readSegment, err error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("listing segments: %w", err)
	}
	end := uint64(0)
	for i, f := range files {
		path := filepath.Join(dir, f.Name())
		seg, err := readSegmentFile(path, i == len(files)-1)
		if err != nil {
			return nil, fmt.Errorf("segment %s: %w", path, err)
		}
		if i > 0 && end != seg.first {
			return nil, fmt.Errorf("segment %s follows entry %d: %w", path, end, ErrCorrupt)
		}
		end = seg.end
		segments = append(segments, seg)
	}
	return segments, nil
}

func readSegmentFile(path string, last bool) (*readSegment, error) {
	first, salt, err := parseSegmentName(filepath.Base(path))
	if err != nil {
		return nil, errors.Join(err, ErrCorrupt)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading: %w", err)
	}
	seg, err := parseSegment(data, first, salt, last)
	if err != nil {
		return nil, errors.Join(err, ErrCorrupt)
	}
	if len(seg.passes) == 0 && !last {
		return nil, fmt.Errorf("holds no pass: %w", ErrCorrupt)
	}
	seg.path = path
	return seg, nil
}

// repair removes the pass, or the whole segment, that a crash left unfinished.
func (s *readSegment) repair(log *slog.Logger) error {
	switch {
	case len(s.passes) == 0:
		log.Warn("removing a segment that a crash left unfinished", "path", s.path)
		return removeFile(s.path)
	case s.torn > 0:
		log.Warn("cutting off a pass that a crash left unfinished", "path", s.path, "bytes", s.torn, "size", s.end)
		f, err := openFile(s.path)
		if err != nil {
			return err
		}
		defer f.Close()
		return truncateFile(f, s.size)
	}
	return nil
}
