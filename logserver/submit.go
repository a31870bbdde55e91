package logserver

import (
	"bufio"
	"bytes"
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
	"golang.org/x/sync/semaphore"
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
	data     []byte // until it is checked
	cost     int64  // of the stream's budget
	receipt  *receipt.Receipt
	ticket   *Ticket
	appended *Appended
	err      error
	checked  chan struct{} // closed once receipt or err is set
}

// Bounds of what streams hold in memory. A line counts with its bytes and
// lineCost from the moment it is read until it is answered.
const (
	window     = 2048    // lines of one stream under way
	windowSize = 2 << 20 // bytes of one stream under way
	lineCost   = 512
	maxStreams = 128 // streams at once; more are asked to come again
)

// submitStream answers each line in the order of the lines. Lines are checked
// on all cores, queued in order, and answered as they become durable, while
// more of the body is still coming in.
func (s *server) submitStream(w http.ResponseWriter, r *http.Request, wait bool) {
	if r.ContentLength > api.MaxBatchBytes {
		s.reject(w, tooLarge(api.MaxBatchBytes))
		return
	}
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		s.reject(w, fmt.Errorf("%d streams are under way: %w", maxStreams, ErrOverloaded))
		return
	}
	// Answers are sent before the body has been read to its end.
	http.NewResponseController(w).EnableFullDuplex() // HTTP/2 always is
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	budget := semaphore.NewWeighted(windowSize)
	read := make(chan *line)
	inOrder := make(chan *line, window)
	queued := make(chan *line, window)
	appended := make(chan *line, window)

	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(read)
		defer close(inOrder)
		readLines(ctx, r.Body, budget, read, inOrder)
	})
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for l := range read {
				l.receipt, l.err = Check(l.data)
				l.data = nil
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
	s.answerLines(ctx, w, appended, budget, wait)
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
// skipped; a line that is too long is one answer like any other. A body that
// breaks a limit, or breaks off, ends in a line that is only an error.
func readLines(ctx context.Context, body io.Reader, budget *semaphore.Weighted, read, inOrder chan<- *line) {
	send := func(l *line) bool {
		l.cost = min(int64(len(l.data))+lineCost, windowSize)
		if budget.Acquire(ctx, l.cost) != nil {
			return false
		}
		l.checked = make(chan struct{})
		if l.err != nil {
			close(l.checked)
		}
		select {
		case inOrder <- l:
		case <-ctx.Done():
			return false
		}
		if l.err == nil {
			read <- l // the workers never stop before it is closed
		}
		return true
	}
	limited := &io.LimitedReader{R: body, N: api.MaxBatchBytes + 1}
	in := bufio.NewReaderSize(limited, 64<<10)
	for n := 0; ; {
		data, err := readLine(in)
		if limited.N == 0 && err != nil {
			send(&line{err: tooLarge(api.MaxBatchBytes)})
			return
		}
		if len(data) > 0 {
			l := &line{data: data}
			if len(data) > api.MaxReceipt {
				l.err = &api.Error{Code: api.CodeTooLarge, Message: fmt.Sprintf("the line is longer than %d bytes", api.MaxReceipt)}
			}
			if n++; n > api.MaxBatchLines {
				send(&line{err: &api.Error{Code: api.CodeTooLarge, Message: fmt.Sprintf("more than %d lines in one request", api.MaxBatchLines), Hint: "send the rest in another one"}})
				return
			}
			if !send(l) {
				return
			}
		}
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			send(&line{err: readError(err, api.MaxBatchBytes)})
			return
		}
	}
}

// readLine returns the next line without its end. Of one that is longer than a
// receipt may be it keeps no more than shows that. The error comes with what
// was before it.
func readLine(in *bufio.Reader) (data []byte, err error) {
	for {
		part, err := in.ReadSlice('\n')
		if len(data) <= api.MaxReceipt {
			data = append(data, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return bytes.TrimRight(data, "\r\n"), err
		}
	}
}

// answerLines writes one answer a line. Answers are flushed when no other one
// is ready, so that a slow sender sees each and a fast one costs little.
func (s *server) answerLines(ctx context.Context, w http.ResponseWriter, appended <-chan *line, budget *semaphore.Weighted, wait bool) {
	w.Header().Set("Content-Type", api.TypeNDJSON)
	w.Header().Set("Cache-Control", "no-store")
	flush := http.NewResponseController(w).Flush
	out := bufio.NewWriterSize(w, 64<<10)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	for l := range appended {
		if err := encoder.Encode(s.answerLine(ctx, l, wait)); err != nil {
			return
		}
		budget.Release(l.cost)
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
		answer.ID = clip(l.receipt.ID, 128)
	}
	return answer
}
