package tilestore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/chiolog/chiolog/formats/tile"
)

// A segment is a sequence of frames, each
//
//	salt[8] ‖ uint32 length of the payload ‖ payload ‖ uint32 CRC-32C of all before
//
// with big-endian integers. The salt is random for each segment, so that bytes
// which came in as an entry are not taken for a frame. The first frame of
// a segment holds a segmentStart, every other one a pass.

type hash = [tile.HashSize]byte

const (
	saltSize   = 8
	frameSize  = saltSize + 4 + 4 // a frame without its payload
	startMagic = "chiolog segment 1\n"
	passMagic  = 'P'
	minEntry   = tile.HashSize + 8 + 2 // an entry in a pass, without its value
)

// A frame that is cut off, or that has other bytes than were written.
var errFrame = errors.New("no whole frame")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendFrame appends a frame whose payload is written by body.
func appendFrame(buf []byte, salt [saltSize]byte, body func([]byte) []byte) []byte {
	start := len(buf)
	buf = append(buf, salt[:]...)
	buf = append(buf, 0, 0, 0, 0)
	buf = body(buf)
	binary.BigEndian.PutUint32(buf[start+saltSize:], uint32(len(buf)-start-saltSize-4))
	return binary.BigEndian.AppendUint32(buf, crc32.Checksum(buf[start:], castagnoli))
}

// readFrame returns the payload of the frame at the start of data and the
// frame's length.
func readFrame(data []byte, salt [saltSize]byte) (payload []byte, n int, err error) {
	if len(data) < frameSize || [saltSize]byte(data) != salt {
		return nil, 0, errFrame
	}
	length := binary.BigEndian.Uint32(data[saltSize:])
	if uint64(length) > uint64(len(data)-frameSize) {
		return nil, 0, errFrame
	}
	n = frameSize + int(length)
	if crc32.Checksum(data[:n-4], castagnoli) != binary.BigEndian.Uint32(data[n-4:]) {
		return nil, 0, errFrame
	}
	return data[saltSize+4 : n-4], n, nil
}

// A segmentStart says where in the log a segment begins, with the hashes of
// the partial tiles at that size above level 0. The passes that brought those
// may be in segments that are gone by now.
type segmentStart struct {
	first  uint64
	levels [][]hash // levels[i] are the hashes of the partial tile at level i+1
}

func (s *segmentStart) append(buf []byte) []byte {
	buf = append(buf, startMagic...)
	buf = binary.BigEndian.AppendUint64(buf, s.first)
	buf = append(buf, byte(len(s.levels)))
	for _, hashes := range s.levels {
		buf = appendHashes(buf, hashes)
	}
	return buf
}

func parseStart(payload []byte) (*segmentStart, error) {
	if len(payload) < len(startMagic) || string(payload[:len(startMagic)]) != startMagic {
		return nil, fmt.Errorf("does not start as a segment of this version does: %w", errFrame)
	}
	r := reader{rest: payload[len(startMagic):]}
	s := &segmentStart{first: r.uint64()}
	for range r.byte() {
		s.levels = append(s.levels, r.hashes())
	}
	if err := r.done(); err != nil {
		return nil, fmt.Errorf("segment start: %w", err)
	}
	for k := 1; k <= len(s.levels) || s.first>>(treeLevels*k) > 0; k++ {
		hashes := s.first >> (treeLevels * k)
		if k > len(s.levels) || hashes == 0 || uint64(len(s.levels[k-1])) != hashes%tile.Width {
			return nil, fmt.Errorf("segment start at entry %d has other hashes at level %d: %w", s.first, k, errFrame)
		}
	}
	return s, nil
}

// An entry is a leaf with what Trillian wants to know of it.
type entry struct {
	value    []byte
	identity hash
	queued   int64 // Unix nanoseconds
}

// A pass is what one commit adds to the log.
type pass struct {
	first      uint64 // index of the first entry; the size before the pass
	root       []byte // LogRootV1 of the size after it
	integrated int64  // Unix nanoseconds
	levels     [][]hash
	entries    []entry
}

// levels[0] has the leaf hashes, levels[i] the new hashes of the tiles at level
// i: the nodes of the tree at level 8·i that the pass completed.

func (p *pass) size() uint64 { return p.first + uint64(len(p.entries)) }

func (p *pass) append(buf []byte) []byte {
	buf = append(buf, passMagic)
	buf = binary.BigEndian.AppendUint64(buf, p.first)
	buf = binary.BigEndian.AppendUint64(buf, uint64(p.integrated))
	buf = binary.BigEndian.AppendUint16(buf, uint16(len(p.root)))
	buf = append(buf, p.root...)
	buf = append(buf, byte(len(p.levels)))
	for _, hashes := range p.levels {
		buf = appendHashes(buf, hashes)
	}
	buf = binary.BigEndian.AppendUint32(buf, uint32(len(p.entries)))
	for _, e := range p.entries {
		buf = append(buf, e.identity[:]...)
		buf = binary.BigEndian.AppendUint64(buf, uint64(e.queued))
		buf = binary.BigEndian.AppendUint16(buf, uint16(len(e.value)))
		buf = append(buf, e.value...)
	}
	return buf
}

// parsePass reads a pass. Its entries share memory with payload.
func parsePass(payload []byte) (*pass, error) {
	r := reader{rest: payload}
	if r.byte() != passMagic {
		return nil, fmt.Errorf("not a pass: %w", errFrame)
	}
	p := &pass{first: r.uint64(), integrated: int64(r.uint64())}
	p.root = r.bytes(int(r.uint16()))
	for range r.byte() {
		p.levels = append(p.levels, r.hashes())
	}
	n := r.uint32()
	if uint64(n)*minEntry > uint64(len(r.rest)) {
		return nil, fmt.Errorf("pass of %d entries in %d bytes: %w", n, len(r.rest), errFrame)
	}
	p.entries = make([]entry, n)
	for i := range p.entries {
		e := &p.entries[i]
		copy(e.identity[:], r.bytes(len(e.identity)))
		e.queued = int64(r.uint64())
		e.value = r.bytes(int(r.uint16()))
	}
	if err := r.done(); err != nil {
		return nil, fmt.Errorf("pass: %w", err)
	}
	return p, p.check()
}

// check checks that a pass has the hashes that its entries complete, and that
// these are entries of a log.
func (p *pass) check() error {
	for k := 0; k < len(p.levels) || k < treeLevels; k++ {
		completed := 0
		if k < treeLevels {
			completed = int(p.size()>>(treeLevels*k) - p.first>>(treeLevels*k))
		}
		if k >= len(p.levels) && completed == 0 {
			break
		}
		if k >= len(p.levels) || completed == 0 || len(p.levels[k]) != completed {
			return fmt.Errorf("pass at entry %d has other hashes at level %d: %w", p.first, k, errFrame)
		}
	}
	for i := range p.entries {
		if len(p.entries[i].value) == 0 {
			return fmt.Errorf("entry %d is empty: %w", p.first+uint64(i), errFrame)
		}
	}
	return nil
}

func appendHashes(buf []byte, hashes []hash) []byte {
	buf = binary.BigEndian.AppendUint32(buf, uint32(len(hashes)))
	for i := range hashes {
		buf = append(buf, hashes[i][:]...)
	}
	return buf
}

// A reader takes values off the front of a payload. Past its end it returns
// zeros, and done an error.
type reader struct {
	rest  []byte
	short bool
}

func (r *reader) bytes(n int) []byte {
	if n > len(r.rest) {
		r.rest, r.short = nil, true
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) uint(n int) (v uint64) {
	for _, b := range r.bytes(n) {
		v = v<<8 | uint64(b)
	}
	return v
}

func (r *reader) byte() byte     { return byte(r.uint(1)) }
func (r *reader) uint16() uint16 { return uint16(r.uint(2)) }
func (r *reader) uint32() uint32 { return uint32(r.uint(4)) }
func (r *reader) uint64() uint64 { return r.uint(8) }

func (r *reader) hashes() []hash {
	n := uint64(r.uint32())
	if n*tile.HashSize > uint64(len(r.rest)) {
		r.rest, r.short = nil, true
		return nil
	}
	hashes := make([]hash, n)
	for i := range hashes {
		copy(hashes[i][:], r.bytes(tile.HashSize))
	}
	return hashes
}

func (r *reader) done() error {
	if r.short || len(r.rest) > 0 {
		return errFrame
	}
	return nil
}
