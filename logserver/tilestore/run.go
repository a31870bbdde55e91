package tilestore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"sort"
)

// A run is an immutable file with the identities and the leaf hashes of the
// entries [first, first+count), each sorted:
//
//	identity blocks, of records identity[32] ‖ uint32 offset
//	leaf hash blocks, of records leaf hash[0:8] ‖ uint32 offset
//	bloom filter over the identities
//	footer
//
// The index of an entry is first + offset. A block has 4,096 bytes: as many
// records as fit, zeros, and the CRC-32C of what comes before it. The keys are
// outputs of a hash function, so that the place of one can be guessed from its
// value; keys that are not only make searching slower.
//
// The footer is first u64 ‖ count u64 ‖ CRC-32C of the filter u32 ‖ magic[8] ‖ CRC-32C of the footer u32.
type run struct {
	file   *os.File
	path   string
	first  uint64
	count  uint64
	ids    section
	leaves section
	filter bloom
}

const (
	blockSize    = 4096
	blockPayload = blockSize - 4
	offsetSize   = 4
	idKey        = 32
	leafKey      = 8
	footerSize   = 8 + 8 + 4 + len(runMagic) + 4
	runMagic     = "chioidx1"

	// maxRun is the number of entries that one run can hold.
	maxRun = math.MaxUint32
)

// ErrIndexCorrupt reports an identity index whose bytes changed on disk. The
// index is derived from entries and tiles: without its directory it is made
// anew when the store is opened.
var ErrIndexCorrupt = errors.New("identity index is corrupt; stop the log, remove .state/index and start it again to rebuild it")

func (r *run) end() uint64 { return r.first + r.count }

// findIdentity returns the index of the entry with an identity.
func (r *run) findIdentity(id *hash) (index uint64, ok bool, err error) {
	if !r.filter.has(id) {
		return 0, false, nil
	}
	err = r.ids.find(r.file, id[:], func(offset uint32) bool {
		index, ok = r.first+uint64(offset), true
		return false
	})
	return index, ok, err
}

// findLeaf yields, in ascending order, the indexes of entries whose leaf hashes
// begin as h does, until yield returns false.
func (r *run) findLeaf(h *hash, yield func(index uint64) bool) error {
	return r.leaves.find(r.file, h[:leafKey], func(offset uint32) bool {
		return yield(r.first + uint64(offset))
	})
}

// openRun opens a run, and reads its filter and footer.
func openRun(path string) (*run, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening run: %w", err)
	}
	r, err := readRun(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("reading run %s: %w", path, err)
	}
	r.path = path
	return r, nil
}

func readRun(f *os.File) (*run, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	var footer [footerSize]byte
	if _, err := f.ReadAt(footer[:], max(st.Size()-int64(footerSize), 0)); err != nil {
		return nil, errors.Join(err, ErrIndexCorrupt)
	}
	r := reader{rest: footer[:]}
	run := &run{file: f, first: r.uint64(), count: r.uint64()}
	filterSum := r.uint32()
	magic := string(r.bytes(len(runMagic)))
	if r.uint32() != crc32.Checksum(footer[:footerSize-4], castagnoli) || magic != runMagic {
		return nil, fmt.Errorf("bad footer: %w", ErrIndexCorrupt)
	}
	run.layOut()
	filterSize := bloomSize(run.count)
	end := run.leaves.end() + int64(filterSize)
	if run.count > maxRun || st.Size() != end+int64(footerSize) {
		return nil, fmt.Errorf("file of %d bytes for %d entries: %w", st.Size(), run.count, ErrIndexCorrupt)
	}
	run.filter = make(bloom, filterSize)
	if _, err := f.ReadAt(run.filter, run.leaves.end()); err != nil {
		return nil, err
	}
	if crc32.Checksum(run.filter, castagnoli) != filterSum {
		return nil, fmt.Errorf("bad filter: %w", ErrIndexCorrupt)
	}
	return run, nil
}

// layOut sets the sections of a run from its count.
func (r *run) layOut() {
	r.ids = newSection(0, idKey, r.count)
	r.leaves = newSection(r.ids.end(), leafKey, r.count)
}

// A section is a sorted sequence of records in blocks.
type section struct {
	offset   int64 // of the first block in the file
	key      int   // bytes
	perBlock uint64
	count    uint64 // records
}

func newSection(offset int64, key int, count uint64) section {
	return section{offset, key, uint64(blockPayload / (key + offsetSize)), count}
}

func (s *section) record() int    { return s.key + offsetSize }
func (s *section) blocks() uint64 { return (s.count + s.perBlock - 1) / s.perBlock }
func (s *section) end() int64     { return s.offset + int64(s.blocks())*blockSize }

// read returns the records of block n, in buf.
func (s *section) read(f io.ReaderAt, n uint64, buf *[blockSize]byte) ([]byte, error) {
	if _, err := f.ReadAt(buf[:], s.offset+int64(n)*blockSize); err != nil {
		return nil, fmt.Errorf("reading block %d: %w", n, err)
	}
	if crc32.Checksum(buf[:blockPayload], castagnoli) != binary.BigEndian.Uint32(buf[blockPayload:]) {
		return nil, fmt.Errorf("block %d: %w", n, ErrIndexCorrupt)
	}
	records := min(s.count-n*s.perBlock, s.perBlock)
	return buf[:records*uint64(s.record())], nil
}

// find yields the offsets of the records with a key, in ascending order, until
// yield returns false.
func (s *section) find(f io.ReaderAt, key []byte, yield func(offset uint32) bool) error {
	var buf [blockSize]byte
	n, records, err := s.seek(f, key, &buf)
	if err != nil || records == nil {
		return err
	}
	size := s.record()
	from := sort.Search(len(records)/size, func(i int) bool {
		return bytes.Compare(records[i*size:i*size+s.key], key) >= 0
	})
	for records = records[from*size:]; ; records = records[size:] {
		if len(records) == 0 {
			if n++; n == s.blocks() {
				return nil
			}
			if records, err = s.read(f, n, &buf); err != nil {
				return err
			}
		}
		if !bytes.Equal(records[:s.key], key) || !yield(binary.BigEndian.Uint32(records[s.key:])) {
			return nil
		}
	}
}

// seek returns the first block whose last key is not below key, and its
// records; none if every key is below it.
func (s *section) seek(f io.ReaderAt, key []byte, buf *[blockSize]byte) (uint64, []byte, error) {
	low, high := uint64(0), s.blocks()
	lowKey, highKey := uint64(0), uint64(math.MaxUint64)
	want := binary.BigEndian.Uint64(key)
	for step := 1; low < high; step++ {
		n := low + (high-low)/2
		if step%3 != 0 && lowKey <= want && want < highKey {
			// Where the key should be, were the keys in between spread evenly.
			share := float64(want-lowKey) / float64(highKey-lowKey)
			n = min(low+uint64(share*float64(high-low)), high-1)
		}
		records, err := s.read(f, n, buf)
		if err != nil {
			return 0, nil, err
		}
		first, last := records[:s.key], records[len(records)-s.record():][:s.key]
		switch {
		case bytes.Compare(last, key) < 0:
			low, lowKey = n+1, binary.BigEndian.Uint64(last)
		case bytes.Compare(first, key) < 0 || n == low:
			return n, records, nil
		default:
			high, highKey = n, binary.BigEndian.Uint64(first)
		}
		if low == high && low < s.blocks() {
			records, err := s.read(f, low, buf)
			return low, records, err
		}
	}
	return 0, nil, nil
}
