package main

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"

	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/toolconfig"
	"clerk-credential-helper/protocol"
)

// given is one value of --env, --file or --for: NAME[@PROFILE][=TEXT], or TOOL[@PROFILE].
type given struct {
	name, profile, text string
	file, tool          bool
}

// errNPMVariable refuses what would let a repository's file send the token anywhere.
var errNPMVariable = errors.New("npm, pnpm, yarn and bun expand variables in a repository's files, which could send the token anywhere: " +
	"leave out --env, they get it without, or with --for npm if another program runs them; for a script that wants a variable, call exec in the script")

// givens reads the flags. A command that is npm or a relative of it needs none.
func (c execCommand) givens() (all []given, err error) {
	ofNPM := 0
	for _, tool := range c.For {
		name, profile, named := strings.Cut(tool, "@")
		again := slices.ContainsFunc(all, func(other given) bool { return other.name == name })
		if toolconfig.PackageManager(name) != "" {
			ofNPM++
		}
		switch {
		case !slices.Contains(protocol.RecipeTools(), name):
			return nil, fmt.Errorf("%q is no tool that --for knows; there is %s", name, strings.Join(protocol.RecipeTools(), ", "))
		case named && profile == "":
			return nil, fmt.Errorf("%q names no profile after the @", tool)
		case again || ofNPM > 1:
			return nil, fmt.Errorf("%q is one too many: a tool has one profile, and npm, pnpm, yarn and bun are given the same", tool)
		}
		all = append(all, given{name: name, profile: profile, tool: true})
	}
	if manager := toolconfig.PackageManager(c.Command[0]); manager != "" && ofNPM == 0 {
		ofNPM++
		all = append(all, given{name: manager, tool: true})
	}
	if c.Env != nil && (ofNPM > 0 || toolconfig.NamesPackageManager(c.Command, exec.LookPath)) {
		return nil, errNPMVariable
	}
	for i, value := range slices.Concat(c.Env, c.File) {
		g, err := parseGiven(value)
		if err != nil {
			return nil, err
		}
		g.file = i >= len(c.Env)
		all = append(all, g)
	}
	if all == nil {
		return nil, errors.New("name the variable: --env NAME for the token, or --file NAME for the path of a file that holds it; --for TOOL if it runs a package manager")
	}
	return all, nil
}

// parseGiven reads NAME[@PROFILE][=TEXT]. A word in braces has to be one that is known: a text may be JSON.
func parseGiven(value string) (g given, err error) {
	variable, text, ok := strings.Cut(value, "=")
	name, profile, named := strings.Cut(variable, "@")
	g = given{name: name, profile: profile, text: cmp.Or(text, "{token}")}
	switch {
	case !regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`).MatchString(g.name):
		return g, fmt.Errorf("%q is no name of a variable", g.name)
	case named && g.profile == "":
		return g, fmt.Errorf("%q names no profile after the @", variable)
	case ok && text == "":
		return g, fmt.Errorf("%s= has no text: write it without the = for the token alone", variable)
	}
	for _, word := range regexp.MustCompile(`\{[A-Za-z0-9_.-]+\}`).FindAllString(g.text, -1) {
		if !slices.Contains([]string{"{token}", "{user}", "{host}", "{basic}"}, word) {
			return g, fmt.Errorf("%s is unknown in the text of %s: there is {token}, {user}, {host} and {basic}", word, variable)
		}
	}
	return g, nil
}

// fill returns the text with what its words stand for.
func (g given) fill(p *config.Profile, token string) string {
	return strings.NewReplacer("{token}", token, "{user}", p.Username, "{host}", p.Hosts[0].String(), "{basic}", basic(p, token)).Replace(g.text)
}

// basic returns the user's name and the token as RFC 7617 has them, without the scheme.
func basic(p *config.Profile, token string) string {
	return base64.StdEncoding.EncodeToString([]byte(p.Username + ":" + token))
}

// checkHost refuses {host} for a profile that has several.
func (g given) checkHost(sys *system, target string) error {
	if !strings.Contains(g.text, "{host}") {
		return nil
	}
	_, p, err := sys.openProfile(target)
	if err == nil && (len(p.Hosts) != 1 || !p.Hosts[0].Exact()) {
		err = &usageError{fmt.Errorf("{host} in the text of %s is one host, and profile %q has several: write the host itself", g.name, p.Name)}
	}
	return err
}

// execution is what a command is about to be run with.
type execution struct {
	sys            *system
	command, words []string
	environ        []string
	files          map[string]string // their paths, by their texts
	removes        []func() error
}

// give adds one value.
func (e *execution) give(g given, p *config.Profile, token string) error {
	if g.tool {
		prepared, err := toolconfig.Prepare(e.sys.toolEnv(), g.name, p, e.command, e.environ, token)
		if err != nil {
			return err
		}
		for _, why := range prepared.LeftOut {
			e.sys.console().Warn(why, "")
		}
		e.environ, e.words, e.removes = prepared.Environ, append(e.words, prepared.Words...), append(e.removes, prepared.Remove)
		return nil
	}
	value := g.fill(p, token)
	if g.file {
		if e.files[value] == "" {
			file, remove, err := toolconfig.SecretFile(e.sys.getenv, value)
			if err != nil {
				return err
			}
			e.files[value], e.removes = file, append(e.removes, remove)
		}
		value = e.files[value]
	}
	e.environ = append(e.environ, g.name+"="+value)
	return nil
}

// end removes the files, and says so if one cannot be removed.
func (e *execution) end() {
	for _, remove := range e.removes {
		if err := remove(); err != nil {
			e.sys.console().Warn(err, "end what has it open; the next run of exec removes it")
		}
	}
}

// checkForPNPM makes exec's checks when pnpm itself asks for the token. pnpm runs us in its own folder, and does not
// say where the token goes.
func checkForPNPM(sys *system, p *config.Profile) error {
	return toolconfig.CheckNPM(sys.toolEnv(), p, []string{"pnpm"}, os.Environ())
}
