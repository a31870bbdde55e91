package trillianlog

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

// BenchmarkAppend measures entries of 1 kB from Queue until they are durable in
// the tree, with so many in flight, below all checks of what they contain.
func BenchmarkAppend(b *testing.B) {
	for _, inFlight := range []int{1, 64, 1024} {
		b.Run(fmt.Sprintf("inflight=%d", inFlight), func(b *testing.B) {
			l, err := OpenFile(b.Context(), b.TempDir(), Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			var next atomic.Int64
			var group sync.WaitGroup
			b.ResetTimer()
			for range inFlight {
				group.Go(func() {
					for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
						if err := appendNumber(b.Context(), l, n); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			group.Wait()
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "leaves/s")
		})
	}
}

func appendNumber(ctx context.Context, l *Log, n int64) error {
	value := make([]byte, 1024)
	binary.BigEndian.PutUint64(value, uint64(n))
	ticket, err := l.Queue(ctx, Entry{value, sha256.Sum256(value[:8])})
	if err != nil {
		return err
	}
	_, err = ticket.Wait(ctx)
	return err
}

// BenchmarkInclusionProof measures proofs at random places, of a log whose
// tiles are all in files.
func BenchmarkInclusionProof(b *testing.B) {
	l, err := OpenFile(b.Context(), b.TempDir(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	var tickets []*Ticket
	const size = 1 << 16
	for n := range int64(size) {
		var value [8]byte
		binary.BigEndian.PutUint64(value[:], uint64(n))
		ticket, err := l.Queue(b.Context(), Entry{value[:], sha256.Sum256(value[:])})
		if err != nil {
			b.Fatal(err)
		}
		tickets = append(tickets, ticket)
	}
	for _, ticket := range tickets {
		if _, err := ticket.Wait(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	if err := l.Materialise(b.Context(), size); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for n := range uint64(b.N) {
		if _, err := l.InclusionProof(b.Context(), n*40503%size, size); err != nil {
			b.Fatal(err)
		}
	}
}
