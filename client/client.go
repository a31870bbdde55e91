// Package client talks to a chiolog log server and verifies what it says.
//
// A Client submits receipts and fetches entries, proofs, checkpoints and
// status files. Only Prove, VerifyInclusion and CheckConsistency verify; all
// other answers are the server's word, of which nothing but size and form has
// been checked.
//
// Three kinds of failure are told apart. An *api.Error is the server's own
// answer, with its code: the input is bad, or it should be asked again later
// (Temporary). An *AnswerError is an answer that no log server gives, such as
// a proxy's page. A *VerdictError is a proof that does not verify.
//
// The package depends on the formats and the standard library alone.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/chiolog/chiolog/formats/api"
)

// Times of the default client.
const (
	requestTimeout = time.Minute      // for one request with its answer, read to the end
	dialTimeout    = 10 * time.Second // for a connection, and for its TLS handshake
	defaultRetry   = time.Minute      // see WithRetry

	firstBackoff = 250 * time.Millisecond // if the server does not say how long to wait
	maxBackoff   = 10 * time.Second
)

// maxError bounds what is read of the body of an error, in bytes.
const maxError = 64 << 10

// A Client is a client of one log. It is safe for concurrent use.
type Client struct {
	base    *url.URL
	http    *http.Client
	timeout time.Duration // of one request that is not held back, 0 for none
	agent   string
	retry   time.Duration
}

// An Option changes a Client that New makes.
type Option func(*Client)

// WithHTTPClient has requests sent by h, whose timeout and transport then hold
// instead of the default ones: 10 s for a connection and a minute for a
// request, but no bound on one that waits for publication.
func WithHTTPClient(h *http.Client) Option {
	return func(c *Client) { c.http, c.timeout = h, 0 }
}

// WithUserAgent sets the User-Agent header, by default "chiolog-client".
func WithUserAgent(agent string) Option { return func(c *Client) { c.agent = agent } }

// WithRetry sets how long, in total, one call waits between attempts while
// the server answers 429 or 503: a minute by default, 0 for one attempt only.
func WithRetry(total time.Duration) Option { return func(c *Client) { c.retry = total } }

// New returns a client of the log at baseURL, an http or https URL with the
// log's prefix. It makes no connection.
func New(baseURL string, opts ...Option) (*Client, error) {
	base, err := url.Parse(baseURL)
	if err != nil {
		// The error of url.Parse repeats the text, and a password in it.
		return nil, errors.New("log URL cannot be parsed")
	}
	switch {
	case base.User != nil:
		return nil, errors.New("log URL has user information, which this client does not send")
	case base.Scheme != "http" && base.Scheme != "https" || base.Host == "":
		return nil, fmt.Errorf("log URL %q is not of the form https://host/prefix", baseURL)
	case base.RawQuery != "" || base.ForceQuery || base.Fragment != "":
		return nil, fmt.Errorf("log URL %q has a query or fragment", baseURL)
	}
	c := &Client{base: base, http: defaultHTTPClient(), timeout: requestTimeout, agent: "chiolog-client", retry: defaultRetry}
	for _, opt := range opts {
		opt(c)
	}
	return c, nil
}

func defaultHTTPClient() *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DialContext = (&net.Dialer{Timeout: dialTimeout}).DialContext
	t.TLSHandshakeTimeout = dialTimeout
	return &http.Client{Transport: t}
}

// An AnswerError is an answer that a log server does not give: an error whose
// body is no api.Error, or a success whose body cannot be read as one.
type AnswerError struct {
	Status int // HTTP status
	Reason string
	Err    error // nil if Reason says all
	wait   time.Duration
}

func (e *AnswerError) Error() string {
	s := fmt.Sprintf("HTTP %d: %s", e.Status, e.Reason)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *AnswerError) Unwrap() error { return e.Err }

// Temporary reports whether the same request may succeed later.
func (e *AnswerError) Temporary() bool {
	return e.Status == http.StatusTooManyRequests || e.Status == http.StatusServiceUnavailable
}

// A request is one HTTP request that can be sent again.
type request struct {
	path      string // below the prefix, not escaped
	query     url.Values
	body      []byte // POST if not nil
	mediaType string // of body
	limit     int64  // of the answer, in bytes
	published bool   // api.CodeNotPublished is waited for, for as long as it takes
	held      bool   // the server may hold the answer back as long as it likes
}

// do sends r, again while the server asks to come back later, and has read
// take the body of the success. What read fails with ends it.
func (c *Client) do(ctx context.Context, r request, read func(body io.Reader) error) error {
	w := waiting{left: c.retry}
	for {
		err := c.once(ctx, r, read)
		if err == nil || !w.again(ctx, err, r.published) {
			return err
		}
	}
}

// once sends r one time.
func (c *Client) once(ctx context.Context, r request, read func(body io.Reader) error) error {
	if c.timeout > 0 && !r.held {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	u := c.base.JoinPath(r.path)
	u.RawQuery = r.query.Encode()
	method, body := http.MethodGet, io.Reader(nil)
	if r.body != nil {
		method, body = http.MethodPost, bytes.NewReader(r.body)
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return fmt.Errorf("making request: %w", err)
	}
	req.Header.Set("User-Agent", c.agent)
	if r.body != nil {
		req.Header.Set("Content-Type", r.mediaType)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err // a *url.Error, which names method and URL
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return readError(resp)
	}
	if err := read(http.MaxBytesReader(nil, resp.Body, r.limit)); err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return &AnswerError{Status: resp.StatusCode, Reason: fmt.Sprintf("answer of more than %d bytes", r.limit)}
		}
		return &AnswerError{Status: resp.StatusCode, Reason: "reading the answer", Err: err}
	}
	return nil
}

// readError returns the error that an answer other than 2xx stands for.
func readError(resp *http.Response) error {
	wait := retryAfter(resp.Header.Get("Retry-After"))
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxError))
	if err != nil {
		return &AnswerError{Status: resp.StatusCode, Reason: "reading the error", Err: err, wait: wait}
	}
	if mediaType, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err == nil && mediaType == api.TypeJSON {
		e := &api.Error{RetryAfter: wait}
		if json.Unmarshal(body, e) == nil && e.Code != "" && e.Status() == resp.StatusCode {
			return e
		}
	}
	return &AnswerError{Status: resp.StatusCode, Reason: "not the answer of a log server; check the URL", wait: wait}
}

// retryAfter reads the seconds of a Retry-After header, 0 for none.
func retryAfter(header string) time.Duration {
	n, err := strconv.ParseUint(strings.TrimSpace(header), 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}

// A waiting is the state between the attempts of one call.
type waiting struct {
	left    time.Duration // of the time that may be spent waiting
	backoff time.Duration
}

// again waits as long as err asks for and reports whether to try again: not
// if err is final, if ctx ends first, or if the wait exceeds what is left.
// With published, api.CodeNotPublished does not count against that.
func (w *waiting) again(ctx context.Context, err error, published bool) bool {
	var asked time.Duration
	var fromLog *api.Error
	var other *AnswerError
	unpublished := false
	switch {
	case errors.As(err, &fromLog) && fromLog.Code == api.CodeNotPublished:
		asked, unpublished = fromLog.RetryAfter, true
		if !published {
			return false
		}
	case fromLog != nil && fromLog.Temporary():
		asked = fromLog.RetryAfter
	case errors.As(err, &other) && other.Temporary():
		asked = other.wait
	default:
		return false
	}
	if asked == 0 {
		w.backoff = min(max(2*w.backoff, firstBackoff), maxBackoff)
		asked = w.backoff
	}
	if !unpublished {
		if asked > w.left {
			return false
		}
		w.left -= asked
	}
	return sleep(ctx, asked)
}

// sleep reports whether d passed before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// bytes returns the body of the answer to r.
func (c *Client) bytes(ctx context.Context, r request) (data []byte, err error) {
	err = c.do(ctx, r, func(body io.Reader) (err error) {
		data, err = io.ReadAll(body)
		return err
	})
	if err != nil {
		return nil, err
	}
	return data, nil
}

// json decodes the answer to r into v. Members that v lacks are ignored: a
// newer server may say more.
func (c *Client) json(ctx context.Context, r request, v any) error {
	return c.do(ctx, r, func(body io.Reader) error {
		data, err := io.ReadAll(body)
		if err != nil {
			return err
		}
		return json.Unmarshal(data, v)
	})
}
