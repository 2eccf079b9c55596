package platform

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// listOf returns an access list in the form of the attribute: the owner may read and write, the users may read, the group
// and all others nothing.
func listOf(users ...uint32) []byte {
	const read, write = 4, 2
	list := binary.LittleEndian.AppendUint32(nil, 2) // POSIX_ACL_XATTR_VERSION
	entry := func(tag, perm uint16, id uint32) {
		list = binary.LittleEndian.AppendUint16(list, tag)
		list = binary.LittleEndian.AppendUint16(list, perm)
		list = binary.LittleEndian.AppendUint32(list, id)
	}
	const none = 1<<32 - 1
	entry(0x01, read|write, none) // ACL_USER_OBJ
	for _, user := range users {
		entry(0x02, read, user) // ACL_USER
	}
	entry(0x04, 0, none)    // ACL_GROUP_OBJ
	entry(0x10, read, none) // ACL_MASK
	entry(0x20, 0, none)    // ACL_OTHER
	return list
}

func access(t *testing.T, path string) (mode fs.FileMode, uid, gid uint32, list []byte) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if list, err = readList(path); err != nil {
		t.Fatal(err)
	}
	s := info.Sys().(*syscall.Stat_t)
	return info.Mode(), s.Uid, s.Gid, list
}

// TestRewriteAccess: the new file is as open as the old one, and a copy is no more open.
func TestRewriteAccess(t *testing.T) {
	for _, row := range []struct {
		reason    string
		mode      fs.FileMode
		uid, gid  int    // 0 for the test's own
		list      []byte // of the file
		inherited []byte // of the folder, which new files inherit
	}{
		{"as most are", 0o644, 0, 0, nil, nil},
		{"closed", 0o600, 0, 0, nil, nil},
		{"open to a group", 0o640, 0, 3000, nil, nil},
		{"written by a group", 0o660, 0, 3000, nil, nil},
		{"another user's, for root", 0o600, 2001, 2001, nil, nil},
		{"with a list", 0o640, 0, 0, listOf(2002, 2003), nil},
		{"with a list, in a folder with another", 0o640, 0, 0, listOf(2002), listOf(2004)},
		{"closed, in a folder with a list", 0o600, 0, 0, nil, listOf(2004)},
		{"open to a group, in a folder with a list", 0o640, 0, 3000, nil, listOf(2004)},
	} {
		t.Run(row.reason, func(t *testing.T) {
			if (row.uid != 0 || row.gid != 0) && os.Getuid() != 0 {
				t.Skip("only root can give files away")
			}
			dir := t.TempDir()
			file := filepath.Join(dir, "config.json")
			if err := os.WriteFile(file, []byte("old"), row.mode); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(os.Chown(file, max(row.uid, os.Getuid()), max(row.gid, os.Getgid())), os.Chmod(file, row.mode)); err != nil {
				t.Fatal(err)
			}
			for name, list := range map[string]struct {
				path string
				text []byte
			}{accessList: {file, row.list}, "system.posix_acl_default": {dir, row.inherited}} {
				if list.text == nil {
					continue
				}
				if err := unix.Setxattr(list.path, name, list.text, 0); err != nil {
					t.Skipf("no access lists here: %v", err)
				}
			}
			mode, uid, gid, list := access(t, file)
			if err := WriteCopy(file+".copy", file, []byte("old")); err != nil {
				t.Fatal(err)
			}
			if err := Rewrite(file, []byte("old"), []byte("new")); err != nil {
				t.Fatal(err)
			}
			nowMode, nowUID, nowGID, nowList := access(t, file)
			if nowMode != mode || nowUID != uid || nowGID != gid || !bytes.Equal(nowList, list) {
				t.Errorf("%v %d:%d %x, not %v %d:%d %x", nowMode, nowUID, nowGID, nowList, mode, uid, gid, list)
			}
			if text, err := os.ReadFile(file); err != nil || string(text) != "new" {
				t.Errorf("%v %q", err, text)
			}
			if nowMode, nowUID, _, _ := access(t, file+".copy"); nowMode != 0o600 || nowUID != uid {
				t.Errorf("the copy is %v of %d", nowMode, nowUID)
			}
			if left, err := filepath.Glob(filepath.Join(dir, ".*.tmp")); err != nil || left != nil {
				t.Errorf("%q is left: %v", left, err)
			}
		})
	}
}

// TestRewriteRefuses: a file whose access cannot be kept, or that is another by now, stays as it is.
func TestRewriteRefuses(t *testing.T) {
	write := func(t *testing.T, uid, gid int) string {
		dir := t.TempDir()
		file := filepath.Join(dir, "config.json")
		if err := errors.Join(os.WriteFile(file, []byte("old"), 0o660), os.Chmod(dir, 0o777), os.Chmod(file, 0o660), os.Chown(file, uid, gid)); err != nil {
			t.Fatal(err)
		}
		return file
	}
	for _, row := range []struct {
		reason   string
		uid, gid int
	}{
		{"another user's, who lets us write", 2002, os.Getgid()},
		{"of a group that we are not in", 2001, 3000},
	} {
		t.Run(row.reason, func(t *testing.T) {
			if os.Getuid() != 0 {
				t.Skip("only root can play another user")
			}
			file := write(t, row.uid, row.gid)
			for above := filepath.Dir(file); above != filepath.Dir(os.TempDir()); above = filepath.Dir(above) {
				if info, err := os.Stat(above); err != nil || info.Mode()&0o001 == 0 {
					if err := os.Chmod(above, info.Mode().Perm()|0o001); err != nil {
						t.Fatal(err)
					}
				}
			}
			failed := make(chan error)
			go func() {
				runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
				unix.SetfsgidRetGid(2001)
				unix.SetfsuidRetUid(2001)
				failed <- Rewrite(file, []byte("old"), []byte("new"))
			}()
			if err := <-failed; !errors.Is(err, ErrAccess) {
				t.Errorf("%v", err)
			}
			if text, err := os.ReadFile(file); err != nil || string(text) != "old" {
				t.Errorf("%v %q", err, text)
			}
			if left, err := os.ReadDir(filepath.Dir(file)); err != nil || len(left) != 1 {
				t.Errorf("%v %v", left, err)
			}
		})
	}
	file := write(t, os.Getuid(), os.Getgid())
	if err := Rewrite(file, []byte("older"), []byte("new")); !errors.Is(err, ErrChanged) {
		t.Errorf("it has other text: %v", err)
	}
	if err := Rewrite(file, []byte("ol"), []byte("new")); !errors.Is(err, ErrChanged) {
		t.Errorf("it has more text: %v", err)
	}
	if err := Rewrite(file+".gone", nil, []byte("new")); err == nil {
		t.Error("a file was made")
	}
	if err := WriteCopy(file, file, []byte("new")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a copy over a file: %v", err)
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "old" {
		t.Errorf("%v %q", err, text)
	}
}
