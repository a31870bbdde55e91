package main

import (
	"encoding/json"
	"errors"
	"io"

	"github.com/chiolog/chiolog/client"
	"github.com/chiolog/chiolog/cmd/internal/flagenv"
	"github.com/spf13/cobra"
)

// logFlag adds --log and returns what makes a client of it.
func logFlag(cmd *cobra.Command) func() (*client.Client, error) {
	log := cmd.Flags().String("log", "", "URL of the log, with its prefix")
	return func() (*client.Client, error) {
		if *log == "" {
			return nil, withHint(errors.New("no log given"), "give --log URL or set CHIOLOG_LOG")
		}
		if err := flagenv.CheckNotKey(*log); err != nil {
			return nil, err
		}
		c, err := client.New(*log, client.WithUserAgent("chiolog/"+version()))
		if err != nil {
			return nil, withHint(err, "--log wants a URL such as https://log.example/prefix")
		}
		return c, nil
	}
}

// jsonFlag adds --json.
func jsonFlag(cmd *cobra.Command) *bool {
	return cmd.Flags().Bool("json", false, "print JSON, one document a line")
}

// writeJSON writes v as one line.
func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
