package toolconfig

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/protocol"

	"github.com/pelletier/go-toml/v2"
)

// Prepared is what a command is run with: an environment, words before its own, and what removes the files again.
type Prepared struct {
	Environ, Words []string
	Remove         func() error
	// LeftOut says which hosts the project names that the tool was not given the token for, and why.
	LeftOut []error
}

// Prepare gives a tool, one of [protocol.RecipeTools], a profile's token for a command, which has at least one word: in
// variables, and in files of mode 0600. The token is for the profile's hosts, and for those below its wildcards that
// the project's files name.
//
// The error is a *RequestError if the project, the command or the environment could lead the token elsewhere, or if the
// tool cannot be given it; a *config.Error if a file of the user's cannot be read.
func Prepare(env Env, tool string, p *config.Profile, command, environ []string, token string) (Prepared, error) {
	if PackageManager(tool) != "" {
		fresh, remove, err := prepareNPM(env, p, command, environ, token, tool == "yarn" || PackageManager(command[0]) == "yarn")
		return Prepared{Environ: fresh, Remove: remove}, err
	}
	r, _ := protocol.RecipeOf(tool)
	if tool == "cargo" {
		r.Names = cargoNames
	}
	g := protocol.Grant{Profile: strings.ReplaceAll(p.Name, "-", "_"), User: p.Username, Token: token, Environ: environ}
	if err := g.Check(); err != nil {
		return Prepared{}, &RequestError{fmt.Errorf("%s: %w", tool, err)}
	}
	own, leftOut, err := look(r, &g, p, command)
	if err != nil {
		return Prepared{}, err
	}
	prepared, err := give(env, r, g, own, command)
	prepared.LeftOut = leftOut
	return prepared, err
}

// look finds the hosts and the registries that a tool can be given a token for, and returns the text of the user's own
// file.
func look(r protocol.Recipe, g *protocol.Grant, p *config.Profile, command []string) (own []byte, leftOut []error, err error) {
	home, err := os.UserHomeDir()
	if err != nil {
		home = ""
	}
	cfg := &config.Config{Profiles: []*config.Profile{p}}
	own = []byte(g.Getenv(r.OwnVariable))
	if r.OwnPath != "" {
		file := string(own)
		if info, err := os.Stat(file); err == nil && info.IsDir() {
			file = filepath.Join(file, filepath.Base(r.OwnPath))
		} else if file == "" {
			file = filepath.Join(home, filepath.FromSlash(r.OwnPath))
		}
		if own, err = ReadFile(file); err == nil && r.Names != nil && own != nil {
			g.Registries, err = r.Names(own)
		}
		if err != nil {
			return nil, nil, &config.Error{Err: fmt.Errorf("%s: %w", file, err)}
		}
	}
	ours := func(scheme, host string) bool { return len(cfg.Match(scheme, host)) > 0 }
	in := Repository{Config: cfg, Home: filepath.Clean(home), recipe: &r, grant: g}
	found, err := in.CheckCommand(command[1:], nil, nil)
	if err != nil {
		return nil, nil, err
	}
	why := errors.New("it takes no wildcards, and no file here names a host below one")
	for _, host := range npmRegistries(p, found) {
		if err := r.CheckHost(host); strings.Contains(host, "/") {
			continue
		} else if err == nil {
			g.Hosts = append(g.Hosts, host)
		} else if why = err; slices.ContainsFunc(found, func(f string) bool { return strings.HasPrefix(f+"/", host+"/") }) {
			leftOut = append(leftOut, fmt.Errorf("%s: %w", r.Tool, err))
		}
	}
	switch {
	case r.Names != nil:
		if err := g.KeepNames(ours, r.Tool); err != nil {
			return nil, nil, &RequestError{err}
		}
	case g.Hosts == nil:
		return nil, nil, &RequestError{fmt.Errorf("no host of profile %q can be given to %s: %w", p.Name, r.Tool, why)}
	case r.Bound != "" && !r.BoundTo(ours, g, command[1:]):
		return nil, nil, &RequestError{fmt.Errorf("%s has one user name and password for all addresses: set %s to one of profile %q, and name no other", r.Tool, r.Bound, p.Name)}
	}
	return own, leftOut, nil
}

// give makes the files, and fills the variables.
func give(env Env, r protocol.Recipe, g protocol.Grant, own []byte, command []string) (p Prepared, err error) {
	var removes []func() error
	p.Remove = func() (left error) {
		for _, remove := range removes {
			left = errors.Join(left, remove())
		}
		return left
	}
	defer func() {
		if err != nil {
			p.Remove()
		}
	}()
	secret := func(text string) (string, error) {
		file, remove, err := SecretFile(env.Getenv, text)
		if err == nil {
			removes = append(removes, remove)
			err = r.CheckPath(file)
		}
		return file, err
	}
	if r.File != nil {
		text, err := r.File(own, g)
		switch {
		case err != nil:
			return p, &RequestError{fmt.Errorf("%s: %w", r.Tool, err)}
		case r.OwnPath == "":
			g.JSON = string(text)
		default:
			if g.File, err = secret(string(text)); err != nil {
				return p, err
			}
		}
	}
	if r.Script != "" {
		if g.Script, err = secret(g.Fill(r.Script, "", protocol.Registry{})); err != nil {
			return p, err
		}
	}
	variables, words := r.Fill(g, filepath.Base(command[0]))
	p.Environ, p.Words = slices.Concat(g.Environ, variables), words
	return p, nil
}

// files returns the files of a project that matter.
func (r Repository) files() []repositoryFile {
	if r.recipe == nil {
		return repositoryFiles()
	}
	var files []repositoryFile
	for name := range strings.FieldsSeq(r.recipe.Settings) {
		files = append(files, repositoryFile{name: name, check: Repository.checkRecipe})
	}
	for name := range strings.FieldsSeq(r.recipe.Packages) {
		files = append(files, repositoryFile{name: name})
	}
	return files
}

// checkRecipe is about a file of settings of a tool with a recipe.
func (r Repository) checkRecipe(text []byte) error {
	for n, line := range strings.Split(string(text), "\n") {
		if key := protocol.LeadsElsewhere(string(plainLine([]byte(line)))); key != "" {
			return fmt.Errorf("line %d: %w", n+1, leadsElsewhere(key))
		}
	}
	if r.recipe.Names == nil {
		return nil
	}
	named, err := r.recipe.Names(text)
	r.grant.Registries = append(r.grant.Registries, named...)
	return err
}

// cargoNames returns the registries of a config.toml.
func cargoNames(text []byte) (all []protocol.Registry, err error) {
	var file struct {
		Registries map[string]struct{ Index string }
	}
	if err := toml.Unmarshal(text, &file); err != nil {
		return nil, errForm
	}
	for name, of := range file.Registries {
		all = append(all, protocol.Registry{Name: name, Address: of.Index})
	}
	return all, nil
}
