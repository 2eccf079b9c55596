//go:build unix

package platform

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"strings"
)

const (
	caseless = false // the names of files have no case
	patient  = false // a file that is open can be neither removed nor replaced
	appends  = os.O_WRONLY
)

// The commands and places that messages name, as this system has them. A command is what its user types: in a POSIX shell on
// Unix, and on Windows in cmd.exe and in PowerShell alike, which is why no variable is in it and every path is quoted.
const (
	HomeVariables  = "set HOME to the folder of this user"
	OtherFolder    = "XDG_STATE_HOME"
	WritableFolder = "let this user write to that folder: chmod u+rwx, or have its owner or the sandbox allow it; or name another with HOME or XDG_STATE_HOME"
	WithoutSudo    = "run it without sudo, as the user whose folder it is, or with root's own HOME"
	KeepAccess     = "run it as the file's owner, or chown and chgrp the file to yourself first; --dry-run shows the lines to add by hand"
	SystemLog      = "see the system's log (dmesg)"
	OpenFiles      = "raise the limit (ulimit -n), or "
)

// DenyWriting returns the command that keeps other users from writing to a file or folder of this user's.
func DenyWriting(path string) string { return "chmod go-w " + path }

// DenyAccess returns the command that closes a file or folder of this user's to all others.
func DenyAccess(path string, folder bool) string {
	if folder {
		return "chmod 0700 " + path
	}
	return "chmod 0600 " + path
}

// TakeOver returns the command that gives a file, a folder or a link to this user, or a folder with all that is below it.
func TakeOver(path string, below bool) string {
	if below {
		return `sudo chown -R "$(id -un)" ` + path
	}
	return `sudo chown -h "$(id -un)" ` + path
}

// Delete returns the command that deletes a file.
func Delete(path string) string { return "rm " + path }

// GiveNameCommand returns the command that does what [GiveName] does.
func GiveNameCommand(program, file string) string {
	if path.Dir(program) == path.Dir(file) {
		program = path.Base(program)
	}
	return "ln -s " + program + " " + file
}

// HelperCommands returns the commands that give this program a name in a tool's folder, which may be missing: file is an absolute
// path, or begins with ~/ on Unix. They are indented by two blanks.
func HelperCommands(file string) []string {
	return []string{
		"  mkdir -p " + path.Dir(file),
		`  ln -s "$(command -v clerk-credential-helper)" \`,
		"    " + file,
	}
}

// InstallAgain returns what makes a name lead to this version. found is the file that does not, empty for the program itself.
func InstallAgain(found string) string {
	if found == "" {
		return "install again: ./install.sh"
	}
	return "remove the older one, or install again: ./install.sh"
}

// InstallName returns what is to be done where a name of this program is missing; command does it without an installation,
// and may be empty.
func InstallName(command string) string {
	if command == "" {
		return "./install.sh makes it; put its folder (~/.local/bin) in the PATH, also of graphical programs"
	}
	return "./install.sh makes it, or: " + command
}

// IntoPath returns how a folder comes into the PATH.
func IntoPath(folder string) string {
	return fmt.Sprintf(`put %s in the PATH, also of graphical programs; in ~/.profile: export PATH="%[1]s:$PATH"`, folder)
}

// AdminsFile returns what an administrator does so that only administrators can change the machine's configuration.
func AdminsFile() string { return "" }

// SetVariables returns the lines that set environment variables for what is typed next, each given as NAME=VALUE, whose value has
// neither blanks nor what a shell reads otherwise. They are indented by two blanks. On Windows there is one for each shell.
func SetVariables(assignments ...string) string { return "  export " + strings.Join(assignments, " ") }

// FolderVariables are the variables that name folders of ours and are passed over if they are not absolute paths.
func FolderVariables() []string {
	return []string{"XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"}
}

func toolHome(_ string, getenv func(string) string) Home { return Home{"HOME", getenv("HOME")} }

func anyUsersPlace() bool { return false }

func isBusy(error) bool { return false }

func commandContext(ctx context.Context, program string, args []string) (*exec.Cmd, error) {
	return exec.CommandContext(ctx, program, args...), nil
}

func escapeSequences(*os.File) (restore func(), ok bool) { return func() {}, true }

func appendWhole(f *os.File, p []byte) error {
	_, err := f.Write(p) // O_APPEND
	return err
}
