//go:build unix && !linux

package tilestore

import "os"

// refuseNetworkFS cannot tell here: file systems have no common numbers
// outside Linux.
func refuseNetworkFS(string) error { return nil }

func fdatasync(f *os.File) error { return f.Sync() }
