// Package doctor checks everything that getting a token depends on, and repairs what can be repaired safely. It also lays out what
// status and explain show: the state of each profile, and the plan for a host.
//
// The parts that the program would use come in, as [Env]; a [Finding] for each check goes out, with its remedy and with
// the repairs that [Fix] offers. A check asks the user nothing, prints no token and changes nothing, except that it stores a
// probe in the keychain and deletes it, and makes the file of the history if that is missing. A repair is made only with the
// user's consent, and none deletes a session.
// [CheckToken], for status --check, may also refresh a session, as a tool's call does.
package doctor

import (
	"clerk-credential-helper/internal/broker"
	"clerk-credential-helper/internal/clerk"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/toolconfig"
	"clerk-credential-helper/platform"
)

// Env is what is checked: the parts that the program itself would use. All fields but Doing are required. The functions are called
// again for each check, so that a repair shows; an error of theirs is a finding.
type Env struct {
	Config   func() (*config.Config, error) // an error that is config.ErrNone means that there is no profile
	Keychain func() (*platform.Keychain, error)
	Broker   func(*config.Config) (*broker.Broker, error)
	Client   func(*config.Profile) (*clerk.Client, error)
	Where    func() platform.Surroundings
	Tools    toolconfig.Env
	Version  string            // of this program
	Doing    func(what string) // told what is checked now, if it may take time
}
