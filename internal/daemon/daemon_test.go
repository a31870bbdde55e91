package daemon

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
)

// client returns an HTTP client of one protocol without TLS.
func client(http2 bool) *http.Client {
	var protocols http.Protocols
	protocols.SetHTTP1(!http2)
	protocols.SetUnencryptedHTTP2(http2)
	return &http.Client{Transport: &http.Transport{Protocols: &protocols}}
}

// TestServe ends a server while a request of each protocol is under way: both
// are answered, and later ones are not taken.
func TestServe(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		under, finish := make(chan struct{}), make(chan struct{})
		handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(under)
			<-finish
			io.WriteString(w, r.Proto)
		})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- Serve(ctx, ln, handler, slog.New(slog.DiscardHandler)) }()
		answers := make(chan string, 1)
		c := client(http2)
		go func() {
			resp, err := c.Get("http://" + ln.Addr().String())
			if err != nil {
				answers <- err.Error()
				return
			}
			defer resp.Body.Close()
			body, _ := io.ReadAll(resp.Body)
			answers <- string(body)
		}()
		<-under
		cancel()
		// The listener is closed before requests under way are waited for.
		for {
			conn, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				break
			}
			conn.Close()
		}
		close(finish)
		want := map[bool]string{false: "HTTP/1.1", true: "HTTP/2.0"}[http2]
		if got := <-answers; got != want {
			t.Errorf("request under way: %q, want %q", got, want)
		}
		c.CloseIdleConnections()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	}
}

func TestServeReportsABrokenListener(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	if err := Serve(t.Context(), ln, http.NotFoundHandler(), slog.New(slog.DiscardHandler)); err == nil {
		t.Error("serving on a closed listener succeeds")
	}
}
