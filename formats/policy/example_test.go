package policy_test

import (
	"errors"
	"fmt"

	"github.com/chiolog/chiolog/formats/checkpoint"
	"github.com/chiolog/chiolog/formats/policy"
)

const pinned = `# one log, and either of two witnesses
log example.com/log+9be5d3c6+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c
witness A witness.example/a+81d624fa+BIE5dw6ofRdfVqNUZsNMfszLjYqRtO43ol32D1uPybOU
witness B witness.example/b+562108fa+BO1JKMYo0cLG6ukDOJBZlWEpWSc6XGP5NjbBRhSshzfR
group either any A B
quorum either
`

const published = `example.com/log
17
Ph9uO5DuwfYZikYwhx0zZacnyuO9E0aFobaz2JY1ot8=

— example.com/log m+XTxsu5C5OiJSdYN7uYF2bR3PI05w8cZC5ZNi4+mc/o6xUeHA+J5pjFs8Xna8SNFtoaFSsnBpfgvoO2b9Nq6+lg2wo=
— witness.example/a gdYk+gAAAABrAum3oEAn3GTN53t5zY0DwU0mMLts8UWio9XURdxNXXiSAWC7217rAaLiAWno17YeltFOFDTrw3RQ7jhNm3xA9gSOBQ==
`

func ExamplePolicy_Verify() {
	p, err := policy.Parse([]byte(pinned))
	if err != nil {
		fmt.Println(err)
		return
	}
	note, err := checkpoint.ParseNote([]byte(published))
	if err != nil {
		fmt.Println(err)
		return
	}
	v, err := p.Verify(note)
	var quorum *policy.QuorumError
	switch {
	case errors.As(err, &quorum):
		fmt.Println("witnesses are missing:", quorum.Need-quorum.Have)
	case err != nil:
		fmt.Println(err)
	default:
		fmt.Println("size", v.Checkpoint.Size, "at", v.QuorumTime)
	}
	if !p.Intersecting() {
		fmt.Println("but two views can each find a witness")
	}
	// Output:
	// size 17 at 1795353015
	// but two views can each find a witness
}
