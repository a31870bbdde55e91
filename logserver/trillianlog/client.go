package trillianlog

import (
	"context"

	"github.com/google/trillian"
	"github.com/google/trillian/server"
	"github.com/google/trillian/trees"
	"google.golang.org/grpc"
)

// A client calls the handlers of a log server in this process. The tree goes
// along in the context, so that no handler reads it from the store.
type client struct {
	server *server.TrillianLogRPCServer
	tree   *trillian.Tree
	queued func() // called when a leaf may wait
}

var _ trillian.TrillianLogClient = (*client)(nil)

func (c *client) context(ctx context.Context) context.Context {
	return trees.NewContext(ctx, c.tree)
}

func (c *client) QueueLeaf(ctx context.Context, in *trillian.QueueLeafRequest, _ ...grpc.CallOption) (*trillian.QueueLeafResponse, error) {
	out, err := c.server.QueueLeaf(c.context(ctx), in)
	if err == nil {
		c.queued()
	}
	return out, err
}

func (c *client) GetInclusionProof(ctx context.Context, in *trillian.GetInclusionProofRequest, _ ...grpc.CallOption) (*trillian.GetInclusionProofResponse, error) {
	return c.server.GetInclusionProof(c.context(ctx), in)
}

func (c *client) GetInclusionProofByHash(ctx context.Context, in *trillian.GetInclusionProofByHashRequest, _ ...grpc.CallOption) (*trillian.GetInclusionProofByHashResponse, error) {
	return c.server.GetInclusionProofByHash(c.context(ctx), in)
}

func (c *client) GetConsistencyProof(ctx context.Context, in *trillian.GetConsistencyProofRequest, _ ...grpc.CallOption) (*trillian.GetConsistencyProofResponse, error) {
	return c.server.GetConsistencyProof(c.context(ctx), in)
}

func (c *client) GetLatestSignedLogRoot(ctx context.Context, in *trillian.GetLatestSignedLogRootRequest, _ ...grpc.CallOption) (*trillian.GetLatestSignedLogRootResponse, error) {
	return c.server.GetLatestSignedLogRoot(c.context(ctx), in)
}

func (c *client) GetEntryAndProof(ctx context.Context, in *trillian.GetEntryAndProofRequest, _ ...grpc.CallOption) (*trillian.GetEntryAndProofResponse, error) {
	return c.server.GetEntryAndProof(c.context(ctx), in)
}

func (c *client) InitLog(ctx context.Context, in *trillian.InitLogRequest, _ ...grpc.CallOption) (*trillian.InitLogResponse, error) {
	return c.server.InitLog(c.context(ctx), in)
}

func (c *client) AddSequencedLeaves(ctx context.Context, in *trillian.AddSequencedLeavesRequest, _ ...grpc.CallOption) (*trillian.AddSequencedLeavesResponse, error) {
	return c.server.AddSequencedLeaves(c.context(ctx), in)
}

func (c *client) GetLeavesByRange(ctx context.Context, in *trillian.GetLeavesByRangeRequest, _ ...grpc.CallOption) (*trillian.GetLeavesByRangeResponse, error) {
	return c.server.GetLeavesByRange(c.context(ctx), in)
}
