// Package daemon runs HTTP servers as a long-lived process needs them: with
// timeouts on every phase of a connection, and an orderly end.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Timeouts of a connection. A request may take long, since a submission may be
// a large stream, but it may not hang.
const (
	readHeaderTimeout = 10 * time.Second
	requestTimeout    = 10 * time.Minute // reading a body, writing an answer
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
	grace             = 15 * time.Second // for requests under way at the end
)

// Serve answers on ln until ctx ends, then lets requests under way finish. It
// speaks HTTP/1.1 and HTTP/2, the latter also without TLS to clients that know
// that it does.
func Serve(ctx context.Context, ln net.Listener, handler http.Handler, logger *slog.Logger) error {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	s := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      requestTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
		Protocols:         &protocols,
	}
	failed := make(chan error, 1)
	go func() { failed <- s.Serve(ln) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serving on %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if err := s.Shutdown(end); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("ending the server on %s: %w", ln.Addr(), err)
	}
	return s.Close()
}
