package tilestore

import (
	"encoding/binary"
	"math/bits"
)

// A bloom is a Bloom filter over identities in blocks of 64 bytes: all bits of
// one identity are in one block, and so in one cache line. At 10 bits for each
// identity about one miss in 80 is taken for a hit.
type bloom []byte

const (
	bloomBlock   = 64
	bloomPerKey  = 10 // bits
	bloomProbes  = 6
	bloomBitMask = bloomBlock*8 - 1
)

// bloomSize is the length in bytes of a filter for count identities.
func bloomSize(count uint64) int {
	return int((count*bloomPerKey/8/bloomBlock + 1) * bloomBlock)
}

// block returns the block of an identity, and a number whose bits choose the
// bits in it. Runs are sorted by the first 8 bytes; the next 16 are used here.
func (b bloom) block(id *hash) (block []byte, probes uint64) {
	n, _ := bits.Mul64(binary.BigEndian.Uint64(id[8:]), uint64(len(b)/bloomBlock))
	return b[n*bloomBlock:][:bloomBlock], binary.BigEndian.Uint64(id[16:])
}

func (b bloom) add(id *hash) {
	block, probes := b.block(id)
	for range bloomProbes {
		bit := probes & bloomBitMask
		block[bit/8] |= 1 << (bit % 8)
		probes >>= 9
	}
}

// has reports whether id may have been added; it is never false for one that was.
func (b bloom) has(id *hash) bool {
	block, probes := b.block(id)
	for range bloomProbes {
		bit := probes & bloomBitMask
		if block[bit/8]&(1<<(bit%8)) == 0 {
			return false
		}
		probes >>= 9
	}
	return true
}
