package platform

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

func machineConfigDir() string {
	dir, err := windows.KnownFolderPath(windows.FOLDERID_ProgramData, 0)
	if err != nil {
		return `C:\ProgramData` // the default
	}
	return dir
}

const noHome = "there is no home folder"

func userConfigDir(getenv func(string) string) (string, error) { return envDir(getenv, "AppData") }

func userStateDir(getenv func(string) string) (string, error) { return envDir(getenv, "LocalAppData") }

func userRuntimeDir(func(string) string) string { return "" }

func openPrivateDir(dir string) (*os.Root, error) { return os.OpenRoot(dir) }

func envDir(getenv func(string) string, variable string) (string, error) {
	dir := getenv(variable)
	if !filepath.IsAbs(dir) {
		return "", fmt.Errorf("%w: %%%s%% is not set to an absolute path", ErrNoHome, variable)
	}
	return dir, nil
}

func checkHome(getenv func(string) string) error {
	_, err := userConfigDir(getenv)
	return err
}

func lockDir() (string, error) {
	dir, err := windows.KnownFolderPath(windows.FOLDERID_LocalAppData, 0)
	if err != nil {
		return "", fmt.Errorf("finding the local application data folder: %w", err)
	}
	return filepath.Join(dir, appName, "locks"), nil
}

// openNoFollow opens a file that is not a link. Windows has no flag for it that os.OpenFile passes on; making a link
// here takes a right that only administrators and this user have in a folder that passed its check.
func openNoFollow(path string, flag int) (*os.File, error) {
	info, err := os.Lstat(path)
	if err == nil && info.Mode()&fs.ModeSymlink != 0 {
		return nil, &os.PathError{Op: "open", Path: path, Err: errors.New("is a symbolic link")}
	}
	var f *os.File
	err = patiently(func() (err error) {
		f, err = os.OpenFile(path, flag, 0o600)
		return err
	})
	return f, err
}

// openAtOnce has nothing to add: pipes here are no files.
func openAtOnce(path string) (*os.File, error) { return os.Open(path) }

// checkOurs has nothing to add: who may write into a folder is asked where it matters, see checkTrusted.
func checkOurs(*os.File) error { return nil }

func replaceFile(from, to string) error {
	return patiently(func() error { return os.Rename(from, to) })
}

// syncDir has nothing to do: NTFS journals the rename.
func syncDir(string) error { return nil }

// patiently retries, for 2 s at most, what fails only because another process has the file open or is replacing it. The
// pauses are short, because between two readers the file is free for a moment only.
func patiently(call func() error) error {
	wait := time.Millisecond
	for begun := time.Now(); ; wait = min(2*wait, 8*time.Millisecond) {
		err := call()
		busy := errors.Is(err, windows.ERROR_ACCESS_DENIED) || errors.Is(err, windows.ERROR_SHARING_VIOLATION)
		if !busy || time.Since(begun) > 2*time.Second {
			return err
		}
		time.Sleep(wait)
	}
}

// The rights to change a file or a folder's content, or to take such rights.
const writeRights = windows.FILE_WRITE_DATA | windows.FILE_APPEND_DATA | fileDeleteChild | windows.DELETE |
	windows.WRITE_DAC | windows.WRITE_OWNER | windows.GENERIC_WRITE | windows.GENERIC_ALL

const fileDeleteChild = 0x40 // FILE_DELETE_CHILD, winnt.h

// checkTrusted checks that the owner is this user, Administrators, SYSTEM or the installer, and that no other account
// may write. The folder's own list counts as it stands; a file's inherited entries are part of the file's list.
func checkTrusted(f *os.File) error {
	sd, err := windows.GetSecurityInfo(windows.Handle(f.Fd()), windows.SE_FILE_OBJECT,
		windows.OWNER_SECURITY_INFORMATION|windows.DACL_SECURITY_INFORMATION)
	if err != nil {
		return &os.PathError{Op: "reading the permissions of", Path: f.Name(), Err: err}
	}
	return checkAccess(f.Name(), sd, writeRights, ErrWritable)
}

// openTrusted opens a file for reading if it and its folder pass checkTrusted, and the folder of the path itself, should
// there be a link.
func openTrusted(path string) (*os.File, error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, err
	}
	for _, dir := range slices.Compact([]string{filepath.Dir(path), filepath.Dir(real)}) {
		if err := checkTrustedDir(dir); err != nil {
			return nil, err
		}
	}
	f, err := openNoFollow(real, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(checkRegular(f), checkTrusted(f)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// checkTrustedDir is checkTrusted for a folder.
func checkTrustedDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(checkTrusted(d), d.Close())
}

// checkPrivate checks that only this user and the system's administrators may read or write.
func checkPrivate(path string, _ fs.FileInfo) error {
	sd, err := windows.GetNamedSecurityInfo(path, windows.SE_FILE_OBJECT,
		windows.OWNER_SECURITY_INFORMATION|windows.DACL_SECURITY_INFORMATION)
	if err != nil {
		return &os.PathError{Op: "reading the permissions of", Path: path, Err: err}
	}
	return checkAccess(path, sd, writeRights|windows.FILE_READ_DATA|windows.GENERIC_READ, ErrOpen)
}

func checkAccess(path string, sd *windows.SECURITY_DESCRIPTOR, rights windows.ACCESS_MASK, open error) error {
	trusted, err := trustedSIDs()
	if err != nil {
		return err
	}
	isTrusted := func(sid *windows.SID) bool {
		for _, t := range trusted {
			if sid.Equals(t) {
				return true
			}
		}
		return false
	}
	owner, _, err := sd.Owner()
	if err != nil {
		return &os.PathError{Op: "reading the owner of", Path: path, Err: err}
	}
	if !isTrusted(owner) {
		return fmt.Errorf("%s %w (%s)", path, ErrForeign, owner)
	}
	dacl, _, err := sd.DACL()
	if err != nil {
		return &os.PathError{Op: "reading the permissions of", Path: path, Err: err}
	}
	if dacl == nil {
		return fmt.Errorf("%s %w (no access list)", path, open)
	}
	for i := range uint32(dacl.AceCount) {
		var ace *windows.ACCESS_ALLOWED_ACE
		if err := windows.GetAce(dacl, i, &ace); err != nil {
			return &os.PathError{Op: "reading the permissions of", Path: path, Err: err}
		}
		if ace.Header.AceFlags&windows.INHERIT_ONLY_ACE != 0 || ace.Header.AceType == windows.ACCESS_DENIED_ACE_TYPE {
			continue
		}
		if ace.Header.AceType != windows.ACCESS_ALLOWED_ACE_TYPE {
			return fmt.Errorf("%s has an access list with an entry of unknown kind %d", path, ace.Header.AceType)
		}
		sid := (*windows.SID)(unsafe.Pointer(&ace.SidStart))
		if ace.Mask&rights != 0 && !isTrusted(sid) {
			return fmt.Errorf("%s %w (%s)", path, open, sid)
		}
	}
	return nil
}

// trustedSIDs are those who can do as they like on this machine, and this user.
func trustedSIDs() ([]*windows.SID, error) {
	user, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return nil, fmt.Errorf("finding the current user: %w", err)
	}
	sids := []*windows.SID{user.User.Sid}
	for _, text := range []string{
		"S-1-5-32-544", // Administrators
		"S-1-5-18",     // SYSTEM
		"S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464", // TrustedInstaller
	} {
		sid, err := windows.StringToSid(text)
		if err != nil {
			return nil, err
		}
		sids = append(sids, sid)
	}
	return sids, nil
}
