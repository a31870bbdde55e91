package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/chiolog/chiolog/logserver"
	"github.com/chiolog/chiolog/logserver/trillianlog"
)

// treeOf is a Trillian log as the log server asks for it.
type treeOf struct{ *trillianlog.Log }

var _ logserver.Tree = treeOf{}

func (t treeOf) Queue(ctx context.Context, entry []byte, identity [32]byte) (logserver.Pending, error) {
	ticket, err := t.Log.Queue(ctx, trillianlog.Entry{Value: entry, Identity: identity})
	if errors.Is(err, trillianlog.ErrQueueFull) {
		return nil, fmt.Errorf("%w: %w", logserver.ErrOverloaded, err)
	}
	if err != nil {
		return nil, err
	}
	return pending{ticket}, nil
}

func (t treeOf) Exclusive(ctx context.Context, fn func(size uint64, appendOne logserver.AppendFunc) error) error {
	return t.Log.Exclusive(ctx, func(x *trillianlog.Exclusive) error {
		return fn(x.Size(), func(ctx context.Context, entry []byte, identity [32]byte) (uint64, error) {
			return x.Append(ctx, trillianlog.Entry{Value: entry, Identity: identity})
		})
	})
}

type pending struct{ ticket *trillianlog.Ticket }

func (p pending) Wait(ctx context.Context) (index uint64, stored []byte, err error) {
	s, err := p.ticket.Wait(ctx)
	if err != nil || !s.Duplicate {
		return s.Index, nil, err
	}
	return s.Index, s.Value, nil
}
