package platform

import (
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/windows"
)

// caseless reports whether the names of files have no case.
const caseless = true

const (
	HomeVariables  = "set AppData and LocalAppData to the folders of this user"
	OtherFolder    = "LocalAppData"
	WritableFolder = "let this user write to that folder, or have its owner allow it; or name another in AppData or LocalAppData"
	WithoutSudo    = "run it as the user whose folder it is"
	KeepAccess     = "run it as the file's owner; --dry-run shows the lines to add by hand"
	SystemLog      = "see the event log"
	OpenFiles      = ""
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

func DenyWriting(path string) string { return icacls(path) }

func DenyAccess(path string, _ bool) string { return icacls(path) }

func TakeOver(path string, below bool) string {
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

func Delete(path string) string { return `del "` + path + `"` }

func GiveNameCommand(program, file string) string { return `copy "` + program + `" "` + file + `"` }

// thisProgram is the program's file, or what stands for it.
func thisProgram() string {
	self, err := os.Executable()
	if err != nil {
		return "clerk-credential-helper.exe"
	}
	return self
}

func HelperCommands(file string) []string {
	var commands []string
	folder := filepath.Dir(file)
	if _, err := os.Stat(folder); err != nil { // PowerShell's mkdir complains of one that is there
		commands = append(commands, `  mkdir "`+folder+`"`)
	}
	return append(commands, "  "+GiveNameCommand(thisProgram(), file))
}

func InstallAgain(found string) string {
	if found == "" {
		return "copy the program there again, or call it by another path"
	}
	return "if it is another version of this program, replace it: " + GiveNameCommand(thisProgram(), found)
}

func InstallName(command string) string {
	if command == "" {
		return "copy this program to that name, in a folder of the Path"
	}
	return command
}

func IntoPath(folder string) string {
	return "add " + folder + ` to Path in "Edit environment variables for your account", and open a new window`
}

func AdminsFile() string {
	folder := filepath.Dir(MachineConfig())
	return `look at what it says; then, in an administrator's prompt: icacls "` + folder + `" /setowner "` + administrators + `" /T, and icacls "` +
		folder + `" /inheritance:r /grant:r "` + administrators + `:(OI)(CI)F" "` + system + `:(OI)(CI)F" "` + users + `:(OI)(CI)RX", and icacls "` +
		folder + `\*" /reset; no user can take the place of a policy in ` + policyKey + ` (docs/windows.md)`
}

func SetVariables(assignments ...string) string {
	var cmd, powershell []string
	for _, a := range assignments {
		name, value, _ := strings.Cut(a, "=")
		cmd = append(cmd, `set "`+a+`"`) // a blank before & would be a part of the value
		powershell = append(powershell, "$env:"+name+"='"+value+"'")
	}
	return "  " + strings.Join(cmd, "& ") + "\n\nin PowerShell:\n\n  " + strings.Join(powershell, "; ")
}

func FolderVariables() []string { return nil }
