package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/url"

	"github.com/chiolog/chiolog/formats/api"
	"github.com/chiolog/chiolog/formats/receipt"
)

// Bounds of one request of SubmitAll. They are far below the server's, so that
// a failure costs little and answers come back while the rest is still read.
const (
	batchLines = 1000
	batchBytes = 4 << 20
)

// maxAnswer bounds the answer to one receipt, in bytes: it repeats the id,
// which may be nearly all of the receipt, with every byte escaped.
const maxAnswer = 6*receipt.MaxSize + 8<<10

// Submit submits one receipt, with or without white space. With wait it
// returns only when a published checkpoint covers the receipt, which can take
// as long as the log's witnesses do; ctx bounds it. A receipt that the log has
// already is no error: submitting again is always safe.
func (c *Client) Submit(ctx context.Context, receipt []byte, wait bool) (api.Submitted, error) {
	fail := func(err error) (api.Submitted, error) {
		return api.Submitted{}, fmt.Errorf("submitting a receipt: %w", err)
	}
	if e := tooLarge(receipt); e != nil {
		return fail(e)
	}
	var s api.Submitted
	r := request{path: api.PathReceipts, query: waitQuery(wait), body: receipt, mediaType: api.TypeJSON, limit: maxAnswer, published: wait, held: wait}
	if len(receipt) == 0 {
		return fail(&api.Error{Code: api.CodeMalformed, Message: "empty receipt"})
	}
	if err := c.json(ctx, r, &s); err != nil {
		return fail(err)
	}
	if s.Error != nil {
		return fail(s.Error)
	}
	return s, nil
}

func waitQuery(wait bool) url.Values {
	if !wait {
		return nil
	}
	return url.Values{"wait": {api.WaitPublished}}
}

func tooLarge(receipt []byte) *api.Error {
	if len(receipt) <= api.MaxReceipt {
		return nil
	}
	return &api.Error{Code: api.CodeTooLarge, Message: fmt.Sprintf("receipt of more than %d bytes", api.MaxReceipt)}
}

// SubmitAll submits receipts in requests of bounded size, one after the other,
// and calls each with the answer to every receipt, in their order. A receipt
// that is refused is such an answer, with its Error set, and does not stop the
// rest; what the log is too busy to take is sent again, after the receipts of
// the same request that it took.
//
// An error of the sequence, of each or of a request ends it. Receipts that
// were answered before were reported to each; further ones may have been
// appended, and submitting everything again is safe.
func (c *Client) SubmitAll(ctx context.Context, receipts iter.Seq2[[]byte, error], wait bool, each func(api.Submitted) error) error {
	b := batch{client: c, wait: wait, each: each}
	for receipt, err := range receipts {
		if err != nil {
			if err := b.send(ctx); err != nil {
				return err
			}
			return err
		}
		if len(b.answers) == batchLines || b.size+len(receipt) > batchBytes {
			if err := b.send(ctx); err != nil {
				return err
			}
		}
		b.add(receipt)
	}
	return b.send(ctx)
}

// A batch is one request of SubmitAll.
type batch struct {
	client  *Client
	wait    bool
	each    func(api.Submitted) error
	lines   [][]byte        // to be sent, each with its line feed
	places  []int           // in answers, of the lines
	answers []api.Submitted // of all receipts of the batch
	size    int             // bytes of lines
}

// add puts a copy of the receipt on one line, or refuses it as the log would.
func (b *batch) add(receipt []byte) {
	line, refusal := oneLine(receipt)
	b.answers = append(b.answers, api.Submitted{Error: refusal})
	if refusal == nil {
		b.places = append(b.places, len(b.answers)-1)
		b.lines = append(b.lines, line)
		b.size += len(line)
	}
}

func oneLine(receipt []byte) ([]byte, *api.Error) {
	if e := tooLarge(receipt); e != nil {
		return nil, e
	}
	var line bytes.Buffer
	line.Grow(len(receipt) + 1)
	if bytes.IndexByte(receipt, '\n') < 0 {
		line.Write(receipt)
	} else if err := json.Compact(&line, receipt); err != nil {
		return nil, &api.Error{Code: api.CodeMalformed, Message: "not JSON: " + err.Error()}
	}
	line.WriteByte('\n')
	return line.Bytes(), nil
}

// send submits the batch, reports its answers, and empties it. If a request
// fails in the middle, what was answered first is reported still.
func (b *batch) send(ctx context.Context) error {
	answered := len(b.answers)
	err := b.submit(ctx)
	if err != nil && len(b.places) > 0 {
		answered = b.places[0]
	}
	for _, s := range b.answers[:answered] {
		if err := b.each(s); err != nil {
			return err
		}
	}
	b.lines, b.places, b.answers, b.size = b.lines[:0], b.places[:0], b.answers[:0], 0
	return err
}

// submit sends the lines until each has a final answer or patience ends. After
// an error, places has those without any answer.
func (b *batch) submit(ctx context.Context) error {
	w := waiting{left: b.client.retry}
	for len(b.lines) > 0 {
		n, err := b.request(ctx)
		if err != nil {
			b.lines, b.places = b.lines[n:], b.places[n:]
			return fmt.Errorf("submitting %d receipts: %w", len(b.lines)+n, err)
		}
		var busy *api.Error
		lines, places := b.lines[:0], b.places[:0]
		for i, place := range b.places {
			if e := b.answers[place].Error; e != nil && e.Temporary() {
				busy = e
				lines, places = append(lines, b.lines[i]), append(places, place)
			}
		}
		b.lines, b.places = lines, places
		if busy == nil || !w.again(ctx, busy, b.wait) {
			break
		}
	}
	b.lines, b.places = b.lines[:0], b.places[:0]
	return ctx.Err()
}

// request sends the lines once and stores their answers. It returns how many
// lines were answered; fewer than all is an error.
func (b *batch) request(ctx context.Context) (n int, err error) {
	r := request{
		path: api.PathReceipts, query: waitQuery(b.wait), body: bytes.Join(b.lines, nil), mediaType: api.TypeNDJSON,
		limit: maxAnswer * int64(len(b.lines)), published: b.wait, held: b.wait,
	}
	err = b.client.do(ctx, r, func(body io.Reader) error {
		dec := json.NewDecoder(body)
		for ; n < len(b.places); n++ {
			var s api.Submitted
			if err := dec.Decode(&s); err != nil {
				return fmt.Errorf("%d of %d receipts answered: %w", n, len(b.places), err)
			}
			b.answers[b.places[n]] = s
		}
		if _, err := dec.Token(); err != io.EOF {
			return fmt.Errorf("more answers than the %d receipts sent", len(b.places))
		}
		return nil
	})
	return n, err
}

// Lines returns the lines of an NDJSON stream that are not empty. Of one that
// is longer than any receipt it yields the beginning, which is too large too,
// so that memory stays bounded and SubmitAll refuses that line alone. A line
// is valid until the next one is taken.
func Lines(r io.Reader) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		lines := bufio.NewReaderSize(r, api.MaxReceipt+1)
		for {
			line, err := lines.ReadSlice('\n')
			if err != bufio.ErrBufferFull {
				line = bytes.TrimSpace(line)
			}
			if len(line) > 0 && !yield(line, nil) {
				return
			}
			for err == bufio.ErrBufferFull {
				_, err = lines.ReadSlice('\n')
			}
			if err == io.EOF {
				return
			}
			if err != nil {
				yield(nil, fmt.Errorf("reading receipts: %w", err))
				return
			}
		}
	}
}
