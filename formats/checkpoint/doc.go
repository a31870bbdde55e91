// Package checkpoint reads, writes and verifies signed tree heads in the two
// forms that a log publishes, and the proofs that hang on them.
//
// The C2SP form is a note: a text, an empty line and signature lines. The text
// of a checkpoint names a log, a size and a root; log and witnesses sign it.
//
//	example.com/log
//	17
//	Ph9uO5DuwfYZikYwhx0zZacnyuO9E0aFobaz2JY1ot8=
//
//	— example.com/log m+XTxsu5C5OiJSdYN7uYF2bR3PI05w8cZC5ZNi4+mc/o6xUeHA+J5pjFs8Xna8SNFtoaFSsnBpfgvoO2b9Nq6+lg2wo=
//	— witness.example/a gdYk+gAAAABrAum3oEAn3GTN53t5zY0DwU0mMLts8UWio9XURdxNXXiSAWC7217rAaLiAWno17YeltFOFDTrw3RQ7jhNm3xA9gSOBQ==
//
// The Chio form is a statement: canonical JSON over one batch of entries, with
// links to the statements before it.
//
// What is not in canonical form is refused, never repaired: each text that is
// accepted is printed as the same bytes. The package does no I/O and reads no
// clock. All functions and methods can be called from several goroutines, as
// long as nobody changes the values that they work on.
package checkpoint
