//go:build unix

package platform

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
)

// caseless reports whether the names of files have no case.
const caseless = false

const (
	homeVariables  = "set HOME to the folder of this user"
	otherFolder    = "XDG_STATE_HOME"
	writableFolder = "let this user write to that folder: chmod u+rwx, or have its owner or the sandbox allow it; or name another with HOME or XDG_STATE_HOME"
	withoutSudo    = "run it without sudo, as the user whose folder it is, or with root's own HOME"
	keepsAccess    = "run it as the file's owner, or chown and chgrp the file to yourself first; --dry-run shows the lines to add by hand"
)

func denyWriting(path string) string { return "chmod go-w " + path }

func denyAccess(path string, folder bool) string {
	if folder {
		return "chmod 0700 " + path
	}
	return "chmod 0600 " + path
}

func takeOver(path string, below bool) string {
	if below {
		return `sudo chown -R "$(id -un)" ` + path
	}
	return `sudo chown -h "$(id -un)" ` + path
}

func deleteFile(path string) string { return "rm " + path }

func giveNameCommand(program, file string) string {
	if path.Dir(program) == path.Dir(file) {
		program = path.Base(program)
	}
	return "ln -s " + program + " " + file
}

func helperCommands(file string) []string {
	return []string{
		"  mkdir -p " + path.Dir(file),
		`  ln -s "$(command -v clerk-credential-helper)" \`,
		"    " + file,
	}
}

func installAgain(found string) string {
	if found == "" {
		return "install again: ./install.sh"
	}
	return "remove the older one, or install again: ./install.sh"
}

func installName(command string) string {
	if command == "" {
		return "./install.sh makes it; put its folder (~/.local/bin) in the PATH, also of graphical programs"
	}
	return "./install.sh makes it, or: " + command
}

func intoPath(folder string) string {
	return fmt.Sprintf(`put %s in the PATH, also of graphical programs; in ~/.profile: export PATH="%[1]s:$PATH"`, folder)
}

func adminsFile(string) string { return "" }

func folderVariables() []string {
	return []string{"XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"}
}

func (f Fault) remedy() string {
	switch f {
	case FaultFull:
		return "make room on that disk, and try again"
	case FaultQuota:
		return "this user's quota is used up: make room, and try again; or keep sessions elsewhere, with XDG_STATE_HOME or CLERK_HELPER_STORE"
	case FaultReadOnly:
		return "the file system is mounted read-only: mount it for writing, or name a folder elsewhere with XDG_STATE_HOME"
	case FaultIO:
		return "the disk, or the server of a network's file system, fails: see the system's log (dmesg), and mount it again; or name a folder elsewhere with XDG_STATE_HOME"
	case FaultNoLocks:
		return "the file system has no locks, as NFS without them: mount it with locks, or keep sessions elsewhere, with CLERK_HELPER_STORE=kernel or with XDG_STATE_HOME on a local disk"
	case FaultOpenFiles:
		return "too many files are open: raise the limit (ulimit -n), or end what holds them open, and try again"
	}
	return ""
}

func userHome(getenv func(string) string) Home { return Home{"HOME", getenv("HOME")} }

func gitHome(getenv func(string) string) Home { return userHome(getenv) }

func kubeHome(getenv func(string) string) Home { return userHome(getenv) }

func systemHome() (string, error) { return os.UserHomeDir() }

func anyUsersPlace() bool { return false }

// patient: a file that is open can be removed and replaced.
const patient = false

func isBusy(error) bool { return false }

func commandContext(ctx context.Context, program string, args []string) (*exec.Cmd, error) {
	return exec.CommandContext(ctx, program, args...), nil
}

func escapeSequences(*os.File) (restore func(), ok bool) { return func() {}, true }
