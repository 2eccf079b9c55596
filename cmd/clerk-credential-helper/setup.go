package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/platform"
	"clerk-credential-helper/protocol"
)

type setupCommand struct {
	Tool    toolName `arg:"" optional:"" enum:",git,docker,go,cargo,kubectl,terraform,pip,npm,bazel" default:"" help:"git, docker, go, cargo, kubectl, terraform, pip, npm or bazel; without one, what is missing is asked for."`
	Profile string   `help:"Only the hosts of this profile."`
	Host    []string `help:"Only these hosts."`
	All     bool     `help:"docker: for every registry (credsStore); the helper of before becomes the fallback."`
	Yes     bool     `short:"y" help:"Do not ask."`
	DryRun  bool     `help:"Show the changes and make none."`
}

type unsetCommand struct {
	Tool    toolName `arg:"" enum:",git,docker,go,cargo,kubectl,terraform,pip,npm,bazel" help:"git, docker, go, cargo, kubectl, terraform, pip, npm or bazel."`
	Profile string   `help:"Only the hosts of this profile."`
	Yes     bool     `short:"y" help:"Do not ask."`
	DryRun  bool     `help:"Show the changes and make none."`
}

// toolName is a tool that setup knows, or what a person took for one.
type toolName string

func knownTools() []string {
	return []string{"git", "docker", "go", "cargo", "kubectl", "terraform", "pip", "npm", "bazel"}
}

func (t toolName) known() bool { return slices.Contains(knownTools(), string(t)) }

// String is what kong holds to the words of enum, which completion goes by. It is nothing for a name that is not known:
// Run refuses that in better words than kong has.
func (t toolName) String() string {
	if t.known() {
		return string(t)
	}
	return ""
}

// refuse says that there is no such tool.
func (t toolName) refuse(sys *system, command string) error {
	err := fmt.Errorf("%q is no tool that setup knows; there is %s", string(t), strings.Join(knownTools(), ", "))
	sys.warn(err, "clerk-credential-helper "+command+" --help")
	return &childExit{exitUsage}
}

// Run writes exactly the lines that make the tool ask us, after showing them.
func (c setupCommand) Run(ctx context.Context, sys *system) error {
	if c.Tool == "" {
		return c.interview(ctx, sys)
	}
	if !c.Tool.known() {
		return c.Tool.refuse(sys, "setup")
	}
	cfg, err := sys.configured()
	if err != nil {
		return err
	}
	edits, err := c.edits(sys, cfg)
	if err != nil {
		return err
	}
	if err := sys.apply(ctx, edits, c.Yes, c.DryRun); err != nil {
		return err
	}
	_, err = c.after(sys, cfg)
	return err
}

// configured is the configuration, without which there is nothing to set up.
func (sys *system) configured() (*config.Config, error) {
	cfg, err := sys.config()
	if errors.Is(err, errNoConfiguration) {
		if _, homeless := sys.userConfig(); homeless != nil { // then the interview could not help
			return nil, &configurationError{fmt.Errorf("%w: set it, or name a file in CLERK_HELPER_CONFIG", homeless)}
		}
	}
	return cfg, err
}

// after says what is left to do once the tool's files are written, and whether the tool finds us.
func (c setupCommand) after(sys *system, cfg *config.Config) (found bool, err error) {
	name := string(c.Tool) + "-credential-clerk"
	if small, ok := smallToolNamed(string(c.Tool)); ok {
		name = small.calls
		sys.tell(small.after...)
	}
	if tool, ok := hostToolNamed(string(c.Tool)); ok {
		name = tool.calls
		hosts, err := c.hosts(cfg)
		if err != nil {
			return false, err
		}
		hosts = slices.DeleteFunc(hosts, func(h config.Host) bool { why, _ := tool.leaves(h); return why != "" })
		tool.sayAfter(sys, toolHosts(cfg, hosts, c.Profile))
	}
	if name != "" && !onPath(name) {
		sys.warn(fmt.Errorf("%s calls %s, which is not in the PATH", c.Tool, name), "install.sh makes the links; then: clerk-credential-helper doctor")
		return false, nil
	}
	return true, nil
}

func (c setupCommand) edits(sys *system, cfg *config.Config) ([]edit, error) {
	if c.All && c.Tool != "docker" {
		return nil, &usageError{errors.New("--all is about docker")}
	}
	if small, ok := smallToolNamed(string(c.Tool)); ok {
		if c.Profile != "" || c.Host != nil {
			return nil, &usageError{fmt.Errorf("%s is set up for all hosts at once: it asks for each, and we know them", c.Tool)}
		}
		return small.edit(sys, false)
	}
	hosts, err := c.hosts(cfg)
	if err != nil {
		return nil, err
	}
	if tool, ok := hostToolNamed(string(c.Tool)); ok {
		return tool.edit(sys, tool.taken(sys, cfg, hosts, c.Profile))
	}
	if c.Tool == "git" {
		file, err := sys.gitFile()
		if err != nil {
			return nil, err
		}
		urls := gitURLs(cfg, hosts)
		return []edit{{file: file, blank: isBlank, change: func(text []byte) ([]byte, error) { return gitAdd(text, urls) },
			without: func(text []byte) ([]byte, error) { return gitRemove(text, nil) }}}, nil
	}
	file, err := sys.dockerFile()
	if err != nil {
		return nil, err
	}
	if c.All {
		return sys.dockerAllEdits(file)
	}
	var exact []string
	for _, h := range hosts {
		if h.Exact() {
			exact = append(exact, h.String())
		} else {
			sys.warn(fmt.Errorf("docker knows no wildcards: left out %q", h), "name its registries in the profile one by one, or: clerk-credential-helper setup docker --all")
		}
	}
	if exact == nil {
		return nil, &usageError{errors.New("there is no host that docker could be told of")}
	}
	return []edit{{file: file, blank: isEmptyObject, without: dockerWithout, change: func(text []byte) ([]byte, error) { return dockerAdd(text, exact) }}}, nil
}

// dockerAllEdits names us in docker's configuration, and the helper that was there in our own.
func (sys *system) dockerAllEdits(file string) ([]edit, error) {
	text, err := readText(file)
	if err != nil {
		return nil, err
	}
	_, before, err := dockerAddAll(text)
	if err != nil {
		return nil, &configurationError{fmt.Errorf("%s: %w", file, err)}
	}
	edits := []edit{{file: file, blank: isEmptyObject, without: dockerWithout, change: func(text []byte) ([]byte, error) {
		edited, _, err := dockerAddAll(text)
		return edited, err
	}}}
	if before == "" {
		return edits, nil
	}
	program, err := sys.findFallback(before)
	if err != nil {
		return nil, fmt.Errorf("docker's helper %q, which is to keep the other registries: %w", before, err)
	}
	own, err := sys.userConfig()
	if err != nil {
		return nil, err
	}
	ours := edit{file: own, private: true, change: func(text []byte) ([]byte, error) { return addFallback(own, text, program) }}
	// Ours first: docker must not come to us while we know of no fallback.
	return slices.Insert(edits, 0, ours), nil
}

// hosts are those that the person means, in the configuration's order.
func (c setupCommand) hosts(cfg *config.Config) ([]config.Host, error) {
	profiles := cfg.Profiles
	if c.Profile != "" {
		p := cfg.Profile(c.Profile)
		if p == nil {
			return nil, &usageError{fmt.Errorf("there is no profile %q; there is %s", c.Profile, names(cfg))}
		}
		profiles = []*config.Profile{p}
	}
	var hosts []config.Host
	var known []string
	for _, p := range profiles {
		for _, h := range p.Hosts {
			if !slices.Contains(known, h.String()) {
				hosts, known = append(hosts, h), append(known, h.String())
			}
		}
	}
	if c.Host == nil {
		return hosts, nil
	}
	for _, wanted := range c.Host {
		if !slices.Contains(known, wanted) {
			return nil, &usageError{fmt.Errorf("%q is in no profile as such; there is %s", wanted, strings.Join(known, ", "))}
		}
	}
	return slices.DeleteFunc(hosts, func(h config.Host) bool { return !slices.Contains(c.Host, h.String()) }), nil
}

// Run takes out what setup has written, and nothing else.
func (c unsetCommand) Run(ctx context.Context, sys *system) error {
	if !c.Tool.known() {
		return c.Tool.refuse(sys, "unset")
	}
	var hosts []config.Host
	cfg := noProfiles()
	if c.Profile != "" {
		var err error
		if cfg, err = sys.configured(); err != nil {
			return err
		}
		if hosts, err = (setupCommand{Profile: c.Profile}).hosts(cfg); err != nil {
			return err
		}
	}
	edits, err := c.edits(sys, cfg, hosts)
	if err != nil {
		return err
	}
	if err := sys.apply(ctx, edits, c.Yes, c.DryRun); err != nil {
		return err
	}
	if small, ok := smallToolNamed(string(c.Tool)); ok && small.left != nil {
		left, err := small.left(sys)
		if err != nil {
			return err
		}
		sys.tell(left...)
	}
	return nil
}

func (c unsetCommand) edits(sys *system, cfg *config.Config, hosts []config.Host) ([]edit, error) {
	if small, ok := smallToolNamed(string(c.Tool)); ok {
		return small.edit(sys, true)
	}
	if tool, ok := hostToolNamed(string(c.Tool)); ok {
		return tool.editBack(sys, toolHosts(cfg, hosts, c.Profile))
	}
	if c.Tool == "git" {
		file, err := sys.gitFile()
		if err != nil {
			return nil, err
		}
		urls := gitURLs(cfg, hosts)
		return []edit{{file: file, back: true, blank: isBlank, change: func(text []byte) ([]byte, error) { return gitRemove(text, urls) }}}, nil
	}
	file, err := sys.dockerFile()
	if err != nil {
		return nil, err
	}
	own, err := sys.userConfig()
	if err != nil {
		return nil, err
	}
	text, err := readText(own)
	if err != nil {
		return nil, err
	}
	var exact []string
	for _, h := range hosts {
		exact = append(exact, h.String())
	}
	docker := edit{file: file, back: true, blank: isEmptyObject,
		again:  func(text []byte) ([]byte, error) { return dockerAgain(text, exact) },
		change: func(text []byte) ([]byte, error) { return dockerRemove(text, exact) }}
	if c.Profile != "" {
		return []edit{docker}, nil
	}
	ours, err := config.Parse(own, text)
	if err != nil {
		return nil, &configurationError{err}
	}
	before := ""
	if ours.DockerFallback != "" {
		before = strings.TrimPrefix(strings.TrimSuffix(filepath.Base(ours.DockerFallback), ".exe"), "docker-credential-")
	}
	docker.change = func(text []byte) ([]byte, error) {
		text, err := dockerRemove(text, nil)
		if err != nil {
			return nil, err
		}
		return dockerRemoveAll(text, before)
	}
	if before == "" {
		return []edit{docker}, nil
	}
	return []edit{docker, {file: own, back: true, private: true, blank: isBlank, change: func(text []byte) ([]byte, error) { return removeFallback(own, text) }}}, nil
}

func isEmptyObject(text []byte) bool { return string(bytes.Join(bytes.Fields(text), nil)) == "{}" }

// gitFile is the configuration of this user that git reads (git-config(1), "FILES").
func (sys *system) gitFile() (string, error) {
	if file := sys.getenv("GIT_CONFIG_GLOBAL"); file != "" {
		return filepath.Abs(file)
	}
	home, err := sys.home()
	if err != nil {
		return "", err
	}
	file := filepath.Join(home, ".gitconfig")
	if _, err := os.Lstat(file); err == nil {
		return file, nil
	}
	folder := sys.getenv("XDG_CONFIG_HOME")
	if folder == "" {
		folder = filepath.Join(home, ".config")
	}
	if xdg := filepath.Join(folder, "git", "config"); isFile(xdg) {
		return xdg, nil
	}
	return file, nil
}

func (sys *system) dockerFile() (string, error) {
	if folder := sys.getenv("DOCKER_CONFIG"); folder != "" {
		return filepath.Abs(filepath.Join(folder, "config.json"))
	}
	home, err := sys.home()
	return filepath.Join(home, ".docker", "config.json"), err
}

func (sys *system) home() (string, error) {
	if home := sys.getenv("HOME"); home != "" {
		return home, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("finding the home folder: %w", err)
	}
	return home, nil
}

// userConfig is our own configuration file of this user.
func (sys *system) userConfig() (string, error) {
	if file := sys.getenv("CLERK_HELPER_CONFIG"); file != "" {
		return filepath.Abs(file)
	}
	file, err := platform.UserConfig(sys.getenv)
	if err != nil {
		return "", fmt.Errorf("finding the configuration: %w", err)
	}
	return file, nil
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// edit is a change to one configuration file of a tool.
type edit struct {
	file   string
	change func(text []byte) ([]byte, error)
	// back says that the change takes back an earlier one, whose backup may be there.
	back bool
	// without takes out every line of ours, whatever the change is about; a change back has none. blank tells that nothing
	// is left then. An edit without either has the text of before kept in any case.
	without func(text []byte) ([]byte, error)
	blank   func(text []byte) bool
	// again is what setup would make of a text, if change does not always restore the bytes; see dockerRemove.
	again func(text []byte) ([]byte, error)
	// private is for a file that holds what others need not see.
	private bool
}

// ours says that all that is in a text is ours: setup has made that file, or a person who wants what it does.
func (e edit) ours(text []byte) bool {
	if e.without == nil {
		return false
	}
	rest, err := e.without(text)
	return err == nil && !bytes.Equal(rest, text) && (isBlank(rest) || e.blank(rest))
}

// wouldLeave says that the backup, set up and taken back, is what is left: nobody else has changed anything.
func (e edit) wouldLeave(backup, left []byte) bool {
	var err error
	if e.again != nil {
		if backup, err = e.again(backup); err != nil {
			return false
		}
	}
	back, err := e.change(backup)
	return err == nil && bytes.Equal(back, left)
}

// backupSuffix is appended to the name of a file that setup changes for the first time. The copy has the file's own mode.
// unset removes it when the file is again what it was.
const backupSuffix = ".clerk-backup"

// draftedEdit is an edit that has been worked out and not yet made.
type draftedEdit struct {
	edit
	real     string      // the file, links followed
	mode     fs.FileMode // of the file that is there, or of the new one
	old, new []byte
	there    bool
	gone     bool // nothing is left: the file goes
	restored bool // new is the backup
	stale    bool // the backup goes: it has lines of ours, and nothing else that is not in new
}

// apply shows all changes, asks once, and makes them. What cannot be understood is refused before anything is touched.
func (sys *system) apply(ctx context.Context, edits []edit, yes, dryRun bool) error {
	return sys.applyAsking(ctx, "Make these changes?", edits, yes, dryRun)
}

func (sys *system) applyAsking(ctx context.Context, question string, edits []edit, yes, dryRun bool) error {
	var drafts []draftedEdit
	for _, e := range edits {
		d, err := draftEdit(e)
		if err != nil {
			return &configurationError{fmt.Errorf("%s: %w; nothing was changed", e.file, err)}
		}
		if d.there && bytes.Equal(d.old, d.new) && !d.gone || !d.there && len(d.new) == 0 {
			sys.tell(d.file + ": nothing to change")
			continue
		}
		if err := sys.notForAnother(d.real); err != nil && !dryRun {
			return err
		}
		fmt.Fprint(sys.stdout, d.diff())
		drafts = append(drafts, d)
	}
	if drafts == nil || dryRun {
		return nil
	}
	if !yes {
		ok, err := sys.confirm(ctx, question)
		if err != nil {
			return err
		}
		if !ok {
			return errLeft
		}
	}
	for _, d := range drafts {
		if err := d.write(); err != nil {
			return fmt.Errorf("changing %s: %w", d.file, err)
		}
		d.report(sys)
	}
	return nil
}

func draftEdit(e edit) (draftedEdit, error) {
	d := draftedEdit{edit: e, real: e.file, mode: 0o644}
	if e.private {
		d.mode = 0o600
	}
	real, err := filepath.EvalSymlinks(e.file)
	switch {
	case err == nil:
		d.real = real
	case !errors.Is(err, fs.ErrNotExist):
		return d, err
	case isLink(e.file):
		return d, errors.New("it is a link to a file that is not there")
	}
	info, err := os.Stat(d.real)
	if err == nil {
		d.there, d.mode = true, info.Mode().Perm()
		switch {
		case !info.Mode().IsRegular():
			return d, errors.New("it is not a plain file")
		case d.mode&0o200 == 0:
			return d, errors.New("it is read-only")
		}
	}
	if d.old, err = readText(d.real); err != nil {
		return d, err
	}
	if d.new, err = e.change(d.old); err != nil || !e.back {
		return d, err
	}
	backup, err := readText(d.real + backupSuffix)
	if err != nil {
		return d, err
	}
	kept := isFile(d.real + backupSuffix)
	mixed := false // the backup was taken of a text with lines of ours, as releases before this one did
	if kept {
		rest, err := e.change(backup)
		if err != nil {
			return d, nil // whatever it is, it stays
		}
		mixed = !bytes.Equal(rest, backup)
		switch {
		case !mixed && e.wouldLeave(backup, d.new):
			d.new, d.restored = backup, true
		case mixed && (bytes.Equal(rest, d.new) || e.blank(rest)):
			d.stale = true
		}
	}
	// A link that leads nowhere is refused by git, and by the next setup: an empty file stays at its end.
	d.gone = d.there && !isLink(e.file) && !bytes.Equal(d.old, d.new) && (!kept || mixed) && e.blank(d.new)
	return d, nil
}

func isLink(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode()&fs.ModeSymlink != 0
}

// readText reads a configuration file of a tool, which may be missing.
func readText(file string) ([]byte, error) {
	f, err := platform.OpenAtOnce(file, os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("it is not a plain file")
	case info.Size() > configLimit:
		return nil, errors.New("it is larger than 1 MiB")
	}
	text := make([]byte, info.Size())
	n, err := f.Read(text)
	if n < len(text) && err != nil {
		return nil, err
	}
	return text[:n], nil
}

func (d draftedEdit) write() error {
	if now, err := readText(d.real); err != nil || !bytes.Equal(now, d.old) {
		return errors.Join(errors.New("somebody else has changed it meanwhile"), err)
	}
	if d.gone {
		if err := os.Remove(d.real); err != nil || !d.stale {
			return err
		}
		return os.Remove(d.real + backupSuffix)
	}
	if d.there && !d.back && !d.ours(d.old) {
		if err := d.backUp(); err != nil {
			return fmt.Errorf("keeping a copy of it: %w", err)
		}
	}
	if err := platform.WriteFile(d.real, d.new); err != nil {
		return err
	}
	if err := os.Chmod(d.real, d.mode); err != nil {
		return err
	}
	if d.restored || d.stale {
		return os.Remove(d.real + backupSuffix)
	}
	return nil
}

// backUp keeps the text that was there before our first change.
func (d draftedEdit) backUp() error {
	f, err := os.OpenFile(d.real+backupSuffix, os.O_WRONLY|os.O_CREATE|os.O_EXCL, d.mode)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = f.Write(d.old)
	return errors.Join(err, f.Sync(), f.Close())
}

func (d draftedEdit) report(sys *system) {
	words := "changed"
	backup := filepath.Base(d.real) + backupSuffix
	kept := isFile(d.real + backupSuffix)
	switch {
	case d.gone && kept:
		words = "removed: nothing else was in it; the copy of before stays in " + backup
	case d.gone:
		words = "removed: nothing else was in it"
	case d.restored:
		words = "restored to what it was before"
	case !d.there:
		words = "made"
	case d.back && kept:
		words = "changed; it had other changes too, so the copy of before stays in " + backup
	case kept:
		words = "changed; the text of before is in " + backup
	}
	sys.tell(d.file + ": " + words)
}

// diff shows the lines that change, without their neighbours: other lines of such a file may hold passwords. What was
// taken out comes first, as in a unified diff.
func (d draftedEdit) diff() string {
	old, fresh := lines(d.old), lines(d.new)
	if d.gone {
		fresh = nil
	}
	var out strings.Builder
	fmt.Fprintf(&out, "--- %s\n+++ %s\n", protocol.Escape(d.file), protocol.Escape(d.file))
	for _, h := range hunks(old, fresh) {
		fmt.Fprintf(&out, "@@ -%d,%d +%d,%d @@\n", h.old.start+1, h.old.end-h.old.start, h.fresh.start+1, h.fresh.end-h.fresh.start)
		for _, line := range old[h.old.start:h.old.end] {
			fmt.Fprintf(&out, "-%s\n", withoutSecrets(line))
		}
		for _, line := range fresh[h.fresh.start:h.fresh.end] {
			fmt.Fprintf(&out, "+%s\n", withoutSecrets(line))
		}
	}
	return out.String()
}

// lines are without their ends, of either kind.
func lines(text []byte) []string {
	if len(text) == 0 {
		return nil
	}
	all := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	for i := range all {
		all[i] = strings.TrimSuffix(all[i], "\r")
	}
	return all
}

type hunk struct{ old, fresh span }

// hunks are the parts in which two lists of lines differ, by the longest common subsequence of what lies between their
// common beginning and end. Such lists are short.
func hunks(old, fresh []string) []hunk {
	head := 0
	for head < min(len(old), len(fresh)) && old[head] == fresh[head] {
		head++
	}
	tail := 0
	for tail < min(len(old), len(fresh))-head && old[len(old)-1-tail] == fresh[len(fresh)-1-tail] {
		tail++
	}
	a, b := old[head:len(old)-tail], fresh[head:len(fresh)-tail]
	if len(a)*len(b) > 1<<20 {
		return []hunk{{span{head, head + len(a)}, span{head, head + len(b)}}}
	}
	common := make([][]int, len(a)+1)
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if common[i][j] = max(common[i+1][j], common[i][j+1]); a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			}
		}
	}
	var all []hunk
	for i, j := 0, 0; i < len(a) || j < len(b); {
		if i < len(a) && j < len(b) && a[i] == b[j] {
			i, j = i+1, j+1
			continue
		}
		h := hunk{span{head + i, 0}, span{head + j, 0}}
		for i < len(a) || j < len(b) {
			if i < len(a) && j < len(b) && a[i] == b[j] {
				break
			}
			if j == len(b) || i < len(a) && common[i+1][j] >= common[i][j+1] {
				i++
			} else {
				j++
			}
		}
		h.old.end, h.fresh.end = head+i, head+j
		all = append(all, h)
	}
	return all
}

// withoutSecrets shows a line without the values that docker keeps beside its settings: a whole file may be one line.
func withoutSecrets(line string) string {
	secret := regexp.MustCompile(`("(?i:auth|identitytoken|registrytoken|password|[a-z-]*authorization)"\s*:\s*)"(\\.|[^"\\])*"`)
	line = secret.ReplaceAllString(line, `$1"***"`)
	return protocol.Escape(strings.ReplaceAll(line, "\t", "    "))
}

// errLeft says that the person said no.
var errLeft = errors.New("nothing was changed")

func onPath(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil
}
