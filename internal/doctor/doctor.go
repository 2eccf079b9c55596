// Package doctor looks at everything that a token's way depends on, and repairs what can be repaired safely.
//
// The parts that the program would use come in, as [Env]; a [Finding] for each check goes out, with what helps, and with
// what [Fix] would do about it. A check changes nothing but a probe in the keychain that it takes out again, asks no person,
// and prints no token; a repair is made only after a yes, and none deletes a session.
package doctor

import (
	"clerk-credential-helper/internal/broker"
	"clerk-credential-helper/internal/clerk"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/toolconfig"
	"clerk-credential-helper/platform"
)

// Env is what is looked at. All fields are required.
type Env struct {
	Config   func() (*config.Config, error)
	Keychain func() (*platform.Keychain, error)
	Broker   func(*config.Config) (*broker.Broker, error)
	Client   func(*config.Profile) (*clerk.Client, error)
	Where    func() platform.Surroundings
	Tools    toolconfig.Env
	// Version is this program's.
	Version string
}
