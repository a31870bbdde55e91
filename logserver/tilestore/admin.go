package tilestore

import (
	"context"

	"github.com/google/trillian"
	"github.com/google/trillian/storage"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// Admin returns Trillian's view of the trees in the store: exactly one, which
// cannot be changed. Calls that would change it are Unimplemented.
func (s *Store) Admin() storage.AdminStorage { return admin{s} }

// Tree returns a copy of the store's one tree.
func (s *Store) Tree() *trillian.Tree { return proto.Clone(s.tree).(*trillian.Tree) }

type admin struct{ store *Store }

type adminTX struct{ store *Store }

func (a admin) CheckDatabaseAccessible(ctx context.Context) error {
	return a.store.CheckDatabaseAccessible(ctx)
}

func (a admin) Snapshot(context.Context) (storage.ReadOnlyAdminTX, error) {
	return adminTX(a), nil
}

func (a admin) ReadWriteTransaction(ctx context.Context, f storage.AdminTXFunc) error {
	return f(ctx, adminTX(a))
}

func (tx adminTX) GetTree(_ context.Context, id int64) (*trillian.Tree, error) {
	if id != tx.store.tree.TreeId {
		return nil, status.Errorf(codes.NotFound, "no tree %d in this store", id)
	}
	return tx.store.Tree(), nil
}

func (tx adminTX) ListTrees(context.Context, bool) ([]*trillian.Tree, error) {
	return []*trillian.Tree{tx.store.Tree()}, nil
}

func (tx adminTX) Commit() error { return nil }
func (tx adminTX) Close() error  { return nil }

var errOneTree = status.Error(codes.Unimplemented, "a tile store has exactly one tree, which cannot be changed")

func (tx adminTX) CreateTree(context.Context, *trillian.Tree) (*trillian.Tree, error) {
	return nil, errOneTree
}

func (tx adminTX) UpdateTree(context.Context, int64, func(*trillian.Tree)) (*trillian.Tree, error) {
	return nil, errOneTree
}

func (tx adminTX) SoftDeleteTree(context.Context, int64) (*trillian.Tree, error) {
	return nil, errOneTree
}

func (tx adminTX) HardDeleteTree(context.Context, int64) error { return errOneTree }

func (tx adminTX) UndeleteTree(context.Context, int64) (*trillian.Tree, error) {
	return nil, errOneTree
}
