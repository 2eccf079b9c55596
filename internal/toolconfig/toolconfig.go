// Package toolconfig edits the configuration files of the tools that setup tells of us.
//
// A tool's file and the hosts of the configuration come in; the text with our lines in it, or without them, goes out, as
// a diff to agree to and then as a file. [Tools] is the one table of tools: what each needs in its file, what is left to
// do by hand, and how all of it is taken back. Text that is not ours stays byte for byte, and a file that cannot be
// understood is never changed. The package runs no program, asks no network and holds no token.
package toolconfig

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/platform"
)

// Tool is a row of the table.
type Tool struct {
	// Name is what people call the tool, and the word for it after setup and unset.
	Name string
	// Calls is the program that must be in the PATH for the tool to find us; empty where a link elsewhere leads to us.
	Calls string
	// EveryHost reports whether one setting is enough for all hosts: the tool asks about each.
	EveryHost bool
	// Offered reports whether setup without a tool offers this one.
	Offered bool

	file func(Env) (string, error)
	// programs are those of which one is there where the tool is used; nil for a tool that is taken for granted.
	programs []string
	// refuses gives the reason why the tool cannot be told of a host, and what to do about it. Nil for one that can be
	// told of all.
	refuses func(config.Host) (why, remedy string)
	// add makes the tool ask us about hosts, and remove takes out what add has written: for some hosts or, if they are
	// nil, for all. A tool with EveryHost gets nil in both.
	add, remove func(text []byte, hosts []Host) ([]byte, error)
	// without takes out all that is ours; nil for remove of all hosts.
	without func(text []byte) ([]byte, error)
	// again is add for comparing a backup with an undone text; see Edit.Again.
	again func(text []byte, hosts []Host) ([]byte, error)
	// blank reports whether nothing is left in a file that setup has made.
	blank func(text []byte) bool
	// private is for a file that holds secrets of others.
	private bool
	// after is what is left for the person to do: text, and commands that begin with blanks. Nil for nothing.
	after func(hosts []Host) []string
	// left is what unset leaves for the person to take back. Nil for nothing.
	left func(Env) ([]string, error)
	// all and undoAll are setup for every host there is, and its undoing. Nil for a tool that has no such setting.
	all     func(Env) ([]Edit, error)
	undoAll func(Env, Edit) ([]Edit, error)
}

// Tools is the table. A new tool is a file of this package, its test, and a row here.
func Tools() []Tool {
	return []Tool{
		{Name: "git", Calls: "git-credential-clerk", Offered: true, file: gitFile, add: gitAddHosts, remove: gitRemoveHosts, blank: isBlank},
		{Name: "docker", Calls: "docker-credential-clerk", Offered: true, file: dockerFile, programs: []string{"docker", "podman"}, refuses: dockerRefuses,
			add: dockerAddHosts, remove: dockerRemoveHosts, without: dockerWithout, again: dockerAgain, blank: isEmptyObject,
			all: dockerAll, undoAll: dockerUndoAll},
		{Name: "go", Calls: "clerk-credential-helper", EveryHost: true, file: goFile, add: everyHost(goAdd), remove: everyHost(goRemove), blank: isBlank},
		{Name: "cargo", Calls: "cargo-credential-clerk", EveryHost: true, file: cargoFile, add: everyHost(cargoAdd), remove: everyHost(cargoRemove), blank: isBlank},
		{Name: "kubectl", Calls: "clerk-credential-helper", EveryHost: true, file: kubeFile, add: everyHost(kubeAdd), remove: everyHost(kubeRemove), blank: kubeBlank,
			after: kubeAfter, left: kubeLeft},
		{Name: "terraform", EveryHost: true, file: terraformFile, add: everyHost(terraformAdd), remove: everyHost(terraformRemove), blank: isBlank,
			after: terraformAfter, left: terraformLeft},
		{Name: "pip", EveryHost: true, file: pipFile, add: everyHost(pipAdd), remove: everyHost(pipRemove), blank: isBlank,
			after: pipAfter, left: pipLeft},
		{Name: "npm", Calls: "clerk-credential-helper", file: npmFile, refuses: npmRefuses, add: npmAdd, remove: npmRemove, blank: isBlank, private: true, after: npmAfter},
		{Name: "bazel", Calls: bazelName, file: bazelFile, refuses: bazelRefuses, add: bazelAdd, remove: bazelRemove, blank: isBlank},
	}
}

// Names are the names of all tools, in the table's order.
func Names() []string {
	var names []string
	for _, t := range Tools() {
		names = append(names, t.Name)
	}
	return names
}

// Named finds a tool by its name.
func Named(name string) (Tool, bool) {
	all := Tools()
	i := slices.IndexFunc(all, func(t Tool) bool { return t.Name == name })
	if i < 0 {
		return Tool{}, false
	}
	return all[i], true
}

// everyHost makes a row's function of an edit that is the same for all hosts.
func everyHost(edit func([]byte) ([]byte, error)) func([]byte, []Host) ([]byte, error) {
	return func(text []byte, _ []Host) ([]byte, error) { return edit(text) }
}

// Env is what of the process the files depend on.
type Env struct {
	Getenv func(string) string
	// LookPath finds a program in the PATH, as [os/exec.LookPath] does.
	LookPath func(program string) (string, error)
	// OwnConfig is our own configuration file of this user.
	OwnConfig func() (string, error)
	// FindFallback gives the path of another docker helper, such as "osxkeychain".
	FindFallback func(name string) (string, error)
}

func (env Env) home() (string, error) {
	if home := env.Getenv("HOME"); home != "" {
		return home, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("finding the home folder: %w", err)
	}
	return home, nil
}

// RequestError is a change that cannot be made, whatever is in the tool's file.
type RequestError struct{ Err error }

func (e *RequestError) Error() string { return e.Err.Error() }

func (e *RequestError) Unwrap() error { return e.Err }

// Change is what setup does to a tool's files.
type Change struct {
	Edits []Edit
	// LeftOut are the hosts that the tool cannot be told of.
	LeftOut []LeftOut
	// After is what is left for the person to do: text, and commands that begin with blanks.
	After []string
}

// LeftOut is a host that a tool cannot be told of, and what to do about it.
type LeftOut struct {
	Err    error
	Remedy string
}

// Setup makes the tool ask us about hosts of the configuration, which a tool with EveryHost passes over. If profile is not
// empty, the hosts are that one's. The error is a *RequestError if the tool can be told of none of them.
func (t Tool) Setup(env Env, cfg *config.Config, hosts []config.Host, profile string) (Change, error) {
	var c Change
	file, err := t.file(env)
	if err != nil {
		return c, err
	}
	var taken []Host
	if !t.EveryHost {
		var exact []config.Host
		for _, h := range hosts {
			why, remedy := t.refuse(h)
			if why == "" {
				exact = append(exact, h)
				continue
			}
			c.LeftOut = append(c.LeftOut, LeftOut{fmt.Errorf("%s %s: left out %q", t.Name, why, h), remedy})
		}
		if exact == nil {
			return c, &RequestError{fmt.Errorf("there is no host that %s could be told of", t.Name)}
		}
		taken = hostsOf(cfg, exact, profile)
	}
	e := t.edit(file)
	e.Change = func(text []byte) ([]byte, error) { return t.add(text, taken) }
	c.Edits = []Edit{e}
	if t.after != nil {
		c.After = t.after(taken)
	}
	return c, nil
}

// SetupAll makes the tool ask us about every host there is. The error is a *RequestError for a tool that has no such
// setting.
func (t Tool) SetupAll(env Env) (Change, error) {
	if t.all == nil {
		return Change{}, &RequestError{errors.New("--all is about docker")}
	}
	edits, err := t.all(env)
	return Change{Edits: edits}, err
}

func (t Tool) refuse(h config.Host) (why, remedy string) {
	if t.refuses == nil {
		return "", ""
	}
	return t.refuses(h)
}

// edit is the part that all changes of setup to the tool's file share.
func (t Tool) edit(file string) Edit {
	without := t.without
	if without == nil {
		without = func(text []byte) ([]byte, error) { return t.remove(text, nil) }
	}
	return Edit{File: file, Private: t.private, Blank: t.blank, Without: without}
}

// Unset takes back what setup has written: for hosts of the configuration if profile is not empty, else all of it.
func (t Tool) Unset(env Env, cfg *config.Config, hosts []config.Host, profile string) ([]Edit, error) {
	file, err := t.file(env)
	if err != nil {
		return nil, err
	}
	var some []Host
	if !t.EveryHost {
		some = hostsOf(cfg, hosts, profile)
	}
	e := Edit{File: file, Undo: true, Private: t.private, Blank: t.blank,
		Change: func(text []byte) ([]byte, error) { return t.remove(text, some) }}
	switch {
	case t.again != nil:
		e.Again = func(text []byte) ([]byte, error) { return t.again(text, some) }
	case t.EveryHost:
		e.Again = func(text []byte) ([]byte, error) { return t.add(text, nil) }
	}
	if t.undoAll != nil && profile == "" {
		return t.undoAll(env, e)
	}
	return []Edit{e}, nil
}

// Left is what unset leaves for the person to take back: text, and commands that begin with blanks.
func (t Tool) Left(env Env) ([]string, error) {
	if t.left == nil {
		return nil, nil
	}
	return t.left(env)
}

// Used reports whether this person has the tool, or a file of it.
func (t Tool) Used(env Env) bool {
	if t.programs == nil {
		return true
	}
	if file, err := t.file(env); err == nil && platform.IsPlain(file) {
		return true
	}
	return slices.ContainsFunc(t.programs, func(name string) bool {
		_, err := env.LookPath(name)
		return err == nil
	})
}

// Inspect finds the tool's file, which may be missing, and reports whether it has lines of ours. The error says what is wrong
// with a file that seems to have some, with the line.
func (t Tool) Inspect(env Env) (file string, ours bool, err error) {
	if file, err = t.file(env); err != nil {
		return "", false, nil // then setup has written none
	}
	text, err := ReadFile(file)
	if err != nil {
		return file, false, nil
	}
	rest, err := t.edit(file).Without(text)
	if err != nil && !bytes.Contains(text, []byte("clerk")) {
		err = nil
	}
	return file, err == nil && !bytes.Equal(rest, text), err
}

// Host is a host that a tool is told of.
type Host struct {
	Name    string // the pattern, such as git.acme.dev:8443
	Profile string // whose token it gets
	Plain   bool   // http reaches it too: it is this machine
}

// hostsOf gives each host the profile that answers for it where no user name chooses: the first one.
func hostsOf(cfg *config.Config, hosts []config.Host, profile string) []Host {
	var all []Host
	for _, h := range hosts {
		named := profile
		for _, p := range cfg.Profiles {
			if named == "" && slices.ContainsFunc(p.Hosts, func(of config.Host) bool { return of.String() == h.String() }) {
				named = p.Name
			}
		}
		all = append(all, Host{h.String(), named, h.Exact() && len(cfg.Match("http", h.String())) > 0})
	}
	return all
}

// hostNames are the names of hosts; nil stays nil.
func hostNames(hosts []Host) []string {
	var names []string
	for _, h := range hosts {
		names = append(names, h.Name)
	}
	return names
}

// configFile is below the folder that most programs take on each system.
func configFile(elements ...string) (string, error) {
	folder, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("finding the folder for configurations: %w", err)
	}
	return filepath.Join(append([]string{folder}, elements...)...), nil
}

// below is the file that a shell means by a path in the home folder.
func (env Env) below(path string) (string, error) {
	home, err := env.home()
	return filepath.Join(home, filepath.FromSlash(strings.TrimPrefix(path, "~/"))), err
}

// leadsToUs reports whether a file is a link to this program, or was one before the program was removed.
func leadsToUs(file string) bool {
	target, err := os.Readlink(file)
	if err != nil {
		return false
	}
	if strings.TrimSuffix(filepath.Base(target), ".exe") == "clerk-credential-helper" {
		return true
	}
	there, err := os.Stat(file)
	if err != nil {
		return false
	}
	self, err := os.Executable()
	if err != nil {
		return false
	}
	here, err := os.Stat(self)
	return err == nil && os.SameFile(there, here)
}
