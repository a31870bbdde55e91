package logserver

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/chiolog/chiolog/formats/api"
	"github.com/chiolog/chiolog/formats/receipt"
)

// ErrOverloaded reports a queue that is full. A Tree's errors may be it.
var ErrOverloaded = errors.New("the log takes no more just now")

// publicError turns an error into what the caller is told. What is not the
// caller's doing is internal: its answer says nothing, the log line says all.
func publicError(err error) *api.Error {
	public := classify(err)
	public.Message = clip(public.Message, 400)
	return public
}

// clip bounds what an answer repeats of a request.
func clip(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "") + "…"
}

func classify(err error) *api.Error {
	var (
		public *api.Error
		broken *receipt.Error
		denied *NotWriterError
		size   *SizeError
	)
	switch {
	case errors.As(err, &public):
		return public
	case errors.As(err, &broken):
		return receiptError(broken)
	case errors.As(err, &denied):
		return deniedError(denied)
	case errors.As(err, &size):
		return &api.Error{Code: api.CodeSize, Message: err.Error(), Size: &size.Published, Hint: "ask for the published size or a smaller one"}
	case errors.Is(err, ErrLegacy):
		return &api.Error{Code: api.CodeLegacyReceipt, Message: err.Error(), Hint: "submit receipts of the current generation, which have a receipt_kind; legacy ones are verified in evidence packages"}
	case errors.Is(err, ErrReserved):
		return &api.Error{Code: api.CodeReservedEvent, Message: err.Error(), Hint: "choose another name for metadata.event, and no key_event or key_terms"}
	case errors.Is(err, ErrConflict):
		return &api.Error{Code: api.CodeConflict, Message: err.Error(), Hint: "one id is one receipt; give the other one an id of its own"}
	case errors.Is(err, ErrNotFound):
		return &api.Error{Code: api.CodeNotFound, Message: err.Error()}
	case errors.Is(err, ErrNotPublished):
		return &api.Error{Code: api.CodeNotPublished, Message: err.Error(), Hint: "ask again after the next checkpoint", RetryAfter: time.Second}
	case errors.Is(err, ErrOverloaded):
		return &api.Error{Code: api.CodeOverloaded, Message: err.Error(), Hint: "slow down and send it again", RetryAfter: time.Second}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &api.Error{Code: api.CodeUnavailable, Message: "the request was not finished in time", Hint: "send it again: a receipt that is in already is answered as a duplicate", RetryAfter: time.Second}
	}
	return &api.Error{Code: api.CodeInternal, Message: "internal error", Hint: "the server's log has the reason"}
}

func deniedError(e *NotWriterError) *api.Error {
	public := &api.Error{Code: api.CodeForbidden, Message: e.Error(), Hint: "register the key as a writer of this log, or sign with the log's kernel key"}
	if e.Range != nil {
		public.Close = &e.Range.To
		public.Hint = "its range is closed for good; sign with a new key that is registered as a writer"
	}
	return public
}

func receiptError(e *receipt.Error) *api.Error {
	code := api.CodeInvalidReceipt
	hint := ""
	switch e.Rule {
	case receipt.RuleJSON, receipt.RuleForm:
		code, hint = api.CodeMalformed, "send one JSON receipt, or NDJSON with content type "+api.TypeNDJSON
	case receipt.RuleSize:
		code, hint = api.CodeTooLarge, "put large parameters behind a hash"
	case receipt.RuleHybrid:
		hint = "this log verifies Ed25519, P-256 and P-384"
	}
	return &api.Error{Code: code, Message: e.Error(), Hint: hint, Rule: string(e.Rule)}
}

// public is publicError, and logs what the caller is not told. While the tree
// takes no more entries that is said: another server may do better.
func (s *server) public(err error) *api.Error {
	public := publicError(err)
	if public.Code != api.CodeInternal {
		return public
	}
	s.log.log.Error("request failed", "err", err)
	if s.log.cfg.Tree.Err() != nil {
		return &api.Error{Code: api.CodeUnavailable, Message: "the log takes no more entries until its operator has looked after it", RetryAfter: 30 * time.Second}
	}
	return public
}

// respondError answers with err.
func (s *server) respondError(w http.ResponseWriter, err error) {
	public := s.public(err)
	if public.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(public.RetryAfter/time.Second)))
	}
	respond(w, public.Status(), public)
}

// respond answers with JSON that no cache keeps.
func respond(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", api.TypeJSON)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.Encode(body) // a reader that has gone needs no answer
}
