package platform

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestReadTrustedInNamespaces: a store of root's that is mounted read-only, and a home whose folders above belong to users
// that a container does not know.
func TestReadTrustedInNamespaces(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can mount, and make a folder of another user's")
	}
	const write = "echo content >$1/below/config.toml"
	const stranger = "mkdir -m 700 $1/below && " + write + " && chown 12345 $1"
	for _, row := range []struct {
		reason, before, unshare, inside, want string
	}{
		{"a store that the group may write", "true", "--mount", "mount -t tmpfs -o mode=0775,gid=3000 none $1 && mkdir $1/below && " + write,
			"may be written by others (mode 0775)"},
		{"it is mounted read-only", "true", "--mount", "mount -t tmpfs -o mode=0775,gid=3000 none $1 && mkdir $1/below && " + write + " && mount -o remount,ro $1", ""},
		{"it is another user's", "true", "--mount", "mount -t tmpfs -o mode=0775,gid=3000,uid=12345 none $1 && mkdir $1/below && " + write + " && mount -o remount,ro $1",
			"belongs to another user (12345)"},
		{"a folder of a user who is known here", stranger, "--mount", "true", "belongs to another user (12345)"},
		{"of one who is unknown here", stranger, "--user --map-root-user", "true", ""},
		{"of one who is unknown here, and others may write there", stranger + " && chmod 0777 $1", "--user --map-root-user", "true", "may be written by others (mode 0777)"},
		{"nobody's, where all users are known", "mkdir -m 700 $1/below && " + write + " && chown 65534 $1", "--mount", "true", "belongs to another user (65534)"},
		{"a file of one who is unknown here", "mkdir -m 755 $1/below && " + write + " && chown 12345 $1/below/config.toml", "--user --map-root-user", "true",
			"config.toml belongs to another user (65534)"},
		{"a link of one who is unknown here", "mkdir -m 755 $1/real && ln -s real $1/below && " + write + " && chown -h 12345 $1/below", "--user --map-root-user", "true",
			"below, a link, belongs to another user (65534)"},
	} {
		t.Run(row.reason, func(t *testing.T) {
			dir := t.TempDir()
			if out, err := exec.Command("sh", "-ec", row.before, "sh", dir).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			args := append(strings.Fields(row.unshare), "sh", "-ec", row.inside+`; exec "$2" -test.run=^TestTrustedProcess$`, "sh", dir, self)
			cmd := exec.Command("unshare", args...)
			cmd.Env = append(os.Environ(), "PLATFORM_TEST_TRUSTED="+filepath.Join(dir, "below", "config.toml"))
			out, err := cmd.CombinedOutput()
			if err != nil {
				if strings.Contains(string(out), "Operation not permitted") && os.Getenv("CI") != "true" {
					t.Skipf("no namespaces here: %s", out)
				}
				t.Fatalf("%v\n%s", err, out)
			}
			got, _, _ := strings.Cut(string(out), "\n")
			if row.want == "" && got != "read content" || row.want != "" && !strings.Contains(got, row.want) {
				t.Errorf("got %q, want %q", out, row.want)
			}
		})
	}
}

// TestTrustedProcess is the other process of TestReadTrustedInNamespaces.
func TestTrustedProcess(t *testing.T) {
	path := os.Getenv("PLATFORM_TEST_TRUSTED")
	if path == "" {
		return
	}
	data, err := ReadTrusted(path, 100)
	if err != nil {
		os.Stdout.WriteString(err.Error() + "\n")
	} else {
		os.Stdout.WriteString("read " + string(data))
	}
	os.Exit(0)
}
