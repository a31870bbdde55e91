package trillianlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/chiolog/chiolog/logserver/tilestore"
	"github.com/google/trillian"
	"github.com/google/trillian/extension"
	"github.com/google/trillian/quota"
	"github.com/google/trillian/server"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

func wantCode(t *testing.T, what string, err error, want codes.Code) {
	t.Helper()
	if status.Code(err) != want {
		t.Errorf("%s: %v, want code %v", what, err, want)
	}
}

// TestTR_1_RootIsUnsigned reads size and root of the log from Trillian's bytes by
// their layout. There is nothing else in the answer: who signs is our affair.
func TestTR_1_RootIsUnsigned(t *testing.T) {
	l := openLog(t, t.TempDir())
	for _, to := range []int{0, 1, 5} {
		before, _ := l.Head()
		grow(t, l, int(before), to)
		resp, err := l.Client().GetLatestSignedLogRoot(t.Context(), &trillian.GetLatestSignedLogRootRequest{LogId: l.TreeID()})
		if err != nil {
			t.Fatal(err)
		}
		raw := resp.SignedLogRoot.GetLogRoot()
		size, root := l.Head()
		want := binary.BigEndian.AppendUint16(nil, 1)
		want = binary.BigEndian.AppendUint64(want, size)
		want = append(append(want, 32), root[:]...)
		if size != uint64(to) || !bytes.HasPrefix(raw, want) || len(raw) != len(want)+8+8+2 {
			t.Errorf("size %d: root is %x, want %x and a time", to, raw, want)
		}
		if !proto.Equal(resp.SignedLogRoot, &trillian.SignedLogRoot{LogRoot: raw}) {
			t.Errorf("size %d: beside the root there is more: %v", to, resp.SignedLogRoot)
		}
	}
}

func TestTR_3_NoAddSequencedLeaves(t *testing.T) {
	l := openLog(t, t.TempDir())
	_, err := l.Client().AddSequencedLeaves(t.Context(), &trillian.AddSequencedLeavesRequest{
		LogId: l.TreeID(), Leaves: []*trillian.LogLeaf{{LeafValue: number(0).Value}},
	})
	wantCode(t, "AddSequencedLeaves", err, codes.InvalidArgument)
	if size, _ := l.Head(); size != 0 {
		t.Errorf("size %d after a call that was refused", size)
	}
	id := number(0).Identity
	_, err = l.Client().QueueLeaf(t.Context(), &trillian.QueueLeafRequest{
		LogId: l.TreeID(), Leaf: &trillian.LogLeaf{LeafValue: number(0).Value, LeafIdentityHash: id[:]},
	})
	wantCode(t, "QueueLeaf", err, codes.OK)
	if seq := wait(t, queue(t, l, number(0))); seq.Index != 0 {
		t.Errorf("the queued leaf is at %d", seq.Index)
	}
}

// TestTR_5_InitLogOnce: a store has no root before InitLog, which opening the log
// calls, once in its life.
func TestTR_5_InitLogOnce(t *testing.T) {
	dir := t.TempDir()
	store, err := tilestore.Open(dir, tilestore.Options{Identity: identity})
	if err != nil {
		t.Fatal(err)
	}
	silence()
	bare := server.NewTrillianLogRPCServer(extension.Registry{
		AdminStorage: store.Admin(), LogStorage: store, QuotaManager: quota.Noop(), MetricFactory: noMetrics{},
	}, nil)
	_, err = bare.GetLatestSignedLogRoot(t.Context(), &trillian.GetLatestSignedLogRootRequest{LogId: store.Tree().TreeId})
	wantCode(t, "root before InitLog", err, codes.FailedPrecondition)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	for entries := range 2 {
		l := openLog(t, dir)
		_, err := l.Client().GetLatestSignedLogRoot(t.Context(), &trillian.GetLatestSignedLogRootRequest{LogId: l.TreeID()})
		wantCode(t, "root of an open log", err, codes.OK)
		_, err = l.Client().InitLog(t.Context(), &trillian.InitLogRequest{LogId: l.TreeID()})
		wantCode(t, "another InitLog", err, codes.AlreadyExists)
		grow(t, l, entries, entries+1)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTR_6_OneSequencer: nobody else sequences what one log has open.
func TestTR_6_OneSequencer(t *testing.T) {
	dir := t.TempDir()
	first := openLog(t, dir)
	grow(t, first, 0, 3)
	if _, err := OpenFile(t.Context(), dir, Options{Identity: identity}); !errors.Is(err, tilestore.ErrLocked) {
		t.Errorf("second log over one folder: %v", err)
	}
	grow(t, first, 3, 5) // the first one is none the worse
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	grow(t, openLog(t, dir), 5, 7)
}
