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

// maxFile is far more than any tool's file has, in bytes.
const maxFile = 1 << 20

// Edit is a change to one configuration file.
type Edit struct {
	File   string
	Change func(text []byte) ([]byte, error)
	// Undo reports whether the change takes back an earlier one, whose backup may be there.
	Undo bool
	// Without takes out all our lines; nil for an undo. Blank reports whether anything else is left. If either is nil, a
	// backup is always kept.
	Without func(text []byte) ([]byte, error)
	Blank   func(text []byte) bool
	// Again re-applies setup to a backup, so that it can be compared with an undone text where Change does not always
	// restore the bytes; see [dockerRemove]. May be nil.
	Again func(text []byte) ([]byte, error)
	// Private is for a file that others need not read.
	Private bool
}

// ours reports whether all that is in a text is ours: setup made the file, or a person who wants what it does.
func (e Edit) ours(text []byte) bool {
	if e.Without == nil {
		return false
	}
	rest, err := e.Without(text)
	return err == nil && !bytes.Equal(rest, text) && (isBlank(rest) || e.Blank(rest))
}

// wouldLeave reports whether the backup, set up and taken back, is what is left: no other change was made since.
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

// backupSuffix is appended to the name of a file that setup changes for the first time. The copy has the file's own mode.
// unset removes it when the file is again what it was.
const backupSuffix = ".clerk-backup"

// draft is an edit that has been worked out and not yet made.
type draft struct {
	Edit
	real     string      // the file, links followed
	mode     fs.FileMode // of the file that is there, or of the new one
	old, new []byte
	there    bool
	gone     bool // nothing is left: the file goes
	restored bool // new is the backup
	stale    bool // the backup goes: it has lines of ours, and nothing else that is not in new
}

// Person sees the changes, and agrees to them.
type Person interface {
	Show(diff string)
	Tell(lines ...string)
	Confirm(ctx context.Context, question string) (bool, error)
}

// Options say how changes are made.
type Options struct {
	Question string // to the person; empty for "Make these changes?"
	Yes      bool   // do not ask
	DryRun   bool   // show the changes and make none
}

// ErrDeclined means that the person said no.
var ErrDeclined = errors.New("nothing was changed")

// Apply shows all changes, asks once, and makes them. A file that cannot be understood is a *config.Error, before
// anything is changed; ErrDeclined and the errors of Confirm leave everything as it is. Another user's file, which root
// would take over, is ErrForAnother.
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
			return d, nil // whatever it is, it stays
		}
		mixed = !bytes.Equal(rest, backup)
		switch {
		case !mixed && e.wouldLeave(backup, d.new):
			d.new, d.restored = backup, true
		case mixed && (bytes.Equal(rest, d.new) || e.Blank(rest)):
			d.stale = true
		}
	}
	// A link that leads nowhere is refused by git, and by the next setup: an empty file stays at its end.
	d.gone = d.there && !isLink(e.File) && !bytes.Equal(d.old, d.new) && (!kept || mixed) && e.Blank(d.new)
	return d, nil
}

func isLink(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode()&fs.ModeSymlink != 0
}

// ReadFile reads a configuration file of a tool, of at most 1 MiB. A missing one is empty.
func ReadFile(file string) ([]byte, error) { return platform.ReadPlain(file, maxFile) }

func (d draft) write() error {
	if now, err := ReadFile(d.real); err != nil || !bytes.Equal(now, d.old) {
		return errors.Join(errors.New("somebody else has changed it meanwhile"), err)
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

// backUp keeps the text that was there before our first change.
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

// outcome says what was done.
func (d draft) outcome() string {
	words := "changed"
	backup := filepath.Base(d.real) + backupSuffix
	kept := platform.IsPlain(d.real + backupSuffix)
	switch {
	case d.gone && kept:
		words = "removed: nothing else was in it; the copy of before stays in " + backup
	case d.gone:
		words = "removed: nothing else was in it"
	case d.restored:
		words = "restored to what it was before"
	case !d.there:
		words = "made"
	case d.Undo && kept:
		words = "changed; it had other changes too, so the copy of before stays in " + backup
	case kept:
		words = "changed; the text of before is in " + backup
	}
	return words
}
