package main

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
)

// A table collects what a command prints for people: rows of a name and a
// value. Much of it comes from files that anybody may have made, so what could
// steer a terminal is printed escaped; see printable.
type table struct{ bytes.Buffer }

// line adds a line of its own.
func (t *table) line(format string, args ...any) {
	t.WriteString(printable(fmt.Sprintf(format, args...)) + "\n")
}

// row adds a name and a value.
func (t *table) row(name, format string, args ...any) {
	t.line("%-10s %s", name, fmt.Sprintf(format, args...))
}

// text adds a row, if there is a value.
func (t *table) text(name, value string) {
	if value != "" {
		t.row(name, "%s", value)
	}
}

// printable escapes all that is not printed as itself: control characters, line
// feeds, marks that turn the direction of writing.
func printable(s string) string {
	var b strings.Builder
	for _, r := range s {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, "\\u%04x", r)
		}
	}
	return b.String()
}
