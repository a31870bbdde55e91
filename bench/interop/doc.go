// Package interop has no code of its own. Its tests run the real log server and
// read its log with the public's tools, which know nothing of chiolog: Tessera's
// client and fsck, and a reader made of golang.org/x/mod alone. They read it from
// the server's HTTP front, and from a plain file server over the store once no
// server runs. Proofs of the server are checked by x/mod and by
// github.com/transparency-dev/merkle.
//
// Tests are named after the rules of the specifications: TT is tlog-tiles, TP
// tlog-proof, MK the Merkle tree of RFC 6962, TR what holds for a log kept by
// Trillian.
package interop
