package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chiolog/chiolog/formats/api"
)

func TestNew(t *testing.T) {
	for _, url := range []string{"http://127.0.0.1:8080", "https://log.example/prefix", "https://log.example/prefix/"} {
		if _, err := New(url); err != nil {
			t.Errorf("New(%q): %v", url, err)
		}
	}
	for _, url := range []string{
		"", "log.example", "ftp://log.example", "https://", "https:/log.example", "https://log.example?a=b", "https://log.example?",
		"https://log.example#x", "https://user:secret@log.example", "https://user:secret@log.example:bad port/",
	} {
		_, err := New(url)
		if err == nil {
			t.Errorf("New(%q) is no error", url)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("New(%q) repeats the password: %v", url, err)
		}
	}
}

func TestUserAgentAndPrefix(t *testing.T) {
	var got []string
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.URL.Path+" "+r.Header.Get("User-Agent"))
		writeJSON(w, api.Receipt{})
	})
	for _, c := range []*Client{
		newClient(t, "http://log.example/a/b/", WithHTTPClient(&http.Client{Transport: transport{h}})),
		offline(t, h, WithUserAgent("auditor/1")),
	} {
		if _, err := c.Receipt(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
	}
	if want := "[/a/b/v1/receipts chiolog-client /v1/receipts auditor/1]"; fmt.Sprint(got) != want {
		t.Errorf("requests %v, want %s", got, want)
	}
}

// busy answers status with Retry-After for n requests and then succeeds.
func busy(n, status int, retryAfter string, body func(http.ResponseWriter)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n--; n < 0 {
			writeJSON(w, api.Receipt{ID: "x"})
			return
		}
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		if body != nil {
			body(w)
			return
		}
		w.WriteHeader(status)
	})
}

func TestRetryAfter(t *testing.T) {
	overloaded := func(w http.ResponseWriter) { writeError(w, &api.Error{Code: api.CodeOverloaded}) }
	unpublished := func(w http.ResponseWriter) { writeError(w, &api.Error{Code: api.CodeNotPublished}) }
	for _, tt := range []struct {
		name   string
		server http.Handler
		want   time.Duration // waited
		ok     bool
	}{
		{"at once", busy(0, 0, "", nil), 0, true},
		{"429 by a log", busy(1, 429, "7", overloaded), 7 * time.Second, true},
		{"429 by a proxy", busy(1, 429, "7", nil), 7 * time.Second, true},
		{"503 twice", busy(2, 503, "3", nil), 6 * time.Second, true},
		{"503 without a time", busy(3, 503, "", nil), firstBackoff * (1 + 2 + 4), true},
		{"503 with a date", busy(1, 503, "Wed, 21 Oct 2026 07:28:00 GMT", nil), firstBackoff, true},
		{"as long as there is patience", busy(1, 503, "60", nil), time.Minute, true},
		{"longer than there is patience", busy(1, 503, "61", nil), 0, false},
		{"used up in steps", busy(4, 503, "20", nil), time.Minute, false},
		{"500 is final", busy(1, 500, "1", nil), 0, false},
		{"502 is final", busy(1, 502, "1", nil), 0, false},
		{"not published is an answer", busy(1, 503, "1", unpublished), 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				_, err := offline(t, tt.server).Receipt(t.Context(), "x")
				if (err == nil) != tt.ok {
					t.Errorf("error %v, want none: %t", err, tt.ok)
				}
				if waited := time.Since(start); waited != tt.want {
					t.Errorf("waited %v, want %v", waited, tt.want)
				}
			})
		})
	}
}

func TestRetryEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		start := time.Now()
		_, err := offline(t, busy(9, 429, "30", func(w http.ResponseWriter) {
			writeError(w, &api.Error{Code: api.CodeOverloaded, Message: "queue is full"})
		})).Receipt(ctx, "x")
		var e *api.Error
		if !errors.As(err, &e) || e.RetryAfter != 30*time.Second || time.Since(start) != 5*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

func TestErrorsThatAreNone(t *testing.T) {
	answer := func(status int, mediaType, body string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", mediaType)
			w.WriteHeader(status)
			w.Write([]byte(body))
		})
	}
	notFound := `{"code":"not_found","message":"no such receipt"}`
	for _, tt := range []struct {
		name    string
		handler http.Handler
		fromLog bool
	}{
		{"an error of a log", answer(404, "application/json", notFound), true},
		{"with a charset", answer(404, "application/json; charset=utf-8", notFound), true},
		{"with a member to come", answer(404, "application/json", `{"code":"not_found","message":"","more":1}`), true},
		{"a page", answer(404, "text/html", "<h1>not found</h1>"), false},
		{"JSON called a page", answer(404, "text/html", notFound), false},
		{"a page called JSON", answer(404, "application/json", "<h1>not found</h1>"), false},
		{"JSON of another kind", answer(404, "application/json", `{"error":"not found"}`), false},
		{"a code of another status", answer(403, "application/json", notFound), false},
		{"no body", answer(404, "application/json", ""), false},
		{"bytes without end", answer(404, "application/json", `{"code":"not_found","message":"`+strings.Repeat("a", maxError)+`"}`), false},
		{"success that is none", answer(200, "text/html", "<h1>welcome</h1>"), false},
	} {
		_, err := serve(t, tt.handler).Receipt(t.Context(), "x")
		var e *api.Error
		var other *AnswerError
		if errors.As(err, &e) != tt.fromLog || errors.As(err, &other) == tt.fromLog {
			t.Errorf("%s: %v, want an error of the log: %t", tt.name, err, tt.fromLog)
		}
	}
}

func TestOversizedAnswer(t *testing.T) {
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		block := make([]byte, 32<<10)
		for {
			if _, err := w.Write(block); err != nil {
				return // the client hung up
			}
		}
	}))
	ctx := t.Context()
	for name, call := range map[string]func() error{
		"receipt":    func() error { _, err := c.Receipt(ctx, "x"); return err },
		"bundle":     func() error { _, err := c.Bundle(ctx, "x"); return err },
		"inclusion":  func() error { _, err := c.InclusionProof(ctx, ByIndex(1), 0); return err },
		"checkpoint": func() error { _, err := c.Checkpoint(ctx); return err },
		"status":     func() error { _, err := c.StatusFile(ctx, StatusQuery{}); return err },
		"submit":     func() error { _, err := c.Submit(ctx, []byte("{}"), false); return err },
	} {
		var e *AnswerError
		if err := call(); !errors.As(err, &e) || !strings.Contains(err.Error(), "answer of more than") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHalfAnswer(t *testing.T) {
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		w.Write([]byte(`{"id":"x"}`))
	}))
	var e *AnswerError
	if _, err := c.Receipt(t.Context(), "x"); !errors.As(err, &e) {
		t.Errorf("receipt cut off: %v", err)
	}
	if _, err := c.Bundle(t.Context(), "x"); !errors.As(err, &e) {
		t.Errorf("bundle cut off: %v", err)
	}
}

// A server that goes silent in the middle of an answer holds nobody longer
// than the context of the call.
func TestSilentServer(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte(`{"id":`))
		w.(http.Flusher).Flush()
		cancel()
		<-r.Context().Done()
	}))
	if _, err := c.Receipt(ctx, "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
}

func TestTimeout(t *testing.T) {
	// hold answers after ten minutes.
	hold := roundTrip(func(r *http.Request) (*http.Response, error) {
		select {
		case <-time.After(10 * time.Minute):
			return transport{http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, api.Submitted{}) })}.RoundTrip(r)
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	})
	each := func(api.Submitted) error { return nil }
	for _, tt := range []struct {
		name string
		call func(context.Context, *Client) error
		want time.Duration
		ok   bool
	}{
		{"read", func(ctx context.Context, c *Client) error { _, err := c.Receipt(ctx, "x"); return err }, requestTimeout, false},
		{"await", func(ctx context.Context, c *Client) error { _, err := c.Await(ctx, ByID("x")); return err }, requestTimeout, false},
		{"submit", func(ctx context.Context, c *Client) error { _, err := c.Submit(ctx, []byte("{}"), false); return err }, requestTimeout, false},
		{"submit and wait", func(ctx context.Context, c *Client) error { _, err := c.Submit(ctx, []byte("{}"), true); return err }, 10 * time.Minute, true},
		{"submit many and wait", func(ctx context.Context, c *Client) error {
			return c.SubmitAll(ctx, sequence([]byte("{}")), true, each)
		}, 10 * time.Minute, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newClient(t, "http://log.example")
				c.http.Transport = hold
				start := time.Now()
				if err := tt.call(t.Context(), c); (err == nil) != tt.ok {
					t.Errorf("error %v, want none: %t", err, tt.ok)
				}
				if took := time.Since(start); took != tt.want {
					t.Errorf("took %v, want %v", took, tt.want)
				}
			})
		})
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Whoever imports client or formats takes in nothing but what is allowed here.
func TestDependencies(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".", "../formats/...").CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	allowed := regexp.MustCompile(`^(github\.com/chiolog/chiolog/(client|internal/jcs|formats/[a-z]+)` +
		`|github\.com/transparency-dev/merkle(/.*)?|golang\.org/x/mod/sumdb/note|filippo\.io/edwards25519(/.*)?)$`)
	for _, path := range strings.Fields(string(out)) {
		if !allowed.MatchString(path) {
			t.Errorf("%s is not allowed", path)
		}
	}
}
