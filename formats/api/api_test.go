package api

import (
	"encoding/json"
	"net/http"
	"testing"
)

func TestErrorStatus(t *testing.T) {
	for code, status := range statusOf {
		if http.StatusText(status) == "" || status < 400 {
			t.Errorf("code %s has status %d", code, status)
		}
		e := &Error{Code: code}
		if e.Status() != status || e.Temporary() != (status == 429 || status == 503) {
			t.Errorf("code %s: status %d, temporary %t", code, e.Status(), e.Temporary())
		}
	}
	if got := (&Error{Code: "never heard of"}).Status(); got != http.StatusInternalServerError {
		t.Errorf("unknown code has status %d", got)
	}
}

// TestErrorForm is what a client of another language relies on.
func TestErrorForm(t *testing.T) {
	size := uint64(7)
	data, err := json.Marshal(&Error{Code: CodeSize, Message: "m", Hint: "h", Size: &size})
	if err != nil || string(data) != `{"code":"size_not_published","message":"m","hint":"h","size":7}` {
		t.Errorf("%s, %v", data, err)
	}
}
