package doctor

import (
	"os"
	"path/filepath"
	"testing"
)

func TestInstalledBy(t *testing.T) {
	const name = "clerk-credential-helper"
	for _, row := range []struct {
		reason, program string
		files           map[string]string
		want            string
	}{
		{"Debian", "usr/bin/" + name, map[string]string{"var/lib/dpkg/info/" + name + ".list": ""}, "deb"},
		{"Debian, where rpm is installed too", "usr/bin/" + name, map[string]string{"var/lib/dpkg/info/" + name + ".list": "", "var/lib/rpm/x": ""}, "deb"},
		{"Debian, and the program was put there by hand", "usr/bin/" + name, map[string]string{"var/lib/dpkg/info/other.list": ""}, ""},
		{"Debian's package, and a program elsewhere", "opt/bin/" + name, map[string]string{"var/lib/dpkg/info/" + name + ".list": ""}, ""},
		{"Fedora", "usr/bin/" + name, map[string]string{"usr/lib/sysimage/rpm/rpmdb.sqlite": ""}, "rpm"},
		{"Alpine", "usr/bin/" + name, map[string]string{"lib/apk/db/installed": "C:x\nP:musl\n\nC:y\nP:" + name + "\nV:1\n"}, "apk"},
		{"Alpine, another package", "usr/bin/" + name, map[string]string{"lib/apk/db/installed": "C:x\nP:" + name + "-doc\n"}, ""},
		{"Arch", "usr/bin/" + name, map[string]string{"var/lib/pacman/local/" + name + "-1.2.3-1/desc": ""}, "pacman"},
		{"Arch, another package", "usr/bin/" + name, map[string]string{"var/lib/pacman/local/" + name + "-git-1/desc": ""}, ""},
		{"npm", "usr/lib/node_modules/" + name + "/bin/" + name, nil, "npm"},
		{"Homebrew", "opt/homebrew/Cellar/" + name + "/1.2.3/bin/" + name, nil, "homebrew"},
		{"Scoop", "Users/ada/scoop/apps/" + name + "/1.2.3/" + name + ".exe", nil, "scoop"},
		{"winget", "Users/ada/AppData/Local/Microsoft/WinGet/Packages/x/" + name + ".exe", nil, "winget"},
		{"install.sh", "home/ada/.local/bin/" + name, map[string]string{"home/ada/.local/share/" + name + "/installed": "install.sh release 1.2.3\n"}, "install.sh"},
		{"install.sh, before a package manager's folder", "usr/bin/" + name, map[string]string{"usr/share/" + name + "/installed": "install.sh checkout\n", "var/lib/rpm/x": ""}, "install.sh"},
		{"a receipt of something else", "home/ada/.local/bin/" + name, map[string]string{"home/ada/.local/share/" + name + "/installed": "\x1b[2J\n"}, ""},
		{"by hand", "home/ada/bin/" + name, nil, ""},
	} {
		root, err := filepath.EvalSymlinks(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		files := map[string]string{row.program: ""}
		for file, text := range row.files {
			files[file] = text
		}
		for file, text := range files {
			file = filepath.Join(root, filepath.FromSlash(file))
			if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got := installedBy(root, filepath.Join(root, filepath.FromSlash(row.program))); got != row.want {
			t.Errorf("%s: %q, not %q", row.reason, got, row.want)
		}
		if got := installer(filepath.Join(root, "missing")); got != "" {
			t.Errorf("a program that is not there: %q", got)
		}
	}
}
