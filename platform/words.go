package platform

// The commands and places that messages name, as this system has them. A command is what its user types: in a POSIX shell on
// Unix, and on Windows in cmd.exe and in PowerShell alike, which is why no variable is in it and every path is quoted.

// DenyWriting returns the command that keeps other users from writing to a file or folder of this user's.
func DenyWriting(path string) string { return denyWriting(path) }

// DenyAccess returns the command that closes a file or folder of this user's to all others.
func DenyAccess(path string, folder bool) string { return denyAccess(path, folder) }

// TakeOver returns the command that gives a file, a folder or a link to this user, or a folder with all that is below it.
func TakeOver(path string, below bool) string { return takeOver(path, below) }

// Delete returns the command that deletes a file.
func Delete(path string) string { return deleteFile(path) }

// GiveNameCommand returns the command that does what [GiveName] does.
func GiveNameCommand(program, file string) string { return giveNameCommand(program, file) }

// HelperCommands returns the commands that give this program a name in a tool's folder, which may be missing: file is an absolute
// path, or begins with ~/ on Unix. They are indented by two blanks.
func HelperCommands(file string) []string { return helperCommands(file) }

// InstallAgain returns what makes all names of this program lead to the same version. found is the file that does not; empty
// if it is the program itself.
func InstallAgain(found string) string { return installAgain(found) }

// InstallName returns what is to be done where a name of this program is missing; command does it without an installation,
// and may be empty.
func InstallName(command string) string { return installName(command) }

// IntoPath returns how a folder comes into the PATH.
func IntoPath(folder string) string { return intoPath(folder) }

// AdminsFile returns what an administrator does so that the machine's configuration is one that only administrators can
// change.
func AdminsFile() string { return adminsFile(MachineConfig()) }

// FolderVariables are the variables that name folders of ours and are passed over if they are not absolute paths.
func FolderVariables() []string { return folderVariables() }

// HomeVariables returns the words for setting the variables of the home folder.
func HomeVariables() string { return homeVariables }

// OtherFolder returns the words for keeping files in another folder.
func OtherFolder() string { return otherFolder }

// WritableFolder returns the remedy for a folder that this user may not write to.
func WritableFolder() string { return writableFolder }

// WithoutSudo returns the remedy for a command that was called by root for another user.
func WithoutSudo() string { return withoutSudo }

// KeepAccess returns the remedy where a file's owner or access list would be lost.
func KeepAccess() string { return keepsAccess }

// Remedy returns what ends a fault of a disk or of a process; empty if it is not known. It advises nothing that would lose
// a session.
func (f Fault) Remedy() string { return f.remedy() }
