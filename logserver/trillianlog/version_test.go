package trillianlog

import (
	"os/exec"
	"strings"
)

// version returns the version of a module in this build.
func version(path string) string {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Version}}", path).Output()
	if err != nil {
		return "(unknown)"
	}
	return strings.TrimSpace(string(out))
}
