package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/toolconfig"
	"clerk-credential-helper/platform"
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

// forPackageManager puts the token into files for the command, and the files' names into its environment. It refuses a
// repository whose files could lead the token elsewhere. remove takes the files away.
func (c execCommand) forPackageManager(sys *system, cmd *exec.Cmd, p *config.Profile, token string) (remove func(), err error) {
	file, text, err := toolconfig.NPMUserFile(sys.toolEnv())
	if err != nil {
		return nil, err
	}
	asked, err := checkCommand(c.Command, cmd.Env, p, file, text)
	if err != nil {
		return nil, err
	}
	configuration, plugin, err := toolconfig.NPMFiles(p, asked, text, token)
	if err != nil {
		return nil, &config.Error{Err: fmt.Errorf("%s: %w", file, err)}
	}
	userConfig, removeConfig, err := platform.SecretFile(sys.getenv, string(configuration))
	if err != nil {
		return nil, err
	}
	yarnPlugin, removePlugin, err := platform.SecretFile(sys.getenv, string(plugin))
	if err != nil {
		removeConfig()
		return nil, err
	}
	cmd.Env = toolconfig.NPMEnvironment(cmd.Env, userConfig, yarnPlugin)
	return func() { removePlugin(); removeConfig() }, nil
}

// checkForPNPM makes exec's checks when pnpm itself asks for the token. pnpm runs us in its own folder, and does not say
// where the token goes.
func checkForPNPM(sys *system, p *config.Profile) error {
	file, text, err := toolconfig.NPMUserFile(sys.toolEnv())
	if err != nil {
		return err
	}
	_, err = checkCommand([]string{"pnpm"}, os.Environ(), p, file, text)
	return err
}

func checkCommand(command, env []string, p *config.Profile, userFile string, userText []byte) (registries []string, err error) {
	home, err := os.UserHomeDir()
	if err != nil {
		home = ""
	}
	r := toolconfig.Repository{Config: &config.Config{Profiles: []*config.Profile{p}}, Program: toolconfig.PackageManager(command[0]), Home: filepath.Clean(home), User: userFile}
	return r.CheckCommand(command[1:], env, userText)
}
