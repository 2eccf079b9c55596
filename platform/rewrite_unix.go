//go:build unix

package platform

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// takeOwner gives a new file the owner and group of another.
func takeOwner(f *os.File, like string) error {
	want, err := stat(like)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if have, ok := info.Sys().(*syscall.Stat_t); !ok || have.Uid != want.Uid || have.Gid != want.Gid {
		if err := f.Chown(int(want.Uid), int(want.Gid)); err != nil {
			return fmt.Errorf("user %d, group %d: %w", want.Uid, want.Gid, err)
		}
	}
	return nil
}

// keepAccess gives a file of ours the mode and the access list of another.
func keepAccess(f *os.File, like string) error {
	info, err := os.Stat(like)
	if err != nil {
		return err
	}
	list, err := readList(like)
	if err != nil {
		return err
	}
	if list == nil {
		// The folder may have given it one.
		return errors.Join(writeList(f, nil), f.Chmod(info.Mode().Perm()))
	}
	return errors.Join(f.Chmod(info.Mode().Perm()), writeList(f, list))
}

func stat(path string) (*syscall.Stat_t, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return s, nil
}
