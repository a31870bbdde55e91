package main

import (
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	const passed = `{"Action":"attr","Package":"p","Test":"TestA","Key":"component","Value":"python3 3.11"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Output":"ok  \tp\t0.1s\n"}
{"Action":"pass","Package":"p"}
`
	const both = `{"Action":"attr","Package":"p","Test":"TestD","Key":"component","Value":"tessera,x/mod v1.0.4,v0.42.0"}
{"Action":"pass","Package":"p","Test":"TestD"}
`
	const skipped = `{"Action":"attr","Package":"p","Test":"TestB","Key":"component","Value":"softhsm 2.6"}
{"Action":"output","Package":"p","Test":"TestB","Output":"    x_test.go:1: not installed\n"}
{"Action":"skip","Package":"p","Test":"TestB"}
`
	const failed = `{"Action":"output","Package":"p","Test":"TestC","Output":"    wrong\n"}
{"Action":"fail","Package":"p","Test":"TestC"}
`
	for _, tt := range []struct {
		name, in, required string
		ok                 bool
		want               string
	}{
		{"all passed", passed, "python3", true, "python3    3.11     1          0"},
		{"two components", both, "tessera,x/mod", true, "x/mod      v0.42.0  1          0"},
		{"skipped", passed + skipped, "", true, "TestB: x_test.go:1: not installed"},
		{"skipped and required", passed + skipped, "softhsm", false, "required component softhsm was not tested"},
		{"required and unknown", passed, "mariadb", false, "required component mariadb was not tested"},
		{"failed", passed + failed, "", false, "wrong"},
		{"build failed", passed + `{"Action":"build-fail"}` + "\n", "", false, "FAIL: 1"},
		{"no test", "", "", false, "component"},
		{"results shown", passed, "", true, "ok  \tp\t0.1s"},
	} {
		var out strings.Builder
		ok, err := report(strings.NewReader(tt.in), &out, tt.required)
		if err != nil || ok != tt.ok || !strings.Contains(out.String(), tt.want) {
			t.Errorf("%s: %t, %v, want %t and %q in\n%s", tt.name, ok, err, tt.ok, tt.want, out.String())
		}
	}
}
