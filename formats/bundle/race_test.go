//go:build race

package bundle_test

// The race detector makes signature checks slow and has nothing to find in a
// test of one goroutine.
const mutations = 1000
