package toolconfig

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"clerk-credential-helper/internal/config"
)

// What a package manager is given for one run. npm, pnpm, yarn 1 and bun read a user configuration, whose place a variable
// names (npm help config, "userconfig"). yarn from 2 on has no such file, and takes its plugins from a variable.

// prepareNPM puts a profile's token into files for a command, which has at least one word, and returns the command's
// environment with the files' names in it. Only the user can read them, and remove deletes them. The checks of CheckNPM come
// first. yarn is set if the command may run yarn 1.
func prepareNPM(env Env, p *config.Profile, command, environ []string, token string, yarn bool) (fresh []string, remove func() error, err error) {
	file, text, found, err := checkNPM(env, p, command, environ)
	if err != nil {
		return nil, nil, err
	}
	configuration, plugin, err := npmRunFiles(p, found, text, token, yarn)
	if err != nil {
		return nil, nil, &config.Error{Err: fmt.Errorf("%s: %w", file, err)}
	}
	userConfig, removeConfig, err := SecretFile(env.Getenv, string(configuration))
	if err != nil {
		return nil, nil, err
	}
	yarnPlugin, removePlugin, err := SecretFile(env.Getenv, string(plugin))
	if err != nil {
		removeConfig()
		return nil, nil, err
	}
	return npmEnvironment(environ, userConfig, yarnPlugin), func() error { return errors.Join(removePlugin(), removeConfig()) }, nil
}

// CheckNPM refuses a command and an environment, a user's .npmrc and a repository that could lead a profile's token
// elsewhere; see [Repository.CheckCommand]. It is for the current folder.
func CheckNPM(env Env, p *config.Profile, command, environ []string) error {
	_, _, _, err := checkNPM(env, p, command, environ)
	return err
}

func checkNPM(env Env, p *config.Profile, command, environ []string) (file string, text []byte, found []string, err error) {
	if file, text, err = npmUserFile(env); err != nil {
		return "", nil, nil, err
	}
	home, err := os.UserHomeDir()
	if err != nil {
		home = ""
	}
	r := Repository{Config: &config.Config{Profiles: []*config.Profile{p}}, Program: PackageManager(command[0]), Home: filepath.Clean(home), User: file}
	found, err = r.CheckCommand(command[1:], environ, text)
	return file, text, found, err
}

// npmRegistries returns the registries that a profile's token goes to, as host or host/path: the hosts that it names,
// and what [Repository.CheckCommand] has found, for there are package managers that know no wildcards, and yarn 1 knows no token of a host for
// the paths below it.
func npmRegistries(p *config.Profile, found []string) []string {
	var all []string
	for _, h := range p.Hosts {
		if h.Exact() {
			all = append(all, h.String())
		}
	}
	for _, registry := range found {
		host, _, _ := strings.Cut(registry, "/")
		all = append(all, host, registry)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// npmUserFile finds and reads the user's own .npmrc, which may be missing.
func npmUserFile(env Env) (file string, text []byte, err error) {
	if file, err = npmFile(env); err != nil {
		return "", nil, err
	}
	if text, err = ReadFile(file); err != nil {
		err = &config.Error{Err: fmt.Errorf("%s: %w", file, err)}
	}
	return file, text, err
}

// npmRunFiles returns the texts of the files for a run, of npmUserConfig and yarnPlugin, from what
// [Repository.CheckCommand] has found and the text of the user's own .npmrc.
func npmRunFiles(p *config.Profile, found []string, text []byte, token string, yarn bool) (userConfig, plugin []byte, err error) {
	registries := npmRegistries(p, found)
	if userConfig, err = npmUserConfig(text, registries, token, yarn); err != nil {
		return nil, nil, err
	}
	plugin, err = yarnPlugin(p, registries, token)
	return userConfig, plugin, err
}

// npmUserConfig returns a user's .npmrc with the token for the registries added, and without what earlier setups have
// written. It is for a file that only the user can read and that is removed after the run. yarn is set for yarn 1,
// which sends the token for a package without a scope only with always-auth, a setting that npm warns of.
func npmUserConfig(text []byte, registries []string, token string, yarn bool) ([]byte, error) {
	if err := checkToken(token); err != nil {
		return nil, err
	}
	if _, _, err := parseNpm(text); err != nil {
		return nil, err
	}
	// A line by hand, for a path of the host, would take precedence with a variable that is not set.
	earlier := regexp.MustCompile(`^//\S+:_authToken\s*=\s*["']?\$\{CLERK_[A-Z0-9_]+\??\}["']?$`)
	text = cutMatching(text, earlier.MatchString)
	_, section, err := parseNpm(text)
	if err != nil {
		return nil, err
	}
	var added strings.Builder
	for _, registry := range registries {
		fmt.Fprintf(&added, "//%s/:_authToken=%s\n", registry, token)
		if yarn {
			fmt.Fprintf(&added, "//%s/:always-auth=true\n", registry)
		}
	}
	if section >= 0 { // npm takes what follows it for a part of it
		return slices.Concat(text[:section], []byte(added.String()), text[section:]), nil
	}
	if len(text) > 0 && text[len(text)-1] != '\n' {
		text = append(slices.Clone(text), '\n')
	}
	return slices.Concat(text, []byte(added.String())), nil
}

// checkToken refuses a token that an .npmrc cannot hold as it is.
func checkToken(token string) error {
	if !regexp.MustCompile(`^[A-Za-z0-9._~+/=-]+$`).MatchString(token) {
		return errors.New("the token has characters in it that a package manager's configuration cannot hold")
	}
	return nil
}

// npmEnvironment names the files of npmUserConfig and yarnPlugin in the variables that the package managers read. npm takes
// its own in any case, and pnpm, yarn 1 and bun take npm's; yarn from 2 on takes a list of plugins.
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

// yarnPlugin returns a plugin for yarn from 2 on, for a file like that of npmUserConfig. It puts the token into a
// request at the last moment, if its target is at the host of a registry by https, or by http where the profile has the
// host so: yarn asks for a token by the registry, and then sends it to whatever address the lock file has for the
// package. For a package without a scope it does not ask, unless npmAlwaysAuth is set, with which it refuses every
// registry without a token.
func yarnPlugin(p *config.Profile, registries []string, token string) ([]byte, error) {
	if err := checkToken(token); err != nil {
		return nil, err
	}
	hosts := slices.DeleteFunc(slices.Clone(registries), func(registry string) bool { return strings.Contains(registry, "/") })
	plain := slices.DeleteFunc(slices.Clone(hosts), func(host string) bool {
		return len((&config.Config{Profiles: []*config.Profile{p}}).Match("http", host)) == 0
	})
	table, err := json.Marshal(map[string][]string{"https:": hosts, "http:": plain})
	if err != nil {
		return nil, err
	}
	return []byte(`const hosts = ` + string(table) + `;
const token = "` + token + `";
module.exports = {
  name: "clerk-credential-helper",
  factory: () => {
    const mark = "Bearer clerk-credential-helper";
    const ours = (target) => {
      try {
        const url = new URL(String(target));
        return Object.hasOwn(hosts, url.protocol) && hosts[url.protocol].includes(url.host);
      } catch {
        return false;
      }
    };
    return {
      hooks: {
        getNpmAuthenticationHeader: async (current, registry) => (ours(registry) ? mark : current),
        wrapNetworkRequest: async (request, options) => {
          const {target, headers = {}} = options;
          if (ours(target) && !Object.keys(headers).some((name) => name.toLowerCase() === "authorization")) {
            options.headers = {...headers, authorization: "Bearer " + token};
          }
          for (const name of Object.keys(headers)) {
            if (headers[name] !== mark) continue;
            if (!ours(target)) throw new Error("clerk-credential-helper: no token for " + new URL(String(target)).host);
            headers[name] = "Bearer " + token;
          }
          return request;
        },
      },
    };
  },
};
`), nil
}
