package main

import (
	"errors"
	"os"

	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/toolconfig"
)

// npm, pnpm, yarn and bun ask no helper, and expand variables in the files of the repository that they run in. So exec
// gives them no variable with the token, but a user configuration in which it is bound to the profile's hosts.

// errNPMVariable refuses what would let a repository's file send the token anywhere.
var errNPMVariable = &usageError{errors.New("npm, pnpm, yarn and bun expand variables in a repository's files, which could send the token anywhere: " +
	"leave out --env, they get it without, or with --npm if another program runs them; for a script that wants a variable, call exec in the script")}

// managesPackages reports whether the command is a package manager, or is declared to run one (--npm).
func (c execCommand) managesPackages() bool {
	return c.NPM || len(c.Command) > 0 && toolconfig.PackageManager(c.Command[0]) != ""
}

// checkForPNPM makes exec's checks when pnpm itself asks for the token. pnpm runs us in its own folder, and does not say
// where the token goes.
func checkForPNPM(sys *system, p *config.Profile) error {
	return toolconfig.CheckNPM(sys.toolEnv(), p, []string{"pnpm"}, os.Environ())
}
