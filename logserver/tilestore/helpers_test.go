package tilestore

import (
	"github.com/chiolog/chiolog/logserver/tilestore/storetest"
	"github.com/google/trillian"
)

func leaves(values ...[]byte) []*trillian.LogLeaf {
	var made []*trillian.LogLeaf
	for _, v := range values {
		made = append(made, storetest.Leaf(v))
	}
	return made
}
