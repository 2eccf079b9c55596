package platform

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

func newBeside(path string) (*os.File, error) { return newTemporary(path) }

// accessList is the attribute in which Linux keeps a file's access list (acl(5), linux/posix_acl_xattr.h).
const accessList = "system.posix_acl_access"

// readList returns a file's access list, nil for none.
func readList(path string) ([]byte, error) {
	list := make([]byte, 64<<10) // XATTR_SIZE_MAX
	n, err := unix.Getxattr(path, accessList, list)
	switch {
	case errors.Is(err, unix.ENODATA), errors.Is(err, unix.ENOTSUP):
		return nil, nil
	case err != nil:
		return nil, os.NewSyscallError("getxattr", err)
	}
	return list[:n], nil
}

// writeList replaces a file's access list, or removes it if list is nil.
func writeList(f *os.File, list []byte) error {
	if list != nil {
		return os.NewSyscallError("fsetxattr", unix.Fsetxattr(int(f.Fd()), accessList, list, 0))
	}
	err := unix.Fremovexattr(int(f.Fd()), accessList)
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	return os.NewSyscallError("fremovexattr", err)
}
