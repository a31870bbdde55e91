package logserver

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"runtime"
	"sync"

	"github.com/chiolog/chiolog/formats/api"
	"github.com/chiolog/chiolog/formats/receipt"
)

// submit takes one JSON receipt, or a stream of them as NDJSON.
func (s *server) submit(w http.ResponseWriter, r *http.Request) {
	q, err := query(r, "wait")
	if err != nil {
		s.respondError(w, err)
		return
	}
	wait := q.get("wait")
	if wait != "" && wait != api.WaitPublished {
		s.respondError(w, badRequest(fmt.Sprintf("wait=%.40q is not known", wait), "known is wait="+api.WaitPublished))
		return
	}
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case err == nil && media == api.TypeNDJSON:
		s.submitStream(w, r, wait != "")
	case err == nil && media == api.TypeJSON, r.Header.Get("Content-Type") == "":
		s.submitOne(w, r, wait != "")
	default:
		s.respondError(w, badRequest(fmt.Sprintf("content type %.60q is not taken", r.Header.Get("Content-Type")), api.TypeJSON+" or "+api.TypeNDJSON))
	}
}

func (s *server) submitOne(w http.ResponseWriter, r *http.Request, wait bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, api.MaxReceipt))
	if err != nil {
		s.reject(w, readError(err, api.MaxReceipt))
		return
	}
	appended, err := s.log.Append(r.Context(), body)
	if err != nil {
		s.reject(w, err)
		return
	}
	answer, err := s.answer(r.Context(), appended, wait)
	if err != nil {
		s.respondError(w, err)
		return
	}
	respond(w, http.StatusOK, answer)
}

func (s *server) reject(w http.ResponseWriter, err error) {
	s.log.metrics.rejected.WithLabelValues(publicError(err).Code).Inc()
	s.respondError(w, err)
}

func readError(err error, limit int64) error {
	var over *http.MaxBytesError
	if errors.As(err, &over) {
		return tooLarge(limit)
	}
	return badRequest("the body could not be read to its end", "send it again: receipts that are in already are answered as duplicates")
}

func tooLarge(limit int64) error {
	return &api.Error{Code: api.CodeTooLarge, Message: fmt.Sprintf("body is larger than %d bytes", limit), Hint: "split it over several requests"}
}

func (s *server) answer(ctx context.Context, a *Appended, wait bool) (*api.Submitted, error) {
	answer := &api.Submitted{
		ID: a.Receipt.ID, Index: a.Index, LeafHash: hexOf(a.Receipt.LeafHash()),
		Duplicate: a.Duplicate, ParameterHashMismatch: !a.Receipt.ParameterHashValid(),
	}
	if !wait {
		return answer, nil
	}
	size, err := s.log.AwaitPublished(ctx, a.Index)
	answer.Size = size
	return answer, err
}

// A line is one receipt of a stream on its way through.
type line struct {
	data     []byte
	receipt  *receipt.Receipt
	ticket   *Ticket
	appended *Appended
	err      error
	checked  chan struct{} // closed once receipt or err is set
}

// window is how many lines of one stream are under way at most.
const window = 2048

// submitStream answers each line in the order of the lines. Lines are checked
// on all cores, queued in order, and answered as they become durable, while
// more of the body is still coming in.
func (s *server) submitStream(w http.ResponseWriter, r *http.Request, wait bool) {
	if r.ContentLength > api.MaxBatchBytes {
		s.reject(w, tooLarge(api.MaxBatchBytes))
		return
	}
	// Answers are sent before the body has been read to its end.
	http.NewResponseController(w).EnableFullDuplex() // HTTP/2 always is
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	read := make(chan *line)
	inOrder := make(chan *line, window)
	queued := make(chan *line, window)
	appended := make(chan *line, window)

	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(read)
		defer close(inOrder)
		s.readLines(ctx, r.Body, read, inOrder)
	})
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for l := range read {
				l.receipt, l.err = Check(l.data)
				close(l.checked)
			}
		})
	}
	wg.Go(func() {
		defer close(queued)
		for l := range inOrder {
			<-l.checked
			if l.err == nil {
				l.ticket, l.err = s.log.Queue(ctx, l.receipt)
			}
			queued <- l
		}
	})
	wg.Go(func() {
		defer close(appended)
		for l := range queued {
			if l.err == nil {
				l.appended, l.err = l.ticket.Wait(ctx)
			}
			appended <- l
		}
	})
	s.answerLines(ctx, w, appended, wait)
	cancel()
	for range appended { // lets the goroutines above end
	}
	wg.Wait()
	// A full-duplex handler must not leave a part of the body behind, or the
	// server takes it for the next request. Who goes on sending is cut off.
	if _, err := io.CopyN(io.Discard, r.Body, api.MaxBatchBytes); !errors.Is(err, io.EOF) {
		panic(http.ErrAbortHandler)
	}
}

// readLines splits the body into lines, up to the limits. Empty lines are
// skipped. A body that breaks a limit ends in a line that is only an error.
func (s *server) readLines(ctx context.Context, body io.Reader, read, inOrder chan<- *line) {
	limited := &io.LimitedReader{R: body, N: api.MaxBatchBytes + 1}
	scanner := bufio.NewScanner(limited)
	scanner.Buffer(make([]byte, 64<<10), api.MaxReceipt+len("\r\n"))
	send := func(l *line) bool {
		select {
		case inOrder <- l:
		case <-ctx.Done():
			return false
		}
		if l.err != nil {
			close(l.checked)
			return false
		}
		read <- l // the workers never stop before it is closed
		return true
	}
	for n := 0; scanner.Scan(); {
		if len(scanner.Bytes()) == 0 {
			continue
		}
		l := &line{checked: make(chan struct{})}
		if n++; n > api.MaxBatchLines {
			l.err = &api.Error{Code: api.CodeTooLarge, Message: fmt.Sprintf("more than %d lines in one request", api.MaxBatchLines), Hint: "send the rest in another one"}
		} else {
			l.data = append(l.data, scanner.Bytes()...)
		}
		if !send(l) {
			return
		}
	}
	err := scanner.Err()
	if limited.N == 0 && err == nil {
		err = &http.MaxBytesError{Limit: api.MaxBatchBytes}
	}
	if err != nil {
		l := &line{checked: make(chan struct{}), err: readError(err, api.MaxBatchBytes)}
		if errors.Is(err, bufio.ErrTooLong) {
			l.err = &api.Error{Code: api.CodeTooLarge, Message: fmt.Sprintf("a line is longer than %d bytes", api.MaxReceipt), Hint: "the lines after it were not read, send them again without it"}
		}
		send(l)
	}
}

// answerLines writes one answer a line. Answers are flushed when no other one
// is ready, so that a slow sender sees each and a fast one costs little.
func (s *server) answerLines(ctx context.Context, w http.ResponseWriter, appended <-chan *line, wait bool) {
	w.Header().Set("Content-Type", api.TypeNDJSON)
	w.Header().Set("Cache-Control", "no-store")
	flush := http.NewResponseController(w).Flush
	out := bufio.NewWriterSize(w, 64<<10)
	encoder := json.NewEncoder(out)
	for l := range appended {
		if err := encoder.Encode(s.answerLine(ctx, l, wait)); err != nil {
			return
		}
		if len(appended) == 0 {
			if out.Flush() != nil || flush() != nil {
				return
			}
		}
	}
	out.Flush()
}

func (s *server) answerLine(ctx context.Context, l *line, wait bool) *api.Submitted {
	err := l.err
	if err == nil {
		var answer *api.Submitted
		if answer, err = s.answer(ctx, l.appended, wait); err == nil {
			return answer
		}
	}
	public := s.public(err)
	s.log.metrics.rejected.WithLabelValues(public.Code).Inc()
	answer := &api.Submitted{Error: public}
	if l.receipt != nil {
		answer.ID = l.receipt.ID
	}
	return answer
}
