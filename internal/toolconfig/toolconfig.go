// Package toolconfig edits the configuration files of tools, so that they ask us for credentials.
//
// A tool's file and the hosts of the configuration come in; a change to the file goes out, which [Apply] shows as a diff
// and then writes. [Tools] is the one table of tools: the lines that each needs, what is left to do by hand, and how all
// of it is undone. [CheckNPM] checks the files of a repository before a package manager gets a token. Text that is not
// ours stays byte for byte, and a file that cannot be parsed is never changed. The package runs no program and uses no
// network. The one token that it sees is what it puts into the configuration of a package manager for one run; see
// [Prepare].
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

// Tool is a tool that setup can configure: a row of the table.
type Tool struct {
	// Name is the tool's name, as in "setup NAME" and "unset NAME".
	Name string
	// Calls is the program that the tool runs, which must be in the PATH; empty if the tool finds us by a link elsewhere.
	Calls string
	// EveryHost reports whether one setting makes the tool ask us about every host.
	EveryHost bool
	// Offered reports whether setup without a tool offers this one.
	Offered bool

	file func(Env) (string, error)
	// programs shows that the tool is used: one of them is in the PATH. Nil for a tool that all users are assumed to use.
	programs []string
	// refuses returns why the tool cannot be set up for a host, and the remedy, or two empty texts. Nil if it can be for all.
	refuses func(config.Host) (why, remedy string)
	// addAs returns an add that has the tool call the program under a path, for a tool that accepts one. May be nil.
	addAs func(env Env, path string) func(text []byte, hosts []Host) ([]byte, error)
	// add makes the tool ask us about hosts; remove removes what add has written, for all hosts if they are nil. A tool
	// with EveryHost gets nil in both. Without add, setup removes too: what earlier releases have written.
	add, remove func(text []byte, hosts []Host) ([]byte, error)
	// without removes everything of ours; if nil, remove does.
	without func(text []byte) ([]byte, error)
	// again is add for comparing a backup with an undone text; see Edit.Again.
	again func(text []byte, hosts []Host) ([]byte, error)
	// blank reports whether nothing is left in a file that setup has created.
	blank func(text []byte) bool
	// lock is set for a tool that has a lock for its file; see Edit.Lock.
	lock bool
	// after returns what is left to do by hand: text, and commands, which begin with blanks. May be nil.
	after func(env Env, hosts []Host) []string
	// left returns what unset leaves to undo by hand. May be nil.
	left func(Env) ([]string, error)
	// all and undoAll are setup for every host there is, and its undo. Nil for a tool that has no such setting.
	all      func(Env) ([]Edit, error)
	allAfter func(Env) []string // as after
	undoAll  func(Env, Edit) ([]Edit, error)
}

// Tools returns the table. A new tool is a file of this package, its test, and a row here.
func Tools() []Tool {
	return []Tool{
		{Name: "git", Calls: "git-credential-clerk", Offered: true, file: gitFile, add: gitAddHosts, addAs: gitAddAs, remove: gitRemoveHosts, blank: isBlank, lock: true},
		{Name: "docker", Calls: "docker-credential-clerk", Offered: true, file: dockerFile, programs: []string{"docker", "podman"}, refuses: dockerRefuses,
			add: dockerAddHosts, remove: dockerRemoveHosts, without: dockerWithout, again: dockerAgain, blank: isEmptyObject,
			left: dockerLeft, all: dockerAll, allAfter: dockerAllAfter, undoAll: dockerUndoAll},
		{Name: "go", Calls: "clerk-credential-helper", EveryHost: true, file: goFile, add: everyHost(goAdd), remove: everyHost(goRemove), blank: isBlank},
		{Name: "cargo", Calls: "cargo-credential-clerk", EveryHost: true, file: cargoFile, add: everyHost(afterMark(cargoAdd)), remove: everyHost(afterMark(cargoRemove)), blank: isBlank},
		{Name: "kubectl", Calls: "clerk-credential-helper", EveryHost: true, file: kubeFile, add: everyHost(kubeAdd), remove: everyHost(kubeRemove), blank: kubeBlank,
			after: kubeAfter, left: kubeLeft, lock: true},
		{Name: "terraform", EveryHost: true, file: terraformFile, add: everyHost(terraformAdd), remove: everyHost(terraformRemove), blank: isBlank,
			after: terraformAfter, left: terraformLeft},
		{Name: "pip", EveryHost: true, file: pipFile, add: everyHost(pipAdd), remove: everyHost(pipRemove), blank: isBlank,
			after: pipAfter, left: pipLeft},
		{Name: "npm", file: npmFile, remove: npmRemove, blank: isBlank, after: npmAfter},
		{Name: "bazel", Calls: bazelName, file: bazelFile, refuses: bazelRefuses, add: bazelAdd, remove: bazelRemove, blank: isBlank},
	}
}

// Names returns the names of all tools, in the table's order.
func Names() []string {
	var names []string
	for _, t := range Tools() {
		names = append(names, t.Name)
	}
	return names
}

// Named returns the tool of that name, if there is one.
func Named(name string) (Tool, bool) {
	all := Tools()
	i := slices.IndexFunc(all, func(t Tool) bool { return t.Name == name })
	if i < 0 {
		return Tool{}, false
	}
	return all[i], true
}

// everyHost adapts an edit that is the same for all hosts.
func everyHost(edit func([]byte) ([]byte, error)) func([]byte, []Host) ([]byte, error) {
	return func(text []byte, _ []Host) ([]byte, error) { return edit(text) }
}

// byteOrderMark is what editors of Windows begin a file in UTF-8 with.
const byteOrderMark = "\ufeff"

// afterMark adapts an edit for a tool that reads a file with a byte order mark, which stays.
func afterMark(edit func([]byte) ([]byte, error)) func([]byte) ([]byte, error) {
	return func(text []byte) ([]byte, error) {
		rest, marked := bytes.CutPrefix(text, []byte(byteOrderMark))
		edited, err := edit(rest)
		if marked && err == nil {
			edited = slices.Concat([]byte(byteOrderMark), edited)
		}
		return edited, err
	}
}

// Env is the part of the process's environment that this package uses. All fields but Link are required.
type Env struct {
	// Getenv is [os.Getenv] or like it.
	Getenv func(string) string
	// LookPath finds a program in the PATH, as [os/exec.LookPath] does.
	LookPath func(program string) (string, error)
	// OwnConfig returns the path of this user's own configuration file for clerk-credential-helper.
	OwnConfig func() (string, error)
	// Link returns the absolute path of this program under another of its names, such as git-credential-clerk, empty if
	// there is none. May be nil.
	Link func(name string) string
	// FindFallback returns the path of another docker helper, given its path or a name such as "osxkeychain".
	FindFallback func(name string) (string, error)
}

// path is the one in a variable that names a file or a folder of a tool, empty if it is not set. A tool takes a relative
// one from the folder where it runs, and setup would change another file there.
func (env Env) path(variable string) (string, error) {
	return absolute(variable, env.Getenv(variable))
}

func absolute(variable, path string) (string, error) {
	path, err := config.PathVariable(func(string) string { return path }, variable)
	if err != nil {
		return "", &RequestError{err}
	}
	if path != "" {
		path = filepath.Clean(path)
	}
	return path, nil
}

// home returns the home folder in which a tool looks: its name for git and kubectl, and "" for all others.
func (env Env) home(tool string) (string, error) {
	home := platform.HomeOf(tool, env.Getenv)
	folder, err := absolute(home.Variable, home.Path)
	if folder != "" || err != nil {
		return folder, err
	}
	if folder, err = os.UserHomeDir(); err != nil {
		return "", fmt.Errorf("%w: %w", platform.ErrNoHome, err)
	}
	return folder, nil
}

// shownInHome returns a path below the home folder, with slashes, as messages show it: with ~ on Unix, whose shells know it.
func shownInHome(home, path string) string {
	if os.PathSeparator == '\\' {
		return filepath.Join(home, filepath.FromSlash(path))
	}
	return strings.Join([]string{"~", path}, "/")
}

// RequestError means that a change cannot be made, whatever the tool's file contains.
type RequestError struct{ Err error }

func (e *RequestError) Error() string { return e.Err.Error() }

func (e *RequestError) Unwrap() error { return e.Err }

// Change is the set of edits that configures a tool.
type Change struct {
	// Edits are for Apply, in this order.
	Edits []Edit
	// LeftOut are the hosts that the tool cannot be set up for.
	LeftOut []LeftOut
	// After is what is left to do by hand: text, and commands, which begin with blanks.
	After []string
	// Missing is the program that the tool will not find; empty if it will.
	Missing string
}

// LeftOut is a host that a tool cannot be set up for.
type LeftOut struct {
	Err    error  // names the tool, the reason and the host
	Remedy string // what the user can do instead
}

// Setup returns the change that makes the tool ask us about hosts of the configuration. A tool with EveryHost ignores the
// hosts. If profile is not empty, it is the one that the hosts belong to. The change is not made yet: that is for Apply.
//
// The error is a *RequestError if the tool can be set up for none of the hosts; otherwise the tool's file could not be
// found, for example because there is no home folder.
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
			return c, &RequestError{fmt.Errorf("%s can be set up for none of the hosts", t.Name)}
		}
		taken = hostsOf(cfg, exact, profile)
	}
	if t.after != nil {
		c.After = t.after(env, taken)
	}
	if t.add == nil {
		c.Edits = []Edit{t.undo(file, nil)}
		return c, nil
	}
	add := t.add
	link := ""
	if c.Missing = t.missing(env); c.Missing != "" && env.Link != nil && t.addAs != nil {
		link = env.Link(t.Calls)
	}
	if link != "" {
		c.Missing = ""
	}
	if t.addAs != nil {
		add = t.addAs(env, link)
	}
	e := t.edit(file)
	e.Change = func(text []byte) ([]byte, error) { return add(text, taken) }
	c.Edits = []Edit{e}
	return c, nil
}

// missing returns the program that the tool calls if it is not in the PATH.
func (t Tool) missing(env Env) string {
	if t.Calls == "" {
		return ""
	}
	if _, err := env.LookPath(t.Calls); err == nil {
		return ""
	}
	return t.Calls
}

// SetupAll returns the change that makes the tool ask us about every host there is, also those of no profile.
//
// The error is a *RequestError for a tool that has no such setting, a *config.Error if the tool's file cannot be parsed, or
// why a file or the previous helper could not be found.
func (t Tool) SetupAll(env Env) (Change, error) {
	if t.all == nil {
		return Change{}, &RequestError{errors.New("--all is about docker")}
	}
	edits, err := t.all(env)
	return Change{Edits: edits, After: t.allAfter(env), Missing: t.missing(env)}, err
}

func (t Tool) refuse(h config.Host) (why, remedy string) {
	if t.refuses == nil {
		return "", ""
	}
	return t.refuses(h)
}

// Writes reports whether setup writes lines. If not, what Inspect finds was written by an earlier release.
func (t Tool) Writes() bool { return t.add != nil }

// undo returns the edit that removes our lines for some hosts, or for all if they are nil.
func (t Tool) undo(file string, some []Host) Edit {
	e := t.edit(file)
	e.Undo = true
	e.Change = func(text []byte) ([]byte, error) { return t.remove(text, some) }
	return e
}

// edit returns an edit of the tool's file that lacks only its Change.
func (t Tool) edit(file string) Edit {
	without := t.without
	if without == nil {
		without = func(text []byte) ([]byte, error) { return t.remove(text, nil) }
	}
	return Edit{File: file, Blank: t.blank, Without: without, Lock: t.lock}
}

// Unset returns the edits, for Apply, that undo Setup for some hosts, or for all if hosts is nil. If profile is not empty,
// it is the one that the hosts belong to; if it is empty, SetupAll is undone too. A tool with EveryHost ignores the hosts.
//
// The error is a *config.Error if our own configuration cannot be parsed, or why a file could not be found.
func (t Tool) Unset(env Env, cfg *config.Config, hosts []config.Host, profile string) ([]Edit, error) {
	file, err := t.file(env)
	if err != nil {
		return nil, err
	}
	var some []Host
	if !t.EveryHost {
		some = hostsOf(cfg, hosts, profile)
	}
	e := t.undo(file, some)
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

// Left returns what unset leaves to undo by hand: text, and commands, which begin with blanks.
func (t Tool) Left(env Env) ([]string, error) {
	if t.left == nil {
		return nil, nil
	}
	return t.left(env)
}

// Used reports whether the user seems to use the tool: its program is in the PATH, or its file exists. It is true for a
// tool whose program is not looked for.
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

// Inspect returns the path of the tool's file, which may be missing, and reports whether it has lines of ours. The error is
// for a file that seems to have some but cannot be parsed, and begins with the line. The path is empty if it is not known.
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

// Host is a host that a tool is set up for.
type Host struct {
	Name    string // the pattern, such as git.acme.dev:8443 or *.pkg.acme.dev
	Profile string // the profile whose token it gets
	Plain   bool   // it is on loopback, so http is allowed too
}

// hostsOf adds to each host the profile that answers if no user name chooses another: the first one.
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

// hostNames returns the names of hosts, nil for nil.
func hostNames(hosts []Host) []string {
	var names []string
	for _, h := range hosts {
		names = append(names, h.Name)
	}
	return names
}

// configFile returns a path below [os.UserConfigDir].
func configFile(elements ...string) (string, error) {
	folder, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("finding the folder for configurations: %w", err)
	}
	return filepath.Join(append([]string{folder}, elements...)...), nil
}

// leadsToUs reports whether a file is this program, by a copy or a link, or a symbolic link to one that may have been removed.
func leadsToUs(file string) bool {
	if target, err := os.Readlink(file); err == nil && platform.CalledName(target) == "clerk-credential-helper" {
		return true
	}
	is, err := platform.IsThisProgram(file)
	return err == nil && is
}
