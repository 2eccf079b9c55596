package platform

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/windows"
)

// caseless reports whether the names of files have no case.
const caseless = true

const (
	homeVariables  = "set AppData and LocalAppData to the folders of this user"
	otherFolder    = "LocalAppData"
	writableFolder = "let this user write to that folder, or have its owner allow it; or name another in AppData or LocalAppData"
	withoutSudo    = "run it as the user whose folder it is"
	keepsAccess    = "run it as the file's owner; --dry-run shows the lines to add by hand"
)

// The accounts of administrators, as icacls takes them: their names depend on the language of the system.
const (
	administrators = "*S-1-5-32-544"
	system         = "*S-1-5-18"
	users          = "*S-1-5-32-545"
)

// icacls returns the command that replaces what a file or folder inherits by full access for this user, Administrators and
// SYSTEM. What is inside a folder inherits that.
func icacls(path string) string {
	user := "*S-1-3-4" // whoever owns it
	if token, err := windows.GetCurrentProcessToken().GetTokenUser(); err == nil {
		user = "*" + token.User.Sid.String()
	}
	inherit := ""
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		inherit = "(OI)(CI)"
	}
	grant := func(account string) string { return ` "` + account + ":" + inherit + `F"` }
	return `icacls "` + path + `" /inheritance:r /grant:r` + grant(user) + grant(administrators) + grant(system)
}

func denyWriting(path string) string { return icacls(path) }

func denyAccess(path string, _ bool) string { return icacls(path) }

func takeOver(path string, below bool) string {
	all := ""
	if below {
		all = " /T"
	}
	user := administrators
	if token, err := windows.GetCurrentProcessToken().GetTokenUser(); err == nil {
		user = "*" + token.User.Sid.String()
	}
	return `in an administrator's prompt: icacls "` + path + `" /setowner "` + user + `"` + all
}

func deleteFile(path string) string { return `del "` + path + `"` }

func giveNameCommand(program, file string) string { return `copy "` + program + `" "` + file + `"` }

// thisProgram is the program's file, or what stands for it.
func thisProgram() string {
	self, err := os.Executable()
	if err != nil {
		return "clerk-credential-helper.exe"
	}
	return self
}

func helperCommands(file string) []string {
	var commands []string
	folder := filepath.Dir(file)
	if _, err := os.Stat(folder); err != nil { // PowerShell's mkdir complains of one that is there
		commands = append(commands, `  mkdir "`+folder+`"`)
	}
	return append(commands, "  "+giveNameCommand(thisProgram(), file))
}

func installAgain(found string) string {
	if found == "" {
		return "copy the program there again, or call it by another path"
	}
	return "if it is another version of this program, replace it: " + giveNameCommand(thisProgram(), found)
}

func installName(command string) string {
	if command == "" {
		return "copy this program to that name, in a folder of the Path"
	}
	return command
}

func intoPath(folder string) string {
	return "add " + folder + ` to Path in "Edit environment variables for your account", and open a new window`
}

func adminsFile(file string) string {
	folder := filepath.Dir(file)
	return `look at what it says; then, in an administrator's prompt: icacls "` + folder + `" /setowner "` + administrators + `" /T, and icacls "` +
		folder + `" /inheritance:r /grant:r "` + administrators + `:(OI)(CI)F" "` + system + `:(OI)(CI)F" "` + users + `:(OI)(CI)RX", and icacls "` +
		folder + `\*" /reset`
}

func folderVariables() []string { return nil }

func (f Fault) remedy() string {
	switch f {
	case FaultFull:
		return "make room on that disk, and try again"
	case FaultQuota:
		return "this user's quota is used up: make room, and try again; or keep sessions elsewhere, with LocalAppData or CLERK_HELPER_STORE"
	case FaultReadOnly:
		return "the disk is write-protected: name a folder elsewhere with LocalAppData"
	case FaultIO:
		return "the disk, or the server of a share, fails: see the event log; or name a folder elsewhere with LocalAppData"
	case FaultOpenFiles:
		return "too many files are open: end what holds them open, and try again"
	}
	return ""
}

func userHome(getenv func(string) string) Home { return windowsUserHome(getenv) }

func gitHome(getenv func(string) string) Home { return windowsGitHome(getenv, os.Stat) }

func kubeHome(getenv func(string) string) Home { return windowsKubeHome(getenv, os.Stat) }

func systemHome() (string, error) { return windows.KnownFolderPath(windows.FOLDERID_Profile, 0) }
