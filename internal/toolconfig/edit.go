package toolconfig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

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
	// Without removes all our lines; nil for an undo. Blank reports whether a text without them holds nothing else, and is
	// required for an undo. If either is nil, a change that is not an undo always keeps a backup.
	Without func(text []byte) ([]byte, error)
	Blank   func(text []byte) bool
	// Again re-applies setup to a backup, so that it can be compared with an undone text where Change does not always
	// restore the bytes; see [dockerRemove]. May be nil.
	Again func(text []byte) ([]byte, error)
	// Private makes a new file readable by this user alone. An existing file keeps its mode.
	Private bool
}

// ours reports whether everything in a text is ours, so that it needs no backup.
func (e Edit) ours(text []byte) bool {
	if e.Without == nil {
		return false
	}
	rest, err := e.Without(text)
	return err == nil && !bytes.Equal(rest, text) && (isBlank(rest) || e.Blank(rest))
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

// backupSuffix is appended to a file's name for the copy that setup makes before its first change, with the file's mode.
// unset removes the copy when the file is restored.
const backupSuffix = ".clerk-backup"

// draft is an edit that has been computed and not yet written.
type draft struct {
	Edit
	real     string      // the file, links followed
	mode     fs.FileMode // of the file, or of the one to be created
	old, new []byte
	there    bool
	gone     bool // nothing is left: the file is removed
	restored bool // new is the backup
	stale    bool // the backup is removed: it has lines of ours, and nothing else that is not in new
}

// Person shows the user the changes and asks for agreement. [clerk-credential-helper/internal/console.Console] is one.
type Person interface {
	// Show shows a diff, whose lines end with \n and are escaped for a terminal.
	Show(diff string)
	// Tell shows messages, one a line.
	Tell(lines ...string)
	// Confirm asks a question and reports whether the answer was yes. Its error is why the user could not be asked.
	Confirm(ctx context.Context, question string) (bool, error)
}

// Options are the options of Apply.
type Options struct {
	Question string // for Confirm; "Make these changes?" if empty
	Yes      bool   // make the changes without asking
	DryRun   bool   // show the changes and make none
}

// ErrDeclined means that the user answered no.
var ErrDeclined = errors.New("nothing was changed")

// Apply shows all changes, asks once, and makes them in their order. A file is written to a temporary name and renamed,
// after a copy was made of what setup changes for the first time; one that an undo leaves empty is removed.
//
// Nothing is changed if the error is a *config.Error, for a file that cannot be read or parsed; ErrForAnother, for another
// user's file that root would take over; ErrDeclined; or an error of Confirm. If writing fails, earlier edits stay made.
func Apply(ctx context.Context, env Env, person Person, edits []Edit, options Options) error {
	var drafts []draft
	for _, e := range edits {
		d, err := newDraft(e)
		if err != nil {
			return &config.Error{Err: fmt.Errorf("%s: %w; nothing was changed", e.File, err)}
		}
		if d.there && bytes.Equal(d.old, d.new) && !d.gone || !d.there && len(d.new) == 0 {
			person.Tell(d.File + ": nothing to change")
			continue
		}
		if err := NotForAnother(env, d.real); err != nil && !options.DryRun {
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
		ok, err := person.Confirm(ctx, question)
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

func newDraft(e Edit) (draft, error) {
	d := draft{Edit: e, real: e.File, mode: 0o644}
	if e.Private {
		d.mode = 0o600
	}
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
		d.there, d.mode = true, info.Mode().Perm()
		switch {
		case !info.Mode().IsRegular():
			return d, errors.New("it is not a plain file")
		case d.mode&0o200 == 0:
			return d, errors.New("it is read-only")
		}
	}
	if d.old, err = ReadFile(d.real); err != nil {
		return d, err
	}
	if d.new, err = e.Change(d.old); err != nil || !e.Undo {
		return d, err
	}
	backup, err := ReadFile(d.real + backupSuffix)
	if err != nil {
		return d, err
	}
	kept := platform.IsPlain(d.real + backupSuffix)
	mixed := false // the backup was taken of a text with lines of ours, as releases before this one did
	if kept {
		rest, err := e.Change(backup)
		if err != nil {
			return d, nil // not a backup of ours: it stays
		}
		mixed = !bytes.Equal(rest, backup)
		switch {
		case !mixed && e.wouldLeave(backup, d.new):
			d.new, d.restored = backup, true
		case mixed && (bytes.Equal(rest, d.new) || e.Blank(rest)):
			d.stale = true
		}
	}
	// git and the next setup refuse a dangling link, so the target of a link stays, as an empty file.
	d.gone = d.there && !isLink(e.File) && !bytes.Equal(d.old, d.new) && (!kept || mixed) && e.Blank(d.new)
	return d, nil
}

func isLink(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode()&fs.ModeSymlink != 0
}

// ReadFile reads a configuration file of a tool, of at most 1 MiB. The text of a missing file is nil, without an error.
func ReadFile(file string) ([]byte, error) { return platform.ReadPlain(file, maxFile) }

func (d draft) write() error {
	if now, err := ReadFile(d.real); err != nil || !bytes.Equal(now, d.old) {
		return errors.Join(errors.New("it has changed since it was read"), err)
	}
	if d.gone {
		if err := os.Remove(d.real); err != nil || !d.stale {
			return err
		}
		return os.Remove(d.real + backupSuffix)
	}
	if d.there && !d.Undo && !d.ours(d.old) {
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

// backUp copies the text before our first change. An existing copy stays.
func (d draft) backUp() error {
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
	case d.Undo && kept:
		words = "changed; it had other changes too, so the backup stays in " + backup
	case kept:
		words = "changed; the previous text is in " + backup
	}
	return words
}
