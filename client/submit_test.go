package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chiolog/chiolog/formats/api"
)

func TestSubmit(t *testing.T) {
	l := newTestLog(t)
	c := l.serve()
	receipt := newReceipt(t, l, 1790000200)
	s, err := c.Submit(t.Context(), receipt, false)
	if err != nil || s.Index != 13 || s.Duplicate || s.LeafHash != hexOf(l.leaves[13]) {
		t.Fatalf("new receipt: %+v, %v", s, err)
	}
	var pretty bytes.Buffer
	json.Indent(&pretty, receipt, "", "  ")
	s, err = c.Submit(t.Context(), pretty.Bytes(), true)
	if err != nil || s.Index != 13 || !s.Duplicate {
		t.Errorf("the same again with white space: %+v, %v", s, err)
	}
	if got := l.requests[len(l.requests)-1]; got != "POST /v1/receipts?wait=published" {
		t.Errorf("with wait: %s", got)
	}

	for _, tt := range []struct {
		name, code string
		receipt    []byte
	}{
		{"other body", api.CodeInvalidReceipt, bytes.Replace(receipt, []byte("1790000200"), []byte("1790000201"), 1)},
		{"not JSON", api.CodeMalformed, []byte("{")},
		{"empty", api.CodeMalformed, nil},
		{"too large", api.CodeTooLarge, bytes.Repeat([]byte(" "), api.MaxReceipt+1)},
	} {
		_, err := c.Submit(t.Context(), tt.receipt, false)
		var e *api.Error
		if !errors.As(err, &e) || e.Code != tt.code {
			t.Errorf("%s: %v, want an *api.Error %s", tt.name, err, tt.code)
		}
	}
	_, err = c.Submit(t.Context(), bytes.Replace(receipt, []byte("1790000200"), []byte("1790000201"), 1), false)
	if e := (&api.Error{}); !errors.As(err, &e) || e.Rule != "id" || e.Hint == "" {
		t.Errorf("rule and hint of the server are lost: %#v", e)
	}
}

func sequence(receipts ...[]byte) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, r := range receipts {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// collect runs SubmitAll and returns a word for each answer.
func collect(ctx context.Context, c *Client, receipts iter.Seq2[[]byte, error]) (answers []string, err error) {
	err = c.SubmitAll(ctx, receipts, false, func(s api.Submitted) error {
		word := fmt.Sprint(s.Index)
		if s.Error != nil {
			word = s.Error.Code
		} else if s.Duplicate {
			word += " again"
		}
		answers = append(answers, word)
		return nil
	})
	return answers, err
}

func TestSubmitAllKeepsOrder(t *testing.T) {
	l := newTestLog(t)
	c := l.serve()
	var in bytes.Buffer
	first, second := newReceipt(t, l, 1), newReceipt(t, l, 2)
	fmt.Fprintf(&in, "%s\r\n\n  \n%s\nnot JSON\n%s\n%s\n%s", first, l.entries[12], strings.Repeat("9", api.MaxReceipt+1), first, second)
	got, err := collect(t.Context(), c, Lines(&in))
	want := []string{"13", "12 again", api.CodeMalformed, api.CodeTooLarge, "13 again", "14"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("answers %q, %v; want %q", got, err, want)
	}
	if len(l.requests) != 1 {
		t.Errorf("requests %q, want one", l.requests)
	}

	var pretty bytes.Buffer
	json.Indent(&pretty, second, "", "  ")
	got, err = collect(t.Context(), c, sequence(pretty.Bytes(), []byte("{\n")))
	if want := []string{"14 again", api.CodeMalformed}; err != nil || !slices.Equal(got, want) {
		t.Errorf("receipts over several lines: %q, %v; want %q", got, err, want)
	}
}

func TestSubmitAllBoundsRequests(t *testing.T) {
	l := newTestLog(t)
	var sizes, lines []int
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body bytes.Buffer
		body.ReadFrom(r.Body)
		sizes, lines = append(sizes, body.Len()), append(lines, bytes.Count(body.Bytes(), []byte("\n")))
		r.Body = http.NoBody
		for range lines[len(lines)-1] {
			writeJSON(w, api.Submitted{})
		}
	}))
	count := 0
	each := func(api.Submitted) error { count++; return nil }
	many := slices.Repeat([][]byte{l.entries[12]}, 2*batchLines+1)
	if err := c.SubmitAll(t.Context(), sequence(many...), false, each); err != nil || count != len(many) {
		t.Fatalf("%d answers, %v", count, err)
	}
	if !slices.Equal(lines, []int{batchLines, batchLines, 1}) {
		t.Errorf("lines of the requests %v", lines)
	}
	sizes, lines = nil, nil
	large := slices.Repeat([][]byte{bytes.Repeat([]byte("1"), api.MaxReceipt)}, 40)
	if err := c.SubmitAll(t.Context(), sequence(large...), false, each); err != nil {
		t.Fatal(err)
	}
	if slices.Max(sizes) > batchBytes || len(sizes) != 3 {
		t.Errorf("bytes of the requests %v, the limit is %d", sizes, batchBytes)
	}
}

func TestSubmitAllHalfAnswer(t *testing.T) {
	l := newTestLog(t)
	whole := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { l.ServeHTTP(w, r) })
	cut := func(answers int) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for i := range answers {
				writeJSON(w, api.Submitted{Index: uint64(i)})
			}
			w.Write([]byte(`{"index":`))
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		})
	}
	receipts := sequence(l.entries[4], l.entries[5], l.entries[6])
	for _, tt := range []struct {
		name    string
		handler http.Handler
		want    []string
		ok      bool
	}{
		{"all answered", whole, []string{"4 again", "5 again", "6 again"}, true},
		{"cut in the third", cut(2), []string{"0", "1"}, false},
		{"cut in the first", cut(0), nil, false},
		{"two answers and the end", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			writeJSON(w, api.Submitted{})
			writeJSON(w, api.Submitted{})
		}), []string{"0", "0"}, false},
		{"one answer too many", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for range 4 {
				writeJSON(w, api.Submitted{})
			}
		}), []string{"0", "0", "0"}, false},
	} {
		got, err := collect(t.Context(), serve(t, tt.handler), receipts)
		if !slices.Equal(got, tt.want) || (err == nil) != tt.ok {
			t.Errorf("%s: %q, %v; want %q", tt.name, got, err, tt.want)
		}
		if e := (&AnswerError{}); err != nil && !errors.As(err, &e) {
			t.Errorf("%s: %v is no AnswerError", tt.name, err)
		}
	}
}

func TestSubmitAllEndsWithSequence(t *testing.T) {
	l := newTestLog(t)
	c := l.serve()
	broken := errors.New("disk on fire")
	got, err := collect(t.Context(), c, func(yield func([]byte, error) bool) {
		_ = yield(l.entries[4], nil) && yield(nil, broken)
	})
	if !errors.Is(err, broken) || !slices.Equal(got, []string{"4 again"}) {
		t.Errorf("%q, %v; want what came before and the sequence's error", got, err)
	}
	stop := errors.New("enough")
	err = c.SubmitAll(t.Context(), sequence(l.entries[4], l.entries[5]), false, func(api.Submitted) error { return stop })
	if !errors.Is(err, stop) {
		t.Errorf("error of each: %v", err)
	}
}

// A log that is too busy for every other line of a request gets only those
// again, and the answers keep the order of the lines.
func TestSubmitAllSendsBusyLinesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTestLog(t)
		requests := 0
		c := offline(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			requests++
			if requests > 1 {
				l.ServeHTTP(w, r)
				return
			}
			for i := range 4 {
				if i%2 == 0 {
					writeJSON(w, api.Submitted{Error: &api.Error{Code: api.CodeOverloaded}})
				} else {
					writeJSON(w, api.Submitted{Index: uint64(100 + i)})
				}
			}
		}))
		start := time.Now()
		receipts := sequence(l.entries[4], l.entries[5], l.entries[6], l.entries[7])
		got, err := collect(t.Context(), c, receipts)
		want := []string{"4 again", "101", "6 again", "103"}
		if err != nil || !slices.Equal(got, want) || requests != 2 {
			t.Errorf("%d requests: %q, %v; want %q", requests, got, err, want)
		}
		if waited := time.Since(start); waited != firstBackoff {
			t.Errorf("waited %v, want %v", waited, firstBackoff)
		}

		requests = 0
		c = offline(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			requests++
			writeJSON(w, api.Submitted{Error: &api.Error{Code: api.CodeOverloaded}})
		}), WithRetry(0))
		got, err = collect(t.Context(), c, sequence(l.entries[4]))
		if err != nil || !slices.Equal(got, []string{api.CodeOverloaded}) || requests != 1 {
			t.Errorf("without patience: %d requests: %q, %v", requests, got, err)
		}
	})
}

func FuzzLines(f *testing.F) {
	f.Add([]byte("{}\n\n {} \r\n{}"), 3)
	f.Add(bytes.Repeat([]byte("9"), 40), 1)
	f.Fuzz(func(t *testing.T, in []byte, repeat int) {
		// Repeated, the input reaches beyond the longest line.
		in = bytes.Repeat(in, 1+(repeat&0xf)*2000)
		if len(in) > 4<<20 {
			return
		}
		var want [][]byte
		for line := range bytes.Lines(in) {
			if len(line) > api.MaxReceipt+1 || len(line) > api.MaxReceipt && line[len(line)-1] != '\n' {
				want = append(want, line[:api.MaxReceipt+1])
			} else if line = bytes.TrimSpace(line); len(line) > 0 {
				want = append(want, line)
			}
		}
		i := 0
		for line, err := range Lines(bytes.NewReader(in)) {
			if err != nil || i == len(want) || !bytes.Equal(line, want[i]) {
				t.Fatalf("line %d: %.60q, %v", i, line, err)
			}
			i++
		}
		if i != len(want) {
			t.Fatalf("%d lines, want %d", i, len(want))
		}
	})
}
