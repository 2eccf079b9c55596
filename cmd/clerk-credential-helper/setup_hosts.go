package main

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"clerk-credential-helper/internal/config"
)

// hostTool is a tool whose configuration has one line for each host, in a file that is a list of lines.
type hostTool struct {
	name string
	file func(*system) (string, error)
	// leaves says why the tool cannot be told of a host, and what to do about it. Empty for one that it can be told of.
	leaves func(config.Host) (why, remedy string)
	// add writes the lines for hosts, each with its profile, and remove takes out what add has written, for some profiles and
	// hosts or, where they are nil, for all.
	add    func(text []byte, hosts []toolHost) ([]byte, error)
	remove func(text []byte, hosts []toolHost) ([]byte, error)
	// after is what is left for the person to do, nil for nothing; calls is the program that must be in the PATH.
	after func(hosts []toolHost) []string
	calls string
	// private is for a file that holds secrets of others.
	private bool
}

// toolHost is a host and the profile whose token it gets.
type toolHost struct{ host, profile string }

func hostTools() []hostTool {
	return []hostTool{
		{name: "npm", file: (*system).npmFile, leaves: npmLeaves, add: npmAdd, remove: npmRemove, after: npmAfter, calls: "clerk-credential-helper", private: true},
		{name: "bazel", file: (*system).bazelFile, leaves: bazelLeaves, add: bazelAdd, remove: bazelRemove, calls: "bazel-credential-clerk"},
	}
}

func hostToolNamed(name string) (hostTool, bool) {
	all := hostTools()
	i := slices.IndexFunc(all, func(t hostTool) bool { return t.name == name })
	if i < 0 {
		return hostTool{}, false
	}
	return all[i], true
}

// toolHosts gives each host the profile that answers for it where no user name chooses: the first one.
func toolHosts(cfg *config.Config, hosts []config.Host, profile string) []toolHost {
	var all []toolHost
	for _, h := range hosts {
		named := profile
		for _, p := range cfg.Profiles {
			if named == "" && slices.ContainsFunc(p.Hosts, func(of config.Host) bool { return of.String() == h.String() }) {
				named = p.Name
			}
		}
		all = append(all, toolHost{h.String(), named})
	}
	return all
}

// taken are the hosts that the tool can be told of. There is a word about the others.
func (t hostTool) taken(sys *system, cfg *config.Config, hosts []config.Host, profile string) []toolHost {
	var taken []config.Host
	for _, h := range hosts {
		why, remedy := t.leaves(h)
		if why == "" {
			taken = append(taken, h)
			continue
		}
		sys.warn(fmt.Errorf("%s %s: left out %q", t.name, why, h), remedy)
	}
	return toolHosts(cfg, taken, profile)
}

// edit is what setup does.
func (t hostTool) edit(sys *system, hosts []toolHost) ([]edit, error) {
	file, err := t.file(sys)
	if err != nil {
		return nil, err
	}
	if hosts == nil {
		return nil, &usageError{fmt.Errorf("there is no host that %s could be told of", t.name)}
	}
	return []edit{{file: file, private: t.private, blank: isBlank, change: func(text []byte) ([]byte, error) { return t.add(text, hosts) },
		without: func(text []byte) ([]byte, error) { return t.remove(text, nil) }}}, nil
}

// sayAfter says what setup could not do.
func (t hostTool) sayAfter(sys *system, hosts []toolHost) {
	if t.after == nil {
		return
	}
	sys.tell(t.after(hosts)...)
}

// editBack is what unset does. No hosts means all.
func (t hostTool) editBack(sys *system, hosts []toolHost) ([]edit, error) {
	file, err := t.file(sys)
	if err != nil {
		return nil, err
	}
	return []edit{{file: file, back: true, blank: isBlank, private: t.private, change: func(text []byte) ([]byte, error) { return t.remove(text, hosts) }}}, nil
}

// checkLines refuses what is no list of lines that a program could read: PowerShell writes UTF-16 where it is not told
// otherwise.
func checkLines(text []byte) error {
	if !utf8.Valid(text) || bytes.IndexByte(text, 0) >= 0 {
		return errors.New("it is not UTF-8 text: the tool cannot read it either")
	}
	return nil
}

// cutMatching takes out the lines that say something, apart from blanks around them.
func cutMatching(text []byte, ours func(line string) bool) []byte {
	var parts []span
	for at := 0; at < len(text); {
		end := len(text)
		if i := bytes.IndexByte(text[at:], '\n'); i >= 0 {
			end = at + i + 1
		}
		if ours(strings.TrimSpace(string(text[at:end]))) {
			parts = append(parts, span{at, end})
		}
		at = end
	}
	return cutLines(text, parts)
}
