// Package platform holds everything of the helper that differs by operating system, and nothing else: the keychain,
// named locks, the folders and files of the configuration and the state, the browser launcher, the terminal, and
// processes: one that outlives us, one that reads us, one at the other end of a connection.
//
// Names, secrets, paths and one loopback URL come in; secrets, files, locks and answers about this machine go out. Each
// part has its exported functions and their documentation in one file (keychain.go, lock.go, dirs.go, browser.go,
// terminal.go, detach.go, reader.go and so on); the files of an operating system supply only unexported bodies.
//
// The package never talks to the network, never looks into a secret or a configuration file (what an administrator has set in a
// registry or in managed preferences it decodes, and gives it no meaning), never decides whether a person may be asked, and never puts a secret into an error, an argument list or a child's environment. It is internal
// to this module: its API is not stable.
package platform

import "runtime"

// System returns the operating system and the architecture that the program was built for, as in "linux/amd64".
func System() string { return runtime.GOOS + "/" + runtime.GOARCH }
