package main

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/chiolog/chiolog/cmd/internal/flagenv"
	"github.com/chiolog/chiolog/formats/checkpoint"
	"github.com/chiolog/chiolog/formats/chio"
	"github.com/chiolog/chiolog/formats/policy"
	"github.com/chiolog/chiolog/formats/timeline"
	"github.com/chiolog/chiolog/signer/seedfile"
)

// maxKeyFile bounds the file of a public key, in bytes.
const maxKeyFile = 4096

func keygenCommand(s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keygen PATH",
		Short: "Make a signing key",
		Long: `keygen makes an Ed25519 key, writes its seed to a new file that only you can
read, and prints the public key. It never replaces a file.`,
		Args: cobra.ExactArgs(1),
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		path, err := seedPath(args[0])
		if err != nil {
			return err
		}
		key, err := seedfile.Create(path)
		if errors.Is(err, os.ErrExist) {
			return withHint(err, "choose another path; a key that is replaced is lost")
		}
		if err != nil {
			return err
		}
		public := key.PublicKey()
		if *asJSON {
			return writeJSON(s.out, struct {
				File      string `json:"file"`
				PublicKey string `json:"public_key"`
				KeyID     string `json:"key_id"`
			}{path, public.Text(), public.ID().String()})
		}
		_, err = fmt.Fprintln(s.out, public.Text())
		return err
	}
	return cmd
}

// seedPath returns the path in a key URI "seed:PATH", or a plain path.
func seedPath(arg string) (string, error) {
	if err := flagenv.CheckNotKey(arg); err != nil {
		return "", err
	}
	path := strings.TrimPrefix(arg, "seed:")
	if path == "" {
		return "", errors.New("empty path")
	}
	return path, nil
}

func vkeyCommand(s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "vkey seed:PATH|FILE|-",
		Short: "Print a verifier key, or a policy that pins it",
		Long: `vkey prints the verifier key under which a log (or, with --witness, a witness)
signs notes: of a seed file, seed:PATH, or of a FILE with the text of a public
key. With --policy it prints a policy that pins the key of the log, with no
witnesses yet.`,
		Args: cobra.ExactArgs(1),
	}
	origin := cmd.Flags().String("origin", "", "origin of the log, or name of the witness")
	witness := cmd.Flags().Bool("witness", false, "the key of a witness, of type 0x04")
	asPolicy := cmd.Flags().Bool("policy", false, "print a policy instead")
	// CHIOLOG_POLICY is the path of a policy for other commands.
	cmd.Flags().SetAnnotation("policy", flagenv.None, []string{"true"})
	asJSON := jsonFlag(cmd)
	cmd.MarkFlagsMutuallyExclusive("witness", "policy")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if *origin == "" {
			return withHint(errors.New("no origin given"), "a verifier key has a name: give --origin, such as example.com/log")
		}
		key, err := publicKey(args[0], s)
		if err != nil {
			return err
		}
		vkey, err := newVKey(*origin, key, *witness)
		if err != nil {
			return err
		}
		report := newVKeyReport(vkey)
		if *asPolicy {
			p := policy.Policy{Logs: []policy.Log{{Key: vkey}}, QuorumName: policy.None}
			report.Policy = p.String()
		}
		switch {
		case *asJSON:
			err = writeJSON(s.out, report)
		case *asPolicy:
			_, err = fmt.Fprint(s.out, report.Policy)
		default:
			_, err = fmt.Fprintln(s.out, report.VKey)
		}
		return err
	}
	return cmd
}

// A vkeyReport is a verifier key in JSON.
type vkeyReport struct {
	VKey      string `json:"vkey"`
	Name      string `json:"name"`
	KeyHash   string `json:"key_hash"` // 4 bytes in hex
	Type      string `json:"type"`
	PublicKey string `json:"public_key,omitempty"` // Chio's text form, if it has one
	Policy    string `json:"policy,omitempty"`     // that pins it, if asked for
}

func newVKeyReport(k checkpoint.VKey) vkeyReport {
	r := vkeyReport{VKey: k.String(), Name: k.Name(), KeyHash: fmt.Sprintf("%08x", k.KeyID()), Type: fmt.Sprintf("0x%02x", byte(k.Type()))}
	if key, ok := k.ChioKey(); ok {
		r.PublicKey = key.Text()
	}
	return r
}

var keyTypes = map[string]string{
	"0x01": "a log's, Ed25519",
	"0x02": "a log's, ECDSA",
	"0x04": "a witness's, Ed25519",
}

func newVKey(name string, key chio.Key, witness bool) (checkpoint.VKey, error) {
	if !witness {
		if err := timeline.CheckOrigin(name); err != nil {
			return checkpoint.VKey{}, err
		}
		return checkpoint.NewVKey(name, key)
	}
	if key.Algorithm() != chio.Ed25519 {
		return checkpoint.VKey{}, fmt.Errorf("witnesses cosign with Ed25519 keys, this one is %s", key.Algorithm())
	}
	return checkpoint.NewCosignatureVKey(name, key.Ed25519())
}

// publicKey returns the public key that an argument names.
func publicKey(arg string, s streams) (chio.Key, error) {
	if err := flagenv.CheckNotKey(arg); err != nil {
		return chio.Key{}, err
	}
	if path, ok := strings.CutPrefix(arg, "seed:"); ok {
		key, err := seedfile.Load(path)
		if err != nil {
			return chio.Key{}, err
		}
		return key.PublicKey(), nil
	}
	if err := refusePrivate(arg); err != nil {
		return chio.Key{}, err
	}
	data, err := readFile(arg, s, maxKeyFile)
	if err != nil {
		return chio.Key{}, fmt.Errorf("reading public key: %w", err)
	}
	key, err := chio.ParseKey(strings.TrimSpace(string(data)))
	if err != nil {
		return chio.Key{}, withHint(fmt.Errorf("%s: %w", arg, err), "it should hold a public key in Chio's text form; a seed file is named seed:PATH")
	}
	return key, nil
}

// seedText matches what a seed file holds, and the text of an Ed25519 public
// key: nothing tells them apart.
var seedText = regexp.MustCompile(`^\s*(0x)?[0-9a-fA-F]{64}\s*$`)

// refusePrivate refuses a regular file that only its owner can read: it may be
// a seed file, whose content would be printed as if it were public.
func refusePrivate(path string) error {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 {
		return nil // a missing file is for the reader to report
	}
	return withHint(fmt.Errorf("%s is readable by its owner alone, as a seed file is", path),
		"name a seed file seed:PATH; run chmod 644 on a file that has a public key")
}
