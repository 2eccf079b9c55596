package doctor

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"

	"clerk-credential-helper/platform"
)

// installer returns what has installed the program at a path, links followed: "deb", "rpm", "apk", "pacman", "homebrew",
// "scoop", "winget", "nix", "npm", "install.sh" or "install.ps1". It is empty if nothing says so, as for an archive that was
// unpacked by hand. It reads files only, and runs no package manager.
func installer(program string) string { return installedBy("/", program) }

// folders are those in which package managers keep programs.
var folders = []struct{ part, by string }{
	{"/node_modules/", "npm"},
	{"/Cellar/", "homebrew"},
	{"/Caskroom/", "homebrew"},
	{"/scoop/apps/", "scoop"},
	{"/WinGet/Packages/", "winget"},
	{"/nix/store/", "nix"},
}

// installedBy is installer with the folder in which the system's own files are.
func installedBy(root, program string) string {
	if real, err := filepath.EvalSymlinks(program); err == nil {
		program = real
	}
	slashed := filepath.ToSlash(program)
	for _, f := range folders {
		if strings.Contains(slashed, f.part) {
			return f.by
		}
	}
	prefix := filepath.Dir(filepath.Dir(program))
	if text, err := platform.ReadPlain(filepath.Join(prefix, "share", programName, "installed"), maxReceipt); err == nil {
		for _, by := range []string{"install.sh", "install.ps1"} {
			if first, _, _ := strings.Cut(string(text), " "); first == by {
				return by
			}
		}
	}
	if filepath.Dir(program) != filepath.Join(root, "usr", "bin") {
		return ""
	}
	there := func(pattern string) bool {
		found, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(pattern)))
		return err == nil && found != nil
	}
	apk, _ := os.ReadFile(filepath.Join(root, "lib", "apk", "db", "installed"))
	switch {
	case there("var/lib/dpkg/info/" + programName + ".list"):
		return "deb"
	case there("var/lib/pacman/local/" + programName + "-[0-9]*"):
		return "pacman"
	case bytes.Contains(apk, []byte("\nP:"+programName+"\n")):
		return "apk"
	case there("var/lib/rpm/*"), there("usr/lib/sysimage/rpm/*"):
		return "rpm"
	}
	return ""
}

// programName is the name of the program, of its package and of its folder below share.
const programName = "clerk-credential-helper"

// maxReceipt, in bytes, is far more than install.sh writes about what it has installed.
const maxReceipt = 64 << 10
