package platform

import "testing"

func TestWindowsProgramName(t *testing.T) {
	for _, row := range []struct{ reason, path, want string }{
		{"a caller that appends the extension itself", `C:\clerk\keyring.exe`, "keyring"},
		{"PATHEXT of a stock Windows, which Python's shutil.which appends", `C:\clerk\keyring.EXE`, "keyring"},
		{"a mixture", `c:\Clerk\Bazel-Credential-Clerk.Exe`, "bazel-credential-clerk"},
		{"cmd.exe passes on what was typed", "KEYRING", "keyring"},
		{"MSYS and Go take slashes", "C:/clerk/git-credential-clerk.EXE", "git-credential-clerk"},
		{"relative to a drive", "C:keyring.exe", "keyring"},
		{"a long path", `\\?\C:\clerk\keyring.EXE`, "keyring"},
		{"a share", `\\server\tools\keyring.exe`, "keyring"},
		{"CreateProcess drops a dot at the end", `C:\clerk\keyring.exe.`, "keyring"},
		{"and a name without an extension, which the dot marks", `C:\clerk\keyring.`, "keyring"},
		{"only the last extension goes", "keyring.exe.exe", "keyring.exe"},
		{"another extension is another program", `C:\clerk\keyring.cmd`, "keyring.cmd"},
		{"nothing is left of it", ".exe", ""},
		{"nothing", "", ""},
	} {
		if got := windowsProgramName(row.path); got != row.want {
			t.Errorf("%s: %q is called %q, want %q", row.reason, row.path, got, row.want)
		}
	}
}

func TestCalledName(t *testing.T) {
	for _, row := range []struct{ reason, path, want string }{
		{"a path of Unix", "/opt/clerk/bin/git-credential-clerk", "git-credential-clerk"},
		{"a path of Windows, read in WSL", `C:\Tools\Git-Credential-Clerk.EXE`, "git-credential-clerk"},
		{"as git writes it", "C:/tools/git-credential-clerk.exe", "git-credential-clerk"},
		{"another program", "C:/tools/git-credential-manager.exe", "git-credential-manager"},
	} {
		if got := CalledName(row.path); got != row.want {
			t.Errorf("%s: %q is called %q, want %q", row.reason, row.path, got, row.want)
		}
	}
	if !caseless {
		if got := CalledName("/opt/Git-Credential-Clerk"); got != "Git-Credential-Clerk" {
			t.Errorf("names have a case here, and it is %q", got)
		}
		if got := ProgramName("/opt/Keyring"); got != "Keyring" {
			t.Errorf("names have a case here, and it is %q", got)
		}
	} else if got := ProgramName(`C:\clerk\keyring.EXE`); got != "keyring" {
		t.Errorf("it is %q", got)
	}
}
