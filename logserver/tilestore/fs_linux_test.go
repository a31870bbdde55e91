package tilestore

import (
	"errors"
	"testing"
)

func TestRefusesNetworkFileSystems(t *testing.T) {
	for magic, refused := range map[uint32]bool{
		0x6969: true, 0xff534d42: true, 0xfe534d42: true, 0x5346414f: true, 0x01021997: true, 0x00c36400: true,
		0xef53: false, 0x58465342: false, 0x9123683e: false, 0x01021994: false, // ext4, XFS, btrfs, tmpfs
	} {
		if err := checkFSType("dir", magic); errors.Is(err, ErrNetworkFS) != refused {
			t.Errorf("file system %#x: %v", magic, err)
		}
	}
}
