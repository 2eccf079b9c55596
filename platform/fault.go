package platform

import (
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"syscall"
)

// Fault is a condition of a file system or of a process that keeps a store from working until the user ends it. Its number is
// kept in records and is a part of exit statuses, so none changes its meaning.
type Fault int

const (
	FaultFull      Fault = iota + 1 // no space on the disk
	FaultQuota                      // the user's share of the disk, or of keys, is used up
	FaultReadOnly                   // mounted read-only
	FaultIO                         // the disk, or the server of a network's file system, fails
	FaultNoLocks                    // the file system has no locks
	FaultOpenFiles                  // too many open files, of this process or of the system
)

// Error is the text of the system call's error, which may be lost with another process.
func (f Fault) Error() string {
	switch f {
	case FaultFull:
		return "no space left on device"
	case FaultQuota:
		return "the quota is used up"
	case FaultReadOnly:
		return "read-only file system"
	case FaultIO:
		return "input/output error"
	case FaultNoLocks:
		return "the file system has no locks"
	case FaultOpenFiles:
		return "too many open files"
	}
	return "an error of the system"
}

// FaultOf returns the fault in an error; 0 if there is none.
func FaultOf(err error) Fault {
	if fault, ok := errors.AsType[Fault](err); ok {
		return fault
	}
	errno, ok := errors.AsType[syscall.Errno](err)
	if !ok {
		return 0
	}
	fault := faultOf(errno)
	if path, ok := errors.AsType[*fs.PathError](err); ok && path.Op == lockOp && isUnsupported(errno) {
		return FaultNoLocks
	}
	return fault
}

// faultStatus is the exit status of a copy of this program that ended with a fault, less the fault's number. Shells and
// signals use the numbers from 126 on.
const faultStatus = 64

// FaultStatus returns the exit status with which a copy of this program tells its fault: 0 for no error, 1 for one that is no
// fault. The wait of [StartDetached] makes the fault of it again.
func FaultStatus(err error) int {
	switch fault := FaultOf(err); {
	case err == nil:
		return 0
	case fault != 0:
		return faultStatus + int(fault)
	}
	return 1
}

// toldFault returns the fault that the end of a copy of this program tells, or the error, which says that it is the copy's.
func toldFault(err error) error {
	exit, ok := errors.AsType[*exec.ExitError](err)
	switch {
	case err == nil:
		return nil
	case !ok || exit.ExitCode() <= faultStatus || exit.ExitCode() > faultStatus+int(FaultOpenFiles):
		return fmt.Errorf("%s in the background: %w", appName, err)
	}
	return Fault(exit.ExitCode() - faultStatus)
}
