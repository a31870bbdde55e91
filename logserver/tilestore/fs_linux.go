package tilestore

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// networkFS names the file systems, by their statfs magic, on which locks or
// fsync do not bind other machines, so that two of them could write one log.
var networkFS = map[uint32]string{
	0x6969:     "NFS",
	0x517b:     "SMB",
	0xff534d42: "CIFS",
	0xfe534d42: "SMB2",
	0x5346414f: "AFS",
	0x6b414653: "AFS",
	0x73757245: "Coda",
	0x564c:     "NCP",
	0x01021997: "9P",
	0x00c36400: "Ceph",
}

// refuseNetworkFS fails if dir is on a file system that other machines can
// write to at the same time.
func refuseNetworkFS(dir string) error {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return fmt.Errorf("finding the file system of %s: %w", dir, err)
	}
	return checkFSType(dir, uint32(st.Type))
}

func checkFSType(dir string, magic uint32) error {
	if name, ok := networkFS[magic]; ok {
		return fmt.Errorf("%s is on %s: %w; put it on a local disk", dir, name, ErrNetworkFS)
	}
	return nil
}

// fdatasync is fsync without the file's times.
func fdatasync(f *os.File) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var syncErr error
	err = conn.Control(func(fd uintptr) {
		for {
			if syncErr = syscall.Fdatasync(int(fd)); syncErr != syscall.EINTR {
				return
			}
		}
	})
	return errors.Join(err, syncErr)
}
