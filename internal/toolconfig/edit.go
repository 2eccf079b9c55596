package toolconfig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/platform"
)

// maxFile, in bytes, is far more than any tool's file has.
const maxFile = 1 << 20

// Edit is a change to one configuration file.
type Edit struct {
	// File is the path of the file, which may be missing or a symbolic link.
	File string
	// Change returns the text with the change made, or text itself if there is nothing to change. Its errors begin with the
	// line at fault. It must not modify text.
	Change func(text []byte) ([]byte, error)
	// Undo reports whether the change undoes an earlier one, of which there may be a backup.
	Undo bool
	// Without removes all our lines; nil if there is no way, and then setup keeps a backup.
	Without func(text []byte) ([]byte, error)
	// Blank reports whether a text without our lines holds nothing else. It is required for an undo.
	Blank func(text []byte) bool
	// Again re-applies setup to a backup, so that it can be compared with an undone text where Change does not always
	// restore the bytes; see [dockerRemove]. May be nil.
	Again func(text []byte) ([]byte, error)
	// Lock means that the tool excludes other writers by a file FILE.lock, as git and kubectl do.
	Lock bool
}

// comesBack reports whether Without restores the old text from the new one byte for byte, as far as it is not ours.
func (e Edit) comesBack(old, fresh []byte) bool {
	if e.Without == nil {
		return false
	}
	before, err := e.Without(old)
	if err != nil {
		return false
	}
	after, err := e.Without(fresh)
	return err == nil && bytes.Equal(before, after)
}

// wouldLeave reports whether setup and undo turn the backup into left: no other change was made since.
func (e Edit) wouldLeave(backup, left []byte) bool {
	var err error
	if e.Again != nil {
		if backup, err = e.Again(backup); err != nil {
			return false
		}
	}
	back, err := e.Change(backup)
	return err == nil && bytes.Equal(back, left)
}

// backupSuffix is appended to a file's name for the copy that setup makes before its first change, if the old text could not
// be restored without it. Files of tools hold secrets, which a copy would keep when the tool has removed them, so most
// changes leave none. It is readable by this user alone, and unset removes it.
const backupSuffix = ".clerk-backup"

// draft is an edit that has been computed and not yet written.
type draft struct {
	Edit
	real     string // the file, links followed
	old, new []byte
	there    bool
	kept     bool // there is a backup
	gone     bool // nothing is left: the file is removed
	restored bool // new is the backup
	stale    bool // the backup is removed: our lines are gone, or what it has beyond them is in new
}

// Person shows the user the changes and asks for agreement. [clerk-credential-helper/internal/console.Console] is one.
type Person interface {
	// Show shows a diff, whose lines end with \n and are escaped for a terminal.
	Show(diff string)
	// Tell shows messages, one a line.
	Tell(lines ...string)
	// Confirm asks a question and reports whether the answer was yes, which Enter alone is with enter. Its error is why the
	// user could not be asked.
	Confirm(ctx context.Context, question string, enter bool) (bool, error)
}

// Options are the options of Apply.
type Options struct {
	Question string // for Confirm; "Make these changes?" if empty
	Careful  bool   // Enter alone is a no; otherwise it is a yes if no file exists yet
	Yes      bool   // make the changes without asking
	DryRun   bool   // show the changes and make none
}

// ErrDeclined means that the user answered no.
var ErrDeclined = errors.New("nothing was changed")

// Apply shows all changes, asks once, and makes them in their order. A file is written to a temporary name and renamed,
// and keeps its owner, group, mode and access list; one that an undo leaves empty is removed.
//
// Nothing is changed if the error is a *config.Error, for a file that cannot be read or parsed; a *platform.PlaceError
// in a *RequestError, for a file in another user's place; ErrDeclined; or an error of Confirm. If writing fails,
// earlier edits stay made; the file itself is as it was if another program has changed it or holds its lock, or if its
// access could not be kept.
func Apply(ctx context.Context, person Person, edits []Edit, options Options) error {
	var drafts []draft
	for _, e := range edits {
		d, err := newDraft(e)
		if err != nil {
			return &config.Error{Err: fmt.Errorf("%s: %w; nothing was changed", e.File, err)}
		}
		if same := d.there && bytes.Equal(d.old, d.new) && !d.gone || !d.there && len(d.new) == 0; same && !d.stale {
			person.Tell(d.File + ": nothing to change")
			continue
		}
		if err := CheckPlace(d.real); err != nil && !options.DryRun {
			return err
		}
		person.Show(d.diff())
		drafts = append(drafts, d)
	}
	if drafts == nil || options.DryRun {
		return nil
	}
	if !options.Yes {
		question := options.Question
		if question == "" {
			question = "Make these changes?"
		}
		exists := slices.ContainsFunc(drafts, func(d draft) bool { return d.there })
		ok, err := person.Confirm(ctx, question, !exists && !options.Careful)
		if err != nil {
			return err
		}
		if !ok {
			return ErrDeclined
		}
	}
	for _, d := range drafts {
		if err := d.write(); err != nil {
			return fmt.Errorf("changing %s: %w", d.File, err)
		}
		person.Tell(d.File + ": " + d.outcome())
	}
	return nil
}

// CheckPlace is [platform.CheckPlace] with the file's name, and a *RequestError. The user's own programs could neither change
// nor read a file of root's.
func CheckPlace(file string) error {
	if err := platform.CheckPlace(file); errors.Is(err, platform.ErrForeign) {
		return &RequestError{fmt.Errorf("%s: %w", file, err)}
	}
	return nil
}

func newDraft(e Edit) (draft, error) {
	d := draft{Edit: e, real: e.File}
	real, err := filepath.EvalSymlinks(e.File)
	switch {
	case err == nil:
		d.real = real
	case !errors.Is(err, fs.ErrNotExist):
		return d, err
	case isLink(e.File):
		return d, errors.New("it is a link to a file that is not there")
	}
	info, err := os.Stat(d.real)
	if err == nil {
		d.there = true
		switch {
		case !info.Mode().IsRegular():
			return d, errors.New("it is not a plain file")
		case info.Mode()&0o200 == 0:
			return d, errors.New("it is read-only")
		}
	}
	if d.old, err = ReadFile(d.real); err != nil {
		return d, err
	}
	if isUTF16(d.old) {
		return d, errors.New("line 1: it is UTF-16, as Windows PowerShell writes it: save it as UTF-8")
	}
	if d.new, err = e.Change(d.old); err != nil {
		if rest, marked := bytes.CutPrefix(d.old, []byte("\ufeff")); marked {
			if _, without := e.Change(rest); without == nil {
				err = errors.New("line 1: it begins with a byte order mark: save it as UTF-8 without one")
			}
		}
		return d, err
	}
	if d.kept = platform.IsPlain(d.real + backupSuffix); e.Undo {
		err = d.undo()
	}
	return d, err
}

// isUTF16 reports whether a text is in UTF-16, by its byte order mark, or by the half of its first letter that is 0.
func isUTF16(text []byte) bool {
	return bytes.HasPrefix(text, []byte("\xff\xfe")) || bytes.HasPrefix(text, []byte("\xfe\xff")) ||
		len(text) > 1 && (text[0] == 0) != (text[1] == 0)
}

// undo looks at the backup, and at what is left of the file.
func (d *draft) undo() error {
	mixed := false // the backup was taken of a text with lines of ours, as early releases did
	if d.kept {
		backup, err := ReadFile(d.real + backupSuffix)
		if err != nil {
			return err
		}
		rest, err := d.Change(backup)
		if err != nil {
			return nil // not a backup of ours: it stays
		}
		mixed = !bytes.Equal(rest, backup)
		left, err := d.Without(d.new)
		switch {
		case err != nil:
		case !mixed && d.wouldLeave(backup, d.new):
			d.new, d.restored = backup, true
		case mixed && (bytes.Equal(rest, d.new) || d.Blank(rest)):
			d.stale = true
		case bytes.Equal(left, d.new) && !d.Blank(d.new):
			d.stale = true // what only the backup has was removed on purpose, perhaps a password
		}
	}
	// git and the next setup refuse a dangling link, so the target of a link stays, as an empty file.
	d.gone = d.there && !isLink(d.File) && !bytes.Equal(d.old, d.new) && (!d.kept || mixed) && d.Blank(d.new)
	return nil
}

func isLink(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode()&fs.ModeSymlink != 0
}

// ReadFile reads a configuration file of a tool, of at most 1 MiB. The text of a missing file is nil, without an error.
func ReadFile(file string) ([]byte, error) { return platform.ReadPlain(file, maxFile) }

func (d draft) write() error {
	unlock, err := d.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if now, err := ReadFile(d.real); err != nil || !bytes.Equal(now, d.old) {
		return errors.Join(platform.ErrChanged, err)
	}
	backup := d.real + backupSuffix
	if d.kept { // an early build made it as open as the file, and gave it the group of its owner
		if err := platform.Restrict(backup, 0o077); err != nil && !errors.Is(err, errors.ErrUnsupported) {
			return fmt.Errorf("closing %s to others: %w", backup, err)
		}
	}
	switch {
	case d.gone:
		err = os.Remove(d.real)
	case !d.there:
		err = platform.WriteFile(d.real, d.new) // readable by this user alone
	case bytes.Equal(d.old, d.new):
	default:
		if !d.Undo && !d.comesBack(d.old, d.new) {
			if err := platform.WriteCopy(backup, d.real, d.old); err != nil && !errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("keeping a copy of it: %w", err)
			}
		}
		err = platform.Rewrite(d.real, d.old, d.new)
	}
	if err != nil {
		return err
	}
	if d.restored || d.stale {
		return os.Remove(backup)
	}
	return nil
}

// lock keeps the tool from changing the file, if it has a lock for that. kubectl's is beside a link, git's beside the file.
func (d draft) lock() (unlock func(), err error) {
	var held []string
	unlock = func() {
		for _, file := range held {
			os.Remove(file)
		}
	}
	if !d.Lock {
		return unlock, nil
	}
	if err := os.MkdirAll(filepath.Dir(d.real), 0o700); err != nil {
		return nil, err
	}
	for _, file := range slices.Compact([]string{d.File + ".lock", d.real + ".lock"}) {
		f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) {
			err = fmt.Errorf("another program is changing it; if none is, remove %s", file)
		}
		if err != nil {
			unlock()
			return nil, err
		}
		held = append(held, file)
		if err := f.Close(); err != nil {
			unlock()
			return nil, err
		}
	}
	return unlock, nil
}

// outcome is the message about a change that was made.
func (d draft) outcome() string {
	words := "changed"
	backup := filepath.Base(d.real) + backupSuffix
	kept := platform.IsPlain(d.real + backupSuffix)
	switch {
	case d.gone && kept:
		words = "removed: nothing else was in it; the backup stays in " + backup
	case d.gone:
		words = "removed: nothing else was in it"
	case d.restored:
		words = "restored to what it was before"
	case !d.there:
		words = "created"
	case d.stale:
		words = "changed; the copy in " + backup + " is removed"
	case d.Undo && kept:
		words = "changed; the backup stays in " + backup
	case kept:
		words = "changed; the previous text is in " + backup
	}
	return words
}
