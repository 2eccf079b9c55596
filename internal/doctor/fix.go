package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"clerk-credential-helper/internal/broker"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/console"
	"clerk-credential-helper/internal/toolconfig"
	"clerk-credential-helper/platform"
)

// repair is a safe way to fix a finding.
type repair struct {
	what string
	do   func() error
	// asks is set, instead of do, for a repair that shows its changes and asks on its own.
	asks func(ctx context.Context, x Fix) error
}

// fixRounds is how often the checks run at most: one fault may hide others.
const fixRounds = 4

// Fix offers the repairs of findings.
type Fix struct {
	Yes     bool             // make the repairs without asking
	DryRun  bool             // show the repairs and make none
	Console *console.Console // where repairs are shown, on Err, and the user is asked; required
}

// Make offers every repair once, makes those that the user agrees to, and runs the checks again, until there is nothing
// new to offer. It returns the latest findings.
//
// A repair that fails is shown and is no error. The error is console.ErrNoTerminal if the user could not be asked,
// console.ErrCancelled, or that of ctx.
func (x Fix) Make(ctx context.Context, env Env, findings []Finding) ([]Finding, error) {
	offered := map[string]bool{}
	for range fixRounds {
		before := len(offered)
		for _, f := range findings {
			told := false
			for _, r := range f.repairs {
				if offered[r.what] {
					continue
				}
				offered[r.what] = true
				if !told { // the user must know what a repair is for
					f.tell(x.Console, x.Console.Err)
					told = true
				}
				if err := x.repair(ctx, r); err != nil {
					return findings, err
				}
				if ctx.Err() != nil {
					return findings, ctx.Err()
				}
			}
		}
		if len(offered) == before || x.DryRun {
			break
		}
		findings = Run(ctx, env)
	}
	if len(offered) == 0 {
		fmt.Fprintln(x.Console.Err, "there is nothing to fix")
	}
	return findings, nil
}

// repair shows a repair, asks, and makes it. Its error ends Make; that of the repair itself is only shown.
func (x Fix) repair(ctx context.Context, r repair) error {
	fact := func(name, text string) { console.Fact(x.Console.Err, name, text) }
	fact("repair", r.what)
	var err error
	switch {
	case r.asks != nil:
		err = r.asks(ctx, x)
	case x.DryRun:
		return nil
	default:
		ok := x.Yes
		if !ok {
			if ok, err = x.Console.Confirm(ctx, "Do this?", false); err != nil {
				return err
			}
		}
		if !ok {
			err = toolconfig.ErrDeclined
		} else {
			err = r.do()
		}
	}
	switch {
	case errors.Is(err, console.ErrNoTerminal):
		return err
	case ctx.Err() != nil:
		return cmp.Or(err, ctx.Err())
	case errors.Is(err, toolconfig.ErrDeclined):
		fact("left", "as it is")
	case err != nil:
		fact("FAILED", err.Error())
	case !x.DryRun:
		fact("done", "")
	}
	return nil
}

// foldersAbove are the folders of a path.
func foldersAbove(path string) []string {
	var folders []string
	for above := filepath.Dir(path); above != path; path, above = above, filepath.Dir(above) {
		folders = append(folders, above)
	}
	return folders
}

// closeConfigurations returns repairs that make configuration files and their folders unwritable for others.
func (d *doctor) closeConfigurations() []repair {
	files := []string{platform.MachineConfig()}
	if own, err := d.env.Tools.OwnConfig(); err == nil {
		files = append(files, own)
	}
	var paths []string
	for _, file := range files {
		paths = append(paths, foldersAbove(file)...)
		if real, err := filepath.EvalSymlinks(file); err == nil {
			paths = append(append(paths, real), foldersAbove(real)...)
		}
	}
	slices.Sort(paths)
	var all []repair
	for _, path := range slices.Compact(paths) {
		// A folder like /tmp is writable for all by intention: the file is in the wrong place.
		if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSticky == 0 && platform.Allows(path, 0o022) {
			all = append(all, repair{
				what: platform.DenyWriting(path) + "; others could write there, so look at what the configuration says",
				do:   func() error { return platform.Restrict(path, 0o022) },
			})
		}
	}
	return all
}

// keptFolders returns the folders that we keep files in.
func (d *doctor) keptFolders() []string {
	var folders []string
	if state, err := platform.StateDir(d.env.Tools.Getenv); err == nil {
		folders = append(folders, state, filepath.Join(state, "failures"), filepath.Join(state, "history"))
	}
	if keychain, err := d.env.Keychain(); err == nil {
		if locks, err := keychain.LockDir(); err == nil {
			folders = append(folders, locks, filepath.Join(locks, "outcomes"))
		}
	}
	slices.Sort(folders)
	return slices.Compact(folders)
}

const (
	// leftAfter is the age at which a temporary file cannot be in use any more.
	leftAfter = time.Hour
	// keptMost is how many files of one folder are checked.
	keptMost = 10_000
)

// files checks the files that we keep: their permissions, and whether they are still in use. It adds a finding only if
// something is wrong.
func (d *doctor) files() {
	if errors.Is(d.another, platform.ErrForeign) {
		return // what root has left there is the person's to ask back
	}
	for _, folder := range d.keptFolders() {
		d.folder(folder)
	}
}

func (d *doctor) folder(folder string) {
	if other, err := platform.OwnedByOther(folder); other || err != nil {
		d.takenOver(folder)
		return
	}
	var entries []fs.DirEntry
	if f, err := os.Open(folder); err == nil {
		entries, _ = f.ReadDir(keptMost) // as many as could be read
		f.Close()
	}
	advice := ""
	if slices.ContainsFunc(entries, isSession) {
		advice = "; others could read the sessions in it: clerk-credential-helper logout --all ends them"
	}
	if platform.Allows(folder, 0o077) {
		d.fail("files", folder+" is open to others", platform.DenyAccess(folder, true)+advice, repair{
			what: platform.DenyAccess(folder, true) + advice,
			do:   func() error { return platform.Restrict(folder, 0o077) },
		})
	}
	var open, left []string
	for _, e := range entries {
		path := filepath.Join(folder, e.Name())
		name := e.Name()
		item, lock := strings.HasSuffix(name, ".json") || strings.HasSuffix(name, ".jsonl"), strings.HasSuffix(name, ".lock")
		temporary := strings.HasPrefix(name, ".") && strings.HasSuffix(name, ".tmp")
		switch {
		case lock && !usableLock(path):
			d.fail("files", path+" is not a usable lock", "remove it", repair{
				what: platform.Delete(path),
				do:   func() error { return removeUnlessLock(path) },
			})
		case temporary && olderThan(path, leftAfter), item && filepath.Base(folder) == "outcomes" && void(path):
			left = append(left, path)
		case (item || lock || temporary) && e.Type().IsRegular() && platform.Allows(path, 0o077):
			open = append(open, path)
		}
	}
	if open != nil {
		d.fail("files", fmt.Sprintf("%s open to others: %s", areFiles(len(open)), firstOf(open)), platform.DenyAccess("each of them", false)+advice, repair{
			what: fmt.Sprintf("%s in %s%s", platform.DenyAccess(countFiles(len(open)), false), folder, advice),
			do: func() error {
				var failed []error
				for _, path := range open {
					failed = append(failed, platform.Restrict(path, 0o077))
				}
				return errors.Join(failed...)
			},
		})
	}
	if left != nil {
		d.warn("files", fmt.Sprintf("%s left over: %s", areFiles(len(left)), firstOf(left)), "safe to remove: no longer in use", repair{
			what: fmt.Sprintf("%s left over in %s", platform.Delete(countFiles(len(left))), folder),
			do: func() error {
				var failed []error
				for _, path := range left {
					failed = append(failed, os.Remove(path))
				}
				return errors.Join(failed...)
			},
		})
	}
}

// takenOver names the topmost folder on the way from HOME to folder that is another user's: earlier releases made folders
// below the HOME that root had by sudo. Root is told of none: it takes nothing from others.
func (d *doctor) takenOver(folder string) {
	home := d.env.Tools.Getenv("HOME")
	below, err := filepath.Rel(home, folder)
	if os.Getuid() == 0 || err != nil || !filepath.IsLocal(below) {
		return
	}
	path := home
	for name := range strings.SplitSeq(below, string(os.PathSeparator)) {
		path = filepath.Join(path, name)
		if _, err := os.Lstat(path); err != nil {
			return
		}
		if other, err := platform.OwnedByOther(path); err != nil || !other {
			continue
		}
		found := func(f Finding) bool { return f.Check == "files" && strings.HasPrefix(f.Detail, path+" ") }
		if !slices.ContainsFunc(d.findings, found) {
			d.fail("files", path+" belongs to another user: a program that ran as root, with this HOME, has made it", platform.TakeOver(path, true))
		}
		return
	}
}

// isSession reports whether a file holds tokens, or did when it was written.
func isSession(e fs.DirEntry) bool {
	name := strings.TrimPrefix(e.Name(), ".")
	return (strings.HasPrefix(name, "session-") || strings.HasPrefix(name, "machine-")) && !strings.HasSuffix(name, ".lock")
}

func usableLock(path string) bool {
	info, err := os.Lstat(path)
	if err != nil {
		return true // removed meanwhile, or not readable
	}
	other, err := platform.OwnedByOther(path)
	return info.Mode().IsRegular() && (err != nil || !other)
}

// removeUnlessLock removes a file that we cannot lock, and so none of our processes has locked. A usable lock must stay: a
// lock on a removed file excludes no other process.
func removeUnlessLock(path string) error {
	if usableLock(path) {
		return nil
	}
	return os.Remove(path)
}

func olderThan(path string, age time.Duration) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode().IsRegular() && time.Since(info.ModTime()) > age
}

func void(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() || time.Since(info.ModTime()) < leftAfter {
		return false // it may still be written
	}
	text, err := toolconfig.ReadFile(path)
	return err == nil && broker.RecordExpired(string(text), time.Now())
}

func countFiles(n int) string {
	if n == 1 {
		return "1 file"
	}
	return fmt.Sprintf("%d files", n)
}

func areFiles(n int) string {
	if n == 1 {
		return "1 file is"
	}
	return fmt.Sprintf("%d files are", n)
}

// firstOf lists the first few paths.
func firstOf(paths []string) string {
	const most = 3
	if len(paths) > most {
		return strings.Join(paths[:most], ", ") + ", ..."
	}
	return strings.Join(paths, ", ")
}

// notInPath returns the remedy and the repairs if a name of ours is not in the PATH: the name beside the program, which the
// installation makes, or its folder in the PATH.
func notInPath(self, name string) (remedy string, repairs []repair) {
	if platform.ProgramName(self) != "clerk-credential-helper" {
		return platform.InstallName(""), nil
	}
	file := platform.NameBeside(self, name)
	if _, err := os.Lstat(file); errors.Is(err, fs.ErrNotExist) {
		command := platform.GiveNameCommand(self, file)
		return platform.InstallName(command), []repair{{
			what: command,
			do:   func() error { return platform.GiveName(self, file) },
		}}
	}
	return platform.IntoPath(filepath.Dir(self)), nil
}

// setUpGit is "setup git", which puts our section last, where it clears the previous helpers.
func (d *doctor) setUpGit(cfg *config.Config) repair {
	return repair{what: "clerk-credential-helper setup git", asks: func(ctx context.Context, x Fix) error {
		git, _ := toolconfig.Named("git")
		change, err := git.Setup(d.env.Tools, cfg, cfg.Hosts(), "")
		if err != nil {
			return err
		}
		// Standard output is for the findings.
		person := *x.Console
		person.Out = x.Console.Err
		return toolconfig.Apply(ctx, &person, change.Edits, toolconfig.Options{Yes: x.Yes, DryRun: x.DryRun})
	}}
}
