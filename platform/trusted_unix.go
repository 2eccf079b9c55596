//go:build unix

package platform

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// maxLinks is how many links are followed in one path, as the kernel of Linux does.
const maxLinks = 40

// openTrusted opens a file for reading if no other user could have put another in its place: see [ReadTrusted].
func openTrusted(path string) (*os.File, error) {
	real, above, err := walkTrusted(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err != nil {
		if _, missing := os.Stat(path); errors.Is(missing, fs.ErrNotExist) || errors.Is(missing, syscall.ENOTDIR) {
			return nil, missing // there is nothing that could be trusted
		}
		return nil, err
	}
	f, err := openNoFollow(real, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	if err := checkTrustedFile(f, above); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// walkTrusted follows an absolute path from the root on, links included, as sshd does for its StrictModes. It returns where
// the path leads, which has no link in it, and what the last folder is. Each folder and link on the way passes its check;
// what is at the end is not looked at.
func walkTrusted(path string) (real string, above fs.FileInfo, err error) {
	return walk(path, func(name string, info fs.FileInfo) error {
		switch {
		case info.IsDir():
			return checkFolder(name, info)
		case info.Mode()&fs.ModeSymlink == 0:
			return nil
		}
		owner, err := ownerOf(name, info)
		if err == nil && owner != 0 && owner != os.Getuid() {
			err = fmt.Errorf("%s, a link, %w (%d)", name, ErrForeign, owner)
		}
		return err
	})
}

// walk follows an absolute path from the root on, links included, and has each folder and link on the way checked, and what
// is at the end. It returns where the path leads, which has no link in it, and what the last folder is.
func walk(path string, check func(name string, info fs.FileInfo) error) (real string, above fs.FileInfo, err error) {
	if !filepath.IsAbs(path) {
		return "", nil, fmt.Errorf("%q is not an absolute path", path)
	}
	const root = "/"
	top, err := os.Lstat(root)
	if err == nil {
		err = check(root, top)
	}
	if err != nil {
		return "", nil, err
	}
	real, above = root, top
	links := 0
	for rest := path; ; {
		var name string
		name, rest, _ = strings.Cut(strings.TrimLeft(rest, root), root)
		if name == "" {
			return real, above, nil
		}
		if name == "." {
			continue
		}
		next := filepath.Join(real, name) // of ".." too: there is no link in real
		info, err := os.Lstat(next)
		if err == nil {
			err = check(next, info)
		}
		switch {
		case err != nil:
			return "", nil, err
		case info.Mode()&fs.ModeSymlink != 0:
			if links++; links > maxLinks {
				return "", nil, &fs.PathError{Op: "open", Path: path, Err: syscall.ELOOP}
			}
			target, err := os.Readlink(next)
			if err != nil {
				return "", nil, err
			}
			if filepath.IsAbs(target) {
				real, above = root, top
			}
			rest = target + root + rest
			continue
		case info.IsDir():
			above = info
		case strings.Trim(rest, root+".") != "":
			return "", nil, &fs.PathError{Op: "open", Path: next, Err: syscall.ENOTDIR}
		}
		real = next
	}
}

// checkFolder checks that no other user can replace what is ours or root's in a folder: the folder is ours or root's, and
// others may not write to it, or it is sticky, or root's on a file system that is mounted read-only.
func checkFolder(path string, info fs.FileInfo) error {
	owner, err := ownerOf(path, info)
	mode := info.Mode()
	switch {
	case err != nil:
		return err
	case owner != 0 && owner != os.Getuid() && !unmapped(owner):
		return fmt.Errorf("%s %w (%d)", path, ErrForeign, owner)
	case mode.Perm()&0o022 == 0, mode&fs.ModeSticky != 0, owner == 0 && readOnly(path):
		return nil
	}
	return fmt.Errorf("%s %w (mode %04o)", path, ErrWritable, mode.Perm())
}

// checkTrustedFile checks that a file is a plain one, ours or root's, and that no other user may write to it. In a sticky
// folder another user may not replace it, but may have given the name to some other file of ours, a clone's for instance. A
// store of root's such as Nix's, in which only a group may write, has files of several names.
func checkTrustedFile(f *os.File, above fs.FileInfo) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a plain file", f.Name())
	}
	owner, err := ownerOf(f.Name(), info)
	shared := above.Mode().Perm() & 0o022
	switch {
	case err != nil:
		return err
	case owner != 0 && owner != os.Getuid():
		return fmt.Errorf("%s %w (%d)", f.Name(), ErrForeign, owner)
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("%s %w (mode %04o)", f.Name(), ErrWritable, info.Mode().Perm())
	case shared&0o002 != 0 || shared != 0 && owner != 0:
		if names := info.Sys().(*syscall.Stat_t).Nlink; names > 1 {
			return fmt.Errorf("%s has %d names, and its folder %w", f.Name(), names, ErrWritable)
		}
	}
	return nil
}
