//go:build unix

package platform

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

// TestFault: a fault is found in an error, and comes through the exit status of a copy of this program, whose own words
// are lost.
func TestFault(t *testing.T) {
	path := func(op string, errno unix.Errno) error {
		return &fs.PathError{Op: op, Path: "session.json", Err: errno}
	}
	for _, row := range []struct {
		reason string
		err    error
		want   Fault
	}{
		{"the disk is full", path("write", unix.ENOSPC), FaultFull},
		{"the quota is used up", path("write", unix.EDQUOT), FaultQuota},
		{"the kernel's keys are used up", fmt.Errorf("the kernel keyring is full: %w", os.NewSyscallError("add_key", unix.EDQUOT)), FaultQuota},
		{"mounted read-only", path("open", unix.EROFS), FaultReadOnly},
		{"the disk fails", path("read", unix.EIO), FaultIO},
		{"an NFS server has replaced the file", path("open", unix.ESTALE), FaultIO},
		{"NFS without locks", path(lockOp, unix.ENOLCK), FaultNoLocks},
		{"a file system in user space without locks", path(lockOp, unix.ENOSYS), FaultNoLocks},
		{"a share of SMB without locks", path(lockOp, unix.EOPNOTSUPP), FaultNoLocks},
		{"too many files of this process", path("open", unix.EMFILE), FaultOpenFiles},
		{"too many files of the system", fmt.Errorf("fork: %w", unix.ENFILE), FaultOpenFiles},
		{"wrapped", fmt.Errorf("keeping the session: %w", path("write", unix.ENOSPC)), FaultFull},
		{"joined", errors.Join(errors.New("no"), path("write", unix.EIO)), FaultIO},
		{"a fault already", fmt.Errorf("the keychain failed: %w", FaultQuota), FaultQuota},

		{"nothing", nil, 0},
		{"another error", errors.New("no space left on device"), 0},
		{"not ours to write", path("open", unix.EACCES), 0},
		{"missing", path("open", unix.ENOENT), 0},
		{"no such call, and no lock", path("fsync", unix.ENOSYS), 0},
		{"locked", ErrLocked, 0},
	} {
		if got := FaultOf(row.err); got != row.want {
			t.Errorf("%s: %d, not %d", row.reason, got, row.want)
		}
		status := FaultStatus(row.err)
		program := script(t, t.TempDir(), "ends", fmt.Sprintf("exit %d", status))
		wait, err := StartDetached(program, "ends")
		if err != nil {
			t.Fatal(err)
		}
		told := wait(t.Context())
		if (told == nil) != (row.err == nil) || FaultOf(told) != row.want {
			t.Errorf("%s: a copy tells %v", row.reason, told)
		}
		if _, exited := errors.AsType[*exec.ExitError](told); exited != (row.err != nil && row.want == 0) {
			t.Errorf("%s: a copy tells %v", row.reason, told)
		}
	}
	for _, status := range []int{2, faultStatus, faultStatus + int(FaultOpenFiles) + 1, 126, 137, 255} {
		err := exec.Command("sh", "-c", fmt.Sprintf("exit %d", status)).Run()
		if got := toldFault(err); FaultOf(got) != 0 || got.Error() != fmt.Sprintf("clerk-credential-helper in the background: exit status %d", status) {
			t.Errorf("status %d: %v", status, got)
		}
	}
}
