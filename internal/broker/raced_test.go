//go:build race

package broker_test

// raced is set under the race detector, which makes a trial of many processes ten times as slow.
const raced = true
