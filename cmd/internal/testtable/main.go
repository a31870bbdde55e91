// Command testtable reads the events of go test -json on standard input. It
// prints what go test would print of failures and results, and ends with a
// table of the components that the tests ran against. A test names its
// component with t.Attr("component", "name version"), several as "a,b 1.0,2.0". The exit status is that
// of the tests. A component that CHIO_REQUIRE names (comma separated) may not
// be skipped.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
)

func main() {
	ok, err := report(os.Stdin, os.Stdout, os.Getenv("CHIO_REQUIRE"))
	if err != nil {
		fmt.Fprintln(os.Stderr, "testtable:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

// An event is one line of go test -json.
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
	Key     string
	Value   string
}

// A row is one component of the table.
type row struct {
	version      string
	run, skipped int
	why          []string
}

// A table collects events.
type table struct {
	out        io.Writer
	rows       map[string]*row
	output     map[string][]string // by package and test
	components map[string][]string // by package and test
	run, fails int
}

const plain = "Go tests"

func report(in io.Reader, out io.Writer, required string) (ok bool, err error) {
	t := &table{out: out, rows: map[string]*row{plain: {}}, output: map[string][]string{}, components: map[string][]string{}}
	scanner := bufio.NewScanner(in)
	scanner.Buffer(nil, 16<<20)
	for scanner.Scan() {
		var e event
		if json.Unmarshal(scanner.Bytes(), &e) != nil {
			fmt.Fprintln(out, scanner.Text()) // build errors are not events
			continue
		}
		t.take(e)
	}
	if err := scanner.Err(); err != nil {
		return false, err
	}
	missing := t.print(required)
	return t.fails == 0 && t.run > 0 && !missing, nil
}

func (t *table) take(e event) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "build-output":
		fmt.Fprint(t.out, e.Output)
	case "build-fail":
		t.fails++
	case "output":
		if e.Test == "" {
			if strings.HasPrefix(e.Output, "ok") || strings.HasPrefix(e.Output, "FAIL") || strings.HasPrefix(e.Output, "panic") {
				fmt.Fprint(t.out, e.Output)
			}
			t.output[key] = append(t.output[key], e.Output)
			return
		}
		t.output[key] = append(t.output[key], e.Output)
	case "attr":
		if e.Key == "component" {
			t.name(key, e.Value)
		}
	case "pass", "fail", "skip":
		t.end(e, key)
	}
}

// name takes in what a test says of its components: "a 1.0" or "a,b 1.0,2.0".
func (t *table) name(key, value string) {
	names, versions, _ := strings.Cut(value, " ")
	t.components[key] = strings.Split(names, ",")
	list := strings.Split(versions, ",")
	for i, name := range t.components[key] {
		if i < len(list) {
			t.row(name).version = list[i]
		}
	}
}

func (t *table) row(name string) *row {
	if t.rows[name] == nil {
		t.rows[name] = &row{}
	}
	return t.rows[name]
}

func (t *table) end(e event, key string) {
	defer delete(t.output, key)
	if e.Action == "fail" {
		t.fails++
		fmt.Fprint(t.out, strings.Join(t.output[key], ""))
	}
	if e.Test == "" {
		return
	}
	if e.Action != "skip" {
		t.run++
	}
	names := t.components[key]
	if names == nil {
		names = []string{plain}
	}
	for _, name := range names {
		r := t.row(name)
		if e.Action != "skip" {
			r.run++
			continue
		}
		r.skipped++
		r.why = append(r.why, t.why(e.Test, key))
	}
}

// why is what a skipped test printed.
func (t *table) why(test, key string) string {
	why := test
	for _, line := range t.output[key] {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "===") && !strings.HasPrefix(line, "---") {
			why += ": " + line
		}
	}
	return why
}

// print writes the table and reports whether a required component was skipped
// or is not in it.
func (t *table) print(required string) (missing bool) {
	fmt.Fprintln(t.out)
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "component\tversion\ttests run\tskipped\twhy")
	for _, name := range slices.Sorted(maps.Keys(t.rows)) {
		r := t.rows[name]
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\n", name, r.version, r.run, r.skipped, strings.Join(r.why, "; "))
	}
	w.Flush()
	for name := range strings.SplitSeq(required, ",") {
		if name == "" {
			continue
		}
		if r := t.rows[name]; r == nil || r.skipped > 0 || r.run == 0 {
			fmt.Fprintf(t.out, "required component %s was not tested\n", name)
			missing = true
		}
	}
	if t.fails > 0 {
		fmt.Fprintf(t.out, "FAIL: %d tests or packages failed\n", t.fails)
	}
	return missing
}
