package platform

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

const appName = "clerk-credential-helper"

// CheckHome returns why there can be no user's configuration, wrapping [ErrNoHome]: HOME is not set, or leads to no
// folder, and $XDG_CONFIG_HOME does not stand in for it.
func CheckHome(getenv func(string) string) error { return checkHome(getenv) }

// ErrNoHome means that the user has no home folder, as far as the environment says.
var ErrNoHome = errors.New(noHome)

// ErrNoUser means that there is no place for locks: no user database names a home folder for this user.
var ErrNoUser = errors.New("this user has no place for locks")

// Reasons to refuse a file or folder. An error that wraps one begins with the path and ends with details.
var (
	ErrForeign  = errors.New("belongs to another user")
	ErrWritable = errors.New("may be written by others")
	ErrOpen     = errors.New("is open to others")
	ErrNoFolder = errors.New("is not a folder")
)

// refusal is why a file or folder is refused: it wraps one of the reasons.
type refusal struct {
	path    string
	err     error  // ErrForeign, ErrWritable or ErrOpen
	details string // who owns it, or who may write
}

func (r *refusal) Error() string { return fmt.Sprintf("%s %v (%s)", r.path, r.err, r.details) }

func (r *refusal) Unwrap() error { return r.err }

// RefusedPath returns the file or folder that is refused; empty where only the message names it, as on Unix.
func RefusedPath(err error) string {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r.path
	}
	return ""
}

// MachineConfig returns the path of the machine's configuration file, which an administrator can roll out:
// /etc/clerk-credential-helper/config.toml, on macOS below /Library/Application Support, on Windows below the
// program data folder. The environment has no say in it.
func MachineConfig() string { return filepath.Join(machineConfigDir(), appName, "config.toml") }

// PassOver reports whether the machine's configuration file, for which ReadTrusted has returned this error, is passed over,
// because any user may have put it there to keep the program from working: all users may make folders in the folder of program
// data of Windows, as it is installed. Elsewhere, as on Unix, the error is one for all users.
func PassOver(err error) bool {
	return (errors.Is(err, ErrForeign) || errors.Is(err, ErrWritable)) && anyUsersPlace()
}

// MachinePolicy returns what an administrator has decided where no user can put anything in its place. at names it. In the
// registry of Windows it is the values at the key SOFTWARE\Policies\Clerk Credential Helper of HKEY_LOCAL_MACHINE, at most 64 of
// at most 64 KiB, each a string (REG_SZ), []string (REG_MULTI_SZ) or uint32 (REG_DWORD). On macOS it is the managed preferences
// of the domain clerk-credential-helper, a property list that ReadTrusted accepts: values are as in a JSON object. There are none
// on other systems.
//
// What cannot be read is an error, and a key with more or others.
func MachinePolicy() (at string, settings map[string]any, err error) { return machinePolicy() }

// UserConfig returns the path of the user's configuration file: clerk-credential-helper/config.toml below
// $XDG_CONFIG_HOME or ~/.config on every Unix, macOS included, and below %AppData% on Windows. A relative
// $XDG_CONFIG_HOME is ignored, as the XDG Base Directory Specification says.
func UserConfig(getenv func(string) string) (string, error) {
	dir, err := userConfigDir(getenv)
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, appName, "config.toml"), nil
}

// StateDir returns the folder for what the helper keeps, the file store included: clerk-credential-helper below
// $XDG_STATE_HOME or ~/.local/state on every Unix, below %LocalAppData% on Windows. It makes nothing.
func StateDir(getenv func(string) string) (string, error) {
	dir, err := userStateDir(getenv)
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, appName), nil
}

// RuntimeDir returns the folder for files that must not outlive a command: on Unix clerk-credential-helper below
// $XDG_RUNTIME_DIR, if that is an absolute path to a folder which is this user's alone and which no other user could
// replace; else [StateDir]. $TMPDIR has no say in it: others may write there. It makes nothing.
func RuntimeDir(getenv func(string) string) (string, error) {
	if dir := userRuntimeDir(getenv); dir != "" {
		return filepath.Join(dir, appName), nil
	}
	return StateDir(getenv)
}

// OpenPrivateDir opens a folder, which it makes with mode 0700 if it is missing. The folder must be this user's and closed to
// others, and on Unix no other user may be able to put another in its place, as for [ReadTrusted]. Errors name the path and
// what is wrong with it; nothing is made in another user's folder.
func OpenPrivateDir(dir string) (*os.Root, error) {
	switch other, err := OwnedByOther(dir); {
	case err != nil:
		return nil, err
	case other:
		return nil, fmt.Errorf("%s is in a folder that %w", dir, ErrForeign)
	}
	if err := makePrivateDir(dir); err != nil {
		return nil, err
	}
	return openPrivateDir(dir)
}

// LockDir returns the folder for the [Locks] of everything that belongs to this user on this machine. It comes from
// the system and never from the environment, so that processes with different environments meet there: on Linux
// /run/user/UID if it is ours, else the state folder below the home folder that the user database names; on macOS
// that home folder's Library/Application Support; on Windows the local application data folder. It makes nothing. It is
// [ErrNoUser] if there is neither.
func LockDir() (string, error) { return lockDir() }

// ReadTrusted reads a configuration file of at most limit bytes, if no other user can change it or put another in its
// place. On Unix the file and each folder and link on the way to it, from the root on, must belong to this user or to root,
// and no other user may be able to write to the file or to one of the folders, as sshd wants it (StrictModes). A folder that
// is sticky, or root's on a read-only file system, may be writable by others. In a container of a user who is not root, the
// folders above may belong to users who are unknown there, as those of the host's root do. On Windows the
// owners are this user, Administrators, SYSTEM, TrustedInstaller and the administrators of the user's domain, and no other
// account may write to the file, or delete or replace what is in a folder; a folder to which others may add is as a sticky
// one.
//
// A missing file is [io/fs.ErrNotExist]. Every other error names the path and what is wrong with it.
func ReadTrusted(path string, limit int64) ([]byte, error) {
	f, err := openTrusted(path)
	if errors.Is(err, syscall.ENOTDIR) { // the home of a service user is often /dev/null
		return nil, fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s is above the limit of %d bytes", path, limit)
	}
	return data, nil
}

// AppendPrivate is AppendFile for a plain file in a folder of its own, which it makes with mode 0700 if it is missing. Both must
// be this user's and closed to others.
func AppendPrivate(path string) (*os.File, error) {
	if err := makePrivateDir(filepath.Dir(path)); err != nil {
		return nil, err
	}
	f, err := openNoFollow(path, appends|os.O_CREATE|os.O_APPEND)
	if err != nil {
		return nil, err
	}
	if err := checkPrivateFile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// AppendFile opens a file for writing at its end, and makes a missing one, which only this user can read. A link at
// path is not followed, and what belongs to another user than this one and root is refused, or would be in such a
// user's place (see [CheckPlace]): the error is then [ErrForeign]. A named pipe without a reader is an error; it is not
// waited for.
func AppendFile(path string) (*os.File, error) {
	if err := CheckPlace(path); errors.Is(err, ErrForeign) {
		return nil, err
	}
	f, err := openNoFollow(path, appends|os.O_CREATE|os.O_APPEND)
	if err != nil {
		return nil, err
	}
	if err := checkOurs(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// AppendWhole writes p at the end of a file of AppendFile in one piece, also where many processes write.
func AppendWhole(f *os.File, p []byte) error { return appendWhole(f, p) }

// WriteFile makes or replaces a file that only this user can read: it writes a temporary file beside it (mode 0600,
// new), flushes it to the disk and renames it, so that a reader and a power cut see the old content or the new one. A
// missing folder is made with mode 0700. A link at path is replaced, not followed. It is a [*PlaceError] in another user's
// place.
func WriteFile(path string, data []byte) error { return writeFile(path, data, true) }

func writeFile(path string, data []byte, flush bool) (err error) {
	dir := filepath.Dir(path)
	if err := CheckPlace(dir); errors.Is(err, ErrForeign) {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*.tmp") // O_EXCL, 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if _, err := f.Write(data); err != nil {
		return err
	}
	if flush {
		if err := f.Sync(); err != nil {
			return err
		}
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := replaceFile(f.Name(), path); err != nil || !flush {
		return err
	}
	return syncDir(dir)
}

// makePrivateDir makes dir if it is missing and checks that it is closed to others, and that it is in no other user's place.
func makePrivateDir(dir string) error {
	if err := CheckPlace(dir); errors.Is(err, ErrForeign) {
		return err
	}
	err := checkPrivateDir(dir)
	if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return checkPrivateDir(dir)
}

// checkPrivateDir checks that dir is a folder, not a link to one, that is this user's and closed to others.
func checkPrivateDir(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s %w", dir, ErrNoFolder)
	}
	return checkPrivate(dir, info)
}

// checkPrivateFile checks that f is a plain file that is this user's and closed to others.
func checkPrivateFile(f *os.File) error {
	if err := checkRegular(f); err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return checkPrivate(f.Name(), info)
}

func checkRegular(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a plain file", f.Name())
	}
	return nil
}
