package checkpoint

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// MaxSize is the largest size of a tree (CP-10): common readers keep sizes in
// 64 bits with a sign.
const MaxSize = 1<<63 - 1

// ErrCheckpoint reports a text that is not a checkpoint in canonical form.
var ErrCheckpoint = errors.New("not a checkpoint")

// A Checkpoint is the text of a C2SP tlog-checkpoint: the size and root of a log.
type Checkpoint struct {
	Origin string
	Size   uint64
	Root   [32]byte
	// Extensions are further lines, without line feeds. We write none: monitors
	// cannot audit them (CP-5).
	Extensions []string
}

// Parse reads the text of a note as a checkpoint (CP-1 to CP-5, CP-10). Its error
// is ErrCheckpoint.
func Parse(text string) (Checkpoint, error) {
	refuse := func(what string) (Checkpoint, error) {
		return Checkpoint{}, fmt.Errorf("%s: %w", what, ErrCheckpoint)
	}
	if checkText([]byte(text)) != nil {
		return refuse("control character or invalid UTF-8")
	}
	body, ok := strings.CutSuffix(text, "\n")
	if !ok {
		return refuse("no line feed at the end")
	}
	lines := strings.Split(body, "\n")
	if len(lines) < 3 {
		return refuse("fewer than three lines")
	}
	for i, line := range lines {
		if line == "" {
			return refuse(fmt.Sprintf("line %d is empty", i+1))
		}
	}
	size, err := strconv.ParseUint(lines[1], 10, 63)
	if err != nil || strconv.FormatUint(size, 10) != lines[1] {
		return refuse("size is not a decimal number below 2^63")
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != 32 {
		return refuse("root is not the base64 of 32 bytes")
	}
	c := Checkpoint{Origin: lines[0], Size: size, Root: [32]byte(root)}
	if size == 0 && c.Root != EmptyRoot() {
		return refuse("size 0 without the root of the empty tree")
	}
	if len(lines) > 3 {
		c.Extensions = lines[3:]
	}
	return c, nil
}

// String returns the text: the bytes that log and witnesses sign.
func (c Checkpoint) String() string {
	var b strings.Builder
	b.Grow(len(c.Origin) + 80)
	b.WriteString(c.Origin)
	b.WriteByte('\n')
	b.WriteString(strconv.FormatUint(c.Size, 10))
	b.WriteByte('\n')
	b.WriteString(base64.StdEncoding.EncodeToString(c.Root[:]))
	b.WriteByte('\n')
	for _, line := range c.Extensions {
		b.WriteString(line)
		b.WriteByte('\n')
	}
	return b.String()
}

// A SplitViewError holds two notes of one origin, each verified, of which at
// least one is a lie: no tree has both heads.
type SplitViewError struct{ A, B Note }

func (e *SplitViewError) Error() string {
	return fmt.Sprintf("split view: these two checkpoints contradict each other:\n%s\n%s", e.A, e.B)
}
