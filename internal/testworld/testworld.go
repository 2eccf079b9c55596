// Package testworld is what tests of several packages share: the programs that a test needs, and golden files. Tests
// import it, and nothing that ships.
package testworld
