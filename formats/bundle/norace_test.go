//go:build !race

package bundle_test

// mutations is how many changed bundles TestMutations judges.
const mutations = 10000
