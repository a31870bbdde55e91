// Package bundle reads, writes and verifies the offline proof of one receipt.
//
// A bundle is a C2SP tlog-proof: the receipt's index and inclusion path, and a
// cosigned checkpoint. Its extra line carries what else an offline verifier
// needs, as canonical JSON chiolog.bundle.v1: the receipt, a status and the
// key events, each with its own inclusion path (DESIGN §6). Tools that know
// tlog-proof verify inclusion; Verify checks the rules V-1 to V-8 of KEYS §7.
// A status file is the same with index and path of the status and without a
// receipt.
//
// Nothing here reads a clock, a network or a file.
package bundle

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
)

// Limits of what is read (V-1), in bytes unless said otherwise.
const (
	MaxBundle     = 1 << 20
	MaxStatusFile = 8 << 20
	MaxEvents     = 1024 // events in one file
	MaxPath       = 63   // hashes in one inclusion path

	// MaxExtra is the largest extra, before base64, that is written into a
	// bundle: common readers stop at lines of 65,536 bytes.
	MaxExtra = 48000
)

// magic is the first line of a tlog-proof.
const magic = "c2sp.org/tlog-proof@v1\n"

// A Proof is a C2SP tlog-proof.
type Proof struct {
	Extra      []byte // nil if there is no extra line; it is not authenticated
	Index      uint64 // of the leaf
	Path       [][32]byte
	Checkpoint []byte // the signed note, verbatim
}

var errProof = errors.New("not a tlog-proof")

// ParseProof reads a tlog-proof strictly (TP-1 … TP-4): what it accepts,
// Bytes prints again.
func ParseProof(data []byte) (*Proof, error) {
	rest, ok := bytes.CutPrefix(data, []byte(magic))
	if !ok {
		return nil, fmt.Errorf("%w: first line is not %q", errProof, magic[:len(magic)-1])
	}
	p := &Proof{}
	line, rest, ok := cutLine(rest)
	if extra, has := bytes.CutPrefix(line, []byte("extra ")); has && ok {
		var err error
		if p.Extra, err = base64.StdEncoding.Strict().DecodeString(string(extra)); err != nil || len(p.Extra) == 0 || bytes.ContainsAny(extra, "\r\n") {
			return nil, fmt.Errorf("%w: extra line is not canonical base64 of some data", errProof)
		}
		line, rest, ok = cutLine(rest)
	}
	digits, has := bytes.CutPrefix(line, []byte("index "))
	if !has || !ok {
		return nil, fmt.Errorf("%w: no index line", errProof)
	}
	var err error
	if p.Index, err = strconv.ParseUint(string(digits), 10, 63); err != nil || strconv.FormatUint(p.Index, 10) != string(digits) {
		return nil, fmt.Errorf("%w: index %.30q is not a decimal number below 2^63 without leading zeros", errProof, digits)
	}
	for {
		if line, rest, ok = cutLine(rest); !ok {
			return nil, fmt.Errorf("%w: no empty line before the checkpoint", errProof)
		}
		if len(line) == 0 {
			break
		}
		hash, err := base64.StdEncoding.Strict().DecodeString(string(line))
		if err != nil || len(hash) != 32 || len(line) != 44 {
			return nil, fmt.Errorf("%w: hash %d is not canonical base64 of 32 bytes", errProof, len(p.Path))
		}
		if len(p.Path) == MaxPath {
			return nil, fmt.Errorf("%w: more than %d hashes", errProof, MaxPath)
		}
		p.Path = append(p.Path, [32]byte(hash))
	}
	if p.Checkpoint = rest; len(rest) == 0 {
		return nil, fmt.Errorf("%w: no checkpoint", errProof)
	}
	return p, nil
}

func cutLine(data []byte) (line, rest []byte, ok bool) {
	return bytes.Cut(data, []byte("\n"))
}

// Bytes returns the file.
func (p *Proof) Bytes() []byte {
	out := []byte(magic)
	if p.Extra != nil {
		out = append(out, "extra "...)
		out = base64.StdEncoding.AppendEncode(out, p.Extra)
		out = append(out, '\n')
	}
	out = append(out, "index "...)
	out = strconv.AppendUint(out, p.Index, 10)
	out = append(out, '\n')
	for _, h := range p.Path {
		out = base64.StdEncoding.AppendEncode(out, h[:])
		out = append(out, '\n')
	}
	out = append(out, '\n')
	return append(out, p.Checkpoint...)
}
