package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/toolconfig"
	"clerk-credential-helper/platform"
)

// npm, pnpm, yarn and bun ask no helper, and expand variables in the files of the repository that they run in. So exec
// gives them no variable with the token, but a user configuration in which it is bound to the profile's hosts.

// errNPMVariable refuses what would let a repository's file send the token anywhere.
var errNPMVariable = &usageError{errors.New("npm, pnpm, yarn and bun expand variables in a repository's files, which could send the token anywhere: " +
	"leave out --env, they get it without; for a script that wants a variable, call exec in the script")}

// managesPackages reports whether the command is a package manager, or said to run one.
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
	asked, err := c.checkRepository(cmd.Env, p, file, text)
	if err != nil {
		return nil, err
	}
	registries := toolconfig.Registries(p, asked)
	configuration, err := toolconfig.NPMUserConfig(text, registries, token)
	if err != nil {
		return nil, &config.Error{Err: fmt.Errorf("%s: %w", file, err)}
	}
	var plain []string
	for _, host := range registries {
		if len((&config.Config{Profiles: []*config.Profile{p}}).Match("http", host)) > 0 {
			plain = append(plain, host)
		}
	}
	plugin, err := toolconfig.YarnPlugin(registries, plain, token)
	if err != nil {
		return nil, err
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
	cmd.Env = npmEnvironment(cmd.Env, userConfig, yarnPlugin)
	return func() { removePlugin(); removeConfig() }, nil
}

// checkForPNPM refuses what exec does where pnpm itself asks for the token: it runs us in the folder that it runs in, and does
// not say where the token goes.
func checkForPNPM(sys *system, p *config.Profile) error {
	file, text, err := toolconfig.NPMUserFile(sys.toolEnv())
	if err != nil {
		return err
	}
	_, err = execCommand{Command: []string{"pnpm"}}.checkRepository(os.Environ(), p, file, text)
	return err
}

// checkRepository looks at where the command will run, and at what was said on its command line and in its environment. It
// returns the registries below hosts of the profile that are asked for.
func (c execCommand) checkRepository(env []string, p *config.Profile, userFile string, userText []byte) ([]string, error) {
	r := toolconfig.Repository{Config: &config.Config{Profiles: []*config.Profile{p}}, Program: toolconfig.PackageManager(c.Command[0]), User: userFile}
	if home, err := os.UserHomeDir(); err == nil {
		r.Home = filepath.Clean(home)
	}
	folders := []string{"."}
	for _, word := range c.Command[1:] {
		if _, err := r.CheckAddresses([]byte(word)); err != nil {
			return nil, &usageError{errors.New("the command asks for a host of the profile by http, which would send the token in the clear")}
		}
		if _, value, ok := strings.Cut(word, "="); ok {
			word = value
		}
		if info, err := os.Stat(word); err == nil && info.IsDir() { // --prefix, --dir, --cwd
			folders = append(folders, word)
		}
	}
	registries, err := r.CheckSettings(userText)
	if err != nil {
		return nil, &config.Error{Err: fmt.Errorf("%s: %w", userFile, err)}
	}
	for _, variable := range env {
		name, value, _ := strings.Cut(variable, "=")
		if !isRegistryVariable(name) {
			continue
		}
		named, err := r.CheckAddresses([]byte(value))
		if err != nil {
			return nil, &usageError{fmt.Errorf("%s asks for a host of the profile by http, which would send the token in the clear", name)}
		}
		registries = append(registries, named...)
	}
	named, err := r.Check(folders...)
	return append(registries, named...), err
}

func isRegistryVariable(name string) bool {
	name = strings.ToLower(name)
	for _, prefix := range []string{"npm_config_", "pnpm_config_", "bun_config_", "yarn_"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// npmEnvironment names the files in the variables that the package managers read. npm takes its own in any case, and pnpm,
// yarn 1 and bun take npm's; yarn from 2 on takes a list of plugins.
func npmEnvironment(env []string, userConfig, yarnPlugin string) []string {
	const plugins = "YARN_PLUGINS"
	var all []string
	for _, variable := range env {
		name, value, _ := strings.Cut(variable, "=")
		switch {
		case strings.EqualFold(strings.ReplaceAll(name, "-", "_"), "npm_config_userconfig"):
		case name == plugins:
			yarnPlugin = value + ";" + yarnPlugin
		default:
			all = append(all, variable)
		}
	}
	return append(all, "npm_config_userconfig="+userConfig, "NPM_CONFIG_USERCONFIG="+userConfig, plugins+"="+yarnPlugin)
}
